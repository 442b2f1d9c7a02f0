"""The watermark: the time of arrival, per shard, the smallest of a restriction's shards."""

from collections.abc import Iterable
from dataclasses import dataclass, field

import apache_beam as beam
import orjson
from apache_beam.io.iobase import WatermarkEstimator
from apache_beam.utils.timestamp import Timestamp

from pipelines.kinesis.restriction import Restriction
from pipelines.kinesis.until import SLACK_MS


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


def initial_marks(restriction: Restriction) -> Marks:
    """Before anything was read: nothing earlier than an AT_TIMESTAMP start is expected, else anything since 1970.

    It is never "unknown", as runners leave a part that reports no watermark out of the minimum.
    """
    marks = {shard.shard_id: max(0, shard.start.timestamp_ms - SLACK_MS) for shard in restriction.readable()}
    return Marks(min(marks.values(), default=0), marks)


class ArrivalWatermark(WatermarkEstimator):
    """Follows the arrival times of a restriction's shards; monotone.

    A shard's mark is its latest arrival less `SLACK_MS`, because arrival times run out of order by a little (B9). A
    shard with nothing left to read has the time of the call that found so, less the slack, and thus holds nothing
    back. A page's timestamp is its earliest arrival, raised where it must be so that it is neither before the watermark
    nor before the page that preceded it in the shard: no page is late by its own source, and pages sorted by time are
    in shard order.

    Args:
        marks: of `get_estimator_state` or `initial_marks`.
    """

    def __init__(self, marks: Marks) -> None:
        self._low_ms = marks.low_ms
        self._marks = dict(marks.marks)
        self._pages = dict(marks.pages)

    def live(self, shard_ids: Iterable[str]) -> None:
        """Which shards are being read; a new one starts at the watermark, an ended one holds nothing back."""
        shard_ids = list(shard_ids)
        self._marks = {shard_id: self._marks.get(shard_id, self._low_ms) for shard_id in shard_ids}
        self._pages = {shard_id: self._pages.get(shard_id, 0) for shard_id in shard_ids}

    def page(self, shard_id: str, first_ms: int) -> Timestamp:
        """The timestamp of the next page of `shard_id`, whose earliest arrival is `first_ms`."""
        self.current_watermark()
        self._pages[shard_id] = max(first_ms, self._pages.get(shard_id, 0), self._low_ms)
        return _timestamp(self._pages[shard_id])

    def delivered(self, shard_id: str, last_ms: int) -> None:
        """The page was output; `last_ms` is its latest arrival."""
        self._raise(shard_id, last_ms - SLACK_MS)

    def caught_up(self, shard_id: str, now_ms: int) -> None:
        """A call made at `now_ms` found nothing left in `shard_id`."""
        self._raise(shard_id, now_ms - SLACK_MS)

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
