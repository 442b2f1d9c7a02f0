"""The restriction of the source: which shards it reads and how far, as a value, with its versioned coding.

Shards connected by parentage stay in one restriction, so that a parent is read to its end before its children (B12).
"""

import dataclasses
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Self

import orjson

from pipelines.kinesis.lineage import HashRange, ShardInfo, ancestors, groups, owner
from pipelines.kinesis.positions import SHARD_END, TRIM_HORIZON, ShardPosition, StartingPosition
from pipelines.runtime.errors import InvalidDataError

_VERSION: Final = 2
_READABLE_VERSIONS: Final = (1, 2)
"""Version 1 had no `hash`, `gated` and `rate`; the members of a shard have kept their names."""
_UNKNOWN_BEHIND_MS: Final = 60_000
"""What a shard counts whose distance from its tip is not known yet: never nothing."""
_UNKNOWN_RATE: Final = 1.0
"""Bytes a millisecond of a shard of which nothing was seen yet."""


@dataclass(frozen=True, slots=True)
class Claim:
    """What one claim takes: a page of a shard, or a shard's end, or both.

    Attributes:
        shard_id: the shard.
        position: behind the page's last record; None when the shard ends without a page.
        ends: nothing is left to read in the shard.
        children: the shards that follow an ended one (B10).
        millis_behind: how far the page is behind the shard's tip (B9); None when unknown.
        data_bytes: sum of the data of the page's records.
        span_ms: the time within which they arrived.
        lineage: the restriction's shards and all that descends from them, as far as they are listed, parents before
            their children; where the shard has expired, or a parent of its children is not in the restriction.
    """

    shard_id: str
    position: ShardPosition | None = None
    ends: bool = False
    children: tuple[ShardInfo, ...] = ()
    millis_behind: int | None = None
    data_bytes: int = 0
    span_ms: int = 0
    lineage: tuple[ShardInfo, ...] = ()


@dataclass(frozen=True, slots=True)
class ShardRange:
    """The records of one shard that a restriction stands for: from `start` up to `stop`.

    Attributes:
        shard_id: the shard.
        start: reading goes on here.
        stop: reading ends here; None is the shard's end, however far that is.
        waits_for: parents in the same restriction that must be read to their end before.
        gated: its pages wait behind this source for parents that another restriction reads (gate.py).
        hash_range: the hash keys it takes; None when not known.
        millis_behind: distance of `start` from the shard's tip when last seen, for sizing only.
        rate: bytes a millisecond of arrival time in the page seen last, for sizing only.
    """

    shard_id: str
    start: ShardPosition
    stop: ShardPosition | None = None
    waits_for: tuple[str, ...] = ()
    gated: bool = False
    hash_range: HashRange | None = None
    millis_behind: int | None = dataclasses.field(default=None, compare=False)
    rate: float | None = dataclasses.field(default=None, compare=False)

    @property
    def done(self) -> bool:
        return self.start in (self.stop, SHARD_END)

    @property
    def backlog_bytes(self) -> int:
        """An estimate of what is left to read: at least 1 while the shard is not done."""
        if self.done:
            return 0
        behind_ms = _UNKNOWN_BEHIND_MS if self.millis_behind is None else self.millis_behind
        return max(1, round(behind_ms * (_UNKNOWN_RATE if self.rate is None else self.rate)))

    def to_json(self) -> dict[str, Any]:
        members: dict[str, Any] = {"shard": self.shard_id, "start": self.start.to_json()}
        if self.stop is not None:
            members["stop"] = self.stop.to_json()
        if self.waits_for:
            members["waits_for"] = list(self.waits_for)
        if self.gated:
            members["gated"] = True
        if self.hash_range is not None:
            members["hash"] = [str(key) for key in self.hash_range]  # JSON numbers do not go that far
        if self.millis_behind is not None:
            members["behind"] = self.millis_behind
        if self.rate is not None:
            members["rate"] = self.rate
        return members

    @classmethod
    def from_json(cls, members: dict[str, Any]) -> Self:
        stop, keys = members.get("stop"), members.get("hash")
        return cls(
            members["shard"],
            ShardPosition.from_json(members["start"]),
            None if stop is None else ShardPosition.from_json(stop),
            tuple(members.get("waits_for", ())),
            members.get("gated", False),
            None if keys is None else (int(keys[0]), int(keys[1])),
            members.get("behind"),
            members.get("rate"),
        )


