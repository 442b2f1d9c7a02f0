"""`ReadFromKinesis`: the Beam adapters of the source. What they adapt is in reader.py, restriction.py, watermark.py."""

import logging
import math
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final

import apache_beam as beam
import pyarrow as pa
from apache_beam.pvalue import TaggedOutput
from apache_beam.transforms.core import RestrictionProvider, WatermarkEstimatorProvider
from apache_beam.transforms.window import TimestampedValue
from apache_beam.utils.shared import Shared
from apache_beam.utils.timestamp import Duration

from pipelines.kinesis import restriction as restrictions
from pipelines.kinesis.ahead import Ahead
from pipelines.kinesis.cache import CursorCache
from pipelines.kinesis.consumer import consumer_arn
from pipelines.kinesis.cursor import Cursor, ShardCursor
from pipelines.kinesis.fanout import FanoutCursor
from pipelines.kinesis.fetch import EVERYTHING, Fetcher, Shard, Unpacking
from pipelines.kinesis.gate import GateItem
from pipelines.kinesis.idle import IdlePolls
from pipelines.kinesis.pass_gate import PassGate
from pipelines.kinesis.positions import ShardPosition, StartingPosition
from pipelines.kinesis.reader import Offer, Reader, Wait, start_of
from pipelines.kinesis.restriction import Claim, Restriction, ShardRange
from pipelines.kinesis.service import ClientFactory, StreamService, check_stream, one_attempt_client
from pipelines.kinesis.subscriber import Subscriber, subscription_client
from pipelines.kinesis.tracker import StreamRestrictionTracker
from pipelines.kinesis.until import StopFile, Until, check_until
from pipelines.kinesis.watermark import ARRIVAL_TIME, EventTime, Marks, MarksCoder, ShardWatermark, initial_marks
from pipelines.runtime import aws
from pipelines.runtime.clock import Clock, SystemClock
from pipelines.runtime.errors import ConfigurationError, InvalidDataError
from pipelines.runtime.metrics import StageMetrics

CALL_BYTES: Final = 8 * 1024 * 1024
CALL_S: Final = 0.5
"""One `process()` call ends after this much data or time: what it output reaches the next stage only then."""
STOP_LOOK_S: Final = 1.0
"""So often a stop file is looked for while nothing is to be read."""
CALL_THREADS: Final = 10
"""So many calls of a process can be under way at once; the more, the longer they wait for each other's Python."""

PAGES: Final = "pages"
GATED: Final = "gated"
FAILURES: Final = "failures"
"""The outputs of `ReadPages`: pages, encoded `GateItem`s by stream, `ReadFailure`s."""

_log = logging.getLogger(__name__)


