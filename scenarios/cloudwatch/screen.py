"""What `hydrant run cloudwatch` shows while it runs: each series' latest window, and the anomalies so far."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from rich.console import Group
from rich.table import Table

from pipelines.analytics.explanation import driver
from scenarios.cloudwatch.application import WINDOW_MS
from scenarios.cloudwatch.checks import by_series
from scenarios.cloudwatch.found import detections
from scenarios.cloudwatch.workload import METRICS

_ANOMALIES: Final = 8
_HOUR_MS: Final = 3_600_000


def screen(results: Sequence[Mapping[str, Any]]) -> Group | None:
    """Two tables: a line a series, and a line an anomaly; None before the first window.

    Args:
        results: of the application so far, in any order.
    """
    found = by_series(results)
    if not found:
        return None
    parts = [windows(found), *([anomalies(found)] if any(row["anomaly"] for row in results) else [])]
    return Group(*(line for part in parts for line in ("", part)))


def windows(found: Mapping[str, Sequence[Mapping[str, Any]]]) -> Table:
    """The window that each series was scored in last; a series that has none yet has an empty line."""
    table = _table("Series", "Latest window", "Mean", "Score")
    for name in METRICS:
        rows = found.get(name)
        if rows:
            last = rows[-1]
            table.add_row(name, _when(last["window_start_ms"]), f"{last['mean']:,.4g}", _score(last))
        else:
            table.add_row(name)
    return table


def anomalies(found: Mapping[str, Sequence[Mapping[str, Any]]]) -> Table:
    """The last anomalies, the latest first, so that it stays where a screen is too low for all of them."""
    begun = [
        (detection, row, rows[-1]["window_start_ms"] + WINDOW_MS)
        for rows in found.values()
        for detection, row in zip(detections(rows, ()), (row for row in rows if row["anomaly"]), strict=True)
    ]
    begun.sort(key=lambda entry: (-entry[0].at_ms, entry[1]["series"]))
    shown = begun[:_ANOMALIES]
    which = f"{len(begun):,}" if len(begun) == len(shown) else f"last {len(shown)} of {len(begun):,}"
    table = _table(f"Anomalies: {which}", "Begins", "Mean", "Score", "Driven by", "Lasts")
    for detection, row, known_until_ms in shown:
        column, direction, _ = driver(row["ANOMALY_EXPLANATION"])
        hours = f"{(detection.until_ms - detection.at_ms) / _HOUR_MS:.1f} h"
        lasts = f"{hours} so far" if detection.until_ms == known_until_ms else hours
        when = _when(detection.at_ms)
        table.add_row(row["series"], when, f"{row['mean']:,.4g}", _score(row), f"{column} {direction}", lasts)
    return table


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))  # eighty columns are enough
    for name in columns:
        table.add_column(name, justify="right" if name in {"Mean", "Score"} else "left", no_wrap=True)
    return table


def _when(at_ms: int) -> str:
    return f"{datetime.fromtimestamp(at_ms / 1000, UTC):%d %b %H:%M}"


def _score(row: Mapping[str, Any]) -> str:
    score = row["ANOMALY_SCORE"]
    return "none" if score is None else f"{score:.2f}"
