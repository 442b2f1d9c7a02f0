"""The room's Beam adapters: the DoFns that `scoring.py` draws its graph from.

Each is a thin shell around a pure part of the room: `rows`, and `state` with `order`, `windows` and a scorer in it.
"""

import uuid
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Final

import apache_beam as beam
import pyarrow as pa
from apache_beam.coders import BytesCoder
from apache_beam.transforms.timeutil import TimeDomain
from apache_beam.transforms.userstate import BagStateSpec, ReadModifyWriteStateSpec, TimerSpec, on_timer
from apache_beam.transforms.window import GlobalWindow
from apache_beam.utils.shared import Shared
from apache_beam.utils.timestamp import Timestamp

from pipelines.analytics.held import NO_TIMER, Alive, AliveSeries, Head, SnapshotCoder
from pipelines.analytics.journal import Entry, Journal
from pipelines.analytics.order import Arrival, Lateness, oldest_ms
from pipelines.analytics.rows import RowFormat, by_series, parse_page
from pipelines.analytics.state import Scoring, SeriesState
from pipelines.analytics.windows import Windowing
from pipelines.kinesis.page import ArrowBatchCoder
from pipelines.runtime.metrics import StageMetrics

BAD: Final = "bad"
LATE: Final = "late"
EARLY_RESULTS: Final = "early"
ORDERED: Final = "ordered"

LIVE_SERIES: Final = 1_024
"""So many series' forests a process keeps beside their state, so that they need not be restored for each bundle."""

_LAST_MS: Final = GlobalWindow().max_timestamp().micros // 1000


class RowsFn(beam.DoFn):
    """Page -> batch of rows of one series or several; BAD: batch of BAD_SCHEMA. Each record is in one of them.

    Args:
        layout: where a record's series, time and numbers are.
    """

    def __init__(self, layout: RowFormat) -> None:
        self._layout = layout
        self._metrics = StageMetrics("rows")

    def process(self, page: pa.RecordBatch) -> Iterator[Any]:
        rows, bad = parse_page(page, self._layout)
        self._metrics.records_in.inc(page.num_rows)
        if rows.num_rows:
            self._metrics.records_out.inc(rows.num_rows)
            yield rows
        if bad.num_rows:
            self._metrics.failed.inc(bad.num_rows)
            yield beam.pvalue.TaggedOutput(BAD, bad)


def keyed(rows: pa.RecordBatch) -> Iterator[tuple[str, pa.RecordBatch]]:
    """A batch of rows as (series, its rows), in their order."""
    return by_series(rows)


