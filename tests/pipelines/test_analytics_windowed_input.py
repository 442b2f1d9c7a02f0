"""Rows that come from behind a window of Beam's are scored as all others."""

import apache_beam as beam
import pyarrow as pa
from apache_beam.transforms.window import FixedWindows, TimestampedValue

from pipelines.analytics.order import Lateness
from pipelines.analytics.rows import rows_schema
from pipelines.analytics.scoring import RESULTS, ScoreRows
from pipelines.analytics.windows import each_row
from pipelines.runtime.launch import run_pipeline
from pipelines.runtime.options import HydrantOptions

_found: list[int] = []


def rows_of(second: int) -> pa.RecordBatch:
    columns = [
        pa.array(["a"]), pa.array([second * 1000], pa.int64()), pa.array(["shardId-000000000000"]),
        pa.array([str(100 + second)]), pa.array([0], pa.int64()), pa.array([float(second)]),
    ]  # fmt: skip
    return pa.RecordBatch.from_arrays(columns, schema=rows_schema(["value"]))


def keep(results: pa.RecordBatch) -> None:
    _found.extend(results.column("event_ms").to_pylist())


def test_no_row_is_lost_behind_a_window() -> None:
    _found.clear()

    def build(pipeline: beam.Pipeline) -> None:
        stamped = [TimestampedValue(rows_of(second), second) for second in range(40)]
        rows = pipeline | beam.Create(stamped) | beam.Map(lambda one: one).with_output_types(pa.RecordBatch)
        windowed = rows | "Ten" >> beam.WindowInto(FixedWindows(10))
        (windowed | ScoreRows(each_row(["value"]), lateness=Lateness(step_ms=1_000)))[RESULTS] | beam.Map(keep)

    run_pipeline(build, HydrantOptions.for_runner("prism"))
    assert sorted(_found) == [second * 1000 for second in range(40)]
