"""The tree of a stream's shards: who follows whom, who may be read together, who inherits what expired (B10, B12)."""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from graphlib import TopologicalSorter

HashRange = tuple[int, int]
"""First and last hash key of a shard, both included (B4)."""


@dataclass(frozen=True, slots=True)
class ShardInfo:
    """A shard as ListShards or ChildShards describes it.

    Attributes:
        shard_id: its id.
        parents: none, one (a split's child) or two (a merge's child) parent ids (B12).
        closed: no more records will be put into it.
        hash_range: the hash keys it takes; None when not told.
    """

    shard_id: str
    parents: tuple[str, ...] = ()
    closed: bool = False
    hash_range: HashRange | None = None

    def begins_in(self, hash_range: HashRange | None) -> bool:
        """Whether its first hash key is one of `hash_range`; it is not where either is not known."""
        if self.hash_range is None or hash_range is None:
            return False
        return hash_range[0] <= self.hash_range[0] <= hash_range[1]

    def shares(self, hash_range: HashRange | None) -> bool:
        """Whether one of its hash keys is one of `hash_range`; none is where either is not known."""
        if self.hash_range is None or hash_range is None:
            return False
        return self.hash_range[0] <= hash_range[1] and hash_range[0] <= self.hash_range[1]


def groups(waits_for: Mapping[str, Iterable[str]]) -> list[list[str]]:
    """The shards that wait for one another, group by group, each in the order given.

    Args:
        waits_for: for each shard the shards that it waits for, all of them keys too.
    """
    root = {shard_id: shard_id for shard_id in waits_for}

    def find(shard_id: str) -> str:
        while root[shard_id] != shard_id:
            root[shard_id] = shard_id = root[root[shard_id]]
        return shard_id

    for shard_id, others in waits_for.items():
        for other in others:
            root[find(shard_id)] = find(other)
    found: dict[str, list[str]] = {}
    for shard_id in waits_for:
        found.setdefault(find(shard_id), []).append(shard_id)
    return list(found.values())


def ancestors(of: Iterable[str], shards: Mapping[str, ShardInfo]) -> set[str]:
    """The known ancestors of some shards, those shards left out unless one descends from another."""
    found: set[str] = set()
    front = [parent for shard_id in of if shard_id in shards for parent in shards[shard_id].parents]
    while front:
        shard_id = front.pop()
        if shard_id in shards and shard_id not in found:
            found.add(shard_id)
            front.extend(shards[shard_id].parents)
    return found


def lineage(of: Mapping[str, HashRange | None], listed: Sequence[ShardInfo]) -> tuple[ShardInfo, ...]:
    """Those of some shards that are listed, and the listed ones that descend from any, parents before their children.

    A line may have lost what expired in it (B12). An oldest shard there still is, one without a listed parent, descends
    from those of `of` that are not listed either and shared hash keys with it: it has all of them as parents here. It
    is left out when its first hash key was none of theirs, as it then follows somebody else's (`heirs`).

    Args:
        of: the hash keys of the shards, None where they are not known.
        listed: every shard of the stream that is left.
    """
    shards = {shard.shard_id: shard for shard in listed}
    expired = {shard_id: keys for shard_id, keys in of.items() if shard_id not in shards}
    generations = TopologicalSorter({shard.shard_id: shards.keys() & set(shard.parents) for shard in listed})
    found: dict[str, ShardInfo] = {}
    for shard in map(shards.__getitem__, generations.static_order()):
        parents = shard.parents
        if shards.keys().isdisjoint(parents) and shard.hash_range is not None:
            if any(map(shard.begins_in, expired.values())):
                parents = tuple(shard_id for shard_id, keys in expired.items() if shard.shares(keys))
            elif None not in (expired.get(parent, ()) for parent in parents):
                parents = ()
        if shard.shard_id in of or any(parent in found or parent in expired for parent in parents):
            found[shard.shard_id] = dataclasses.replace(shard, parents=parents)
    return tuple(found.values())


def owner(child: ShardInfo, hash_ranges: Mapping[str, HashRange | None]) -> str:
    """The parent of `child` whose reader reads it: the one that took its first hash key.

    Whoever asks for either parent finds the same, also when the other one has expired (`heirs`). Where hash keys are
    not known it is the parent of the smaller id.

    Args:
        child: a shard that has parents.
        hash_ranges: of its parents, as far as they are known.
    """
    if child.hash_range is None:
        return min(child.parents)
    others = [parent for parent in child.parents if hash_ranges.get(parent) is None]
    for parent in child.parents:
        if child.begins_in(hash_ranges.get(parent)):
            return parent
    return others[0] if len(others) == 1 else min(child.parents)


def heirs(expired: str, hash_range: HashRange | None, listed: Sequence[ShardInfo]) -> tuple[ShardInfo, ...]:
    """The shards that are read in place of one that has expired (B12, B13).

    They are the oldest shards there still are whose first hash key it took: its own children, or what descends from
    those that have expired too. At any time a stream's open shards cover the hash keys without overlap, so of all
    shards being read just one took that key: no heir is read twice, and none is left out. A child of which the other
    parent is still listed is not among the oldest, and keeps both.

    Args:
        expired: id of a shard that ListShards names no more.
        hash_range: its hash keys; None when not known, and then only children are found.
        listed: every shard of the stream that is left.

    Returns:
        The heirs, the oldest ones with `expired` as their only parent.
    """
    names = {shard.shard_id for shard in listed}
    found = []
    for shard in listed:
        is_oldest = names.isdisjoint(shard.parents) and None not in (hash_range, shard.hash_range)
        if is_oldest and shard.begins_in(hash_range):
            found.append(dataclasses.replace(shard, parents=(expired,)))
        elif not is_oldest and expired in shard.parents:
            found.append(shard)
    return tuple(found)
