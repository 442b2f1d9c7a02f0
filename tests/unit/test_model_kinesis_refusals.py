"""Refusals of the model where it once said otherwise than AWS."""

import pytest
from kinesis_model import Service, code_of

from infra.embedded.model.errors import KinesisError


@pytest.mark.parametrize("how", ["split", "merge", "merge, named last"])
def test_b11_a_shard_is_split_or_merged_once(how: str) -> None:
    service = Service(2)
    service("SplitShard", ShardToSplit="shardId-000000000000", NewStartingHashKey="100")
    closed, other = "shardId-000000000000", "shardId-000000000001"
    with pytest.raises(KinesisError, match=f"Shard {closed} .* has already been merged or split") as error:
        if how == "split":
            service("SplitShard", ShardToSplit=closed, NewStartingHashKey="50")
        elif how == "merge":
            service("MergeShards", ShardToMerge=closed, AdjacentShardToMerge=other)
        else:
            service("MergeShards", ShardToMerge=other, AdjacentShardToMerge=closed)
    assert code_of(error) == "InvalidArgumentException"
    assert len(service("ListShards")["Shards"]) == 4