class SeriesFn(beam.DoFn):
    """(series, rows) -> batches of scored results, in order. LATE, EARLY_RESULTS and ORDERED are further outputs.

    Order, windows and scores are one step, for between steps Beam promises no order. State is a bag of waiting rows, a
    head of 34 bytes, and what the series is between bundles. A forest has most of a megabyte, so it is written down at
    most once a bundle, and only when its `journal` is long; in between the released rows are written down there, and
    whoever restores the series does with them what was done. One event-time timer stands at the next watermark at
    which there is something to do; an idle series has none: it neither waits for others nor holds them up.

    The state is what counts. What a process keeps of it beside has the token of the head that it is equal to: a bundle
    that failed, or a restart, leaves another, and the series is restored from the state.

    Args:
        lateness: how long rows wait.
        windowing: what is computed of them.
        scoring: what is computed of that.
        early: whether each batch of rows gives an early result of each window it goes into.
        tells_of_order: whether released rows are output, in order.
    """

    WAITING = BagStateSpec("waiting", ArrowBatchCoder())
    HEAD = ReadModifyWriteStateSpec("head", BytesCoder())
    SNAPSHOT = ReadModifyWriteStateSpec("snapshot", SnapshotCoder())
    JOURNAL = BagStateSpec("journal", BytesCoder())
    DUE = TimerSpec("due", TimeDomain.WATERMARK)

    def __init__(
        self,
        lateness: Lateness,
        windowing: Windowing,
        scoring: Scoring,
        *,
        early: bool = False,
        tells_of_order: bool = False,
    ) -> None:
        self._lateness = lateness
        self._windowing = windowing
        self._scoring = scoring
        self._early = early
        self._tells_of_order = tells_of_order
        self._shared = Shared()
        self._metrics = StageMetrics("score")

    def setup(self) -> None:
        self._alive = self._shared.acquire(lambda: AliveSeries(LIVE_SERIES))

    def process(
        self,
        element: tuple[str, pa.RecordBatch],
        waiting: Any = beam.DoFn.StateParam(WAITING),
        head: Any = beam.DoFn.StateParam(HEAD),
        snapshot: Any = beam.DoFn.StateParam(SNAPSHOT),
        journal: Any = beam.DoFn.StateParam(JOURNAL),
        due: Any = beam.DoFn.TimerParam(DUE),
    ) -> Iterator[Any]:
        """Rows wait; what comes too late is told of."""
        series, rows = element
        self._metrics.records_in.inc(rows.num_rows)
        oldest = oldest_ms([rows])
        if oldest is None:
            return
        at = Head.unpack(head.read())
        alive = self._alive.take(series, at.token)
        if alive is None and (self._early or oldest < at.mark_ms):
            alive = self._recall(series, at, waiting, snapshot, journal)
        came = alive.state.released.arrive(rows) if alive is not None else Arrival(rows, rows.slice(0, 0), 0)
        self._metrics.dropped.inc(came.doubles)
        due_ms = at.due_ms
        if came.late.num_rows and alive is not None:
            self._write_down(alive, Entry(at.mark_ms, late=came.digests), snapshot, journal)
            self._metrics.failed.inc(came.late.num_rows)
            yield beam.pvalue.TaggedOutput(LATE, came.late)
        first_ms = oldest_ms([came.waiting])
        if first_ms is not None:
            waiting.add(came.waiting)
            due_ms = self._set(due, due_ms, first_ms + 1)
            if alive is not None:
                alive.state.waiting.append(came.waiting)
                if self._early:
                    early = alive.state.early(series, came.waiting)
                    if early.num_rows:
                        yield beam.pvalue.TaggedOutput(EARLY_RESULTS, early)
        if first_ms is not None or came.late.num_rows:
            at = self._tell(head, replace(at, due_ms=due_ms), alive)
        if alive is not None:
            self._alive.give(series, at.token, alive)

    @on_timer(DUE)
    def on_due(
        self,
        series: str = beam.DoFn.KeyParam,
        time: Any = beam.DoFn.TimestampParam,
        waiting: Any = beam.DoFn.StateParam(WAITING),
        head: Any = beam.DoFn.StateParam(HEAD),
        snapshot: Any = beam.DoFn.StateParam(SNAPSHOT),
        journal: Any = beam.DoFn.StateParam(JOURNAL),
        due: Any = beam.DoFn.TimerParam(DUE),
    ) -> Iterator[Any]:
        """The watermark is here: rows are released, windows close, results are scored."""
        at = Head.unpack(head.read())
        alive = self._alive.take(series, at.token) or self._recall(series, at, waiting, snapshot, journal)
        state = alive.state
        mark_ms = self._lateness.mark_ms(time.micros // 1000)
        step = state.advance(series, mark_ms)
        self._metrics.dropped.inc(step.doubles)
        waiting.clear()
        for rows in state.waiting:
            waiting.add(rows)
        self._write_down(alive, Entry(mark_ms, step.rows), snapshot, journal)
        oldest, closing_ms = oldest_ms(state.waiting), state.windows.due_ms()
        wanted = [mark for mark in (oldest + 1 if oldest is not None else None, closing_ms) if mark is not None]
        due_ms = self._set(due, NO_TIMER, min(wanted)) if wanted else NO_TIMER
        at = self._tell(head, replace(at, mark_ms=state.released.mark_ms, due_ms=due_ms), alive)
        self._alive.give(series, at.token, alive)
        if step.rows is not None and self._tells_of_order:
            yield beam.pvalue.TaggedOutput(ORDERED, step.rows)
        if step.results is not None:
            self._metrics.records_out.inc(step.results.num_rows)
            yield step.results

    def _set(self, due: Any, due_ms: int, mark_ms: int) -> int:
        """Sets the timer for `mark_ms`, unless it stands earlier, at `due_ms`; says where it stands."""
        wanted_ms = min(self._lateness.fire_ms(mark_ms), _LAST_MS)
        if wanted_ms < due_ms:
            due.set(Timestamp(micros=wanted_ms * 1000))
        return min(wanted_ms, due_ms)

    def _write_down(self, alive: Alive, entry: Entry, snapshot: Any, journal: Any) -> None:
        """Writes down the step that `entry` tells of, or the whole series."""
        if alive.is_followed():
            return
        packed = alive.journal.add(entry)
        if packed is not None:
            journal.add(packed)
            return
        journal.clear()
        snapshot.write(alive.snapshot())

    def _tell(self, head: Any, at: Head, alive: Alive | None) -> Head:
        """Writes the head, with another token, since what it is the head of is another."""
        at = replace(at, token=uuid.uuid4().bytes)
        if alive is not None:
            at = replace(at, has_snapshot=alive.has_snapshot, has_journal=not alive.journal.is_empty)
        head.write(at.pack())
        return at

    def _recall(self, series: str, at: Head, waiting: Any, snapshot: Any, journal: Any) -> Alive:
        """The series as its state has it: its snapshot, and what was done since."""
        if at.has_snapshot:
            state = SeriesState.unpack(series, snapshot.read().pack(), self._windowing, self._scoring)
        else:
            state = SeriesState.new(series, self._windowing, self._scoring)
        known, entries = Journal.read(journal.read() if at.has_journal else ())
        for entry in entries:
            state.replay(series, entry)
        state.released.mark_ms = at.mark_ms
        state.waiting = list(waiting.read())
        return Alive(state, known, at.has_snapshot)
