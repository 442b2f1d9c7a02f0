"""One shard being read by enhanced fan-out (B14): what `Cursor` is for GetRecords.

AWS pushes events over a subscription of at most five minutes. A cursor holds one at a time and makes the next when it
ends, from where the last event led. Two calls for a shard must lie five seconds apart.
"""

import dataclasses
import random
import re
import weakref
from bisect import bisect_left
from collections.abc import Callable
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.kinesis.cursor import FAILURE_BUDGET_S
from pipelines.kinesis.decode import BODY, Answer, decode_answer
from pipelines.kinesis.positions import ShardPosition
from pipelines.kinesis.restriction import ShardInfo
from pipelines.kinesis.service import StreamService
from pipelines.kinesis.subscription import End, Event, Subscriber, Subscription
from pipelines.runtime.clock import Clock
from pipelines.runtime.errors import (
    EndpointDownError,
    HydrantError,
    ServiceFaultError,
    ThrottledError,
    TransientError,
)

POLL_S: Final = 0.05
"""Pause after an event when no other has come: nothing is called then, so it costs little."""
IDLE_POLL_S: Final = 0.25
"""The longest pause of a shard from which nothing comes."""
RESUBSCRIBE_S: Final = 5.0
"""A call within this time of the last successful one is refused (B14)."""
SUBSCRIPTION_S: Final = 290.0
"""A subscription that lasted as long has run its time of five minutes (B14)."""
_IDLE_GROWTH: Final = 1.5
_BACKOFF_S: Final = 0.1
_MAX_BACKOFF_S: Final = 5.0

# Within a JSON string a quotation mark has a backslash before it, so this is found as a member's name alone.
_CONTINUATION: Final = re.compile(rb'"ContinuationSequenceNumber"\s*:\s*"([0-9]+)"')

_NOWHERE: Final = "0"
"""What LocalStack names as continuation until there was a record; it takes no such number back."""