class ReadFromKinesis(beam.PTransform):
    """Reads a Kinesis data stream: PBegin -> PCollection[pa.RecordBatch], pages of `PAGE_SCHEMA`.

    A page holds records of one shard in sequence order. Every record is output exactly once for each time the
    runner commits what was read, at any checkpoint, across splits and merges of shards.

    Order: Beam promises none between stages. Within the stage that reads, and so in every DoFn that the runner fuses
    to this transform, the pages of a shard come in their order, and a shard's pages behind all pages of its parents.
    With `desired_num_splits` above 1 that holds for the pages of one restriction; a merge's child whose parents are
    read in two waits in a stateful gate for both to end, and then comes by another stage. Sequence numbers restore the
    order anywhere else: within a shard they grow, and a child's are larger than its parents' (B5, B12).

    Event time is the page's earliest arrival time, the watermark the arrival time of the slowest shard less a second;
    idle shards do not hold it back.

    KPL aggregates come as their user records (B16, B17).

    Args:
        stream: name or ARN. Credentials, region and endpoint are those of the AWS SDK's environment variables.
        start: "TRIM_HORIZON", "LATEST" (fixed when the pipeline starts) or a `StartingPosition` (B7).
        until: milliseconds since the epoch (every record that arrived then or before is read), a dict of end sequence
            numbers by shard id, or a `StopFile`; the pipeline ends by itself then. None reads for ever.
        desired_num_splits: into at most so many restrictions the stream is split at the start, each of whole shards. A
            restriction is read by one worker at a time; what calls it makes, it makes side by side.
        event_time: takes event time from the records; None for the time of arrival.
        consumer: name or ConsumerARN of a registered consumer, to read by enhanced fan-out (B14); a name that is not
            registered is. None reads by GetRecords, which shares a shard's 2 MiB/s with every other reader.
        deaggregate: False leaves KPL aggregates as they are.
        dedup_keys: pages have a last column `dedup_key`, as `RemoveDuplicates` needs it.
        keep_limits: whether reading keeps to AWS's limits of a shard (B8) by waiting, and not by being refused; None
            does so when the endpoint is AWS's own.

    Raises:
        ConfigurationError: an argument is not what it should be.
    """

    def __init__(  # noqa: PLR0913 - all but the first three are seldom named
        self,
        stream: str,
        start: str | StartingPosition = "TRIM_HORIZON",
        until: Until = None,
        *,
        desired_num_splits: int = 1,
        event_time: EventTime | None = None,
        consumer: str | None = None,
        deaggregate: bool = True,
        dedup_keys: bool = False,
        keep_limits: bool | None = None,
    ) -> None:
        super().__init__()
        check_stream(stream)
        if not isinstance(desired_num_splits, int) or desired_num_splits < 1:
            message = f"desired_num_splits={desired_num_splits!r} leaves nothing that could be read."
            raise ConfigurationError(message, fix="give 1 or more")
        if event_time is not None and not isinstance(event_time, EventTime):
            message = f"event_time={event_time!r} is no EventTime."
            raise ConfigurationError(message, fix="give EventTime(of=function of a page, slack_ms=...)")
        if consumer is not None and not (isinstance(consumer, str) and consumer):
            message = f"consumer={consumer!r} is no consumer's name or ARN."
            raise ConfigurationError(message, fix="give its name, its ConsumerARN, or None")
        if dedup_keys and not deaggregate:
            message = "dedup_keys are in KPL aggregates, which deaggregate=False leaves as they are."
            raise ConfigurationError(message, fix="leave deaggregate out")
        self._stream = stream
        self._dofn = ReadPages(
            StartingPosition.parse(start),
            check_until(until),
            ReadOptions(
                desired_num_splits,
                event_time or ARRIVAL_TIME,
                consumer,
                Unpacking(deaggregate, dedup_keys),
                keep_limits,
            ),
        )
        self._gates = desired_num_splits > 1
        self._handles_failures = False

    def with_exception_handling(self) -> "ReadFromKinesis":
        """What cannot be read is no error: the output becomes (pages, PCollection[ReadFailure]).

        Without it an answer that cannot be decoded fails the pipeline. Records lost to retention are logged either way.
        """
        self._handles_failures = True
        self._dofn.outputs_failures = True
        return self

    def expand(self, pbegin: Any) -> Any:
        read = (
            pbegin
            | "Stream" >> beam.Create([self._stream], reshuffle=False)
            | "Pages" >> beam.ParDo(self._dofn).with_output_types(pa.RecordBatch).with_outputs(
                GATED, FAILURES, main=PAGES
            )
        )  # fmt: skip
        pages = read[PAGES]
        if self._gates:
            released = read[GATED] | "Gate" >> PassGate()
            pages = (pages, released) | "All" >> beam.Flatten()
        if self._handles_failures:
            return pages, read[FAILURES]
        return pages


class _RestrictionCoder(beam.coders.Coder):
    def encode(self, value: Restriction) -> bytes:
        return restrictions.encode(value)

    def decode(self, encoded: bytes) -> Restriction:
        return restrictions.decode(encoded)

    def is_deterministic(self) -> bool:
        return True


class _Caches:
    """The cursor caches of this process, one a stream, shared by all instances of a DoFn."""

    def __init__(self, make_cache: Callable[[str, ThreadPoolExecutor], CursorCache]) -> None:
        self._make_cache = make_cache
        self._calls = ThreadPoolExecutor(CALL_THREADS, "kinesis-call")
        self._of: dict[str, CursorCache] = {}
        self._lock = threading.Lock()

    def of(self, stream: str) -> CursorCache:
        with self._lock:
            if stream not in self._of:
                self._of[stream] = self._make_cache(stream, self._calls)
            return self._of[stream]


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """How a stream is read; the members are arguments of `ReadFromKinesis`."""

    desired_num_splits: int = 1
    event_time: EventTime = ARRIVAL_TIME
    consumer: str | None = None
    unpacking: Unpacking = EVERYTHING
    keep_limits: bool | None = None


