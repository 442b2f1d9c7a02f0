"""The room's Beam adapters: the DoFns that `scoring.py` draws its graph from.

Each is a thin shell around a pure part of the room: `rows`, and `state` with `order`, `windows` and a scorer in it.
"""

import struct
import uuid
from collections import OrderedDict
from collections.abc import Iterator
from typing import Any, Final

import apache_beam as beam
import pyarrow as pa
from apache_beam.coders import BytesCoder
from apache_beam.transforms.timeutil import TimeDomain
from apache_beam.transforms.userstate import BagStateSpec, ReadModifyWriteStateSpec, TimerSpec, on_timer
from apache_beam.transforms.window import GlobalWindow
from apache_beam.utils.shared import Shared
from apache_beam.utils.timestamp import Timestamp

from pipelines.analytics.order import NOTHING_RELEASED, Arrival, Lateness, oldest_ms
from pipelines.analytics.rows import RowFormat, by_series, parse_page
from pipelines.analytics.state import Scoring, SeriesState
from pipelines.analytics.windows import Windowing
from pipelines.kinesis.page import ArrowBatchCoder, decode_batch, encode_batch
from pipelines.runtime.metrics import StageMetrics

BAD: Final = "bad"
LATE: Final = "late"
EARLY_RESULTS: Final = "early"
ORDERED: Final = "ordered"

LIVE_SERIES: Final = 1_024
"""So many series' forests a process keeps beside their state, so that they need not be restored for each bundle."""

SNAPSHOT_ROWS: Final = 512
"""A series is written down when so many rows have been released since it was; until then the rows themselves are."""

_HEAD: Final = struct.Struct(">16sqqq")
_MARK: Final = struct.Struct(">q")
_NO_TIMER: Final = 1 << 62
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


class _Held:
    """A series' state as Beam's state holds it: alive until Beam writes it down, at the end of the bundle, then bytes.

    So a series is written down once a bundle, however often it is changed in it.
    """

    def __init__(self, state: SeriesState | None, packed: bytes = b"") -> None:
        self._state = state
        self._packed = packed

    @property
    def is_alive(self) -> bool:
        """Whether the bundle that put it into the state is still under way: what changes will be in it."""
        return self._state is not None

    def pack(self) -> bytes:
        if self._state is not None:
            self._packed, self._state = self._state.pack(), None
        return self._packed


class _HeldCoder(beam.coders.Coder):
    def encode(self, value: _Held) -> bytes:
        return value.pack()

    def decode(self, encoded: bytes) -> _Held:
        return _Held(None, encoded)

    def is_deterministic(self) -> bool:
        return False


class _Live:
    """The series that this process had last, each with the token of the state that it is equal to."""

    def __init__(self) -> None:
        self._of: OrderedDict[str, tuple[bytes, SeriesState]] = OrderedDict()

    def take(self, series: str, token: bytes) -> SeriesState | None:
        """The series, for the caller alone; None when it is not what the state holds."""
        known, state = self._of.pop(series, (b"", None))
        return state if known == token else None

    def give(self, series: str, token: bytes, state: SeriesState) -> None:
        """`state` is equal to the state that carries `token`."""
        self._of[series] = (token, state)
        if len(self._of) > LIVE_SERIES:
            self._of.popitem(last=False)


