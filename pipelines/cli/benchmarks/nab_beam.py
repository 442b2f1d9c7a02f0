"""Ours on NAB: the series through the real graph of the analytics room, `ScoreRows`, on Prism."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

import apache_beam as beam
import pyarrow as pa

from pipelines.analytics.options import ForestOptions
from pipelines.analytics.order import Lateness
from pipelines.analytics.rows import rows_schema
from pipelines.analytics.scoring import ScoreRows
from pipelines.analytics.series import EPISODE_SCORE, SeriesForests
from pipelines.analytics.windows import each_row
from pipelines.cli.benchmarks.nab_corpus import Corpus, Series
from pipelines.runtime.errors import AccountError
from pipelines.runtime.launch import run_pipeline
from pipelines.runtime.options import HydrantOptions

SCORING: Final = SeriesForests(ForestOptions(("value",)))
"""The same for every series: KDA's defaults."""
_PAGE_ROWS: Final = 1000
_STEP_MS: Final = 7 * 24 * 3_600_000
"""A series' rows are released by weeks: the scores are the same for any step, a timer a row would take longer."""
_found: dict[str, list[tuple[int, float]]] = {}
"""Series -> event time and score; on Prism the DoFns run in this process."""


def ours(corpus: Corpus) -> dict[str, list[float]]:
    """The episode scores of each series, row by row; the graph gets times and values, never labels.

    Raises:
        AccountError: a row came out without a score, twice or not at all.
    """
    _found.clear()
    pages = [page for name, series in corpus.series.items() for page in rows_of(name, series)]

    def build(pipeline: beam.Pipeline) -> None:
        rows = pipeline | beam.Create(pages).with_output_types(pa.RecordBatch)
        scored = rows | ScoreRows(each_row(["value"]), SCORING, Lateness(step_ms=_STEP_MS))
        scored["results"] | "Collect" >> beam.ParDo(_CollectFn())

    run_pipeline(build, HydrantOptions.for_runner("prism"))
    return in_file_order(corpus, _found)


def in_file_order(corpus: Corpus, found: Mapping[str, list[tuple[int, float]]]) -> dict[str, list[float]]:
    """Scores in the order of each file's rows; results come by event time, rows of one time by their place."""
    scores = {}
    for name, series in corpus.series.items():
        order = sorted(range(len(series.times_ms)), key=series.times_ms.__getitem__)
        came = found.get(name, [])
        if [time for time, _ in came] != [series.times_ms[row] for row in order]:
            message = f"{name} has {len(series.times_ms):,} rows, and {len(came):,} results, or some at other times"
            raise AccountError(message)
        ordered = [0.0] * len(order)
        for row, (_, score) in zip(order, came, strict=True):
            ordered[row] = score
        scores[name] = ordered
    return scores


def rows_of(name: str, series: Series) -> Iterator[pa.RecordBatch]:
    """A series as pages of rows."""
    for begin in range(0, len(series.values), _PAGE_ROWS):
        values = series.values[begin : begin + _PAGE_ROWS]
        count = len(values)
        columns = [
            pa.array([name] * count),
            pa.array(series.times_ms[begin : begin + count], pa.int64()),
            pa.array(["shardId-000000000000"] * count),
            pa.array([str(10**20 + begin + at) for at in range(count)]),
            pa.array([0] * count, pa.int64()),
            pa.array(values, pa.float64()),
        ]
        yield pa.RecordBatch.from_arrays(columns, schema=rows_schema(["value"]))


class _CollectFn(beam.DoFn):
    """Results -> nothing; keeps time and episode score of each."""

    def process(self, results: pa.RecordBatch) -> Iterator[Any]:
        names, times, scores = (results.column(name).to_pylist() for name in ("series", "event_ms", EPISODE_SCORE))
        for name, time, score in zip(names, times, scores, strict=True):
            _found.setdefault(name, []).append((time, score))
        yield from ()
