"""A plan as a Beam graph, and where its rows go: the Beam adapters of the SQL face.

pages -- Source -+- "SOURCE_SQL_STREAM_001" -- pump: Derive - ScoreRows - Derive -- stream -- pump ...
                 +- errors                           +- errors, late               -- error_stream
"""

import os
from collections.abc import Callable, Iterator
from typing import Any, Final

import apache_beam as beam
import orjson
import pyarrow as pa

from pipelines.analytics.order import Lateness
from pipelines.analytics.rows import EVENT_MS, PLACE
from pipelines.analytics.scoring import RESULTS, ScoreRows
from pipelines.analytics.sql.errors import ERROR_STREAM, LATE, OUTPUT_REFUSED, error_rows
from pipelines.analytics.sql.parse import ROWTIME, Field
from pipelines.analytics.sql.plan import Plan, Pump
from pipelines.analytics.sql.query import Score
from pipelines.analytics.sql.source import RecordFormat
from pipelines.analytics.sql.steps import RowError, output_rows
from pipelines.analytics.sql.types import time_text
from pipelines.analytics.stages import LATE as LATE_ROWS
from pipelines.kinesis.outcome import FailedRecord
from pipelines.runtime.clock import Clock, SystemClock

_ROWS: Final = "rows"
_ERRORS: Final = "errors"
_KEY_CHARACTERS: Final = 256
"""The longest partition key that Kinesis takes (B2)."""


class SqlApplication(beam.PTransform):
    """PCollection[page] -> dict of PCollections: the rows of each stream, and `error_stream`.

    Elements are `pa.RecordBatch` as `steps` describes them, in the global window. The rows of one partition of a
    window, or of one function, are in the order of ROWTIME.

    Each record is a row of the input's stream or of `error_stream`; each row of a stream that a pump reads is in what
    the pump gives, left out by WHERE or HAVING, or in `error_stream` (C7).

    Args:
        format: how records become rows.
        plan: what is done with them.
        clock: for ERROR_TIME.
    """

    def __init__(self, record_format: RecordFormat, plan: Plan, clock: Clock | None = None) -> None:
        super().__init__()
        self._format = record_format
        self._plan = plan
        self._clock = clock or SystemClock()

    def expand(self, pages: Any) -> Any:
        errors: list[Any] = []
        rows = self._apart(pages, self._plan.source, "", self._format.parse, errors)
        filled: dict[str, list[Any]] = {self._plan.source: [rows]}
        streams: dict[str, Any] = {}
        for pump in self._plan.pumps:
            source = self._stream(pump.source, filled, streams)
            filled.setdefault(pump.target, []).append(self._pump(source, pump, errors))
        filled[ERROR_STREAM] = errors
        return {name: self._stream(name, filled, streams) for name in self._plan.filled}

    def _stream(self, name: str, filled: dict[str, list[Any]], streams: dict[str, Any]) -> Any:
        """The rows that all pumps insert into a stream; they stand before the pump that asks (`plan`)."""
        if name not in streams:
            parts = filled[name]
            streams[name] = parts[0] if len(parts) == 1 else parts | name >> beam.Flatten()
        return streams[name]

    def _pump(self, rows: Any, pump: Pump, errors: list[Any]) -> Any:
        for at, stage in enumerate(pump.stages):
            name = f"{pump.name}/{at}"
            if not isinstance(stage, Score):
                rows = self._apart(rows, name, pump.name, stage.apply, errors)
                continue
            scored = rows | name >> ScoreRows(stage.windowing, stage.scoring, Lateness(stage.wait_ms, stage.step_ms))
            rows = scored[RESULTS]
            late = beam.ParDo(_LateFn(pump.name, self._clock)).with_output_types(pa.RecordBatch)
            errors.append(scored[LATE_ROWS] | f"{name}/late" >> late)
        return rows

    def _apart(self, batches: Any, name: str, pump: str, step: Any, errors: list[Any]) -> Any:
        outputs = batches | name >> beam.ParDo(_StepFn(step, pump, self._clock)).with_output_types(
            pa.RecordBatch, **{_ERRORS: pa.RecordBatch}
        ).with_outputs(_ERRORS, main=_ROWS)
        errors.append(outputs[_ERRORS])
        return outputs[_ROWS]


class _StepFn(beam.DoFn):
    """Batch -> what a step makes of it; errors apart."""

    def __init__(
        self, step: Callable[[pa.RecordBatch], tuple[pa.RecordBatch, list[RowError]]], pump: str, clock: Clock
    ) -> None:
        self._step = step
        self._pump = pump
        self._clock = clock

    def process(self, batch: pa.RecordBatch) -> Iterator[Any]:
        rows, errors = self._step(batch)
        if rows.num_rows:
            yield rows
        if errors:
            yield beam.pvalue.TaggedOutput(_ERRORS, error_rows(errors, self._pump, self._clock.now_ms()))


class _LateFn(beam.DoFn):
    """Late rows -> rows of the error stream (C7: out of order)."""

    def __init__(self, pump: str, clock: Clock) -> None:
        self._pump = pump
        self._clock = clock

    def process(self, late: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
        errors = []
        for row in late.to_pylist():
            message = f"the row came {row['late_ms']} ms too late: what it belongs to was told already"
            place = tuple(row[name] for name in PLACE)
            errors.append(RowError(LATE, message, row[EVENT_MS], orjson.dumps(row), place))
        yield error_rows(errors, self._pump, self._clock.now_ms())


class RefusedRows(beam.DoFn):
    """FailedRecord -> a row of the error stream: what an output's Kinesis stream would never take (B1).

    Args:
        stream: whose row it is.
        clock: for ERROR_TIME.
    """

    def __init__(self, stream: str, clock: Clock | None = None) -> None:
        self._stream = stream
        self._clock = clock or SystemClock()

    def process(self, failed: FailedRecord) -> Iterator[pa.RecordBatch]:
        message = f"the output of {self._stream} refuses the row: {failed.error_code}: {failed.error_message}"
        error = RowError(OUTPUT_REFUSED, message, None, failed.record.data, (failed.record.partition_key, "", 0))
        yield error_rows([error], "", self._clock.now_ms())


class OutputRecords:
    """Batch of a stream -> (partition key, JSON object of its columns) of each row (C14); for `destinations`."""

    def __init__(self, fields: tuple[Field, ...]) -> None:
        self._fields = fields

    def __call__(self, batch: pa.RecordBatch) -> Iterator[tuple[str, bytes]]:
        """The records, in the order of the rows."""
        for series, row in zip(batch.column("series").to_pylist(), output_rows(batch, self._fields), strict=True):
            yield series[:_KEY_CHARACTERS] or "-", orjson.dumps(row)


class KeepRows(beam.DoFn):
    """Batch of a stream -> nothing: its rows go to the end of a file, a JSON object a line.

    Args:
        path: of the file; several workers of a machine can write it, and the rows of a batch stay together.
        stream: what the rows are of.
        fields: its columns.
    """

    def __init__(self, path: str, stream: str, fields: tuple[Field, ...]) -> None:
        self._path = path
        self._stream = stream
        self._fields = fields

    def setup(self) -> None:
        self._file = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def process(self, batch: pa.RecordBatch) -> Iterator[Any]:
        times = batch.column(EVENT_MS).to_pylist()
        rows = output_rows(batch, self._fields)
        lines = (
            orjson.dumps({"stream": self._stream, "row": {ROWTIME: time_text(at), **row}})
            for at, row in zip(times, rows, strict=True)
        )
        os.write(self._file, b"".join(line + b"\n" for line in lines))
        yield from ()

    def teardown(self) -> None:
        os.close(self._file)
