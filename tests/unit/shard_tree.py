"""A stream's shards as a tree that grows and is cut off at its root, without a client: histories by the thousand."""

import itertools
from dataclasses import dataclass, field

from pipelines.kinesis.lineage import ShardInfo, heirs, lineage
from pipelines.kinesis.positions import ShardPosition
from pipelines.kinesis.restriction import Claim, Restriction, ShardRange

HASH_KEYS = 2**128


@dataclass
class Node:
    info: ShardInfo
    pages: list[int] = field(default_factory=list)
    """The sequence number of each page's last record."""
    children: list[str] = field(default_factory=list)
    closed_at: int | None = None


class ShardTree:
    """Shards with pages; those that closed first expire first, and both parents of a merge at once (B12, B13)."""

    def __init__(self, shards: int) -> None:
        self._ids = itertools.count()
        self._numbers = itertools.count(100, 7)
        self._ticks = itertools.count()
        self.nodes: dict[str, Node] = {}
        self.expired: set[str] = set()
        for index in range(shards):
            self._add((), (HASH_KEYS * index // shards, HASH_KEYS * (index + 1) // shards - 1))

    def _add(self, parents: tuple[str, ...], hash_range: tuple[int, int]) -> str:
        shard_id = f"shardId-{next(self._ids):012d}"
        self.nodes[shard_id] = Node(ShardInfo(shard_id, parents, hash_range=hash_range))
        for parent in parents:
            self.nodes[parent].children.append(shard_id)
        return shard_id

    def open(self) -> list[str]:
        """In the order of their hash keys."""
        found = [shard_id for shard_id, node in self.nodes.items() if node.closed_at is None]
        return sorted(found, key=lambda shard_id: self.nodes[shard_id].info.hash_range)

    def put(self, which: int) -> None:
        shard_id = self.open()[which % len(self.open())]
        self.nodes[shard_id].pages.append(next(self._numbers))

    def close(self, *shard_ids: str) -> None:
        tick = next(self._ticks)
        for shard_id in shard_ids:
            self.nodes[shard_id].closed_at = tick

    def split(self, which: int) -> tuple[str, str]:
        shard_id = self.open()[which % len(self.open())]
        low, high = self.nodes[shard_id].info.hash_range
        self.close(shard_id)
        middle = (low + high) // 2
        return self._add((shard_id,), (low, middle)), self._add((shard_id,), (middle + 1, high))

    def merge(self, which: int) -> str | None:
        shards = self.open()
        if len(shards) < 2:
            return None
        low, high = shards[which % (len(shards) - 1) :][:2]
        ranges = [self.nodes[shard_id].info.hash_range for shard_id in (low, high)]
        self.close(low, high)
        parents = (high, low) if which % 3 == 0 else (low, high)  # as they were named in the call
        return self._add(parents, (ranges[0][0], ranges[1][1]))

    def expire(self, which: int) -> None:
        """Some of the closed shards leave the stream, those first that closed first."""
        ticks = sorted({node.closed_at for node in self.nodes.values() if node.closed_at is not None})
        if ticks:
            horizon = ticks[which % len(ticks)]
            self.expired |= {
                shard_id
                for shard_id, node in self.nodes.items()
                if node.closed_at is not None and node.closed_at <= horizon
            }

    def listed(self) -> list[ShardInfo]:
        """As ListShards has them."""
        return [node.info for shard_id, node in self.nodes.items() if shard_id not in self.expired]

    def end(self) -> None:
        """Closes all shards, so that reading them ends."""
        for shard_id in self.open():
            self.close(shard_id)

    def next_claim(self, restriction: Restriction, shard: ShardRange) -> Claim | None:
        """What a reader of `restriction` finds to claim in `shard`; None when nothing has come yet."""
        node = self.nodes[shard.shard_id]
        if shard.shard_id in self.expired:
            return self._end(restriction, shard, None, heirs(shard.shard_id, shard.hash_range, self.listed()))
        reached = int(shard.start.sequence_number or 0)
        following = [number for number in node.pages if number > reached][:2]
        ends = len(following) < 2 and node.closed_at is not None
        position = ShardPosition.after(str(following[0])) if following else None
        if ends:
            children = tuple(self.nodes[child].info for child in node.children if child not in self.expired)
            return self._end(restriction, shard, position, children)
        return Claim(shard.shard_id, position) if position else None

    def _end(
        self,
        restriction: Restriction,
        shard: ShardRange,
        position: ShardPosition | None,
        children: tuple[ShardInfo, ...],
    ) -> Claim:
        """As `Reader` finds it out."""
        is_known = all(restriction.find(parent) for child in children for parent in child.parents)
        here = {other.shard_id: other.hash_range for other in restriction.shards}
        is_said = is_known and shard.shard_id not in self.expired
        line = () if is_said else lineage(here, self.listed())
        return Claim(shard.shard_id, position, ends=True, children=children, lineage=line)
