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


@pytest.mark.parametrize(
    "tags", [{"aws:team": "a"}, {"AWS:team": "a"}, {"a*b": "a"}, {"a": "b!"}, {"ok": "", "a\n": ""}]
)
def test_what_no_tag_may_be_is_refused_and_none_of_the_request_is_kept(tags: dict[str, str]) -> None:
    service = Service(1)
    with pytest.raises(KinesisError, match=r"^Tag ") as error:
        service("AddTagsToStream", Tags=tags)
    assert code_of(error) == "InvalidArgumentException"
    service("AddTagsToStream", Tags={"Ä ö/漢字_.:=+-%@1": "", "my-aws:": "½"})
    assert service("ListTagsForStream")["Tags"] == [
        {"Key": "my-aws:", "Value": "½"},
        {"Key": "Ä ö/漢字_.:=+-%@1", "Value": ""},
    ]
