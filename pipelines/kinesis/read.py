"""`ReadFromKinesis`: the Beam adapters of the source. What they adapt is in reader.py, restriction.py, watermark.py."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import apache_beam as beam
import pyarrow as pa
import pyarrow.compute as pc
from apache_beam.transforms.core import RestrictionProvider, WatermarkEstimatorProvider
from apache_beam.transforms.window import TimestampedValue
from apache_beam.utils.shared import Shared
from apache_beam.utils.timestamp import Duration

from pipelines.kinesis import restriction as restrictions
from pipelines.kinesis.cursor import CursorCache
from pipelines.kinesis.positions import StartingPosition
from pipelines.kinesis.reader import Offer, Reader, Wait, start_of
from pipelines.kinesis.restriction import Restriction
from pipelines.kinesis.service import ClientFactory, StreamService, one_attempt_client
from pipelines.kinesis.tracker import StreamRestrictionTracker
from pipelines.kinesis.until import Until, check_until
from pipelines.kinesis.watermark import ArrivalWatermark, Marks, MarksCoder, initial_marks
from pipelines.runtime import aws
from pipelines.runtime.clock import Clock, SystemClock
from pipelines.runtime.metrics import StageMetrics

CALL_BYTES: Final = 8 * 1024 * 1024
CALL_S: Final = 0.5
"""One `process()` call ends after this much data or time: what it output reaches the next stage only then."""

AHEAD_THREADS: Final = 4
"""So many calls of a process can be under way ahead of their pages."""


class ReadFromKinesis(beam.PTransform):
    """Reads a Kinesis data stream: PBegin -> PCollection[pa.RecordBatch], pages of `PAGE_SCHEMA`.

    A page holds records of one shard in sequence order. Every record is output exactly once for each time the
    runner commits what was read, at any checkpoint, across splits and merges of shards.

    Order: pages of a shard are read in order, and a split's children and a merge's child behind their parents when the
    same restriction holds those, which are the shards connected by parentage at start-up and all that follow them.
    When the two parents of a merge are in different restrictions, the one that reads the parent of the smaller id
    reads the child, without waiting for the other parent.

    Event time is the page's earliest arrival time, the watermark the arrival time of the slowest shard less a second;
    idle shards do not hold it back.

    Args:
        stream: name or ARN. Credentials, region and endpoint are those of the AWS SDK's environment variables.
        start: "TRIM_HORIZON", "LATEST" (fixed when the pipeline starts) or a `StartingPosition` (B7).
        until: milliseconds since the epoch (every record that arrived then or before is read), a dict of end sequence
            numbers by shard id, or a `StopFile`; the pipeline ends by itself then. None reads for ever.

    Raises:
        ConfigurationError: `start` or `until` is not one.
    """

    def __init__(self, stream: str, start: str | StartingPosition = "TRIM_HORIZON", until: Until = None) -> None:
        super().__init__()
        self._stream = stream
        self._start = StartingPosition.parse(start)
        self._until = check_until(until)

    def expand(self, pbegin: Any) -> Any:
        return (
            pbegin
            | "Stream" >> beam.Create([self._stream], reshuffle=False)
            | "Pages" >> beam.ParDo(ReadPages(self._start, self._until)).with_output_types(pa.RecordBatch)
        )


class _RestrictionCoder(beam.coders.Coder):
    def encode(self, value: Restriction) -> bytes:
        return restrictions.encode(value)

    def decode(self, encoded: bytes) -> Restriction:
        return restrictions.decode(encoded)

    def is_deterministic(self) -> bool:
        return True


class _Caches:
    """The cursor caches of this process, one a stream, shared by all instances of a DoFn."""

    def __init__(self, make_client: ClientFactory, clock: Clock) -> None:
        self._make_client = make_client
        self._clock = clock
        self._ahead = ThreadPoolExecutor(AHEAD_THREADS, "kinesis-read-ahead")
        self._of: dict[str, CursorCache] = {}

    def of(self, stream: str) -> CursorCache:
        if stream not in self._of:
            service = StreamService(stream, self._make_client())
            self._of.setdefault(stream, CursorCache(service, self._clock, self._ahead))
        return self._of[stream]


class ReadPages(beam.DoFn, RestrictionProvider, WatermarkEstimatorProvider):
    """The splittable DoFn: stream name or ARN -> pages. `ReadFromKinesis` says what it guarantees.

    Args:
        start: where to begin.
        until: where to end.
        make_client: makes the client that reads, on the worker.
        make_listing_client: makes the client that lists shards at start-up; it retries by itself.
        clock: for pauses, LATEST and `until`.
    """

    def __init__(
        self,
        start: StartingPosition,
        until: Until = None,
        *,
        make_client: ClientFactory = one_attempt_client,
        make_listing_client: ClientFactory = lambda: aws.client("kinesis"),
        clock: Clock | None = None,
    ) -> None:
        self._start = start
        self._until = until
        self._make_client = make_client
        self._make_listing_client = make_listing_client
        self._clock = clock or SystemClock()
        self._shared = Shared()
        self._caches: _Caches | None = None
        self._metrics = StageMetrics("source")

    def setup(self) -> None:
        self._caches = self._shared.acquire(lambda: _Caches(self._make_client, self._clock))

    @beam.DoFn.unbounded_per_element()
    def process(
        self,
        element: str,
        tracker: Any = beam.DoFn.RestrictionParam(),
        watermark: Any = beam.DoFn.WatermarkEstimatorParam(),
    ) -> Iterator[TimestampedValue]:
        assert self._caches is not None
        reader = Reader(self._caches.of(element), self._clock, self._until)
        left: Restriction = tracker.current_restriction()
        end_s = self._clock.monotonic_s() + CALL_S
        size = 0
        try:
            while not left.done:
                watermark.live([shard.shard_id for shard in left.readable()])
                step = reader.poll(left)
                if isinstance(step, Offer):
                    if not tracker.try_claim(step.claim):
                        return
                    left = left.after(step.claim)
                    if step.page is not None:
                        size += step.data_bytes
                        yield from self._deliver(step, step.page, watermark)
                self._tell_lag(watermark)
                pause_s = step.seconds if isinstance(step, Wait) else 0.0
                if pause_s > 0 or size >= CALL_BYTES or self._clock.monotonic_s() >= end_s:
                    for shard in left.readable():
                        caught_up_ms = reader.caught_up_ms(shard.shard_id)
                        if caught_up_ms is not None:
                            watermark.caught_up(shard.shard_id, caught_up_ms)
                    tracker.defer_remainder(Duration(micros=round(pause_s * 1_000_000)))
                    return
        finally:
            retries = reader.take_retries()
            if retries:
                self._metrics.retries.inc(retries)
            reader.close(left)

    def _tell_lag(self, watermark: Any) -> None:
        reached_ms = watermark.current_watermark().micros // 1000
        if reached_ms > 0:
            self._metrics.watermark_lag_ms.set(max(0, self._clock.now_ms() - reached_ms))

    def _deliver(self, offer: Offer, page: pa.RecordBatch, watermark: Any) -> Iterator[TimestampedValue]:
        arrival_ms = pc.min_max(page.column("arrival_ms")).as_py()
        yield TimestampedValue(page, watermark.page(offer.claim.shard_id, arrival_ms["min"]))
        watermark.delivered(offer.claim.shard_id, arrival_ms["max"])
        self._metrics.records_out.inc(page.num_rows)
        self._metrics.bytes_out.inc(offer.data_bytes)
        self._metrics.page_records.update(page.num_rows)
        if offer.claim.millis_behind is not None:
            self._metrics.millis_behind.set(offer.claim.millis_behind)

    def initial_restriction(self, element: str) -> Restriction:
        return start_of(StreamService(element, self._make_listing_client()), self._start, self._clock)

    def split(self, element: str, restriction: Restriction) -> Iterator[Restriction]:
        yield from restrictions.split(restriction)

    def create_tracker(self, restriction: Restriction) -> StreamRestrictionTracker:
        return StreamRestrictionTracker(restriction)

    def restriction_size(self, element: str, restriction: Restriction) -> int:
        return restriction.backlog_ms()

    def restriction_coder(self) -> beam.coders.Coder:
        return _RestrictionCoder()

    def initial_estimator_state(self, element: str, restriction: Restriction) -> Marks:
        return initial_marks(restriction)

    def create_watermark_estimator(self, estimator_state: Marks) -> ArrivalWatermark:
        return ArrivalWatermark(estimator_state)

    def estimator_state_coder(self) -> beam.coders.Coder:
        return MarksCoder()
