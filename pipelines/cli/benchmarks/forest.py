"""`hydrant bench forest`: a forest's speed beside bare krcf, alone and in the Beam graph; the size of its state."""

import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

import apache_beam as beam
import krcf
import numpy as np
import pyarrow as pa
from rich.table import Table

from pipelines.analytics.forest import RandomCutForest
from pipelines.analytics.forests import Forests, ForestScorer
from pipelines.analytics.options import ForestOptions
from pipelines.analytics.order import Lateness
from pipelines.analytics.rows import rows_schema
from pipelines.analytics.scoring import RESULTS, ScoreRows
from pipelines.analytics.series import SeriesForests
from pipelines.analytics.windows import each_row
from pipelines.runtime.errors import AccountError
from pipelines.runtime.launch import run_pipeline
from pipelines.runtime.options import HydrantOptions

SERIES: Final = 1_000
ROWS: Final = 600
"""Of each series: more than half of them beyond subSampleSize, so that scores are computed."""
_ALIVE: Final = 50
"""Series that are held at once: 1,000 forests of krcf would take 6 GB."""
_OPTIONS: Final = ForestOptions(("value",), shingle_size=8)


def run(tell: Callable[[str], None], series: int = SERIES, rows: int = ROWS) -> dict[str, Any]:
    """Scores `series` times `rows` values by bare krcf, by the room's scorer and by its graph on Prism.

    krcf and the scorer run in turns on one core; the graph, with all series at once, behind them. Its CPU seconds are
    those of the worker's process, the start of the pipeline included; Prism is another process.

    Args:
        tell: is told what runs.
        series: how many.
        rows: of each.

    Returns:
        Rows a CPU second of the three, their ratios, and the bytes of a snapshot once the forest is full.

    Raises:
        AccountError: the scorer gave other scores than the bare core, or the graph others than the scorer.
    """
    tell(f"{series:,} series of {rows:,} rows, 100 trees, shingle size 8: krcf and the scorer in turns...")
    bare_s, ours_s = 0.0, 0.0
    last: list[float | None] = []
    for begin in range(0, series, _ALIVE):
        values = [_values(seed, rows) for seed in range(begin, min(begin + _ALIVE, series))]
        batches = [_batch(one) for one in values]
        start = time.process_time()
        expected = _bare(values)
        middle = time.process_time()
        scorers = [Forests(_OPTIONS).start(str(at)) for at in range(len(batches))]
        found = _scored(scorers, batches)
        ours_s += time.process_time() - middle
        bare_s += middle - start
        _same(expected, found)
        last += [scores[-1] for scores in found]
    tell(f"The graph, {series:,} series at once...")
    graph_s = _through_the_graph(series, rows, last)
    total = series * rows
    return {
        "series": series,
        "rows": total,
        "bare_rows_per_cpu_s": round(total / bare_s),
        "ours_rows_per_cpu_s": round(total / ours_s),
        "ours_to_bare": bare_s / ours_s,
        "graph_rows_per_cpu_s": round(total / graph_s),
        "graph_to_bare": bare_s / graph_s,
        "snapshot_bytes": _snapshot_bytes(),
    }


def tables(result: Mapping[str, Any]) -> Iterator[Table]:
    """The result as a table."""
    table = Table("", "", title=f"{result['series']:,} series, {result['rows']:,} rows, 100 trees, shingle size 8")
    table.add_row("krcf, rows a CPU second", f"{result['bare_rows_per_cpu_s']:,}")
    table.add_row("scorer, rows a CPU second", f"{result['ours_rows_per_cpu_s']:,}")
    table.add_row("scorer to krcf", f"{result['ours_to_bare']:.2f}")
    table.add_row("graph on Prism, rows a CPU second", f"{result['graph_rows_per_cpu_s']:,}")
    table.add_row("graph to krcf", f"{result['graph_to_bare']:.2f}")
    for name, size in result["snapshot_bytes"].items():
        table.add_row(f"snapshot, {name}, bytes", f"{size:,}")
    yield table


def _values(seed: int, rows: int) -> list[float]:
    chance = random.Random(seed)
    return [chance.gauss(0, 1) for _ in range(rows)]


def _batch(values: Sequence[float]) -> pa.RecordBatch:
    """What a window step gives for one series."""
    times = [300_000 * at for at in range(len(values))]
    columns = {
        "series": pa.array([""] * len(values)),
        "event_ms": pa.array(times, pa.int64()),
        "window_start_ms": pa.array(times, pa.int64()),
        "pane": pa.array(["ON_TIME"] * len(values)),
        "records": pa.array([1] * len(values), pa.int64()),
        "value": pa.array(values, pa.float64()),
    }
    schema = each_row(["value"]).schema
    return pa.RecordBatch.from_arrays([columns[name] for name in schema.names], schema=schema)


