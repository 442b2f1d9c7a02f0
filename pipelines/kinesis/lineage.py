"""The tree of a stream's shards: who follows whom, who may be read together, who inherits what expired (B10, B12)."""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

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


def heirs(expired: str, hash_range: HashRange | None, listed: Sequence[ShardInfo]) -> tuple[ShardInfo, ...]:
    """The shards that are read in place of one that has expired (B12, B13).

    They are its children; where those have expired too, the oldest shards there still are whose first hash key it
    took. At any time a stream's open shards cover the hash keys without overlap, so of all shards being read just one
    took that key: no heir is read twice, and none is left out. A merge of an expired shard with one that is still
    listed follows the listed one.

    Args:
        expired: id of a shard that ListShards names no more.
        hash_range: its hash keys; None when not known, and then only children are found.
        listed: every shard of the stream that is left.

    Returns:
        The heirs, with `expired` as their only parent where they were not its own children.
    """
    children = tuple(shard for shard in listed if expired in shard.parents)
    if children or hash_range is None:
        return children
    low, high = hash_range
    names = {shard.shard_id for shard in listed}
    return tuple(
        dataclasses.replace(shard, parents=(expired,))
        for shard in listed
        if names.isdisjoint(shard.parents) and shard.hash_range is not None and low <= shard.hash_range[0] <= high
    )
