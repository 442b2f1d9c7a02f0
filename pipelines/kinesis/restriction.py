"""The restriction of the source: which shards it reads and how far, as a value, with its versioned coding.

Shards connected by parentage stay in one restriction, so that a parent is read to its end before its children (B12).
"""

import dataclasses
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Self

import orjson

from pipelines.kinesis.positions import SHARD_END, TRIM_HORIZON, ShardPosition, StartingPosition
from pipelines.runtime.errors import InvalidDataError

_VERSION: Final = 1
_UNKNOWN_BEHIND_MS: Final = 60_000
"""What a shard counts whose distance from its tip is not known yet: never nothing."""


@dataclass(frozen=True, slots=True)
class ShardInfo:
    """A shard as ListShards or ChildShards describes it.

    Attributes:
        shard_id: its id.
        parents: none, one (a split's child) or two (a merge's child) parent ids (B12).
        closed: no more records will be put into it.
    """

    shard_id: str
    parents: tuple[str, ...] = ()
    closed: bool = False


@dataclass(frozen=True, slots=True)
class Claim:
    """What one claim takes: a page of a shard, or a shard's end, or both.

    Attributes:
        shard_id: the shard.
        position: behind the page's last record; None when the shard ends without a page.
        ends: nothing is left to read in the shard.
        children: the shards that follow an ended one (B10).
        millis_behind: how far the page is behind the shard's tip (B9); None when unknown.
    """

    shard_id: str
    position: ShardPosition | None = None
    ends: bool = False
    children: tuple[ShardInfo, ...] = ()
    millis_behind: int | None = None


@dataclass(frozen=True, slots=True)
class ShardRange:
    """The records of one shard that a restriction stands for: from `start` up to `stop`.

    Attributes:
        shard_id: the shard.
        start: reading goes on here.
        stop: reading ends here; None is the shard's end, however far that is.
        waits_for: parents in the same restriction that must be read to their end before.
        millis_behind: distance of `start` from the shard's tip when last seen, for sizing only.
    """

    shard_id: str
    start: ShardPosition
    stop: ShardPosition | None = None
    waits_for: tuple[str, ...] = ()
    millis_behind: int | None = dataclasses.field(default=None, compare=False)

    @property
    def done(self) -> bool:
        return self.start in (self.stop, SHARD_END)

    def to_json(self) -> dict[str, Any]:
        members: dict[str, Any] = {"shard": self.shard_id, "start": self.start.to_json()}
        if self.stop is not None:
            members["stop"] = self.stop.to_json()
        if self.waits_for:
            members["waits_for"] = list(self.waits_for)
        if self.millis_behind is not None:
            members["behind"] = self.millis_behind
        return members

    @classmethod
    def from_json(cls, members: dict[str, Any]) -> Self:
        stop = members.get("stop")
        return cls(
            members["shard"],
            ShardPosition.from_json(members["start"]),
            None if stop is None else ShardPosition.from_json(stop),
            tuple(members.get("waits_for", ())),
            members.get("behind"),
        )


