"""The watermark: the time of arrival or of a record's own field, per shard, the smallest of a restriction's shards."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final

import apache_beam as beam
import orjson
import pyarrow as pa
import pyarrow.compute as pc
from apache_beam.io.iobase import WatermarkEstimator
from apache_beam.utils.timestamp import Timestamp

from pipelines.kinesis.restriction import Restriction
from pipelines.kinesis.until import SLACK_MS
from pipelines.runtime.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class EventTime:
    """Event time taken from the records, in place of the time of their arrival.

    Attributes:
        of: page of `PAGE_SCHEMA` -> one int64 a record, milliseconds since the epoch, or one Arrow timestamp of any
            unit; null where a record has none, and its time of arrival counts. A function of a module, so that it can
            be pickled. It must not raise.
        slack_ms: how far event times may lie behind the latest one of their shard and behind the wall clock without
            being late: the watermark keeps that distance, and an idle shard's advances by the wall clock less it.
        follows_clock: whether it does. False for records of another time, as a replay of last year's: an idle shard
            then holds the watermark at its latest event time until it has ended, and records without a time of their
            own, whose arrival would say nothing, leave it where it is.
    """

    of: Callable[[pa.RecordBatch], pa.Array]
    slack_ms: int = 10_000
    follows_clock: bool = True

    def __post_init__(self) -> None:
        if not callable(self.of):
            message = f"EventTime is given {self.of!r}, which is no function of a page."
            raise ConfigurationError(message, fix="give a function: page -> pyarrow array of milliseconds")
        if not isinstance(self.slack_ms, int) or self.slack_ms < 0:
            message = f"slack_ms={self.slack_ms!r} of EventTime is no number of milliseconds."
            raise ConfigurationError(message, fix="give the milliseconds by which records may be late, e.g. 10_000")

    def times_ms(self, page: pa.RecordBatch) -> pa.Array:
        """The event time of each record of `page`: int64, milliseconds since the epoch; null only in a replay.

        What lies behind its arrival counts as that: else a single record whose clock is wrong would lift its shard's
        watermark, and what follows would be late. A replay's records are not saved by it, as they have just arrived.

        Raises:
            ConfigurationError: `of` gave something else than a time a record.
        """
        times = self.of(page)
        try:
            if not isinstance(times, pa.Array | pa.ChunkedArray) or len(times) != page.num_rows:
                raise TypeError
            if pa.types.is_timestamp(times.type):
                times = times.cast(pa.timestamp("ms", times.type.tz), safe=False)
            times = times.cast(pa.int64())
        except (TypeError, pa.ArrowException) as error:
            kind = getattr(times, "type", type(times).__name__)
            message = f"EventTime.of gave {kind} for a page of {page.num_rows} records."
            fix = "return a pyarrow array of int64 or timestamps, one value or null a record"
            raise ConfigurationError(message, fix=fix) from error
        arrival_ms = page.column("arrival_ms")
        times = pc.coalesce(times, arrival_ms) if self.follows_clock else times
        return pc.min_element_wise(times, arrival_ms, skip_nulls=False)

    def span_ms(self, page: pa.RecordBatch) -> tuple[int, int] | None:
        """The earliest and the latest event time in `page`, None if there is none.

        Raises:
            ConfigurationError: `of` gave something else than a time a record.
        """
        found = pc.min_max(self.times_ms(page)).as_py()
        if found["min"] is None:
            return None
        return found["min"], found["max"]


def _arrival(page: pa.RecordBatch) -> pa.Array:
    return page.column("arrival_ms")


ARRIVAL_TIME: Final = EventTime(_arrival, SLACK_MS)
"""The default. Its slack is there because arrival times run out of order by a little (B9)."""


@dataclass(frozen=True, slots=True)
class Marks:
    """What the estimator knows, as a checkpoint carries it.

    Attributes:
        low_ms: the watermark.
        marks: per shard, the time before which no more records are expected.
        pages: per shard, the timestamp of the page output last.
    """

    low_ms: int = 0
    marks: dict[str, int] = field(default_factory=dict)
    pages: dict[str, int] = field(default_factory=dict)


def initial_marks(restriction: Restriction, *, by_arrival: bool = True) -> Marks:
    """Before anything was read: nothing earlier than an AT_TIMESTAMP start is expected, else anything since 1970.

    It is never "unknown", as runners leave a part that reports no watermark out of the minimum.

    Args:
        restriction: what is to be read.
        by_arrival: event time is arrival time, so that where reading begins says when it begins.
    """
    if not by_arrival:
        return Marks(0, {shard.shard_id: 0 for shard in restriction.readable()})
    marks = {shard.shard_id: max(0, shard.start.timestamp_ms - SLACK_MS) for shard in restriction.readable()}
    return Marks(min(marks.values(), default=0), marks)


class ShardWatermark(WatermarkEstimator):
    """Follows the times of a restriction's shards; monotone.

    A shard's mark is its latest time less the slack. A shard with nothing left to read has the time of the call that
    found so, less the slack, and thus holds nothing back. A page's timestamp is its earliest time, raised where it must
    be so that it is not before the watermark, and is behind the page that preceded it in the shard: no page is late by
    its own source, and pages sorted by time are in shard order.

    Args:
        marks: of `get_estimator_state` or `initial_marks`.
        slack_ms: see `EventTime`.
    """

    def __init__(self, marks: Marks, slack_ms: int = SLACK_MS) -> None:
        self._low_ms = marks.low_ms
        self._marks = dict(marks.marks)
        self._pages = dict(marks.pages)
        self._slack_ms = slack_ms

    def live(self, shard_ids: Iterable[str]) -> None:
        """Which shards are being read; a new one starts at the watermark, an ended one holds nothing back."""
        shard_ids = list(shard_ids)
        self._marks = {shard_id: self._marks.get(shard_id, self._low_ms) for shard_id in shard_ids}
        self._pages = {shard_id: self._pages[shard_id] for shard_id in shard_ids if shard_id in self._pages}

    def page(self, shard_id: str, first_ms: int | None) -> Timestamp:
        """The timestamp of the next page of `shard_id`, whose earliest time is `first_ms`; None where it has none."""
        self.current_watermark()
        first_ms = self._low_ms if first_ms is None else first_ms
        self._pages[shard_id] = max(first_ms, self._pages.get(shard_id, -1) + 1, self._low_ms)
        return _timestamp(self._pages[shard_id])

    def delivered(self, shard_id: str, last_ms: int) -> None:
        """The page was output; `last_ms` is its latest time."""
        self._raise(shard_id, last_ms - self._slack_ms)

    def caught_up(self, shard_id: str, now_ms: int) -> None:
        """A call made at `now_ms` found nothing left in `shard_id`."""
        self._raise(shard_id, now_ms - self._slack_ms)

    def observe_timestamp(self, timestamp: Timestamp) -> None:
        """Beam tells the timestamp of each output; `page` has set it."""

    def current_watermark(self) -> Timestamp:
        if self._marks:
            self._low_ms = max(self._low_ms, min(self._marks.values()))
        return _timestamp(self._low_ms)

    def get_estimator_state(self) -> Marks:
        self.current_watermark()
        return Marks(self._low_ms, dict(self._marks), dict(self._pages))

    def _raise(self, shard_id: str, mark_ms: int) -> None:
        if mark_ms > self._marks.get(shard_id, 0):
            self._marks[shard_id] = mark_ms


class MarksCoder(beam.coders.Coder):
    """Beam coder of `Marks`: JSON."""

    def encode(self, value: Marks) -> bytes:
        return orjson.dumps(value)

    def decode(self, encoded: bytes) -> Marks:
        return Marks(**orjson.loads(encoded))

    def is_deterministic(self) -> bool:
        return False


def _timestamp(ms: int) -> Timestamp:
    return Timestamp(micros=ms * 1000)
