"""The analytics application of the scenario: metrics -> half hours -> scores -> decisions, and where they go."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import apache_beam as beam
import pyarrow as pa

from pipelines.analytics.decision import ANOMALY, Decided, Decision
from pipelines.analytics.destinations import ResultsToFunction, ResultsToKinesis
from pipelines.analytics.explanation import ExplainedForests
from pipelines.analytics.options import ForestOptions
from pipelines.analytics.order import Lateness
from pipelines.analytics.rows import RowFormat
from pipelines.analytics.scoring import RESULTS, ScorePages
from pipelines.analytics.stages import BAD, LATE, ORDERED
from pipelines.analytics.windows import Aggregate, Tumbling, Windowing
from pipelines.firehose.invoke import Invoker
from pipelines.kinesis import ReadFromKinesis
from scenarios.destinations import Witnessed, rows_where
from scenarios.observed import keep

STREAM: Final = "cloudwatch"
SCORES: Final = "cloudwatch-scores"
FUNCTION_ARN: Final = "arn:aws:lambda:us-east-1:000000000000:function:cloudwatch-alarm"
APPLICATION_ARN: Final = "arn:aws:kinesisanalytics:us-east-1:000000000000:application/cloudwatch"

READ: Final = "read"
"""The pages that were read, as they are kept: how many records each had."""
MINUTE_MS: Final = 60_000
WINDOW_MS: Final = 30 * MINUTE_MS
SLACK_MS: Final = 30 * MINUTE_MS
"""As much as the workload's disorder: the watermark keeps this distance from the latest value of a shard."""

LAYOUT: Final = RowFormat(series=("metric",), event_time="timestamp", values=("value",))
WINDOWING: Final = Windowing(
    Tumbling(WINDOW_MS), (Aggregate("AVG", "value", "mean"), Aggregate("MAX", "value", "most"))
)
FOREST: Final = ForestOptions(("mean", "most"), sub_sample_size=96, shingle_size=4, with_directionality=True)
"""Two days of half hours are learnt before the first score; two hours are looked at together."""
SCORING: Final = Decided(ExplainedForests(FOREST), Decision(deviations=3.0))
LATENESS: Final = Lateness(allowed_ms=60 * MINUTE_MS, step_ms=6 * 60 * MINUTE_MS)


def draw(pipeline: beam.Pipeline, until: Any, folder: Path, invoker: Callable[[str], Invoker]) -> None:
    """Draws the application into `pipeline`.

    Args:
        pipeline: takes it.
        until: where the stream's reading ends.
        folder: for what is kept of the outputs, see `observed`.
        invoker: makes the caller of the function that gets the alarms.
    """
    pages = pipeline | "Metrics" >> ReadFromKinesis(
        STREAM, "TRIM_HORIZON", until, event_time=LAYOUT.source_time(SLACK_MS, follows_clock=False)
    )
    counts = pages | "Count" >> beam.Map(len_of).with_output_types(int)
    keep({READ: counts}, (READ,), folder)
    outputs = pages | "Score" >> ScorePages(LAYOUT, WINDOWING, SCORING, LATENESS, tells_of_order=True)
    keep(outputs, (RESULTS, LATE, BAD, ORDERED), folder)
    # A result that Kinesis would never take is in `failed`, which nothing reads: `stream_problems` finds it missing.
    outputs[RESULTS] | "ToKinesis" >> ResultsToKinesis(SCORES)
    alarms = outputs[RESULTS] | "Anomalies" >> beam.FlatMap(rows_where, ANOMALY).with_output_types(pa.RecordBatch)
    alarms | "ToFunction" >> ResultsToFunction(Witnessed(invoker(FUNCTION_ARN), folder), APPLICATION_ARN)


def len_of(page: pa.RecordBatch) -> int:
    """How many records a page has."""
    return int(page.num_rows)