class FanoutCursor:
    """Reads one shard from a position on, by subscriptions. Used by one thread at a time; close it, or drop it.

    What counts is the position: a page not claimed by `move_to` is offered again, and a cursor that is moved
    elsewhere ends its subscription and makes another. A cursor that nobody reads goes on to receive until
    `QUEUE_BYTES` wait, and until its subscription ends at the latest; it makes no other by itself.

    An event says nothing of the time after it was made. So an answer without a page is never `caught_up`: its
    `millis_behind` counts to the present, and `caught_up_ms` says for which time it holds.

    Args:
        service: calls for the stream.
        subscriber: makes the subscriptions.
        shard_id: the shard.
        position: where the next record is.
        clock: for pauses.
    """

    def __init__(
        self, service: StreamService, subscriber: Subscriber, shard_id: str, position: ShardPosition, clock: Clock
    ) -> None:
        self.shard_id: Final = shard_id
        self.ready_s = 0.0
        """Nothing is expected before this `monotonic_s`."""
        self.caught_up_ms: int | None = None
        """A time at which nothing was left in the shard; None after records."""
        self.retries = 0
        """Failed calls and broken subscriptions, since someone set it to 0."""
        self._service = service
        self._subscriber = subscriber
        self._clock = clock
        self._position = position
        self._resume = position
        """Where the next subscription begins: `_position`, or further on, where events without records led."""
        self._answer: Answer | None = None
        self._subscription: Subscription | None = None
        self._end_subscription: Callable[[], Any] = lambda: None
        self._allowed_s = 0.0
        """No call is made before, as it would be refused."""
        self._retry_s = 0.0
        """Nothing is tried before, because of a failure."""
        self._asks = False
        """The last subscription broke off: the shard may be at its end."""
        self._pause_s = 0.0
        self._failures = 0
        self._failing_since_s: float | None = None

    def move_to(self, position: ShardPosition) -> None:
        """Goes to `position`; for nothing when that is within or behind the answer peeked last."""
        if position == self._position:
            return
        answer, self._answer, self._position = self._answer, None, position
        if answer is None or answer.page is None or not _begins_before(answer.page, position):
            self.close()
            self._resume = position
            return
        page = _behind(answer.page, position)
        if page is not None:
            self._answer = _with_page(answer, page)
        elif position.sequence_number == answer.end.sequence_number:
            self._resume = _further(position, answer.next_iterator)
        else:
            self.close()
            self._resume = position

    def peek(self) -> Answer | None:
        """The answer at the position; the same again until `move_to` leaves it. Empty answers are not kept.

        Returns:
            None when nothing has come; it is worth to look again at `ready_s`.

        Raises:
            EndpointDownError: nothing but failures for `FAILURE_BUDGET_S`.
            TerminalError: trying again gives the same.
        """
        if self._answer is not None:
            return self._answer
        answer: Answer | None = None
        while answer is None or (answer.page is None and answer.next_iterator is not None):
            item = self._take()
            if item is None:
                return answer
            if isinstance(item, End):
                self._ended(item)
            else:
                answer = self._answer_of(item) if isinstance(item, Event) else item
        self._pause_s = 0.0
        self.ready_s = self._clock.monotonic_s()
        self._answer = answer
        self.caught_up_ms = None
        if answer.next_iterator is None:
            self.close()
        return answer

    def children(self) -> tuple[ShardInfo, ...] | None:
        """The shards that follow this one, from ListShards; None when the call failed and is made again later."""
        if self._clock.monotonic_s() < self._retry_s:
            return None
        try:
            children = self._service.children(self.shard_id)
        except TransientError as error:
            self._back_off(error)
            return None
        self._recovered()
        return children

    def close(self) -> None:
        """Ends the subscription and its thread; `peek` would make another."""
        if self._subscription is not None:
            self._not_before(self._subscription.opened_s)
            self._end_subscription()
            self._subscription = None

    def _take(self) -> Event | End | Answer | None:
        """What the subscription gave next, or an answer that ends the shard; begins a subscription if there is none."""
        now_s = self._clock.monotonic_s()
        if self._subscription is None:
            if now_s < self._retry_s:
                self.ready_s = self._retry_s
                return None
            if self._asks:
                self._asks = False
                last = self._last_answer()
                if last is not None:
                    return last
            if now_s < self._allowed_s:
                self.ready_s = self._allowed_s
                return None
            self._begin()
        assert self._subscription is not None
        item = self._subscription.take()
        if item is None:
            self._pause_s = min(IDLE_POLL_S, max(POLL_S, self._pause_s * _IDLE_GROWTH))
            self.ready_s = now_s + self._pause_s
        return item

    def _begin(self) -> None:
        subscriber, shard_id, resume = self._subscriber, self.shard_id, self._resume
        subscription = Subscription(lambda: subscriber.subscribe(shard_id, resume), self._clock, f"fan-out {shard_id}")
        self._subscription = subscription
        # Called by `close`, and when the cursor is dropped or the process ends: the thread must not outlive them.
        self._end_subscription = weakref.finalize(self, subscription.close)

    def _ended(self, end: End) -> None:
        self._subscription = None
        self._end_subscription()
        self._not_before(end.opened_s)
        if isinstance(end.error, Exception) and not isinstance(end.error, TransientError):
            raise end.error
        if end.error is None and end.lasted_s >= SUBSCRIPTION_S:
            return
        self._asks = end.opened_s is not None and not isinstance(end.error, ThrottledError | ServiceFaultError)
        early = ServiceFaultError(f"A subscription to {self.shard_id} ended after {end.lasted_s:.0f} s.")
        self._back_off(end.error or early)

    def _last_answer(self) -> Answer | None:
        """The answer of GetRecords where it says that the shard has ended, which LocalStack's events do not."""
        try:
            answer = self._service.get(self.shard_id, self._service.iterator(self.shard_id, self._resume))
        except HydrantError:
            return None  # who may subscribe may not always get; what is wrong, the next subscription shows
        return answer if answer.page is None and answer.next_iterator is None else None

    def _answer_of(self, event: Event) -> Answer:
        self._recovered()
        answer = decode_answer({BODY: event.payload}, self.shard_id)
        found = _CONTINUATION.search(event.payload)
        # Without children named the shard is not at its end, whatever else is missing: GetRecords is asked in the end.
        following = None if answer.children else found[1].decode() if found else _NOWHERE
        behind_ms, now_ms = answer.millis_behind or 0, self._clock.now_ms()
        page = None if answer.page is None else _behind(answer.page, self._position)
        if page is not None:
            age_ms = now_ms - event.received_ms
        else:
            age_ms = now_ms - event.as_of_ms
            self.caught_up_ms = event.as_of_ms if behind_ms == 0 else None
            self._resume = _further(self._resume, following)
        answer = dataclasses.replace(answer, next_iterator=following, millis_behind=max(1, behind_ms + age_ms))
        return _with_page(answer, page)

    def _not_before(self, opened_s: float | None) -> None:
        if opened_s is not None:
            self._allowed_s = opened_s + RESUBSCRIBE_S

    def _recovered(self) -> None:
        self._failures, self._failing_since_s, self._retry_s = 0, None, 0.0

    def _back_off(self, error: TransientError) -> None:
        now_s = self._clock.monotonic_s()
        self.retries += 1
        self._failures += 1
        if isinstance(error, ThrottledError):
            self._failing_since_s = None
        elif self._failing_since_s is None:
            self._failing_since_s = now_s
        elif now_s - self._failing_since_s > FAILURE_BUDGET_S:
            message = f"All subscriptions to {self.shard_id} failed for {FAILURE_BUDGET_S:.0f} s. {error.message}"
            raise EndpointDownError(message, fix=error.fix) from error
        # Full jitter, so that shards that failed together do not come back together.
        limit_s = min(_MAX_BACKOFF_S, _BACKOFF_S * 2 ** min(self._failures, 10))
        self._retry_s = now_s + random.uniform(0, limit_s)
        self.ready_s = self._retry_s


def _further(position: ShardPosition, continuation: str | None) -> ShardPosition:
    """Behind the record or place numbered `continuation`, unless that is before `position`."""
    if continuation is None or continuation == _NOWHERE:
        return position
    return max(position, ShardPosition.after(continuation), key=lambda either: either.order)


def _row(page: pa.RecordBatch, row: int) -> ShardPosition:
    number, sub = page["sequence_number"][row].as_py(), page["sub_sequence_number"][row].as_py()
    return ShardPosition("AT_SEQUENCE_NUMBER", number, sub)


def _begins_before(page: pa.RecordBatch, position: ShardPosition) -> bool:
    return _row(page, 0).order < position.order


def _behind(page: pa.RecordBatch, position: ShardPosition) -> pa.RecordBatch | None:
    """The records of `page` from `position` on: after a renewal a subscription may begin with some that were read."""
    if not _begins_before(page, position):
        return page
    begin = bisect_left(range(page.num_rows), position.order, key=lambda row: _row(page, row).order)
    return page.slice(begin) if begin < page.num_rows else None


def _with_page(answer: Answer, page: pa.RecordBatch | None) -> Answer:
    if page is None:
        return dataclasses.replace(answer, page=None, data_bytes=0)
    if page is answer.page:
        return answer
    data_bytes = pc.sum(pc.binary_length(page.column("data"))).as_py()
    return dataclasses.replace(answer, page=page, data_bytes=data_bytes)
