"""One stream: its shards as a tree, where a record goes, and how the tree grows (B3, B4, B11, B12)."""

import hashlib
import threading
from bisect import bisect_right
from typing import Final

from infra.embedded.model.consumer import Consumer
from infra.embedded.model.errors import invalid, limit, not_found
from infra.embedded.model.limits import ShardLimits
from infra.embedded.model.shard import MAX_HASH_KEY, Shard, sequence_number, shard_id

HOUR_MS: Final = 3_600_000
DEFAULT_RETENTION_H: Final = 24
SCALINGS_A_DAY: Final = 10


def hash_key(partition_key: str) -> int:
    """MD5 of the key as an unsigned 128-bit integer, big-endian (B3)."""
    return int.from_bytes(hashlib.md5(partition_key.encode(), usedforsecurity=False).digest(), "big")


def even_ranges(count: int) -> list[tuple[int, int]]:
    """`count` contiguous inclusive ranges over [0, 2^128 - 1] (B4)."""
    bounds = [(MAX_HASH_KEY + 1) * i // count for i in range(count + 1)]
    return [(bounds[i], bounds[i + 1] - 1) for i in range(count)]


class Stream:
    """A stream. `lock` guards everything in it; the service holds it around each call.

    Args:
        name: stream name.
        arn: its ARN.
        shard_count: open shards at the start.
        now_ms: when it is created.
        active_ms: when it becomes ACTIVE.
        limited: whether shards have AWS's throughput limits.
    """

    def __init__(self, name: str, arn: str, shard_count: int, now_ms: int, active_ms: int, *, limited: bool) -> None:
        self.name = name
        self.arn = arn
        self.created_ms = now_ms
        self.active_ms = active_ms
        self.retention_h = DEFAULT_RETENTION_H
        self.tags: dict[str, str] = {}
        self.policy: str | None = None
        self.consumers: dict[str, Consumer] = {}
        self.is_deleted = False
        self.mode = "PROVISIONED"
        self.max_record_kib = 1024
        self.kms_key: str | None = None
        self.is_distributed = False  # by the service, whatever the partition key: strategy AUTO
        self.warm_mibps: int | None = None
        self.shard_level_metrics: set[str] = set()
        self.shards: list[Shard] = []
        self.limits: dict[str, ShardLimits] = {}
        self.lock = threading.Lock()
        self.limited = limited
        self._unsettled = "CREATING"
        self._count = 0
        self._changes_ms: dict[str, list[int]] = {}
        self._last_ms = now_ms
        self._starts: list[int] = []
        self._open: list[Shard] = []
        for start, end in even_ranges(shard_count):
            self._add(start, end, now_ms)
        self._index_open()

    @property
    def account(self) -> str:
        return self.arn.split(":")[4]

    def horizon_ms(self, now_ms: int) -> int:
        """What arrived before is trimmed (B13)."""
        return now_ms - self.retention_h * HOUR_MS

    def status(self, now_ms: int) -> str:
        """CREATING, UPDATING or ACTIVE."""
        if max(now_ms, self._last_ms) >= self.active_ms:  # a clock that is set back undoes nothing
            return "ACTIVE"
        return self._unsettled

    def update_until(self, ms: int) -> None:
        """Makes the stream UPDATING until then."""
        self._unsettled, self.active_ms = "UPDATING", ms

    def check_changes(self, operation: str, most: int, now_ms: int) -> None:
        """Checks that `operation` has changed the stream less than `most` times in the last 24 hours.

        Raises:
            KinesisError: LimitExceededException.
        """
        if sum(now_ms - ms < 24 * HOUR_MS for ms in self._changes_ms.get(operation, [])) >= most:
            raise limit(f"{operation} was called {most} times within 24 hours on stream {self.name}.")

    def count_change(self, operation: str, now_ms: int) -> None:
        """Counts a change for `check_changes`."""
        self._changes_ms.setdefault(operation, []).append(now_ms)

    def wake(self) -> None:
        """Wakes all who wait at a shard."""
        for shard in self.shards:
            shard.wake()

    @property
    def open_shards(self) -> list[Shard]:
        return self._open

    def shard(self, wanted: str, now_ms: int) -> Shard:
        """The shard called `wanted`.

        Raises:
            KinesisError: ResourceNotFoundException, when there is none, or none any more.
        """
        index = wanted.removeprefix("shardId-")
        if index.isdecimal() and int(index) < len(self.shards):
            found = self.shards[int(index)]
            if found.id == wanted and not self._expired(found, now_ms):
                return found
        message = f"Could not find shard {wanted} in stream {self.name} under account {self.account}."
        raise not_found(message)

    def shard_for(self, key: int) -> Shard:
        """The open shard whose range contains the hash key."""
        return self._open[bisect_right(self._starts, key) - 1]

    def any_shard(self) -> Shard:
        """The open shard whose turn it is, where the service distributes the records."""
        return self._open[self._count % len(self._open)]

    def next_number(self, shard_index: int, now_ms: int) -> tuple[int, int]:
        """A new sequence number and the arrival that goes with it; neither ever goes back."""
        self._last_ms = max(self._last_ms, now_ms)
        self._count += 1
        return sequence_number(self._last_ms, self._count, shard_index), self._last_ms

    def trim(self, now_ms: int) -> None:
        """Lets go what is past retention (B13)."""
        for shard in self.shards:
            shard.trim(self.horizon_ms(now_ms))

    def visible(self, now_ms: int) -> list[Shard]:
        """Shards that are not EXPIRED (B12)."""
        return [shard for shard in self.shards if not self._expired(shard, now_ms)]

    def children(self, parent: Shard) -> list[Shard]:
        """The shards that follow `parent`."""
        return [shard for shard in self.shards if parent.id in shard.parents]

    def split(self, parent: Shard, new_start: int, now_ms: int) -> None:
        """SplitShard: `new_start` begins the second child (B11)."""
        self._must_be_open(parent)
        if not parent.start + 1 < new_start < parent.end:
            message = (
                f"NewStartingHashKey {new_start} used in SplitShard() on shard {parent.id} in stream {self.name} "
                "is not both greater than one plus the shard's StartingHashKey and less than the shard's EndingHashKey."
            )
            raise invalid(message)
        self._cut(parent, new_start, now_ms)

    def merge(self, one: Shard, other: Shard, now_ms: int) -> None:
        """MergeShards: of two whose ranges are adjacent (B11)."""
        self._must_be_open(one)
        self._must_be_open(other)
        low, high = sorted((one, other), key=lambda shard: shard.start)
        if low.end + 1 != high.start:
            message = (
                f"Shards {one.id} and {other.id} in stream {self.name} under account {self.account} "
                "are not an adjacent pair of shards eligible for merging"
            )
            raise invalid(message)
        self._close(one, now_ms)
        self._close(other, now_ms)
        self._add(low.start, high.end, now_ms, one.id, other.id)
        self._index_open()

    def scale(self, target: int, now_ms: int) -> None:
        """UpdateShardCount, UNIFORM_SCALING (B11): splits and merges until the ranges are even."""
        current = len(self._open)
        self.check_changes("UpdateShardCount", SCALINGS_A_DAY, now_ms)
        if not -(-current // 2) <= target <= current * 2:
            raise limit(
                f"UpdateShardCount cannot scale to {target} shards: at most double and at least half of {current}."
            )
        self.count_change("UpdateShardCount", now_ms)
        bounds = [start for start, _ in even_ranges(target)]
        for bound in bounds[1:]:
            holder = self.shard_for(bound)
            if holder.start != bound:
                self._cut(holder, bound, now_ms)  # also where SplitShard would leave a child with one hash key
        for bound in bounds:
            last = next((b for b in bounds if b > bound), MAX_HASH_KEY + 1) - 1
            while (holder := self.shard_for(bound)).end < last:
                self.merge(holder, self.shard_for(holder.end + 1), now_ms)

    def _cut(self, parent: Shard, new_start: int, now_ms: int) -> None:
        self._close(parent, now_ms)
        self._add(parent.start, new_start - 1, now_ms, parent.id)
        self._add(new_start, parent.end, now_ms, parent.id)
        self._index_open()

    def _expired(self, shard: Shard, now_ms: int) -> bool:
        return shard.closed_ms is not None and shard.closed_ms < self.horizon_ms(now_ms)

    def _must_be_open(self, shard: Shard) -> None:
        if not shard.is_open:
            message = (
                f"Shard {shard.id} in stream {self.name} under account {self.account} has already been merged or "
                "split, and thus is not eligible for merging or splitting."
            )
            raise invalid(message)

    def _close(self, shard: Shard, now_ms: int) -> None:
        shard.close(now_ms, self.next_number(shard.index, now_ms)[0])

    def _add(
        self, start: int, end: int, now_ms: int, parent: str | None = None, adjacent_parent: str | None = None
    ) -> None:
        index = len(self.shards)
        number, _ = self.next_number(index, now_ms)
        self.shards.append(Shard(index, start, end, now_ms, number, parent, adjacent_parent))
        if self.limited:
            self.limits[shard_id(index)] = ShardLimits(now_ms)

    def _index_open(self) -> None:
        self._open = sorted((shard for shard in self.shards if shard.is_open), key=lambda shard: shard.start)
        self._starts = [shard.start for shard in self._open]