@dataclass(frozen=True, slots=True)
class Restriction:
    """A set of shard ranges. An immutable value: reading makes a new one with `after`."""

    shards: tuple[ShardRange, ...]

    @property
    def done(self) -> bool:
        """Nothing is left to read."""
        return all(shard.done for shard in self.shards)

    def readable(self) -> list[ShardRange]:
        """The shards that may be read now: not done, and their parents are."""
        return [shard for shard in self.shards if not shard.done and not shard.waits_for]

    def backlog_ms(self) -> int:
        """Milliseconds behind the tip, summed over the shards; 0 only when nothing is left to read at all."""
        behind = (_UNKNOWN_BEHIND_MS if s.millis_behind is None else s.millis_behind for s in self.shards if not s.done)
        return sum(max(1, ms) for ms in behind)

    def after(self, claim: Claim) -> Self:
        """What is left when `claim` was taken.

        A child joins when its parent ends, and waits while its other parent is still read here. A merge's child whose
        parents are read in two restrictions belongs to the one that reads the parent of the smaller id.

        Raises:
            ValueError: the claim does not follow what was claimed before.
        """
        ranges = {shard.shard_id: shard for shard in self.shards}
        shard = ranges.get(claim.shard_id)
        if shard is None or shard.done or shard.waits_for:
            message = f"{claim} of a shard that is not to be read in {self}"
            raise ValueError(message)
        if claim.position is not None:
            high = claim.position.order
            if high <= shard.start.order or (shard.stop is not None and high > shard.stop.order):
                message = f"{claim} is outside of {shard}"
                raise ValueError(message)
            shard = dataclasses.replace(shard, start=claim.position, millis_behind=claim.millis_behind)
        ranges[shard.shard_id] = shard
        if claim.ends:
            ranges[shard.shard_id] = dataclasses.replace(shard, start=SHARD_END)
        if not ranges[shard.shard_id].done:
            return dataclasses.replace(self, shards=tuple(ranges.values()))
        del ranges[shard.shard_id]
        for child in claim.children:
            if child.shard_id not in ranges and _belongs_here(child, claim.shard_id, ranges):
                ranges[child.shard_id] = ShardRange(child.shard_id, TRIM_HORIZON, waits_for=child.parents)
        left = {claim.shard_id}.union(*(range_.waits_for for range_ in ranges.values())) - ranges.keys()
        return dataclasses.replace(
            self,
            shards=tuple(
                dataclasses.replace(range_, waits_for=tuple(p for p in range_.waits_for if p not in left))
                for range_ in ranges.values()
            ),
        )

    def with_joined(self, left: "Restriction") -> Self:
        """This restriction with the children that joined on the way to `left`, as something still to be read."""
        known = {shard.shard_id for shard in self.shards}
        joined = [shard for shard in left.shards if shard.shard_id not in known]
        return dataclasses.replace(self, shards=(*self.shards, *joined)) if joined else self

    def up_to(self, left: "Restriction") -> Self:
        """The part of this restriction that is read when `left` is left of it."""
        stops = {shard.shard_id: shard.start for shard in left.shards}
        shards = [
            dataclasses.replace(shard, stop=stops.get(shard.shard_id, shard.stop or SHARD_END)) for shard in self.shards
        ]
        return dataclasses.replace(self, shards=tuple(shards))


def _belongs_here(child: ShardInfo, ended: str, here: Iterable[str]) -> bool:
    others = [parent for parent in child.parents if parent != ended]
    return all(parent in here for parent in others) or ended == min(child.parents)


def initial(shards: Sequence[ShardInfo], start: StartingPosition) -> Restriction:
    """All of a stream, from `start`.

    With AT_ and AFTER_SEQUENCE_NUMBER the ancestors of named shards are left out: they were read before. Not so where
    a time is given for the shards not named: then a shard without a position had nothing read, and a merge's child may
    have been read while one of its parents was not. With a time each shard begins at it, children too, as their parent
    may have closed before it.

    Args:
        shards: all shards of the stream.
        start: where reading begins; LATEST must have been made a time by then.
    """
    known = {shard.shard_id: shard for shard in shards}
    skipped: set[str] = set()
    named = () if start.timestamp_ms else start.positions
    front = [parent for shard_id in named if shard_id in known for parent in known[shard_id].parents]
    while front:
        shard_id = front.pop()
        if shard_id in known and shard_id not in skipped:
            skipped.add(shard_id)
            front.extend(known[shard_id].parents)
    left = known.keys() - skipped
    return Restriction(
        tuple(
            ShardRange(s.shard_id, start.of(s.shard_id), waits_for=tuple(p for p in s.parents if p in left))
            for s in shards
            if s.shard_id in left
        )
    )


def split(restriction: Restriction) -> list[Restriction]:
    """One restriction for each group of shards that wait for one another; together they are `restriction`."""
    root = {shard.shard_id: shard.shard_id for shard in restriction.shards}

    def find(shard_id: str) -> str:
        while root[shard_id] != shard_id:
            shard_id = root[shard_id]
        return shard_id

    for shard in restriction.shards:
        for parent in shard.waits_for:
            root[find(shard.shard_id)] = find(parent)
    groups: dict[str, list[ShardRange]] = {}
    for shard in restriction.shards:
        groups.setdefault(find(shard.shard_id), []).append(shard)
    return [Restriction(tuple(group)) for group in groups.values()]


def encode(restriction: Restriction) -> bytes:
    """`restriction` as a version byte and JSON. Equal restrictions give equal bytes."""
    return bytes([_VERSION]) + orjson.dumps([shard.to_json() for shard in restriction.shards])


def decode(encoded: bytes) -> Restriction:
    """The inverse of `encode`.

    Raises:
        InvalidDataError: written by a version that is not known.
    """
    if encoded[:1] != bytes([_VERSION]):
        message = f"A Kinesis restriction of version {encoded[0] if encoded else 'none'} cannot be read."
        raise InvalidDataError(message, fix="go on with the release that wrote the checkpoint, or one after it")
    return Restriction(tuple(ShardRange.from_json(members) for members in orjson.loads(encoded[1:])))
