"""The input: a page's records as rows of the application's first stream (C1, C2, C4, C5). Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson
import pyarrow as pa

from pipelines.analytics.rows import PLACE
from pipelines.analytics.sql.errors import BAD_SCHEMA
from pipelines.analytics.sql.parse import Field
from pipelines.analytics.sql.steps import RowError, stream_schema
from pipelines.analytics.sql.types import CoercionError, SqlType
from pipelines.kinesis import EventTime

COERCION: Final = "COERCION"


@dataclass(frozen=True, slots=True)
class SourceColumn:
    """A RecordColumn (C2): its name, its type, and the members that lead to its value."""

    name: str
    type: SqlType
    path: tuple[str, ...]

    def of(self, record: Any) -> Any:
        """Its value in a record; what is not there is NULL (C4).

        Raises:
            CoercionError: it does not fit.
        """
        for member in self.path:
            record = record.get(member) if isinstance(record, dict) else None
        return self.type.of_json(record)


@dataclass(frozen=True, slots=True)
class RecordFormat:
    """An InputSchema of JSON records: its columns."""

    columns: tuple[SourceColumn, ...]

    def parse(self, page: pa.RecordBatch) -> tuple[pa.RecordBatch, list[RowError]]:
        """The rows of a page, and its records that are none.

        A row's ROWTIME is the time of its record's arrival (C5), and its series the record's partition key.
        """
        rows: list[tuple[Any, ...]] = []
        errors: list[RowError] = []
        members = [page.column(name).to_pylist() for name in ("data", "partition_key", "arrival_ms", *PLACE)]
        for data, key, arrival_ms, *place in zip(*members, strict=True):
            try:
                values = self._values(data)
            except _BadRecordError as error:
                errors.append(RowError(error.name, str(error), arrival_ms, data, (place[0], place[1], place[2])))
                continue
            rows.append((key, arrival_ms, *place, *values))
        schema = stream_schema(tuple(Field(column.name, column.type) for column in self.columns))
        columns = list(zip(*rows, strict=True)) if rows else [()] * len(schema)
        arrays = [pa.array(column, field.type) for column, field in zip(columns, schema, strict=True)]
        return pa.RecordBatch.from_arrays(arrays, schema=schema), errors

    def source_time(self, columns: Sequence[int], slack_ms: int) -> EventTime:
        """What `ReadFromKinesis` needs for windows by these columns: the earliest of them and of the arrival counts."""
        return EventTime(_EarliestTimes(tuple(self.columns[at] for at in columns)), slack_ms)

    def _values(self, data: bytes) -> list[Any]:
        try:
            record = orjson.loads(data)
        except orjson.JSONDecodeError as error:
            raise _BadRecordError(BAD_SCHEMA, f"no JSON: {error}") from None
        if not isinstance(record, dict):
            raise _BadRecordError(BAD_SCHEMA, f"a JSON {type(record).__name__}, not an object")
        values = []
        for column in self.columns:
            try:
                values.append(column.of(record))
            except CoercionError as error:
                raise _BadRecordError(COERCION, f"{column.name}: {error}") from None
        return values


class _BadRecordError(Exception):
    """Why a record is no row."""

    def __init__(self, name: str, message: str) -> None:
        super().__init__(message)
        self.name = name


@dataclass(frozen=True, slots=True)
class _EarliestTimes:
    """Page -> of each record the earliest of the columns' times and its arrival; a class, so that it can be pickled."""

    columns: tuple[SourceColumn, ...]

    def __call__(self, page: pa.RecordBatch) -> pa.Array:
        times = []
        for data, arrival_ms in zip(
            page.column("data").to_pylist(), page.column("arrival_ms").to_pylist(), strict=True
        ):
            times.append(min([arrival_ms, *self._of(data)]))
        return pa.array(times, pa.int64())

    def _of(self, data: bytes) -> list[int]:
        try:
            record = orjson.loads(data)
            found = [column.of(record) for column in self.columns]
        except (orjson.JSONDecodeError, CoercionError):
            return []
        return [at for at in found if at is not None]
