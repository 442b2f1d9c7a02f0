"""Rows: what windows and scores are made of. A page becomes typed columns, with a series and an event time. Pure."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import numpy as np
import orjson
import pyarrow as pa

from pipelines.kinesis.watermark import EventTime
from pipelines.runtime.errors import ConfigurationError

SERIES: Final = "series"
EVENT_MS: Final = "event_ms"
PLACE: Final = ("shard_id", "sequence_number", "sub_sequence_number")
"""Which record a row is of."""
RESERVED: Final = (SERIES, EVENT_MS, *PLACE)

BAD_SCHEMA: Final = pa.schema([
    pa.field("shard_id", pa.string(), nullable=False),
    pa.field("sequence_number", pa.string(), nullable=False),
    pa.field("sub_sequence_number", pa.int64(), nullable=False),
    pa.field("message", pa.string(), nullable=False),
    pa.field("data", pa.binary(), nullable=False),
])  # fmt: skip
"""Columns of the batches of records that are no rows: which record, why, and its data (C7's MESSAGE and DATA_ROW)."""

LATEST_MS: Final = 253_402_300_799_999
"""The last millisecond of the year 9999; no row is later."""


class _BadRowError(Exception):
    """Why a record is no row."""


@dataclass(frozen=True, slots=True)
class RowFormat:
    """Where in a JSON record its series, its event time and its numbers are (C2).

    Attributes:
        series: members whose values name the series; each a text, a number or a truth value. Those of several are
            joined with "/", and a "/" or "%" in one is %2F or %25. Without any, all records are one series, "".
        event_time: the member with the event time: ISO 8601 text, which without an offset is UTC, or a number of
            milliseconds since the epoch.
        values: the members with the numbers, which become float64 columns of their names. true is 1 (C4).

    A member's name may lead into objects with dots: "detail.cpu".

    Raises:
        ConfigurationError: there are no values, or a name is used twice or for a column of ours.
    """

    series: tuple[str, ...]
    event_time: str
    values: tuple[str, ...]

    def __post_init__(self) -> None:
        taken = [name for name in self.values if name in RESERVED or self.values.count(name) > 1]
        if not self.values or taken:
            message = f"RowFormat has the values {list(self.values)}."
            fix = f"name one or more members, each once, and none of {', '.join(RESERVED)}"
            raise ConfigurationError(message, fix=fix)

    @property
    def schema(self) -> pa.Schema:
        """The schema of rows: series, event time, place, then the values."""
        return rows_schema(self.values)

    def source_time(self, slack_ms: int, *, follows_clock: bool = True) -> EventTime:
        """What `ReadFromKinesis(event_time=...)` needs so that the watermark follows these event times.

        `follows_clock=False` is for records of another time, see `EventTime`.
        """
        return EventTime(_PageTimes(self.event_time), slack_ms, follows_clock)


def rows_schema(values: Sequence[str]) -> pa.Schema:
    """Columns of rows whose numbers are called `values`."""
    return pa.schema(
        [
            pa.field(SERIES, pa.string(), nullable=False),
            pa.field(EVENT_MS, pa.int64(), nullable=False),
            pa.field("shard_id", pa.string(), nullable=False),
            pa.field("sequence_number", pa.string(), nullable=False),
            pa.field("sub_sequence_number", pa.int64(), nullable=False),
            *(pa.field(name, pa.float64(), nullable=False) for name in values),
        ]
    )


def value_names(rows: pa.RecordBatch) -> list[str]:
    """The names of the columns that are numbers of the user's."""
    return [name for name in rows.schema.names if name not in RESERVED]


def parse_page(page: pa.RecordBatch, layout: RowFormat) -> tuple[pa.RecordBatch, pa.RecordBatch]:
    """The rows of a page, and the records of it that are none (BAD_SCHEMA); each record is in one of the two.

    A record is a row if it is a JSON object with a series, a time, and a finite number for every value; what has a
    null, a NaN or an infinity is none, since no aggregate and no forest could take it.
    """
    places = [page.column(name).to_pylist() for name in PLACE]
    series: list[str] = []
    times: list[int] = []
    numbers: list[list[float]] = []
    good: list[int] = []
    bad: list[tuple[int, str]] = []
    data = page.column("data").to_pylist()
    for at, text in enumerate(data):
        try:
            record = _json_object(text)
            name = _series_name([_series_part(record, part) for part in layout.series])
            time_ms = event_ms(_member(record, layout.event_time), layout.event_time)
            row = [_number(_member(record, value), value) for value in layout.values]
        except _BadRowError as reason:
            bad.append((at, str(reason)))
            continue
        good.append(at)
        series.append(name)
        times.append(time_ms)
        numbers.append(row)
    columns = [
        pa.array(series, pa.string()),
        pa.array(times, pa.int64()),
        *(pa.array([place[at] for at in good], kind) for place, kind in zip(places, _PLACE_TYPES, strict=True)),
        *(pa.array([row[at] for row in numbers], pa.float64()) for at in range(len(layout.values))),
    ]
    failed = [
        *(pa.array([place[at] for at, _ in bad], kind) for place, kind in zip(places, _PLACE_TYPES, strict=True)),
        pa.array([why for _, why in bad], pa.string()),
        pa.array([data[at] for at, _ in bad], pa.binary()),
    ]
    return (
        pa.RecordBatch.from_arrays(columns, schema=layout.schema),
        pa.RecordBatch.from_arrays(failed, schema=BAD_SCHEMA),
    )


def by_series(rows: pa.RecordBatch) -> Iterator[tuple[str, pa.RecordBatch]]:
    """The rows of each series, in their order; the series in the order of their first row."""
    if rows.num_rows == 0:
        return
    encoded = rows.column(SERIES).dictionary_encode()
    names, of_row = encoded.dictionary.to_pylist(), encoded.indices.to_numpy()
    if len(names) == 1:
        yield names[0], rows
        return
    order = np.argsort(of_row, kind="stable")
    ends = np.searchsorted(of_row[order], np.arange(len(names) + 1))
    together = rows.take(pa.array(order))
    for which, name in enumerate(names):
        yield name, together.slice(ends[which], ends[which + 1] - ends[which])


def event_ms(value: Any, name: str = "the event time") -> int:
    """Milliseconds since the epoch of a JSON value: ISO 8601 text (UTC without an offset), or milliseconds.

    Raises:
        _BadRowError: it is neither, or lies before 1970 or behind 9999.
    """
    if isinstance(value, str):
        try:
            at = datetime.fromisoformat(value)
        except ValueError:
            message = f"{name} is {value[:80]!r}, which is no ISO 8601 time"
            raise _BadRowError(message) from None
        since = (at if at.tzinfo else at.replace(tzinfo=UTC)) - _EPOCH
        found = (since.days * 86_400 + since.seconds) * 1000 + since.microseconds // 1000
    elif isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
        found = math.floor(value)
    else:
        message = f"{name} is {str(value)[:80]!r}, which is no time"
        raise _BadRowError(message)
    if not 0 <= found <= LATEST_MS:
        message = f"{name} is {str(value)[:80]!r}, which is not between the years 1970 and 9999"
        raise _BadRowError(message)
    return found


_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_PLACE_TYPES: Final = (pa.string(), pa.string(), pa.int64())


@dataclass(frozen=True, slots=True)
class _PageTimes:
    """Page -> the event time of each record, null where it has none; a class, so that it can be pickled."""

    member: str

    def __call__(self, page: pa.RecordBatch) -> pa.Array:
        times: list[int | None] = []
        for text in page.column("data").to_pylist():
            try:
                times.append(event_ms(_member(_json_object(text), self.member)))
            except _BadRowError:
                times.append(None)
        return pa.array(times, pa.int64())


def _json_object(text: bytes) -> Mapping[str, Any]:
    try:
        record = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        message = f"no JSON: {error}"
        raise _BadRowError(message) from None
    if not isinstance(record, dict):
        message = f"a JSON {type(record).__name__}, not an object"
        raise _BadRowError(message)
    return record


def _member(record: Mapping[str, Any], name: str) -> Any:
    found: Any = record
    for part in [name] if name in record else name.split("."):
        if not isinstance(found, dict) or part not in found:
            message = f"no member {name}"
            raise _BadRowError(message)
        found = found[part]
    return found


def _series_part(record: Mapping[str, Any], name: str) -> str:
    value = _member(record, name)
    if isinstance(value, str | int | float):
        return str(value)
    message = f"{name} is {str(value)[:80]!r}, which names no series"
    raise _BadRowError(message)


def _series_name(parts: Sequence[str]) -> str:
    if len(parts) == 1:
        return parts[0]
    return "/".join(part.replace("%", "%25").replace("/", "%2F") for part in parts)


def _number(value: Any, name: str) -> float:
    if isinstance(value, int | float):  # true is 1 (C4)
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
        if math.isfinite(number):
            return number
    message = f"{name} is {str(value)[:80]!r}, which is no finite number"
    raise _BadRowError(message)