def _bare(series: Sequence[Sequence[float]]) -> list[list[float]]:
    """What one would write by hand with krcf, all its boxes cached, fed the distances that ours feeds it."""
    found = []
    for values in series:
        forest = krcf.RandomCutForest(
            {  # type: ignore[misc, typeddict-unknown-key, unused-ignore]
                "dimensions": 1,
                "shingle_size": _OPTIONS.shingle_size,
                "num_trees": _OPTIONS.number_of_trees,
                "sample_size": _OPTIONS.sub_sample_size,
                "output_after": _OPTIONS.sub_sample_size - _OPTIONS.shingle_size + 1,
                "random_seed": _OPTIONS.seed,
                "lambda": 1 / _OPTIONS.time_decay,
            }
        )
        scores = []
        for value in values:
            point = [value - values[0]]
            scores.append(forest.score(point))
            forest.update(point)
        found.append(scores)
    return found


def _scored(scorers: Sequence[ForestScorer], batches: Sequence[pa.RecordBatch]) -> list[list[float]]:
    scored = (scorer.score(batch) for scorer, batch in zip(scorers, batches, strict=True))
    return [one.column("ANOMALY_SCORE").to_pylist() for one in scored]


def _same(expected: Sequence[Sequence[float]], found: Sequence[Sequence[float]]) -> None:
    """The scores behind the learning phase are krcf's own; with all boxes kept it may round otherwise.

    Raises:
        AccountError: they are not.
    """
    learnt = _OPTIONS.sub_sample_size
    for ours, bare in zip(found, expected, strict=True):
        if not np.allclose(ours[learnt:], bare[learnt:], rtol=1e-6, atol=0):
            message = "The scorer's scores are not those of bare krcf."
            raise AccountError(message, fix="look for what changed in pipelines/analytics/forest.py")


_pages: list[pa.RecordBatch] = []
"""What the graph scores; on Prism the DoFns run in this process, and what they read of it costs nothing."""
_last: dict[int, tuple[int, float]] = {}
"""Series -> event time and score of its last result."""


def _through_the_graph(series: int, rows: int, expected: Sequence[float | None]) -> float:
    """CPU seconds of this process for all series through `ScoreRows` on Prism, in one bundle a series."""
    _last.clear()
    _pages[:] = [_rows(seed, _values(seed, rows)) for seed in range(series)]

    def build(pipeline: beam.Pipeline) -> None:
        scoring = ScoreRows(each_row(["value"]), Forests(_OPTIONS), Lateness(step_ms=300_000 * rows))
        pages = pipeline | beam.Impulse() | beam.FlatMap(_all_pages).with_output_types(pa.RecordBatch)
        scored = pages | scoring
        scored[RESULTS] | "Last" >> beam.Map(_keep_last)

    start = time.process_time()
    run_pipeline(build, HydrantOptions.for_runner("prism"))
    spent_s = time.process_time() - start
    if [_last[seed][1] for seed in range(series)] != list(expected):
        message = "The graph's scores are not, to the last bit, those of the scorer."
        raise AccountError(message, fix="look for what changed in pipelines/analytics/stages.py")
    return spent_s


def _all_pages(_: bytes) -> list[pa.RecordBatch]:
    return _pages


def _keep_last(results: pa.RecordBatch) -> None:
    end = results.num_rows - 1
    seed, at_ms = int(results.column("series")[end].as_py()), results.column("event_ms")[end].as_py()
    if at_ms >= _last.get(seed, (-1, 0.0))[0]:
        _last[seed] = at_ms, results.column("ANOMALY_SCORE")[end].as_py()


def _rows(seed: int, values: Sequence[float]) -> pa.RecordBatch:
    """The values of a series as rows."""
    size = len(values)
    columns = [
        pa.array([str(seed)] * size),
        pa.array([300_000 * at for at in range(size)], pa.int64()),
        pa.array(["shardId-000000000000"] * size),
        pa.array([str(10**20 + at) for at in range(size)]),
        pa.array([0] * size, pa.int64()),
        pa.array(values, pa.float64()),
    ]
    return pa.RecordBatch.from_arrays(columns, schema=rows_schema(["value"]))


def _snapshot_bytes() -> dict[str, int]:
    forest, values = RandomCutForest(_OPTIONS), _values(1, 2_000)
    for value in values:
        forest.score([value])
    series = SeriesForests(ForestOptions(("value",))).start("")
    series.score(_batch(values))
    return {"forest of shingle size 8": len(forest.snapshot()), "series scorer": len(series.snapshot())}