@dataclass(frozen=True, slots=True)
class Restriction:
    """A set of shard ranges. An immutable value: reading makes a new one with `after`."""

    shards: tuple[ShardRange, ...]

    @property
    def done(self) -> bool:
        """Nothing is left to read."""
        return all(shard.done for shard in self.shards)

    @property
    def bounded(self) -> bool:
        """Every shard has an end that is known."""
        return all(shard.done or shard.stop is not None for shard in self.shards)

    def readable(self) -> list[ShardRange]:
        """The shards that may be read now: not done, and their parents are."""
        return [shard for shard in self.shards if not shard.done and not shard.waits_for]

    def find(self, shard_id: str) -> ShardRange | None:
        """The range of `shard_id`, if it is here."""
        return next((shard for shard in self.shards if shard.shard_id == shard_id), None)

    def backlog_bytes(self) -> int:
        """An estimate of the bytes left to read (B9); 0 only when nothing is left to read at all."""
        return sum(shard.backlog_bytes for shard in self.shards)

    def groups(self) -> list[Self]:
        """One restriction for each group of shards that wait for one another; together they are this one."""
        found = groups({shard.shard_id: shard.waits_for for shard in self.shards})
        return [self.only(shard_ids) for shard_ids in found]

    def only(self, shard_ids: Collection[str]) -> Self:
        """The part of this restriction that is these shards."""
        return dataclasses.replace(self, shards=tuple(s for s in self.shards if s.shard_id in shard_ids))

    def without(self, shard_ids: Collection[str]) -> Self:
        """The part of this restriction that is not these shards."""
        return dataclasses.replace(self, shards=tuple(s for s in self.shards if s.shard_id not in shard_ids))

    def after(self, claim: Claim) -> Self:
        """What is left when `claim` was taken.

        A child joins when its parent ends, and waits while its other parent is still to be read here: if that one has
        not come yet because reading lags behind in its ancestors, it joins by `lineage` and waits itself. A merge's
        child whose parents are read in two restrictions joins the one that reads its `owner`, and is gated; so is
        everything that descends from it.

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
            shard = dataclasses.replace(
                shard, start=claim.position, millis_behind=claim.millis_behind, rate=_rate(claim, shard.rate)
            )
        if claim.ends:
            shard = dataclasses.replace(shard, start=SHARD_END)
        ranges[shard.shard_id] = shard
        if not shard.done:
            return dataclasses.replace(self, shards=tuple(ranges.values()))
        if shard.stop is None:  # else what follows it is here already, or is another's
            for joining in _joining(ranges, shard, claim):
                ranges[joining.shard_id] = joining
        del ranges[shard.shard_id]
        gone = {shard.shard_id}.union(*(range_.waits_for for range_ in ranges.values())) - ranges.keys()
        return dataclasses.replace(
            self,
            shards=tuple(
                dataclasses.replace(range_, waits_for=tuple(p for p in range_.waits_for if p not in gone))
                for range_ in ranges.values()
            ),
        )

    def with_joined(self, left: "Restriction", claim: Claim) -> Self:
        """This restriction with the children that joined it by `claim` on the way to `left`, still to be read.

        They wait for their parents here, which in `left` have come to their end: whoever reads this again reads those
        first.
        """
        known = {shard.shard_id for shard in self.shards}
        here = known.union(shard.shard_id for shard in left.shards)
        parents = {info.shard_id: info.parents for info in (*claim.lineage, *claim.children)}
        joined = [
            dataclasses.replace(shard, waits_for=tuple(parent for parent in parents[shard.shard_id] if parent in here))
            for shard in left.shards
            if shard.shard_id not in known
        ]
        return dataclasses.replace(self, shards=(*self.shards, *joined)) if joined else self

    def up_to(self, left: "Restriction") -> Self:
        """The part of this restriction that is read when `left` is left of it."""
        stops = {shard.shard_id: shard.start for shard in left.shards}
        shards = [
            dataclasses.replace(shard, stop=stops.get(shard.shard_id, shard.stop or SHARD_END)) for shard in self.shards
        ]
        return dataclasses.replace(self, shards=tuple(shards))


def _joining(ranges: Mapping[str, ShardRange], ended: ShardRange, claim: Claim) -> Iterator[ShardRange]:
    """What joins `ranges` as `ended`, which is one of them, has come to its end."""
    family = dict(ranges)
    told = {info.shard_id: info.hash_range for info in claim.lineage}
    for info in (*claim.lineage, *claim.children):
        parents = [family[parent] for parent in info.parents if parent in family]
        if info.shard_id in family or not parents:
            continue
        is_near = len(parents) == len(info.parents)
        hash_ranges = {parent.shard_id: parent.hash_range or told.get(parent.shard_id) for parent in parents}
        if not is_near and owner(info, hash_ranges) not in family:
            continue
        family[info.shard_id] = ShardRange(
            info.shard_id,
            TRIM_HORIZON,
            waits_for=info.parents,
            gated=not is_near or any(parent.gated for parent in parents),
            hash_range=info.hash_range,
        )
        yield family[info.shard_id]


def _rate(claim: Claim, before: float | None) -> float | None:
    """Bytes a millisecond; of a page that arrived at once nothing can be said."""
    return claim.data_bytes / claim.span_ms if claim.span_ms > 0 else before


def initial(shards: Sequence[ShardInfo], start: StartingPosition) -> Restriction:
    """All of a stream, from `start`.

    The ancestors of shards that `start` names are left out: they were read before. A named shard that has expired
    stays in, so that reading finds it gone and says so.

    With a time each shard begins at it, children too, as their parent may have closed before it.

    Args:
        shards: all shards of the stream.
        start: where reading begins; LATEST must have been made a time by then.
    """
    listed = {shard.shard_id: shard for shard in shards}
    expired = {shard_id: ShardInfo(shard_id) for shard_id in start.positions if shard_id not in listed}
    known = {**expired, **listed}
    left = known.keys() - ancestors(start.positions, known)
    return Restriction(
        tuple(
            ShardRange(
                shard_id,
                start.of(shard_id),
                waits_for=tuple(parent for parent in shard.parents if parent in left),
                hash_range=shard.hash_range,
            )
            for shard_id, shard in known.items()
            if shard_id in left
        )
    )


def split(restriction: Restriction, at_most: int) -> list[Restriction]:
    """At most `at_most` restrictions of whole groups, neighbours in hash keys together, of about as many shards each.

    Merges are between neighbours (B11): the fewer of them are in different restrictions, the less has to pass the gate.
    """
    found = sorted(restriction.groups(), key=_first_key)
    parts: list[list[ShardRange]] = [[] for _ in range(min(at_most, len(found)))]
    for index, group in enumerate(found):
        parts[index * len(parts) // len(found)].extend(group.shards)
    return [Restriction(tuple(part)) for part in parts]


def _first_key(group: Restriction) -> tuple[int, str]:
    return min((shard.hash_range[0] if shard.hash_range else 0, shard.shard_id) for shard in group.shards)


def encode(restriction: Restriction) -> bytes:
    """`restriction` as a version byte and JSON. Equal restrictions of one history give equal bytes."""
    return bytes([_VERSION]) + orjson.dumps([shard.to_json() for shard in restriction.shards])


def decode(encoded: bytes) -> Restriction:
    """The inverse of `encode`; what earlier versions wrote is read too.

    Raises:
        InvalidDataError: written by a version that is not known.
    """
    if encoded[:1] not in [bytes([version]) for version in _READABLE_VERSIONS]:
        message = f"A Kinesis restriction of version {encoded[0] if encoded else 'none'} cannot be read."
        raise InvalidDataError(message, fix="go on with the release that wrote the checkpoint, or one after it")
    return Restriction(tuple(ShardRange.from_json(members) for members in orjson.loads(encoded[1:])))
