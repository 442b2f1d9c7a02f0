"""The analytics application of the scenario: pickups in order -> HOTSPOTS (C13), and where what is found goes."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import apache_beam as beam
import pyarrow as pa

from pipelines.analytics.destinations import ResultsToFunction, ResultsToKinesis
from pipelines.analytics.hotspots import HotspotOptions, Hotspots
from pipelines.analytics.new_hotspots import NEW_HOTSPOT, NewHotspots
from pipelines.analytics.order import Lateness
from pipelines.analytics.rows import RowFormat
from pipelines.analytics.scoring import RESULTS, ScorePages
from pipelines.analytics.stages import BAD, LATE, ORDERED
from pipelines.firehose.invoke import Invoker
from pipelines.firehose.source import kinesis_source
from pipelines.kinesis import ReadFromKinesis
from pipelines.runtime.aws import client
from scenarios.destinations import Witnessed, rows_where
from scenarios.hotspots.workload import DISORDER_MS
from scenarios.observed import keep

DELIVERY_STREAM: Final = "hotspots"
"""What the application reads: through the Kinesis stream that it reads itself (C1)."""
FOUND: Final = "hotspots-found"
FUNCTION_ARN: Final = "arn:aws:lambda:us-east-1:000000000000:function:hotspots-stand"
APPLICATION_ARN: Final = "arn:aws:kinesisanalytics:us-east-1:000000000000:application/hotspots"

LAYOUT: Final = RowFormat(series=(), event_time="at", values=("longitude", "latitude"))
OPTIONS: Final = HotspotOptions(LAYOUT.values, window_size=300, scan_radius=0.002, minimum_points=20)
"""Of the last 300 pickups, 20 within about 200 m of one make a hotspot."""
SCORING: Final = NewHotspots(Hotspots(OPTIONS))
SLACK_MS: Final = 2 * DISORDER_MS
LATENESS: Final = Lateness(allowed_ms=30 * 60_000, step_ms=10 * 60_000)
OUTPUTS: Final = (RESULTS, LATE, BAD, ORDERED)


def draw(pipeline: beam.Pipeline, until: Any, folder: Path, invoker: Callable[[str], Invoker]) -> None:
    """Draws the application into `pipeline`; what came out is kept in `folder`.

    Args:
        pipeline: takes it.
        until: where the stream's reading ends.
        folder: for what is kept, see `observed`.
        invoker: makes the caller of the function that is told of new hotspots.
    """
    stream = kinesis_source(client("firehose"), DELIVERY_STREAM).stream_name
    event_time = LAYOUT.source_time(SLACK_MS, follows_clock=False)
    pages = pipeline | "Pickups" >> ReadFromKinesis(stream, "TRIM_HORIZON", until, event_time=event_time)
    outputs = pages | "Hotspots" >> ScorePages(LAYOUT, scoring=SCORING, lateness=LATENESS, tells_of_order=True)
    keep(outputs, OUTPUTS, folder)
    # All results are of one series, and each has its time: they need not go one by one.
    # One that Kinesis would never take is in `failed`, which nothing reads: `stream_problems` finds it missing.
    outputs[RESULTS] | "ToKinesis" >> ResultsToKinesis(FOUND, ordered=False)
    stands = outputs[RESULTS] | "New" >> beam.FlatMap(rows_where, NEW_HOTSPOT).with_output_types(pa.RecordBatch)
    stands | "ToFunction" >> ResultsToFunction(Witnessed(invoker(FUNCTION_ARN), folder), APPLICATION_ARN)
