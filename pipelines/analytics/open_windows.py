"""What a series holds of its windows until they close. Pure.

Rows come in the order of their event time, so that a series has one open window at a time, or, where windows slide,
the rows that a window yet to come can reach back to.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import pyarrow as pa

from pipelines.analytics import fold
from pipelines.analytics.rows import EVENT_MS
from pipelines.analytics.windows import (
    EARLY,
    ON_TIME,
    Function,
    Session,
    Sliding,
    SlidingRows,
    Stagger,
    Tumbling,
    Windowing,
)


def start(windowing: Windowing) -> "Windows":
    """The windows of a series that has had no rows."""
    return _PerRow(windowing) if isinstance(windowing.window, Sliding | SlidingRows) else _OneOpen(windowing)


def restore(windowing: Windowing, packed: pa.RecordBatch) -> "Windows":
    """The windows that `Windows.pack` was called on."""
    windows = start(windowing)
    windows.unpack(packed)
    return windows


class Windows:
    """The windows of one series. Rows are fed in order, and never one before the last mark."""

    def __init__(self, windowing: Windowing) -> None:
        self.windowing = windowing

    def feed(self, series: str, rows: pa.RecordBatch | None, mark_ms: int) -> pa.RecordBatch:
        """The results of `rows`, and of windows that end at `mark_ms` or before it, as no row before it will follow."""
        raise NotImplementedError

    def early(self, series: str, rows: pa.RecordBatch) -> pa.RecordBatch:
        """The open windows as they are if no row follows but `rows`; nothing changes. None of windows that slide."""
        raise NotImplementedError

    def due_ms(self) -> int | None:
        """The mark at which there are results without further rows; None when there is no such."""
        raise NotImplementedError

    def pack(self) -> pa.RecordBatch:
        """All that is held."""
        raise NotImplementedError

    def unpack(self, packed: pa.RecordBatch) -> None:
        """Holds what `pack` gave."""
        raise NotImplementedError


@dataclass(slots=True)
class _Open:
    """A window that may get more rows; a number for each column that is aggregated."""

    start_ms: int
    end_ms: int
    records: int
    total: list[float]
    least: list[float]
    most: list[float]
    first: list[float]
    last: list[float]

    @classmethod
    def of(cls, start_ms: int, end_ms: int, numbers: Sequence[np.ndarray]) -> "_Open":
        return cls(
            start_ms,
            end_ms,
            len(numbers[0]),
            [fold.total(column) for column in numbers],
            [fold.least(column) for column in numbers],
            [fold.most(column) for column in numbers],
            [float(column[0]) for column in numbers],
            [float(column[-1]) for column in numbers],
        )

    def with_rows(self, end_ms: int, numbers: Sequence[np.ndarray]) -> "_Open":
        more = _Open.of(self.start_ms, end_ms, numbers)
        totals = [
            fold.total(np.concatenate([[so_far], column])) for so_far, column in zip(self.total, numbers, strict=True)
        ]
        return _Open(
            self.start_ms,
            end_ms,
            self.records + more.records,
            totals,
            [fold.least(pair) for pair in zip(self.least, more.least, strict=True)],
            [fold.most(pair) for pair in zip(self.most, more.most, strict=True)],
            self.first,
            more.last,
        )

    def value(self, function: Function, at: int) -> float:
        match function:
            case "COUNT":
                return float(self.records)
            case "SUM":
                return self.total[at]
            case "AVG":
                return self.total[at] / self.records
            case "MIN":
                return self.least[at]
            case "MAX":
                return self.most[at]
            case "FIRST":
                return self.first[at]
            case "LAST":
                return self.last[at]


_PARTS: Final = ("total", "least", "most", "first", "last")


class _OneOpen(Windows):
    """Tumbling, stagger and session: each row is in one window, and of ordered rows one window is open at a time."""

    def __init__(self, windowing: Windowing) -> None:
        super().__init__(windowing)
        self._open: _Open | None = None

    def feed(self, series: str, rows: pa.RecordBatch | None, mark_ms: int) -> pa.RecordBatch:
        closed = []
        for window in self._windows(rows) if rows is not None else ():
            if self._open is not None and self._open.start_ms != window.start_ms:
                closed.append(self._open)
            self._open = window
        if self._open is not None and self._open.end_ms <= mark_ms:
            closed.append(self._open)
            self._open = None
        return _results(self.windowing, series, closed, ON_TIME)

    def early(self, series: str, rows: pa.RecordBatch) -> pa.RecordBatch:
        found = {} if self._open is None else {self._open.start_ms: self._open}
        found |= {window.start_ms: window for window in self._windows(rows)}
        return _results(self.windowing, series, list(found.values()), EARLY)

    def due_ms(self) -> int | None:
        return None if self._open is None else self._open.end_ms

    def pack(self) -> pa.RecordBatch:
        windows = [] if self._open is None else [self._open]
        arrays = [
            pa.array([getattr(w, name) for w in windows], pa.int64()) for name in ("start_ms", "end_ms", "records")
        ]
        arrays += [pa.array([getattr(w, name) for w in windows], pa.list_(pa.float64())) for name in _PARTS]
        return pa.RecordBatch.from_arrays(arrays, names=["start_ms", "end_ms", "records", *_PARTS])

    def unpack(self, packed: pa.RecordBatch) -> None:
        for members in packed.to_pylist():
            self._open = _Open(**members)

    def _windows(self, rows: pa.RecordBatch) -> Iterator[_Open]:
        """The windows that `rows` are in, each with all of its rows so far; the first may be the open one, extended."""
        if rows.num_rows == 0:
            return
        times = rows.column(EVENT_MS).to_numpy()
        numbers = [rows.column(name).to_numpy() for name in self.windowing.columns]
        held = self._open
        begin = 0
        while begin < len(times):
            extends = held is not None and begin == 0 and times[0] < held.end_ms
            start_ms, end_ms, end = self._span(times, begin, held if extends else None)
            part = [column[begin:end] for column in numbers]
            yield held.with_rows(end_ms, part) if held is not None and extends else _Open.of(start_ms, end_ms, part)
            begin = end

    def _span(self, times: np.ndarray, begin: int, held: _Open | None) -> tuple[int, int, int]:
        """Start and end of the window that row `begin` is in, and the row behind its last."""
        first_ms = int(times[begin])
        match self.windowing.window:
            case Tumbling(size_ms):
                start_ms = first_ms // size_ms * size_ms
                end_ms = start_ms + size_ms
            case Stagger(range_ms):
                start_ms, end_ms = (held.start_ms, held.end_ms) if held else (first_ms, first_ms + range_ms)
            case Session(gap_ms):
                gaps = np.flatnonzero(np.diff(times[begin:]) >= gap_ms)
                end = begin + int(gaps[0]) + 1 if len(gaps) else len(times)
                return held.start_ms if held else first_ms, int(times[end - 1]) + gap_ms, end
            case _:
                raise AssertionError(self.windowing.window)
        return start_ms, end_ms, int(np.searchsorted(times, end_ms, side="left"))


class _PerRow(Windows):
    """Sliding windows: a result for each row, of it and those kept from before; none when rows only leave (C10)."""

    def __init__(self, windowing: Windowing) -> None:
        super().__init__(windowing)
        self._times = np.empty(0, np.int64)
        self._numbers = [np.empty(0, np.float64) for _ in windowing.columns]

    def feed(self, series: str, rows: pa.RecordBatch | None, mark_ms: int) -> pa.RecordBatch:
        if rows is None:
            return _results(self.windowing, series, [], ON_TIME)
        times, numbers, found = self._slide(rows)
        keep = len(times)
        if len(times):
            match self.windowing.window:
                case Sliding(range_ms):  # the next row may be at `mark_ms` at the earliest
                    keep = len(times) - int(np.searchsorted(times, mark_ms - range_ms, side="left"))
                case SlidingRows(preceding):
                    keep = min(preceding, len(times))
        self._times = times[len(times) - keep :].copy()
        self._numbers = [column[len(times) - keep :].copy() for column in numbers]
        return self._results_of(series, rows, found)

    def early(self, series: str, rows: pa.RecordBatch) -> pa.RecordBatch:
        return _results(self.windowing, series, [], EARLY)

    def due_ms(self) -> int | None:
        return None

    def pack(self) -> pa.RecordBatch:
        columns = [pa.array(self._times, pa.int64()), *(pa.array(column, pa.float64()) for column in self._numbers)]
        return pa.RecordBatch.from_arrays(columns, names=[EVENT_MS, *self.windowing.columns])

    def unpack(self, packed: pa.RecordBatch) -> None:
        self._times, *self._numbers = (column.to_numpy() for column in packed.columns)

    def _slide(self, rows: pa.RecordBatch) -> tuple[np.ndarray, list[np.ndarray], "_Slid"]:
        times = np.concatenate([self._times, rows.column(EVENT_MS).to_numpy()])
        numbers = [
            np.concatenate([kept, rows.column(name).to_numpy()])
            for kept, name in zip(self._numbers, self.windowing.columns, strict=True)
        ]
        at = np.arange(len(self._times), len(times))
        match self.windowing.window:
            case Sliding(range_ms):
                begins = np.searchsorted(times, times[at] - range_ms, side="left")
                starts = times[at] - range_ms
            case SlidingRows(preceding):
                begins = np.maximum(at - preceding, 0)
                starts = times[begins]
            case _:
                raise AssertionError(self.windowing.window)
        where = {name: column for name, column in zip(self.windowing.columns, numbers, strict=True)}
        values = [
            fold.slid(aggregate.function, where[aggregate.column], begins, at)
            for aggregate in self.windowing.aggregates
        ]
        return times, numbers, _Slid(times[at], starts, at - begins + 1, values)

    def _results_of(self, series: str, rows: pa.RecordBatch, found: "_Slid") -> pa.RecordBatch:
        columns = [
            pa.repeat(pa.scalar(series, pa.string()), len(found.times)),
            pa.array(found.times, pa.int64()),
            pa.array(found.starts, pa.int64()),
            pa.repeat(pa.scalar(ON_TIME, pa.string()), len(found.times)),
            pa.array(found.records, pa.int64()),
            *(pa.array(column, pa.float64()) for column in found.values),
            *(rows.column(field.name) for field in self.windowing.carried),
        ]
        return pa.RecordBatch.from_arrays(columns, schema=self.windowing.schema)


@dataclass(slots=True)
class _Slid:
    """Of each row: its time, where its window starts, how many rows that has, and the aggregates."""

    times: np.ndarray
    starts: np.ndarray
    records: np.ndarray
    values: list[np.ndarray] = field(default_factory=list)


def _results(windowing: Windowing, series: str, windows: Sequence[_Open], pane: str) -> pa.RecordBatch:
    places = windowing.columns
    columns = [
        pa.repeat(pa.scalar(series, pa.string()), len(windows)),
        pa.array([window.end_ms for window in windows], pa.int64()),
        pa.array([window.start_ms for window in windows], pa.int64()),
        pa.repeat(pa.scalar(pane, pa.string()), len(windows)),
        pa.array([window.records for window in windows], pa.int64()),
        *(
            pa.array([window.value(one.function, places.index(one.column)) for window in windows], pa.float64())
            for one in windowing.aggregates
        ),
        *(pa.array([], field.type) for field in windowing.carried),  # of rows, of which `windows` then has none
    ]
    return pa.RecordBatch.from_arrays(columns, schema=windowing.schema)
