"""What a series is between its bundles: what it released, its open windows, its scorer. Pure; `stages` keeps it.

A scorer is anything that takes results in order, adds columns to them, and can be written down and restored.
"""

import struct
from dataclasses import dataclass, field
from typing import Final, Protocol

import numpy as np
import pyarrow as pa

from pipelines.analytics import open_windows
from pipelines.analytics.journal import Entry
from pipelines.analytics.open_windows import Windows
from pipelines.analytics.order import Released
from pipelines.analytics.parts import join, split
from pipelines.analytics.rows import EVENT_MS
from pipelines.analytics.windows import Windowing
from pipelines.kinesis.page import decode_batch, encode_batch

_MARK: Final = struct.Struct(">q")


class Scorer(Protocol):
    """Scores the results of one series, in their order."""

    def score(self, results: pa.RecordBatch) -> pa.RecordBatch:
        """`results` with further columns; the same rows in the same order."""

    def snapshot(self) -> bytes:
        """All that scores to come depend on."""


class Scoring(Protocol):
    """Makes the scorers of series. It can be pickled."""

    def schema(self, results: pa.Schema) -> pa.Schema:
        """The columns of what `Scorer.score` gives for results with the columns `results`."""

    def start(self, series: str) -> Scorer:
        """The scorer of a series that has had no results."""

    def restore(self, series: str, snapshot: bytes) -> Scorer:
        """A scorer that gives, to the last bit, the scores that the one gave that wrote `snapshot`."""


@dataclass(frozen=True)
class Unscored:
    """Results as they are: windows alone. Implements `Scoring` and `Scorer`."""

    def schema(self, results: pa.Schema) -> pa.Schema:
        return results

    def start(self, series: str) -> "Unscored":
        return self

    def restore(self, series: str, snapshot: bytes) -> "Unscored":
        return self

    def score(self, results: pa.RecordBatch) -> pa.RecordBatch:
        return results

    def snapshot(self) -> bytes:
        return b""


@dataclass(slots=True)
class SeriesState:
    """One series.

    Attributes:
        waiting: rows that have not been released, in no order.
        released: up to where, and what.
        windows: the open ones.
        scorer: has had the results so far.
    """

    released: Released
    windows: Windows
    scorer: Scorer
    waiting: list[pa.RecordBatch] = field(default_factory=list)

    @classmethod
    def new(cls, series: str, windowing: Windowing, scoring: Scoring) -> "SeriesState":
        return cls(Released(), open_windows.start(windowing), scoring.start(series))

    def advance(self, series: str, mark_ms: int) -> "Step":
        """Releases what waits from before `mark_ms`, and gives the scored results that follow."""
        rows, doubles = None, 0
        if self.waiting:
            due, rest, doubles = self.released.release(self.waiting, mark_ms)
            self.waiting = [rest] if rest.num_rows else []
            rows = due if due.num_rows else None
        self.released.mark_ms = max(self.released.mark_ms, mark_ms)
        results = self.windows.feed(series, rows, mark_ms)
        return Step(rows, self.scorer.score(results) if results.num_rows else None, doubles)

    def replay(self, series: str, entry: Entry) -> None:
        """Does again what a step did of which `entry` is written down."""
        if entry.late:
            self.released.told(entry.late)
        else:
            self.waiting = [entry.rows] if entry.rows is not None else []
            self.advance(series, entry.mark_ms)

    def early(self, series: str, rows: pa.RecordBatch) -> pa.RecordBatch:
        """What the windows that `rows` are in would hold if nothing followed of what is here; nothing changes."""
        ordered, _, _ = Released().release(self.waiting, _NEVER_MS)
        found = self.windows.early(series, ordered)
        times = np.sort(rows.column(EVENT_MS).to_numpy())
        begins, ends = (found.column(name).to_numpy() for name in ("window_start_ms", "event_ms"))
        return found.filter(pa.array(np.searchsorted(times, begins) < np.searchsorted(times, ends)))

    def pack(self) -> bytes:
        """All of it but what waits, which is kept beside."""
        parts = (self.released.pack(), encode_batch(self.windows.pack()), self.scorer.snapshot())
        return _MARK.pack(self.released.mark_ms) + join(*parts)

    @classmethod
    def unpack(cls, series: str, packed: bytes, windowing: Windowing, scoring: Scoring) -> "SeriesState":
        """The inverse of `pack`."""
        (mark_ms,) = _MARK.unpack_from(packed)
        released, windows, scorer = split(packed[_MARK.size :], 3)
        return cls(
            Released.unpack(mark_ms, released),
            open_windows.restore(windowing, decode_batch(windows)),
            scoring.restore(series, scorer),
        )


@dataclass(frozen=True, slots=True)
class Step:
    """What a step of the watermark gave: rows in order, scored results, and doubles that were left out."""

    rows: pa.RecordBatch | None
    results: pa.RecordBatch | None
    doubles: int


_NEVER_MS: Final = 1 << 62