class SeriesFn(beam.DoFn):
    """(series, rows) -> batches of scored results, in order. LATE, EARLY_RESULTS and ORDERED are further outputs.

    Order, windows and scores are one step, for between steps Beam promises no order. State is a bag of waiting rows, a
    head of 40 bytes, and what the series is between bundles. A forest has most of a megabyte, so it is written down at
    most once a bundle, and only when `SNAPSHOT_ROWS` have been released since it was; in between the released rows are
    written down, and whoever restores the series does with them what was done. One event-time timer stands at the next
    watermark at which there is something to do; an idle series has none: it neither waits for others nor holds them up.

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
    SERIES = ReadModifyWriteStateSpec("series", _HeldCoder())
    SINCE = BagStateSpec("since", BytesCoder())
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
        self._live = self._shared.acquire(_Live)

    def process(
        self,
        element: tuple[str, pa.RecordBatch],
        waiting: Any = beam.DoFn.StateParam(WAITING),
        head: Any = beam.DoFn.StateParam(HEAD),
        snapshot: Any = beam.DoFn.StateParam(SERIES),
        since: Any = beam.DoFn.StateParam(SINCE),
        due: Any = beam.DoFn.TimerParam(DUE),
    ) -> Iterator[Any]:
        """Rows wait; what comes too late is told of."""
        series, rows = element
        self._metrics.records_in.inc(rows.num_rows)
        token, mark_ms, due_ms, logged = _HEAD.unpack(head.read() or _EMPTY)
        oldest = oldest_ms([rows])
        if oldest is None:
            return
        state = self._live.take(series, token)
        if state is None and (self._early or oldest < mark_ms):
            state = self._recall(series, mark_ms, waiting, snapshot, since)
        came = state.released.arrive(rows) if state is not None else Arrival(rows, rows.slice(0, 0), 0)
        self._metrics.dropped.inc(came.doubles)
        if came.late.num_rows:
            self._metrics.failed.inc(came.late.num_rows)
            yield beam.pvalue.TaggedOutput(LATE, came.late)
        if came.waiting.num_rows:
            waiting.add(came.waiting)
            first_ms = oldest_ms([came.waiting])
            assert first_ms is not None
            due_ms = self._set(due, due_ms, first_ms + 1)
            token = uuid.uuid4().bytes
            head.write(_HEAD.pack(token, mark_ms, due_ms, logged))
            if state is not None:
                state.waiting.append(came.waiting)
                if self._early:
                    early = state.early(series, came.waiting)
                    if early.num_rows:
                        yield beam.pvalue.TaggedOutput(EARLY_RESULTS, early)
        if state is not None:
            self._live.give(series, token, state)

    @on_timer(DUE)
    def on_due(
        self,
        series: str = beam.DoFn.KeyParam,
        time: Any = beam.DoFn.TimestampParam,
        waiting: Any = beam.DoFn.StateParam(WAITING),
        head: Any = beam.DoFn.StateParam(HEAD),
        snapshot: Any = beam.DoFn.StateParam(SERIES),
        since: Any = beam.DoFn.StateParam(SINCE),
        due: Any = beam.DoFn.TimerParam(DUE),
    ) -> Iterator[Any]:
        """The watermark is here: rows are released, windows close, results are scored."""
        token, mark_ms, _, logged = _HEAD.unpack(head.read() or _EMPTY)
        state = self._live.take(series, token) or self._recall(series, mark_ms, waiting, snapshot, since)
        mark_ms = self._lateness.mark_ms(time.micros // 1000)
        step = state.advance(series, mark_ms)
        self._metrics.dropped.inc(step.doubles)
        waiting.clear()
        for rows in state.waiting:
            waiting.add(rows)
        logged = self._write_down(state, mark_ms, step.rows, logged, snapshot, since)
        oldest, closing_ms = oldest_ms(state.waiting), state.windows.due_ms()
        wanted = [mark for mark in (oldest + 1 if oldest is not None else None, closing_ms) if mark is not None]
        due_ms = self._set(due, _NO_TIMER, min(wanted)) if wanted else _NO_TIMER
        token = uuid.uuid4().bytes
        head.write(_HEAD.pack(token, state.released.mark_ms, due_ms, logged))
        self._live.give(series, token, state)
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

    def _write_down(
        self, state: SeriesState, mark_ms: int, rows: pa.RecordBatch | None, logged: int, snapshot: Any, since: Any
    ) -> int:
        """Writes down the series, or what was released of it; says how many rows it is ahead of its snapshot."""
        if isinstance(state.held, _Held) and state.held.is_alive:
            return 0
        logged += rows.num_rows if rows is not None else 1
        if logged < SNAPSHOT_ROWS:
            since.add(_MARK.pack(mark_ms) + (encode_batch(rows) if rows is not None else b""))
            return logged
        since.clear()
        state.held = _Held(state)
        snapshot.write(state.held)
        return 0

    def _recall(self, series: str, mark_ms: int, waiting: Any, snapshot: Any, since: Any) -> SeriesState:
        """The series as its state has it: its snapshot, and what was released since."""
        held = snapshot.read()
        if held is None:
            state = SeriesState.new(series, self._windowing, self._scoring)
        else:
            state = SeriesState.unpack(series, held.pack(), self._windowing, self._scoring)
        entries = sorted((_MARK.unpack_from(packed)[0], packed[_MARK.size :]) for packed in since.read())
        for at_ms, rows in entries:
            state.waiting = [decode_batch(rows)] if rows else []
            state.advance(series, at_ms)
        state.released.mark_ms = mark_ms
        state.waiting = list(waiting.read())
        return state


_EMPTY: Final = _HEAD.pack(b"", NOTHING_RELEASED, _NO_TIMER, 0)
