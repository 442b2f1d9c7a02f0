"""A step between two transforms: columns of a batch become others, row by row, and rows that cannot go to errors. Pure.

A batch of an in-application stream has the columns of `rows_schema([])`, of which `event_ms` is ROWTIME (C5), and then
c0, c1, ...: the columns of SQL.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import orjson
import pyarrow as pa

from pipelines.analytics.rows import EVENT_MS, PLACE, SERIES, rows_schema
from pipelines.analytics.sql.expression import DivisionByZeroError, EvaluationError, Expression
from pipelines.analytics.sql.parse import Field
from pipelines.analytics.sql.types import TIMES_MS, CoercionError, SqlType, told

ORIGIN: Final = "origin"
"""Where the series of a row is kept while it is scored in another."""
CARRIED: Final = (*(rows_schema([]).field(name) for name in PLACE), pa.field(ORIGIN, pa.string(), nullable=False))
"""What a row is carried along by, beside its columns."""
_ERROR_COLUMNS: Final = rows_schema([])


class RowError(NamedTuple):
    """A row that a step could not compute.

    Attributes:
        name: what kind of error.
        message: what was wrong.
        rowtime_ms: the row's; None where it has none that is a TIMESTAMP.
        row: its columns as JSON.
        place: of the record that it is of: shard, sequence number, sub-sequence number.
    """

    name: str
    message: str
    rowtime_ms: int | None
    row: bytes
    place: tuple[str, str, int]


@dataclass(frozen=True)
class Derive:
    """Columns from columns.

    Attributes:
        inputs: columns of the batch that make the row of an expression.
        outputs: the columns it gives, behind those of `rows_schema([])`.
        keys: so many values, read from the series' name, stand in front of `inputs`: it was named by `series`.
        where: rows for which it is not true are left out.
        series: the values that name the series from here on; None leaves it.
        time: what `event_ms` is from here on; None leaves it.
        restore: the series is ORIGIN's again.
        order: by what the rows of a batch are sorted, and whether downwards; NULL is the least.
        place: what stands before the shard's id, so that two rows of a record are two; None for windows, which get a
            place of their own.
    """

    inputs: tuple[str, ...]
    outputs: tuple[tuple[Any, Expression], ...]
    keys: int = 0
    where: Expression | None = None
    series: tuple[Expression, ...] | None = None
    time: Expression | None = None
    restore: bool = False
    place: str | None = ""
    order: tuple[tuple[Expression, bool], ...] = ()

    @property
    def schema(self) -> pa.Schema:
        """Of what it gives."""
        return pa.schema([*_ERROR_COLUMNS, *(field for field, _ in self.outputs)])

    def apply(self, batch: pa.RecordBatch) -> tuple[pa.RecordBatch, list[RowError]]:
        """The rows that it gives, in their order, and those it cannot compute."""
        kept: list[tuple[Any, ...]] = []
        sorts: list[tuple[Any, ...]] = []
        errors: list[RowError] = []
        for head, row in zip(self._heads(batch), self._rows(batch), strict=True):
            try:
                if head[1] > TIMES_MS[1]:  # the end of a window, told by no TIMESTAMP
                    message = f"the window ends behind the year 9999, {head[1]} ms after the beginning of 1970"
                    raise EvaluationError(message)
                if self.where is not None and self.where.of(row) is not True:
                    continue
                series, time_ms, *place = head
                if self.series is not None:
                    series = orjson.dumps([each.of(row) for each in self.series]).decode()
                if self.time is not None:
                    time_ms = self.time.of(row)
                    if time_ms is None or time_ms < 0:
                        message = "the time of the window is NULL or before 1970"
                        raise EvaluationError(message)
                values = (series, time_ms, *place, *(each.of(row) for _, each in self.outputs))
                sorts.append(tuple(each.of(row) for each, _ in self.order))
                kept.append(values)
            except (EvaluationError, CoercionError) as error:
                name = "DIVIDE_BY_ZERO" if isinstance(error, DivisionByZeroError) else "COERCION"
                rowtime_ms = head[1] if head[1] <= TIMES_MS[1] else None
                errors.append(RowError(name, str(error), rowtime_ms, orjson.dumps(row), head[2:]))
        for at, (_, down) in reversed(list(enumerate(self.order))):  # each sorting keeps the order of those before it
            paired = sorted(zip(sorts, kept, strict=True), key=lambda pair: _sortable(pair[0][at]), reverse=down)
            sorts, kept = [pair[0] for pair in paired], [pair[1] for pair in paired]
        columns = list(zip(*kept, strict=True)) if kept else [()] * len(self.schema)
        arrays = [_array(column, field.type) for column, field in zip(columns, self.schema, strict=True)]
        return pa.RecordBatch.from_arrays(arrays, schema=self.schema), errors

    def _heads(self, batch: pa.RecordBatch) -> Iterator[tuple[Any, ...]]:
        """Series, time and place of each row."""
        names = batch.column(ORIGIN if self.restore else SERIES).to_pylist()
        times = batch.column(EVENT_MS).to_pylist()
        if self.place is None:
            yield from ((name, at, name, str(at), 0) for name, at in zip(names, times, strict=True))
            return
        places = zip(*(batch.column(name).to_pylist() for name in PLACE), strict=True)
        for name, at, (shard, number, sub) in zip(names, times, places, strict=True):
            yield name, at, self.place + shard, number, sub

    def _rows(self, batch: pa.RecordBatch) -> Iterator[tuple[Any, ...]]:
        columns = [batch.column(name).to_pylist() for name in self.inputs]
        rows = zip(*columns, strict=True)
        if not self.keys:
            yield from rows
            return
        for series, row in zip(batch.column(SERIES).to_pylist(), rows, strict=True):
            yield (*orjson.loads(series), *row)


def _array(column: Any, kind: Any) -> pa.Array:
    """The values of a column; a DOUBLE's can be whole, where CASE and COALESCE mix the two."""
    if pa.types.is_floating(kind):  # Arrow takes no whole number of more than 53 bits for one
        column = [None if value is None else float(value) for value in column]
    return pa.array(column, kind)


def _sortable(value: Any) -> tuple[bool, Any]:
    return (value is not None, value if value is not None else 0)


def fields_of(columns: tuple[Field, ...]) -> list[Any]:
    """The Arrow fields of SQL's columns: c0, c1, ..."""
    return [pa.field(f"c{at}", each.type.arrow) for at, each in enumerate(columns)]


def stream_schema(columns: tuple[Field, ...]) -> pa.Schema:
    """The schema of a batch of an in-application stream."""
    return pa.schema([*_ERROR_COLUMNS, *fields_of(columns)])


def output_rows(batch: pa.RecordBatch, columns: tuple[Field, ...]) -> Iterator[dict[str, Any]]:
    """The rows of a stream as JSON output has them: SQL's columns by name, times as text."""
    values = zip(*(batch.column(f"c{at}").to_pylist() for at in range(len(columns))), strict=True)
    kinds: list[SqlType] = [each.type for each in columns]
    names = [each.name for each in columns]
    for row in values:
        yield {name: told(value, kind) for name, value, kind in zip(names, row, kinds, strict=True)}
