"""What the application must have given, computed another way: pandas for the windows, the bare core for the scores."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final

import krcf
import pandas as pd

from pipelines.firehose.ledger import RecordId
from scenarios.cloudwatch.application import FOREST, WINDOW_MS
from scenarios.cloudwatch.workload import Value

_MOST: Final = 3


def place(row: Mapping[str, Any]) -> RecordId:
    """Which record a kept row is of."""
    return row["shard_id"], row["sequence_number"], row["sub_sequence_number"]


def account(put: Sequence[RecordId], outputs: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[str]:
    """What is wrong with where the records ended: each must be in exactly one of the outputs.

    Args:
        put: all records of the stream.
        outputs: the rows of `ordered`, `late` and `bad`.
    """
    times = Counter(place(row) for rows in outputs.values() for row in rows)
    lost = [record for record in put if record not in times]
    doubled = [record for record, count in times.items() if count > 1]
    problems = [f"{len(lost):,} records are in no output of the application"] if lost else []
    problems += [f"{len(doubled):,} records are in more than one"] if doubled else []
    return problems


def dropped(put: Sequence[RecordId], read: Sequence[int]) -> tuple[int, list[str]]:
    """How many records were dropped since they had come before, and what is wrong.

    Each record is in one output, once, as `account` sees to. So what was read beyond what was put was dropped.

    Args:
        put: all records of the stream.
        read: how many records each page had that the application read.
    """
    more = sum(read) - len(put)
    return max(0, more), [f"{-more:,} records were never read"] if more < 0 else []


def wrongly_late(late: Sequence[Mapping[str, Any]], values: Sequence[Value]) -> list[str]:
    """Rows that count as late though they were put in time."""
    meant = {(value.metric, value.at_ms) for value in values if value.late}
    wrong = [row for row in late if (row["series"], row["event_ms"]) not in meant]
    return [f"{len(wrong):,} records count as late that were put within the allowed lateness"] if wrong else []


def windows(ordered: Sequence[Mapping[str, Any]], results: Sequence[Mapping[str, Any]]) -> list[str]:
    """Windows that pandas computes otherwise from the same rows, or that are missing or doubled."""
    rows = pd.DataFrame([(row["series"], row["event_ms"], row["value"]) for row in ordered], columns=["s", "at", "v"])
    rows["start"] = rows["at"] // WINDOW_MS * WINDOW_MS
    expected = rows.groupby(["s", "start"])["v"].agg(["count", "mean", "max"])
    ours = {(row["series"], row["window_start_ms"]): row for row in results}
    wrong = [] if len(ours) == len(results) else [f"{len(results) - len(ours):,} windows came more than once"]
    differing = []
    for key, count, mean, most in expected.itertuples(name=None):
        row = ours.get(key)
        if row is None or not _same(row, count, mean, most):
            differing.append(f"window {key[1]} of {key[0]} is {row}, and by pandas {count} records, mean {mean}")
    if len(ours) > len(expected):
        wrong.append(f"{len(ours) - len(expected):,} windows are of no row")
    return [*wrong, *differing[:_MOST], *([f"and {len(differing) - _MOST} more"] if len(differing) > _MOST else [])]


def _same(row: Mapping[str, Any], count: int, mean: float, most: float) -> bool:
    same = row["records"] == count and row["most"] == most
    return same and math.isclose(row["mean"], mean, rel_tol=1e-9, abs_tol=1e-9)


def scores(results: Sequence[Mapping[str, Any]]) -> list[str]:
    """Series whose scores are not, to the last bit, those of the bare core, fed with the windows in their order."""
    wrong = []
    for series, rows in by_series(results).items():
        options: Any = {
            "dimensions": len(FOREST.columns),
            "shingle_size": FOREST.shingle_size,
            "num_trees": FOREST.number_of_trees,
            "sample_size": FOREST.sub_sample_size,
            "output_after": FOREST.sub_sample_size - FOREST.shingle_size + 1,
            "random_seed": FOREST.seed,
            "lambda": 1.0 / FOREST.time_decay,
        }
        forest = krcf.RandomCutForest(options)
        first = [rows[0][name] for name in FOREST.columns]
        for seen, row in enumerate(rows):
            point = [row[name] - zero for name, zero in zip(FOREST.columns, first, strict=True)]
            expected = forest.score(point) if seen >= FOREST.sub_sample_size else 0.0
            forest.update(point)
            if row["ANOMALY_SCORE"] != expected:
                wrong.append(f"{series}: window {row['window_start_ms']} scores {row['ANOMALY_SCORE']}, not {expected}")
                break
    return wrong


def by_series(results: Sequence[Mapping[str, Any]]) -> dict[str, list[Mapping[str, Any]]]:
    """The results of each series by window."""
    found: dict[str, list[Mapping[str, Any]]] = {}
    for row in sorted(results, key=lambda row: (row["series"], row["window_start_ms"])):
        found.setdefault(row["series"], []).append(row)
    return found
