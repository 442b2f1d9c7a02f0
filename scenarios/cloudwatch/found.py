"""What the application found, by series: detections beside the labelled windows."""

from collections.abc import Mapping, Sequence
from typing import Any

from pipelines.analytics.explanation import driver
from pipelines.analytics.findings import Detection, Findings, Scored, ScoredSeries
from scenarios.cloudwatch.application import WINDOW_MS
from scenarios.cloudwatch.checks import by_series
from scenarios.cloudwatch.workload import METRICS, labels


def findings(results: Sequence[Mapping[str, Any]]) -> Findings:
    """All series with their windows, labels and detections."""
    found = by_series(results)
    known = labels()
    return Findings(
        "Anomalies by event time",
        "Eight CloudWatch metrics, each moved by whole days so that all begin together. Half an hour is a window; a "
        "mark is where an anomaly began, at the value and at its score.",
        [series(name, found.get(name, []), known[name]) for name in METRICS],
    )


def series(name: str, rows: Sequence[Mapping[str, Any]], known: Sequence[tuple[int, int]]) -> ScoredSeries:
    """One series; `rows` are its results in order."""
    windows = [Scored(row["window_start_ms"], row["mean"], row["ANOMALY_SCORE"], row["threshold"]) for row in rows]
    return ScoredSeries(name, windows, known, list(detections(rows, known)))


def detections(rows: Sequence[Mapping[str, Any]], known: Sequence[tuple[int, int]]) -> list[Detection]:
    """Where anomalies began, one a row with an anomaly; each lasts while scores stay above what it exceeded."""
    found: list[Detection] = []
    for at, row in enumerate(rows):
        if not row["anomaly"]:
            continue
        end = at
        while end + 1 < len(rows) and (rows[end + 1]["ANOMALY_SCORE"] or 0.0) > row["threshold"]:
            end += 1
        begin_ms, end_ms = row["window_start_ms"], rows[end]["window_start_ms"] + WINDOW_MS
        labelled = any(is_inside(begin_ms, label) for label in known)
        found.append(Detection(begin_ms, end_ms, said(row), labelled))
    return found


def is_inside(begin_ms: int, label: tuple[int, int]) -> bool:
    """Whether an anomaly that begins at `begin_ms` counts for `label`, both of whose ends belong to it.

    As in NAB, where it begins is what counts: one that begins before the label and lasts into it has not hit it.
    """
    first_ms, last_ms = label
    return first_ms <= begin_ms <= last_ms


def said(row: Mapping[str, Any]) -> str:
    """What drove the score of a result."""
    column, direction, share = driver(row["ANOMALY_EXPLANATION"])
    score = row["ANOMALY_SCORE"]
    return f"score {score:.2f}, {column} {direction} ({100 * share / (score or 1):.0f} % of it)"