_DEFAULT: Final = ReadOptions()


class ReadPages(beam.DoFn, RestrictionProvider, WatermarkEstimatorProvider):
    """The splittable DoFn: stream name or ARN -> pages. `ReadFromKinesis` says what it guarantees.

    Args:
        start: where to begin.
        until: where to end.
        options: how to read.
        make_client: makes the client that reads, on the worker.
        make_listing_client: makes the client that lists shards at start-up; it retries by itself.
        clock: for pauses, LATEST and `until`.
    """

    def __init__(
        self,
        start: StartingPosition,
        until: Until = None,
        options: ReadOptions = _DEFAULT,
        *,
        make_client: ClientFactory = one_attempt_client,
        make_listing_client: ClientFactory = lambda: aws.client("kinesis"),
        clock: Clock | None = None,
    ) -> None:
        self.outputs_failures = False
        """Whether an answer that cannot be decoded is output, and not an error."""
        self._start = start
        self._until = until
        self._options = options
        self._make_client = make_client
        self._make_listing_client = make_listing_client
        self._clock = clock or SystemClock()
        self._longest_pause_s = STOP_LOOK_S if isinstance(until, StopFile) else math.inf
        self._shared = Shared()
        self._caches: _Caches | None = None
        self._metrics = StageMetrics("source")

    def setup(self) -> None:
        self._caches = self._shared.acquire(lambda: _Caches(self._make_cache))

    @beam.DoFn.unbounded_per_element()
    def process(
        self,
        element: str,
        tracker: Any = beam.DoFn.RestrictionParam(),
        watermark: Any = beam.DoFn.WatermarkEstimatorParam(),
    ) -> Iterator[Any]:
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
                    shard = left.find(step.claim.shard_id)
                    assert shard is not None
                    if not tracker.try_claim(step.claim):
                        # The runner has handed shards over: what it left here goes on in the next call.
                        tracker.defer_remainder()
                        return
                    # What was handed over before the claim is not near it: a merge's child must not wait for it here.
                    left = self._still_here(left, tracker).after(step.claim)
                    size += step.claim.data_bytes
                    yield from self._deliver(element, shard, left, step, watermark)
                    left = self._still_here(left, tracker)
                if self._options.event_time.follows_clock:
                    self._tell_lag(watermark)
                pause_s = min(step.seconds, self._longest_pause_s) if isinstance(step, Wait) else 0.0
                if pause_s > 0 or size >= CALL_BYTES or self._clock.monotonic_s() >= end_s:
                    for shard in left.readable():
                        caught_up_ms = reader.caught_up_ms(shard.shard_id)
                        if caught_up_ms is not None and self._options.event_time.follows_clock:
                            watermark.caught_up(shard.shard_id, caught_up_ms)
                    tracker.defer_remainder(Duration(micros=round(pause_s * 1_000_000)))
                    return
        finally:
            retries = reader.take_retries()
            if retries:
                self._metrics.retries.inc(retries)
            reader.close(left)

    def _still_here(self, left: Restriction, tracker: Any) -> Restriction:
        if self._options.desired_num_splits == 1:
            return left
        here = {shard.shard_id for shard in tracker.current_restriction().shards}
        return left if here.issuperset(shard.shard_id for shard in left.shards) else left.only(here)

    def _tell_lag(self, watermark: Any) -> None:
        reached_ms = watermark.current_watermark().micros // 1000
        if reached_ms > 0:
            self._metrics.watermark_lag_ms.set(max(0, self._clock.now_ms() - reached_ms))

    def _deliver(
        self, stream: str, shard: ShardRange, left: Restriction, offer: Offer, watermark: Any
    ) -> Iterator[Any]:
        now = watermark.current_watermark()
        for failure in offer.failures:
            self._metrics.read_failures.inc()
            _log.warning("%s", failure.message)
            if self.outputs_failures:
                yield TaggedOutput(FAILURES, TimestampedValue(failure, now))
            elif not failure.is_gap:
                raise InvalidDataError(failure.message, fix="take the failures, too: .with_exception_handling()")
        timestamp, page, span_ms = now, offer.page, None
        if page is not None:
            span_ms = self._options.event_time.span_ms(page)
            timestamp = watermark.page(shard.shard_id, span_ms[0] if span_ms else None)
        if page is not None and (self._options.desired_num_splits == 1 or not shard.gated):
            yield TimestampedValue(page, timestamp)
        if self._options.desired_num_splits > 1:
            # Behind the page: that the shard has ended may let its children's pages pass.
            item = _gate_item(shard, left, offer, timestamp.micros // 1000)
            if item is not None:
                yield TaggedOutput(GATED, TimestampedValue((stream, item.encode()), timestamp))
        if page is None:
            return
        if span_ms is not None:
            watermark.delivered(shard.shard_id, span_ms[1])
        self._metrics.records_out.inc(page.num_rows)
        self._metrics.bytes_out.inc(offer.claim.data_bytes)
        self._metrics.page_records.update(page.num_rows)
        if offer.claim.millis_behind is not None:
            self._metrics.millis_behind.set(offer.claim.millis_behind)

    def _make_cache(self, stream: str, calls: ThreadPoolExecutor) -> CursorCache:
        service = StreamService(stream, self._make_client(), renew=self._make_client, clock=self._clock)
        fetcher = Fetcher(service, self._options.unpacking)
        limited = service.is_on_aws if self._options.keep_limits is None else self._options.keep_limits

        idle, ahead = IdlePolls(), Ahead()

        def make(shard: Shard, position: ShardPosition) -> ShardCursor:
            return Cursor(fetcher, shard, position, self._clock, calls, limited=limited, idle=idle, ahead=ahead)

        if self._options.consumer is None:
            return CursorCache(make, ahead)
        arn = consumer_arn(self._make_listing_client(), stream, self._options.consumer, self._clock)
        subscriber = Subscriber(arn, subscription_client, self._clock)

        def make_fanout(shard: Shard, position: ShardPosition) -> ShardCursor:
            return FanoutCursor(fetcher, subscriber, shard, position, self._clock, calls)

        return CursorCache(make_fanout)

    def initial_restriction(self, element: str) -> Restriction:
        return start_of(StreamService(element, self._make_listing_client()), self._start, self._clock)

    def split(self, element: str, restriction: Restriction) -> Iterator[Restriction]:
        yield from restrictions.split(restriction, self._options.desired_num_splits)

    def truncate(self, element: str, restriction: Restriction) -> Restriction | None:
        """For a drain: what has an end that is known is read to it, anything else stays in the stream."""
        bounded = Restriction(tuple(shard for shard in restriction.shards if shard.stop is not None))
        return bounded if bounded.shards else None

    def create_tracker(self, restriction: Restriction) -> StreamRestrictionTracker:
        return StreamRestrictionTracker(restriction, splittable=self._options.desired_num_splits > 1)

    def restriction_size(self, element: str, restriction: Restriction) -> int:
        return restriction.backlog_bytes()

    def restriction_coder(self) -> beam.coders.Coder:
        return _RestrictionCoder()

    def initial_estimator_state(self, element: str, restriction: Restriction) -> Marks:
        return initial_marks(restriction, by_arrival=self._options.event_time == ARRIVAL_TIME)

    def create_watermark_estimator(self, estimator_state: Marks) -> ShardWatermark:
        return ShardWatermark(estimator_state, self._options.event_time.slack_ms)

    def estimator_state_coder(self) -> beam.coders.Coder:
        return MarksCoder()


def _gate_item(shard: ShardRange, left: Restriction, offer: Offer, timestamp_ms: int) -> GateItem | None:
    """What the gate has to know of a claim: all of a gated shard, and the end of a shard that gated ones may wait for.

    Args:
        shard: as it was before the claim.
        left: what is left behind it.
        offer: what was claimed.
        timestamp_ms: of the page.
    """
    claim: Claim = offer.claim
    after = left.find(shard.shard_id)
    ends = offer.drained and (after is None or after.done)
    if not shard.gated:
        children = [left.find(child.shard_id) for child in claim.children]
        is_known = bool(children) and all(child is not None and not child.gated for child in children)
        if not ends or (is_known and offer.gone is None):
            return None
    return GateItem(
        shard.shard_id,
        shard.start.sequence_number,
        claim.position.sequence_number if claim.position else shard.start.sequence_number,
        shard.gated,
        ends,
        tuple((child.shard_id, child.parents) for child in claim.children),
        timestamp_ms,
        offer.page if shard.gated else None,
        offer.gone,
    )
