"""The analytics application of the scenario: pickups in order -> HOTSPOTS (C13)."""

import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import apache_beam as beam
import orjson
import pyarrow as pa

from pipelines.analytics.hotspots import HotspotOptions, Hotspots
from pipelines.analytics.order import Lateness
from pipelines.analytics.rows import RowFormat
from pipelines.analytics.scoring import RESULTS, ScorePages
from pipelines.analytics.stages import BAD, LATE, ORDERED
from pipelines.kinesis import ReadFromKinesis
from scenarios.hotspots.workload import DISORDER_MS

STREAM: Final = "hotspots"
LAYOUT: Final = RowFormat(series=(), event_time="at", values=("longitude", "latitude"))
OPTIONS: Final = HotspotOptions(LAYOUT.values, window_size=300, scan_radius=0.002, minimum_points=20)
"""Of the last 300 pickups, 20 within about 200 m of one make a hotspot."""
SLACK_MS: Final = 2 * DISORDER_MS
LATENESS: Final = Lateness(allowed_ms=30 * 60_000, step_ms=10 * 60_000)
OUTPUTS: Final = (RESULTS, LATE, BAD, ORDERED)


def draw(pipeline: beam.Pipeline, until: Any, folder: Path) -> None:
    """Draws the application into `pipeline`; what came out is kept in `folder`.

    Args:
        pipeline: takes it.
        until: where the stream's reading ends.
        folder: for what is kept, see `kept`.
    """
    event_time = LAYOUT.source_time(SLACK_MS, follows_clock=False)
    pages = pipeline | "Pickups" >> ReadFromKinesis(STREAM, "TRIM_HORIZON", until, event_time=event_time)
    outputs = pages | "Hotspots" >> ScorePages(
        LAYOUT, scoring=Hotspots(OPTIONS), lateness=LATENESS, tells_of_order=True
    )
    for name in OUTPUTS:
        outputs[name] | f"Keep{name.title()}" >> beam.ParDo(Keep(folder, name))


class Keep(beam.DoFn):
    """pa.RecordBatch -> nothing: appends its rows to a file of the worker's own, an object a line.

    Args:
        folder: of the run.
        output: which output it is; names the file.
    """

    def __init__(self, folder: Path, output: str) -> None:
        self._folder = str(folder)
        self._output = output

    def setup(self) -> None:
        path = f"{self._folder}/{self._output}-{uuid.uuid4()}.jsonl"
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def process(self, batch: pa.RecordBatch) -> Iterator[Any]:
        rows = batch.drop_columns("data") if "data" in batch.schema.names else batch
        os.write(self._file, b"".join(orjson.dumps(row) + b"\n" for row in rows.to_pylist()))
        yield from ()

    def teardown(self) -> None:
        os.close(self._file)


def kept(folder: Path, output: str) -> list[dict[str, Any]]:
    """The rows of an output so far, in the order in which each worker had them."""
    found = []
    for path in sorted(folder.glob(f"{output}-*.jsonl")):
        whole, _, _ = path.read_bytes().rpartition(b"\n")  # a line may be on its way
        found += [orjson.loads(line) for line in whole.splitlines()]
    return found
