"""Order: a series' rows sorted by event time within what the watermark allows, before anything depends on it. Pure.

Scores depend on order, and pages come disordered. A row waits until the watermark has passed its event time by the
allowed lateness; then no row before it is expected any more, and it is released. Rows that come before that are
sorted in, however late they are. So whatever is computed of what is released is the same for every order of arrival
within the lateness.
"""

import hashlib
import itertools
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.analytics.rows import EVENT_MS, LATEST_MS, PLACE
from pipelines.runtime.errors import ConfigurationError

REMEMBERED: Final = 1_024
"""Of so many rows that were released last a double is known, and not taken for late; and of so many that were late."""
NOTHING_RELEASED: Final = -1
"""The mark of a series that has released nothing: no row is late."""

_DIGEST_BYTES: Final = 12
_COUNT: Final = struct.Struct(">I")


@dataclass(frozen=True, slots=True)
class Lateness:
    """How long rows wait for those that should have come before them.

    Attributes:
        allowed_ms: event time by which a row may come behind the watermark and still be sorted in.
        step_ms: rows are released when the watermark passes a multiple of this, behind which their wait ends. What is
            computed of them is the same for every step; a longer one costs less and gives results later.

    Raises:
        ConfigurationError: `allowed_ms` is negative, `step_ms` is not 1 or more, or one is longer than from 1970 to
            9999, where event times are: nothing would ever be released.
    """

    allowed_ms: int = 0
    step_ms: int = 1_000

    def __post_init__(self) -> None:
        if self.allowed_ms < 0 or self.step_ms < 1:
            message = f"Lateness has allowed_ms={self.allowed_ms} and step_ms={self.step_ms}."
            raise ConfigurationError(message, fix="give allowed_ms >= 0 and step_ms >= 1, e.g. Lateness(60_000, 1_000)")
        if max(self.allowed_ms, self.step_ms) > LATEST_MS:
            message = f"Lateness has allowed_ms={self.allowed_ms} and step_ms={self.step_ms}, and times end with 9999."
            raise ConfigurationError(message, fix=f"give milliseconds, {LATEST_MS:,} at most")

    def fire_ms(self, mark_ms: int) -> int:
        """The watermark at which a series can be released up to `mark_ms`: the next step behind its lateness."""
        return -(-(mark_ms + self.allowed_ms) // self.step_ms) * self.step_ms

    def mark_ms(self, watermark_ms: int) -> int:
        """Up to where, exclusive, rows are released when the watermark is there."""
        return watermark_ms - self.allowed_ms


def with_late(rows: pa.RecordBatch, mark_ms: int) -> pa.RecordBatch:
    """`rows` as the late output tells of them: `released_ms`, up to where their series was released, and `late_ms`."""
    late_ms = pc.add(pc.subtract(pa.scalar(mark_ms, pa.int64()), rows.column(EVENT_MS)), 0)
    columns = [*rows.columns, pa.repeat(pa.scalar(mark_ms, pa.int64()), rows.num_rows), late_ms]
    return pa.RecordBatch.from_arrays(columns, schema=late_schema(rows.schema))


def late_schema(rows: pa.Schema) -> pa.Schema:
    """Columns of late rows: those of rows, `released_ms`, and `late_ms`, by how much they came too late."""
    return rows.append(pa.field("released_ms", pa.int64(), nullable=False)).append(
        pa.field("late_ms", pa.int64(), nullable=False)
    )


@dataclass(frozen=True, slots=True)
class Arrival:
    """What became of rows that came: `waiting` are to be added to those that wait, `late` came too late.

    `digests` are those of `late`, for `Released.told`.
    """

    waiting: pa.RecordBatch
    late: pa.RecordBatch
    doubles: int
    digests: bytes = b""


@dataclass(slots=True)
class Released:
    """What a series has released: up to where, and the rows released last, by digests of their places.

    It also knows those that came too late last, so that one that comes twice is told of once.
    """

    mark_ms: int = NOTHING_RELEASED
    _known: dict[bytes, None] = field(default_factory=dict)
    _told: dict[bytes, None] = field(default_factory=dict)

    def arrive(self, rows: pa.RecordBatch) -> Arrival:
        """Parts `rows` that have come: late is what lies before the mark, and is no double of what it knows."""
        times = rows.column(EVENT_MS).to_numpy()
        is_late = times < self.mark_ms
        if not is_late.any():
            return Arrival(rows, rows.slice(0, 0), 0)
        late, doubles = without_doubles(rows.filter(pa.array(is_late)))
        digests = list(_digests(late))
        is_new = [digest not in self._known and digest not in self._told for digest in digests]
        kept = late if all(is_new) else late.filter(pa.array(is_new))
        new = b"".join(digest for digest, taken in zip(digests, is_new, strict=True) if taken)
        self.told(new)
        doubles += is_new.count(False)
        return Arrival(rows.filter(pa.array(~is_late)), with_late(kept, self.mark_ms), doubles, new)

    def told(self, digests: bytes) -> None:
        """The rows with these digests came too late, and were told of."""
        _remember(self._told, _parted(digests))

    def release(self, waiting: Iterable[pa.RecordBatch], mark_ms: int) -> tuple[pa.RecordBatch, pa.RecordBatch, int]:
        """(the rows of `waiting` before `mark_ms` in order, the rest, doubles that were left out).

        The order is that of event time; rows of one time are in the order of shard, sequence number and
        sub-sequence number. The rest has no doubles any more, and is in no order.
        """
        everything, doubles = without_doubles(concatenated(list(waiting)))
        is_due = everything.column(EVENT_MS).to_numpy() < mark_ms
        due = in_order(everything.filter(pa.array(is_due)))
        self.mark_ms = max(self.mark_ms, mark_ms)
        _remember(self._known, _digests(due.slice(max(0, due.num_rows - REMEMBERED))))
        return due, everything.filter(pa.array(~is_due)), doubles

    def pack(self) -> bytes:
        """All of it but the mark, which is kept beside."""
        return _COUNT.pack(len(self._known)) + b"".join((*self._known, *self._told))

    @classmethod
    def unpack(cls, mark_ms: int, packed: bytes) -> "Released":
        """The inverse of `pack`."""
        (known,) = _COUNT.unpack_from(packed)
        digests = list(_parted(packed[_COUNT.size :]))
        return cls(mark_ms, dict.fromkeys(digests[:known]), dict.fromkeys(digests[known:]))


def in_order(rows: pa.RecordBatch) -> pa.RecordBatch:
    """`rows` by event time, then shard, sequence number (as an integer, B5) and sub-sequence number."""
    if rows.num_rows < 2:
        return rows
    # A sequence number is a decimal integer without leading zeros: longer ones are larger, equally long ones are
    # in the order of their text.
    numbers = rows.column("sequence_number")
    keys = pa.table(
        {
            "event_ms": rows.column(EVENT_MS),
            "shard_id": rows.column("shard_id"),
            "digits": pc.utf8_length(numbers),
            "number": numbers,
            "sub": rows.column("sub_sequence_number"),
        }
    )
    order = pc.sort_indices(keys, sort_keys=[(name, "ascending") for name in keys.column_names])
    return rows.take(order)


def without_doubles(rows: pa.RecordBatch) -> tuple[pa.RecordBatch, int]:
    """`rows` with each record once (shard, sequence number, sub-sequence number), and how many were left out."""
    places = list(zip(*(rows.column(name).to_pylist() for name in PLACE), strict=True))
    if len(set(places)) == len(places):
        return rows, 0
    first = {place: at for at, place in reversed(list(enumerate(places)))}
    kept = sorted(first.values())
    return rows.take(pa.array(kept)), len(places) - len(kept)


def concatenated(batches: list[pa.RecordBatch]) -> pa.RecordBatch:
    """One batch of all rows of `batches`, which have one schema."""
    return batches[0] if len(batches) == 1 else pa.concat_batches(batches)


def oldest_ms(batches: Iterable[pa.RecordBatch]) -> int | None:
    """The smallest event time in `batches`; None when they have no rows."""
    found = [int(np.min(batch.column(EVENT_MS).to_numpy())) for batch in batches if batch.num_rows]
    return min(found, default=None)


def _remember(memory: dict[bytes, None], digests: Iterable[bytes]) -> None:
    """Adds `digests` to `memory`, of which the oldest are forgotten."""
    for digest in digests:
        memory[digest] = None
    for digest in list(itertools.islice(memory, max(0, len(memory) - REMEMBERED))):
        del memory[digest]


def _parted(digests: bytes) -> Iterator[bytes]:
    return (digests[at : at + _DIGEST_BYTES] for at in range(0, len(digests), _DIGEST_BYTES))


def _digests(rows: pa.RecordBatch) -> Iterator[bytes]:
    for place in zip(*(rows.column(name).to_pylist() for name in PLACE), strict=True):
        yield hashlib.blake2b(":".join(map(str, place)).encode(), digest_size=_DIGEST_BYTES).digest()
