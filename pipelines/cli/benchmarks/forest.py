"""`hydrant bench forest`: a forest's speed beside bare krcf, alone and in the Beam graph; the size of its state."""

import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

import apache_beam as beam
import krcf
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
ROWS: Final = 1_200
"""Of each series: about as many as lie between two snapshots of it."""
BUNDLES: Final = 2
"""In so many bundles the graph gets the rows of a series."""
COMPARED: Final = 200
"""So many of the series go through krcf and the scorer, too: half of them before the graph, half behind it."""
_ALIVE: Final = 50
"""Series that are held at once there."""
_EVERY_MS: Final = 300_000
_OPTIONS: Final = ForestOptions(("value",), shingle_size=8)


def run(tell: Callable[[str], None], series: int = SERIES, rows: int = ROWS) -> dict[str, Any]:
    """Scores `series` times `rows` values by the room's graph on Prism, and some by bare krcf and the room's scorer.

    krcf and the scorer run in turns on one core, half of it before the graph and half behind it, since a machine's
    speed changes within minutes. The graph has all series at once; its CPU seconds are those of the worker's process,
    the start of the pipeline included; Prism is another process.

    Args:
        tell: is told what runs.
        series: how many.
        rows: of each.

    Returns:
        Rows a CPU second of the three, their ratios, and the bytes of a snapshot once the forest is full.

    Raises:
        AccountError: the scorer gave other scores than the bare core, or the graph others than the scorer.
    """
    compared = min(series, COMPARED)
    turns = [range(begin, min(begin + _ALIVE, compared)) for begin in range(0, compared, _ALIVE)]
    bare_s, ours_s = 0.0, 0.0
    last: dict[int, float | None] = {}

    def take_turns(which: Sequence[range]) -> None:
        nonlocal bare_s, ours_s
        for seeds in which:
            one_s, other_s, scores = _turn(seeds, rows)
            bare_s, ours_s = bare_s + one_s, ours_s + other_s
            last.update(scores)

    tell(f"{compared:,} series of {rows:,} rows, 100 trees, shingle size 8: krcf and the scorer in turns, one half...")
    take_turns(turns[: len(turns) // 2])
    tell(f"The graph, {series:,} series at once...")
    graph_s = _through_the_graph(series, rows)
    tell("The other half...")
    take_turns(turns[len(turns) // 2 :])
    if any(_last[seed][1] != score for seed, score in last.items()):
        message = "The graph's scores are not, to the last bit, those of the scorer."
        raise AccountError(message, fix="look for what changed in pipelines/analytics/stages.py")
    bare, ours, graph = (compared * rows / bare_s, compared * rows / ours_s, series * rows / graph_s)
    return {
        "series": series,
        "rows": series * rows,
        "compared_series": compared,
        "bare_rows_per_cpu_s": round(bare),
        "ours_rows_per_cpu_s": round(ours),
        "ours_to_bare": ours / bare,
        "graph_rows_per_cpu_s": round(graph),
        "graph_to_bare": graph / bare,
        "snapshot_bytes": _snapshot_bytes(),
    }


def _turn(seeds: Sequence[int], rows: int) -> tuple[float, float, dict[int, float | None]]:
    """CPU seconds of bare krcf and of the scorer for these series, and each one's last score."""
    values = [_values(seed, rows) for seed in seeds]
    batches = [_batch(one) for one in values]
    start = time.process_time()
    expected = _bare(values)
    middle = time.process_time()
    found = _scored([Forests(_OPTIONS).start(str(seed)) for seed in seeds], batches)
    end = time.process_time()
    _same(expected, found)
    return middle - start, end - middle, {seed: scores[-1] for seed, scores in zip(seeds, found, strict=True)}


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
    times = [_EVERY_MS * at for at in range(len(values))]
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
    """What one would write by hand with krcf, fed the distances that ours feeds it."""
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
    """The scores behind the learning phase are krcf's own.

    Raises:
        AccountError: they are not.
    """
    learnt = _OPTIONS.sub_sample_size
    for ours, bare in zip(found, expected, strict=True):
        if ours[learnt:] != bare[learnt:]:
            message = "The scorer's scores are not, to the last bit, those of bare krcf."
            raise AccountError(message, fix="look for what changed in pipelines/analytics/forest.py")


_pages: list[pa.RecordBatch] = []
"""What the graph scores; on Prism the DoFns run in this process, and what they read of it costs nothing."""
_last: dict[int, tuple[int, float]] = {}
"""Series -> event time and score of its last result."""


def _through_the_graph(series: int, rows: int) -> float:
    """CPU seconds of this process for all series through `ScoreRows` on Prism; `_last` has their last scores."""
    _last.clear()
    _pages[:] = [_rows(seed, _values(seed, rows)) for seed in range(series)]

    def build(pipeline: beam.Pipeline) -> None:
        step_ms = _EVERY_MS * -(-rows // BUNDLES)
        scoring = ScoreRows(each_row(["value"]), Forests(_OPTIONS), Lateness(step_ms=step_ms))
        pages = pipeline | beam.Impulse() | beam.FlatMap(_all_pages).with_output_types(pa.RecordBatch)
        scored = pages | scoring
        scored[RESULTS] | "Last" >> beam.Map(_keep_last)

    start = time.process_time()
    run_pipeline(build, HydrantOptions.for_runner("prism"))
    return time.process_time() - start


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
        pa.array([_EVERY_MS * at for at in range(size)], pa.int64()),
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
