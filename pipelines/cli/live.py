"""The live table of a run: one row a stage, from the pipeline's Beam metrics."""

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Final

from rich.console import Console, RenderableType
from rich.live import Live
from rich.table import Table

Snapshot = Mapping[str, Mapping[str, float]]
"""Stage -> metric -> value, see `runtime.metrics.StageMetrics`."""

ROWS: Final = (
    ("Source", "source"),
    ("Batches", "batch"),
    ("Transform", "transform"),
    ("Convert", "convert"),
    ("Buffer", "buffer"),
    ("Deliver", "deliver"),
    ("Errors", "errors"),
    ("Backup", "backup"),
    ("Rows", "rows"),
    ("Score", "score"),
    ("Put", "put"),
)
_BUFFER_OF: Final = {"batch": "batch", "buffer": "buffer", "errors": "error_buffer", "backup": "backup_buffer"}


_FIRST_LOG_S: Final = 5.0
_LOG_GROWTH: Final = 1.5
_LONGEST_PAUSE_S: Final = 60.0


class Screen:
    """Where the picture of something that goes on stands.

    On a terminal it is drawn anew in its place. Elsewhere, as in the logs of CI and of containers, nothing can be drawn
    anew, and a picture has some thirty lines: it is printed after 5 s, then ever more rarely, each time when half as
    much time again has passed and at least once a minute, and once more at the end.

    Args:
        place: that of the context `live`.
        console: prints.
        is_logged: whether it is printed before the end where it cannot be drawn anew.
    """

    def __init__(self, place: Live, console: Console, *, is_logged: bool) -> None:
        self._place = place
        self._console = console
        self._next_s = _FIRST_LOG_S if is_logged else math.inf
        self._last: Callable[[], RenderableType] | None = None

    def show(self, picture: Callable[[], RenderableType], seconds: float) -> None:
        """Shows how things stand.

        Args:
            picture: makes the picture; is called only when it is shown, now or at the end.
            seconds: since the start.
        """
        if is_redrawn(self._console):
            self._place.update(picture())
            return
        self._last = picture
        if seconds >= self._next_s:
            self._next_s = min(max(seconds * _LOG_GROWTH, seconds + _FIRST_LOG_S), seconds + _LONGEST_PAUSE_S)
            self._console.print(picture())
            self._console.line()

    def end(self) -> None:
        """The last picture is the one that stays."""
        if self._last is not None:
            self._place.update(self._last())


def is_redrawn(console: Console) -> bool:
    """Whether a picture can be drawn over the one before."""
    return console.is_terminal and not console.is_dumb_terminal


@contextmanager
def live(console: Console, *, transient: bool = False, is_logged: bool = False) -> Iterator[Screen]:
    """A place on the screen for a picture that changes, until the context ends; the last one stays.

    Args:
        console: prints.
        transient: whether nothing stays.
        is_logged: see `Screen`.
    """
    try:
        with Live(console=console, refresh_per_second=4, transient=transient) as place:
            screen = Screen(place, console, is_logged=is_logged)
            try:
                yield screen
            finally:
                screen.end()
    finally:
        if not console.is_terminal:
            console.line()  # elsewhere rich ends without one, and what follows would stand on the table's last line


def table(snapshot: Snapshot, *, put: int | None, total: int | None, seconds: float) -> Table:
    """The table of one moment. On Prism a count can be too low: it loses one of two first reports of a metric.

    Args:
        snapshot: the stages' metrics.
        put: records put so far; None when somebody else puts them.
        total: records that will be put.
        seconds: since the start.
    """
    so_far = "" if put is None else f"{put:,} of {total:,} put, "
    behind = _value(snapshot, "source", "millis_behind") / 1000
    lag = _value(snapshot, "source", "watermark_lag_ms") / 1000
    read = _value(snapshot, "source", "records_out")
    rate = read / seconds if seconds else 0.0
    result = Table(
        title=f"{so_far}{seconds:.0f} s, {rate:,.0f}/s, {behind:.1f} s behind, watermark lag {lag:.1f} s",
        title_justify="left",
        box=None,
        pad_edge=False,
        padding=(0, 1, 0, 0),  # eighty columns are enough
    )
    result.add_column("Stage", vertical="bottom", min_width=9)
    for name in ("Records in", "Bytes in", "Records out", "Bytes out", "Buffered", "Objects", "Failed", "Dropped"):
        result.add_column(name.replace(" ", "\n"), justify="right", vertical="bottom", no_wrap=True)
    for title, stage in ROWS:
        if stage not in snapshot and _BUFFER_OF.get(stage, stage) not in snapshot:
            continue
        buffer = _BUFFER_OF.get(stage)
        entered = buffer if stage in {"errors", "backup"} else stage
        held = (_value(snapshot, buffer, "bytes_in") - _value(snapshot, buffer, "bytes_out")) if buffer else None
        result.add_row(
            title,
            _number(_value(snapshot, entered or stage, "records_in")),
            _size(_value(snapshot, entered or stage, "bytes_in")),
            _number(_value(snapshot, stage, "records_out")),
            _size(_value(snapshot, stage, "bytes_out")),
            "" if held is None else _size(max(0, held)),
            _number(_value(snapshot, stage, "objects")),
            _number(_value(snapshot, stage, "failed")),
            _number(_value(snapshot, stage, "dropped")),
        )
    return result


def _value(snapshot: Snapshot, stage: str, metric: str) -> float:
    return snapshot.get(stage, {}).get(metric, 0) or 0


def _number(value: float) -> str:
    return f"{int(value):,}" if value else ""


def _size(value: float) -> str:
    if not value:
        return ""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024 or unit == "GiB":
            return f"{value:,.0f} {unit}" if unit == "B" or value >= 100 else f"{value:.1f} {unit}"
        value /= 1024
    raise AssertionError
