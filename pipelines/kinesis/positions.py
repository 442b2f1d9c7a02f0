"""Where reading stands in a shard, and where it starts: the words are those of GetShardIterator (B7)."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, Self

from pipelines.runtime.errors import ConfigurationError

PositionType = Literal[
    "TRIM_HORIZON", "LATEST", "AT_TIMESTAMP", "AT_SEQUENCE_NUMBER", "AFTER_SEQUENCE_NUMBER", "SHARD_END"
]

_FIX: Final = "use TRIM_HORIZON, LATEST, StartingPosition.at_timestamp(ms), .at({shard_id: n}) or .after({shard_id: n})"


@dataclass(frozen=True, slots=True)
class ShardPosition:
    """A place between two records of one shard.

    Attributes:
        type: GetShardIterator's ShardIteratorType: TRIM_HORIZON and AT_TIMESTAMP where nothing was read yet, AT_ and
            AFTER_SEQUENCE_NUMBER before and behind a known record; and SHARD_END, where nothing is left to read.
        sequence_number: the record's, for AT_ and AFTER_SEQUENCE_NUMBER.
        sub_sequence_number: the user record's place in its aggregate, from 0 (B17); None stands for the record as a
            whole, aggregate or not.
        timestamp_ms: for AT_TIMESTAMP, milliseconds since the epoch.
    """

    type: PositionType
    sequence_number: str = ""
    sub_sequence_number: int | None = None
    timestamp_ms: int = 0

    @classmethod
    def at(cls, sequence_number: str, sub_sequence_number: int | None = None) -> Self:
        """Before the record of these numbers."""
        return cls("AT_SEQUENCE_NUMBER", sequence_number, sub_sequence_number)

    @classmethod
    def after(cls, sequence_number: str, sub_sequence_number: int | None = None) -> Self:
        """Behind the record of these numbers."""
        return cls("AFTER_SEQUENCE_NUMBER", sequence_number, sub_sequence_number)

    @property
    def passed(self) -> float:
        """How many user records of the record `sequence_number` lie before this position: infinity is all of them."""
        if self.type == "AFTER_SEQUENCE_NUMBER":
            return math.inf if self.sub_sequence_number is None else self.sub_sequence_number + 1
        return self.sub_sequence_number or 0

    @property
    def order(self) -> tuple[int, int, float]:
        """Sorts the positions of a shard, lowest first (B5): not started, then by record, then SHARD_END."""
        if self.type == "SHARD_END":
            return (2, 0, 0)
        if not self.sequence_number:
            return (0, 0, 0)
        return (1, int(self.sequence_number), self.passed)

    def to_json(self) -> dict[str, Any]:
        """As a JSON object; members at their default are left out."""
        members: dict[str, Any] = {"type": self.type}
        if self.sequence_number:
            members["seq"] = self.sequence_number
        if self.sub_sequence_number is not None:
            members["sub"] = self.sub_sequence_number
        if self.timestamp_ms:
            members["ms"] = self.timestamp_ms
        return members

    @classmethod
    def from_json(cls, members: Mapping[str, Any]) -> Self:
        """The inverse of `to_json`."""
        return cls(members["type"], members.get("seq", ""), members.get("sub"), members.get("ms", 0))


TRIM_HORIZON: Final = ShardPosition("TRIM_HORIZON")
SHARD_END: Final = ShardPosition("SHARD_END")


SequenceNumbers = Mapping[str, "str | tuple[str, int | None] | ShardPosition"]
"""By shard id: a sequence number, or one with a sub-sequence number, or a `ShardPosition` of a positions file."""


@dataclass(frozen=True)
class StartingPosition:
    """Where `ReadFromKinesis` begins: make it with one of the class methods, or name it "TRIM_HORIZON" or "LATEST".

    Attributes:
        type: a ShardIteratorType of GetShardIterator (B7).
        timestamp_ms: for AT_TIMESTAMP, and for shards that `positions` does not name; 0 is the oldest record.
        positions: for AT_ and AFTER_SEQUENCE_NUMBER, by shard id.
    """

    type: PositionType
    timestamp_ms: int = 0
    positions: Mapping[str, ShardPosition] = field(default_factory=dict)

    @classmethod
    def at_timestamp(cls, timestamp_ms: int) -> Self:
        """The first record that arrived at `timestamp_ms` or later; the oldest where that is past retention (B7).

        Raises:
            ConfigurationError: not milliseconds since the epoch.
        """
        return cls("AT_TIMESTAMP", _milliseconds(timestamp_ms))

    @classmethod
    def at(cls, sequence_numbers: SequenceNumbers) -> Self:
        """In each named shard its record of that sequence number; see `after` for the shards not named.

        Raises:
            ConfigurationError: not a sequence number, or a negative sub-sequence number.
        """
        return cls._named("AT_SEQUENCE_NUMBER", sequence_numbers)

    @classmethod
    def after(cls, sequence_numbers: SequenceNumbers, otherwise_ms: int = 0) -> Self:
        """In each named shard the record that follows that sequence number.

        The ancestors of named shards were read before and are left out; what follows a named shard is read when that
        ends. Every other shard is read from `otherwise_ms` on (milliseconds since the epoch), or from its beginning.

        Raises:
            ConfigurationError: not a sequence number, or a negative sub-sequence number.
        """
        return cls._named("AFTER_SEQUENCE_NUMBER", sequence_numbers, otherwise_ms)

    @classmethod
    def parse(cls, start: "str | StartingPosition") -> "StartingPosition":
        """A starting position from its name.

        Raises:
            ConfigurationError: not a name that stands alone.
        """
        if isinstance(start, StartingPosition):
            return start
        if start in ("TRIM_HORIZON", "LATEST"):
            return cls(start)  # type: ignore[arg-type]
        message = f"{start!r} is no starting position."
        raise ConfigurationError(message, fix=_FIX)

    @classmethod
    def _named(cls, kind: PositionType, sequence_numbers: SequenceNumbers, otherwise_ms: int = 0) -> Self:
        if not isinstance(sequence_numbers, Mapping):
            message = f"{sequence_numbers!r} names no sequence numbers by shard."
            raise ConfigurationError(message, fix=_FIX)
        named = {}
        for shard_id, given in sequence_numbers.items():
            at = given if isinstance(given, ShardPosition) else _named_position(kind, given)
            if at is None:
                message = f"{given!r} is no sequence number of {shard_id}."
                raise ConfigurationError(message, fix=_FIX)
            named[shard_id] = at
        return cls(kind, _milliseconds(otherwise_ms), named)

    def of(self, shard_id: str) -> ShardPosition:
        """Where a shard that was there at start-up begins. LATEST must have been made a time by then."""
        if shard_id in self.positions:
            return self.positions[shard_id]
        return ShardPosition("AT_TIMESTAMP", timestamp_ms=self.timestamp_ms) if self.timestamp_ms else TRIM_HORIZON


def _named_position(kind: PositionType, given: object) -> ShardPosition | None:
    """A sequence number, or one with a sub-sequence number; None for anything else."""
    number, sub = given if isinstance(given, tuple) and len(given) == 2 else (given, None)
    is_sub = sub is None or (isinstance(sub, int) and not isinstance(sub, bool) and sub >= 0)
    if not isinstance(number, str) or not number.isdecimal() or not is_sub:
        return None
    return ShardPosition(kind, number, sub)


SECONDS: Final = range(10**9, 10**11)
"""In seconds from 2001 to 5138; in milliseconds in the years 1970 to 1973, from which no record is."""


def _milliseconds(given: object) -> int:
    """`given`, if it can be a time in milliseconds.

    Raises:
        ConfigurationError: it cannot; seconds would silently read everything.
    """
    if isinstance(given, int) and not isinstance(given, bool) and given >= 0 and given not in SECONDS:
        return given
    message = f"{given!r} is no time in milliseconds since the epoch."
    raise ConfigurationError(message, fix="give an int, as int(datetime.timestamp() * 1000)")
