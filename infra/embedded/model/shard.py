"""One shard: a log of records, a hash key range, its place in the tree (B3 to B5, B12)."""

from bisect import bisect_left, bisect_right
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

MAX_HASH_KEY: Final = 2**128 - 1
GET_BYTES: Final = 10 * 1024 * 1024
"""What one GetRecords answers at most (B8)."""

_BASE: Final = 4959 * 10**52
"""AWS's numbers have 56 digits and begin so."""

NUMBER_STEP: Final = 1 << 32
"""What lies between a number given out and one that a subscription may continue with."""


def sequence_number(ms: int, count: int, shard_index: int) -> int:
    """A sequence number: 4959 * 10^52 + ms * 2^96 + count * 2^33 + shard index.

    Time leads and `count` grows over the whole stream, so numbers grow within a shard, and a child's are greater than
    its parents' (B5, B12). `shard_index` keeps numbers of different shards apart, as AWS's do. `NUMBER_STEP` below a
    number is one that no record has and that lies above the number before (B14).
    """
    return _BASE + (ms << 96) + (count << 33) + shard_index


def shard_id(index: int) -> str:
    """shardId-000000000000, ..."""
    return f"shardId-{index:012d}"


@dataclass(frozen=True, slots=True)
class Waiting:
    """The record at a position: its sequence number, and when it arrived."""

    number: int
    arrival_ms: int


@dataclass
class Shard:
    """A shard and its records. The owner locks.

    Positions are absolute: the number of records that were ever put before. Trimming moves `first`, not positions.
    """

    index: int
    start: int
    end: int
    created_ms: int
    starting_number: int
    parent: str | None = None
    adjacent_parent: str | None = None
    closed_ms: int | None = None
    ending_number: int | None = None
    first: int = 0
    fragments: list[bytes] = field(default_factory=list)
    numbers: list[int] = field(default_factory=list)
    arrivals: list[int] = field(default_factory=list)
    ends: list[int] = field(default_factory=list)  # bytes of all records up to and including this one
    trimmed_bytes: int = 0
    watchers: list[Callable[[], None]] = field(default_factory=list)  # called at each record and at the end

    def __post_init__(self) -> None:
        self.id = shard_id(self.index)

    @property
    def is_open(self) -> bool:
        return self.closed_ms is None

    @property
    def parents(self) -> list[str]:
        return [parent for parent in (self.parent, self.adjacent_parent) if parent is not None]

    @property
    def next_position(self) -> int:
        return self.first + len(self.fragments)

    def append(
        self, number: int, arrival_ms: int, data: str, size: int, partition_key: str | None, *, is_encrypted: bool
    ) -> None:
        """Appends a record; `data` is base64 and kept as it is, `size` counts the decoded bytes and the key."""
        seconds, millis = divmod(arrival_ms, 1000)
        fragment = b'{"SequenceNumber":"%d","ApproximateArrivalTimestamp":%d.%03d,"Data":"%s","PartitionKey":%s}' % (
            number,
            seconds,
            millis,
            data.encode(),
            orjson.dumps(partition_key),
        )
        if partition_key is None:
            fragment = fragment.replace(b',"PartitionKey":null', b"")
        if is_encrypted:
            fragment = fragment[:-1] + b',"EncryptionType":"KMS"}'
        self.fragments.append(fragment)
        self.numbers.append(number)
        self.arrivals.append(arrival_ms)
        self.ends.append((self.ends[-1] if self.ends else self.trimmed_bytes) + size)
        for wake in self.watchers:
            wake()

    def close(self, now_ms: int, ending_number: int) -> None:
        """No record follows."""
        self.closed_ms, self.ending_number = now_ms, ending_number
        self.wake()

    def wake(self) -> None:
        """Tells those who wait for something to happen here."""
        for wake in self.watchers:
            wake()

    def trim(self, horizon_ms: int) -> None:
        """Drops the records that arrived before `horizon_ms` (B13)."""
        gone = bisect_left(self.arrivals, horizon_ms)
        if gone:
            self.trimmed_bytes = self.ends[gone - 1]
            for column in (self.fragments, self.numbers, self.arrivals, self.ends):
                del column[:gone]
            self.first += gone

    def position_at_number(self, number: int, *, after: bool) -> int:
        """Where the record of `number` is, or the first behind it."""
        return self.first + (bisect_right if after else bisect_left)(self.numbers, number)

    def issued(self, number: int) -> bool:
        """Whether `number` can be one of this shard: of its starting number, or given out since."""
        rest = number - _BASE
        return rest & 0xFFFF_FFFF == self.index and number >= self.starting_number

    def position_at_time(self, ms: int) -> int:
        """The first record that arrived at `ms` or later (B7)."""
        return self.first + bisect_left(self.arrivals, ms)

    def read(self, position: int, most: int, most_bytes: int = GET_BYTES) -> tuple[list[bytes], int, int]:
        """Records from `position` on: at most `most`, and at most `most_bytes` of them but one at least.

        Returns:
            Their JSON, the position behind them, and their bytes.
        """
        begin = max(position, self.first) - self.first
        before = self.ends[begin - 1] if begin else self.trimmed_bytes
        until = min(begin + most, len(self.fragments), max(bisect_right(self.ends, before + most_bytes), begin + 1))
        if until <= begin:
            return [], self.first + begin, 0
        return self.fragments[begin:until], self.first + until, self.ends[until - 1] - before

    def waiting_at(self, position: int) -> Waiting | None:
        """The record at `position`; None when nothing is there."""
        index = max(position, self.first) - self.first
        return Waiting(self.numbers[index], self.arrivals[index]) if index < len(self.numbers) else None

    def describe(self) -> dict[str, Any]:
        """The shape Shard of the API."""
        numbers = {"StartingSequenceNumber": str(self.starting_number)}
        if self.ending_number is not None:
            numbers["EndingSequenceNumber"] = str(self.ending_number)
        described: dict[str, Any] = {
            "ShardId": self.id,
            "HashKeyRange": {"StartingHashKey": str(self.start), "EndingHashKey": str(self.end)},
            "SequenceNumberRange": numbers,
        }
        if self.parent is not None:
            described["ParentShardId"] = self.parent
        if self.adjacent_parent is not None:
            described["AdjacentParentShardId"] = self.adjacent_parent
        return described

    def describe_as_child(self) -> dict[str, Any]:
        """The shape ChildShard of the API (B10)."""
        return {
            "ShardId": self.id,
            "ParentShards": self.parents,
            "HashKeyRange": {"StartingHashKey": str(self.start), "EndingHashKey": str(self.end)},
        }
