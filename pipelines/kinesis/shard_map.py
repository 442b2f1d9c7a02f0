"""Which shard a record goes to: the hash key ranges of a stream's shards (B3, B4)."""

from bisect import bisect_right
from collections.abc import Iterable

from pipelines.kinesis.aggregation_format import hash_key
from pipelines.kinesis.lineage import HashRange, ShardInfo
from pipelines.kinesis.put import Record


class ShardMap:
    """The ranges of all shards, and the open one of each hash key.

    Args:
        shards: all that ListShards tells, closed ones too.
    """

    def __init__(self, shards: Iterable[ShardInfo]) -> None:
        self._ranges: dict[str, HashRange] = {}
        starts = []
        for shard in shards:
            if shard.hash_range is not None:
                self._ranges[shard.shard_id] = shard.hash_range
                if not shard.closed:
                    starts.append((shard.hash_range[0], shard.shard_id))
        starts.sort()
        self._starts = [first for first, _ in starts]
        self.open_shards = [shard_id for _, shard_id in starts]
        """Ids of the shards that take records, in the order of their ranges."""

    def shard_of(self, record: Record) -> str:
        """The open shard that `record` goes to."""
        return self.open_shards[bisect_right(self._starts, _hash_key(record)) - 1]

    def holds(self, shard_id: str, record: Record) -> bool:
        """Whether `record` belongs into the range of `shard_id`, open or closed; False for an unknown shard."""
        first, last = self._ranges.get(shard_id, (1, 0))
        return first <= _hash_key(record) <= last


def _hash_key(record: Record) -> int:
    return hash_key(record.partition_key) if record.explicit_hash_key is None else int(record.explicit_hash_key)
