"""An application's code over records whose times of arrival the test says, on a runner, and the rows that came out."""

import json
from datetime import UTC, datetime
from typing import Any, Final

import apache_beam as beam
import pyarrow as pa
from apache_beam.testing.test_stream import TestStream
from apache_beam.transforms.window import TimestampedValue
from streams_of_rows import run_on

from pipelines.analytics.sql.parse import Field
from pipelines.analytics.sql.plan import Plan, plan
from pipelines.analytics.sql.source import RecordFormat, SourceColumn
from pipelines.analytics.sql.transform import KeepRows, SqlApplication
from pipelines.analytics.sql.types import type_of_text
from pipelines.kinesis.page import make_page
from pipelines.runtime.clock import ManualClock

DAY: Final = datetime(2018, 8, 1, tzinfo=UTC)
CODER: Final = beam.coders.registry.get_coder(pa.RecordBatch)


def at(clock: str) -> int:
    """Milliseconds since the epoch of hours:minutes:seconds on the day of the tests."""
    hours, minutes, seconds = clock.split(":")
    return round(DAY.timestamp() * 1000) + round((int(hours) * 3600 + int(minutes) * 60 + float(seconds)) * 1000)


def of(time: str | None) -> str | None:
    """The clock of a TIMESTAMP on that day, as it is told."""
    assert time is None or time.startswith("2018-08-01 "), time
    return time.removeprefix("2018-08-01 ").removesuffix(".000") if time else time


class Application:
    """An input with columns, and code.

    Args:
        columns: of the input: name and SQL type.
        code: the application's.
    """

    def __init__(self, columns: dict[str, str], code: str) -> None:
        self.format = RecordFormat(
            tuple(SourceColumn(name, type_of_text(kind, name), (name,)) for name, kind in columns.items())
        )
        self.plan: Plan = plan(code, [Field(column.name, column.type) for column in self.format.columns])

    def run(self, runner: str, folder: Any, records: list[tuple[int, Any]], **options: Any) -> dict[str, list[Any]]:
        """The rows of each stream, in the order in which they came.

        Args:
            runner: "prism" or "direct".
            folder: for what came out.
            records: (arrival in ms, the record: bytes, or what becomes JSON), in the order in which they come.
            options: of `SqlApplication`.
        """
        stream, watermark_s = TestStream(coder=CODER).advance_watermark_to(0), 0.0
        for number, (arrival_ms, record) in enumerate(records):
            data = record if isinstance(record, bytes) else json.dumps(record).encode()
            page = make_page("shardId-000000000000", [data], ["key"], [str(10**20 + number)], [arrival_ms])
            if arrival_ms / 1000 - 1 > watermark_s:  # it must not stand
                watermark_s = arrival_ms / 1000 - 1
                stream = stream.advance_watermark_to(watermark_s)
            stream = stream.add_elements([TimestampedValue(page, arrival_ms / 1000)])
        transform = SqlApplication(self.format, self.plan, clock=ManualClock(at("23:00:00")), **options)

        path = folder / "rows.jsonl"

        def build(pipeline: beam.Pipeline) -> None:
            outputs = pipeline | stream.advance_watermark_to_infinity() | "Application" >> transform
            for name, rows in outputs.items():
                rows | f"Keep {name}" >> beam.ParDo(KeepRows(str(path), name, self.plan.streams[name]))

        run_on(runner, build)
        found: dict[str, list[Any]] = {}
        for line in path.read_text().splitlines():
            told = json.loads(line)
            found.setdefault(told["stream"], []).append(told["row"])
        return found
