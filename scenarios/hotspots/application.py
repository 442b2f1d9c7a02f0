"""The analytics application of the scenario: pickups in order -> HOTSPOTS (C13)."""

from pathlib import Path
from typing import Any, Final

import apache_beam as beam

from pipelines.analytics.hotspots import HotspotOptions, Hotspots
from pipelines.analytics.order import Lateness
from pipelines.analytics.rows import RowFormat
from pipelines.analytics.scoring import RESULTS, ScorePages
from pipelines.analytics.stages import BAD, LATE, ORDERED
from pipelines.kinesis import ReadFromKinesis
from scenarios.hotspots.workload import DISORDER_MS
from scenarios.observed import keep

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
        folder: for what is kept, see `observed`.
    """
    event_time = LAYOUT.source_time(SLACK_MS, follows_clock=False)
    pages = pipeline | "Pickups" >> ReadFromKinesis(STREAM, "TRIM_HORIZON", until, event_time=event_time)
    outputs = pages | "Hotspots" >> ScorePages(
        LAYOUT, scoring=Hotspots(OPTIONS), lateness=LATENESS, tells_of_order=True
    )
    keep(outputs, OUTPUTS, folder)
