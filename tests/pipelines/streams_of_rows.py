"""Streams whose watermark the test moves, through the scoring graph, and what came out, in files.

Each is run on Prism and on Beam's own TestStream runner (`DirectRunner`): their bundles differ, the results must not.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import apache_beam as beam
import pyarrow as pa
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.testing.test_stream import TestStream
from apache_beam.transforms.window import TimestampedValue
from stand_ins import Run

from pipelines.analytics.rows import rows_schema
from pipelines.analytics.scoring import ScoreRows

SECOND = 1_000


def rows(*described: tuple[str, float, float] | tuple[str, float, float, int], begin: int = 0) -> pa.RecordBatch:
    """A batch of rows: (series, event time in seconds, value), each with a number of its own or the one given."""
    numbers = [each[3] if len(each) > 3 else begin + at for at, each in enumerate(described)]
    return pa.RecordBatch.from_arrays(
        [
            pa.array([each[0] for each in described]),
            pa.array([round(each[1] * SECOND) for each in described], pa.int64()),
            pa.array(["shardId-000000000000"] * len(described)),
            pa.array([str(10**20 + number) for number in numbers]),
            pa.array([0] * len(described), pa.int64()),
            pa.array([each[2] for each in described], pa.float64()),
        ],
        schema=rows_schema(["value"]),
    )


class Script:
    """What happens to the stream: rows come, the watermark moves. Every row gets the next number."""

    def __init__(self) -> None:
        self._stream = TestStream(coder=beam.coders.registry.get_coder(pa.RecordBatch)).advance_watermark_to(0)
        self._watermark_s = 0.0
        self._numbers = 0

    def come(self, *described: Any) -> "Script":
        """One batch of rows. Its timestamp is the earliest event time, raised to the watermark, as of a page."""
        batch = rows(*described, begin=self._numbers)
        self._numbers += len(described)
        at_s = max(self._watermark_s, min(each[1] for each in described))
        self._stream = self._stream.add_elements([TimestampedValue(batch, at_s)])
        return self

    def until(self, watermark_s: float) -> "Script":
        """The watermark passes to `watermark_s`."""
        self._watermark_s = watermark_s
        self._stream = self._stream.advance_watermark_to(watermark_s)
        return self

    def ended(self) -> TestStream:
        return self._stream.advance_watermark_to_infinity()


class LogBatches(beam.DoFn):
    """Batch -> the same: appends its rows to the file, one line a batch."""

    def __init__(self, path: str) -> None:
        self._path = path

    def process(self, batch: pa.RecordBatch) -> Any:
        with open(self._path, "ab", buffering=0) as file:
            file.write(json.dumps({"rows": batch.to_pylist()}, default=bytes.decode).encode() + b"\n")
        yield batch


@dataclass
class Seen:
    """What a pipeline gave: the batches of each output, in the order in which they came."""

    folder: Path
    outputs: list[str] = field(default_factory=list)

    def batches(self, output: str) -> list[list[dict[str, Any]]]:
        path = self.folder / f"{output}.jsonl"
        return [json.loads(line)["rows"] for line in path.read_text().splitlines()] if path.exists() else []

    def rows(self, output: str) -> list[dict[str, Any]]:
        return [row for batch in self.batches(output) for row in batch]

    def of(self, output: str, *columns: str) -> list[tuple[Any, ...]]:
        """The columns of the rows; sorted by series, as between series there is no order."""
        found = [tuple(row[column] for column in ("series", *columns)) for row in self.rows(output)]
        return sorted(found, key=lambda row: row[0])


def scored(script: Script | Sequence[pa.RecordBatch], transform: ScoreRows, seen: Seen) -> Any:
    """Builds: the script, or a bounded input, through the transform, all outputs logged."""

    def build(pipeline: beam.Pipeline) -> None:
        source = script.ended() if isinstance(script, Script) else beam.Create(list(script), reshuffle=False)
        outputs = pipeline | source | "ScoreRows" >> transform
        for name, batches in outputs.items():
            batches | f"Log {name}" >> beam.ParDo(LogBatches(str(seen.folder / f"{name}.jsonl")))

    return build


def run_on(runner: str, build: Callable[[beam.Pipeline], None]) -> None:
    """Runs a pipeline to its end on "prism", or on "direct": Beam's runner in this process, with one worker."""
    if runner == "direct":
        pipeline = beam.Pipeline(options=PipelineOptions(["--runner=DirectRunner", "--streaming"]))
        build(pipeline)
        pipeline.run().wait_until_finish()
        return
    Run(runner)(build)
