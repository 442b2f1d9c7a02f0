"""One shard being read by enhanced fan-out (B14): what `Cursor` is for GetRecords.

AWS pushes events over a subscription of at most five minutes. A cursor holds one at a time and makes the next when it
ends, from where the last event led. Two calls for a shard must lie five seconds apart.
"""

import dataclasses
import math
import re
import weakref
from bisect import bisect_left
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future
from typing import Any, Final, TypeVar

from pipelines.kinesis.backoff import Backoff
from pipelines.kinesis.cursor import Cursor
from pipelines.kinesis.decode import Answer, decode_body
from pipelines.kinesis.failures import ReadFailure
from pipelines.kinesis.fetch import Fetcher, Shard, with_page
from pipelines.kinesis.lineage import ShardInfo
from pipelines.kinesis.positions import ShardPosition
from pipelines.kinesis.subscriber import Subscriber
from pipelines.kinesis.subscription import End, Event, Subscription
from pipelines.runtime.clock import Clock
from pipelines.runtime.errors import (
    HydrantError,
    NotFoundError,
    ServiceFaultError,
    ThrottledError,
    TransientError,
)

RESUBSCRIBE_S: Final = 5.0
"""A call within this time of the last successful one is refused (B14)."""
SUBSCRIPTION_S: Final = 290.0
"""A subscription that lasted as long has run its time of five minutes (B14)."""
_NOWHERE: Final = "0"
"""What LocalStack names as continuation until there was a record; it takes no such number back."""

# Within a JSON string a quotation mark has a backslash before it, so this is found as a member's name alone.
_CONTINUATION: Final = re.compile(rb'"ContinuationSequenceNumber"\s*:\s*"([0-9]+)"')


_T = TypeVar("_T")


class FanoutCursor:
    """Reads one shard from a position on, by subscriptions. Used by one thread at a time; close it, or drop it.

    What counts is the position: a page not claimed by `move_to` is offered again, and a cursor that is moved
    elsewhere ends its subscription and makes another. A cursor that nobody reads goes on to receive until
    `QUEUE_BYTES` wait, and until its subscription ends at the latest; it makes no other by itself.

    What a subscription that breaks leaves open is asked for once by GetRecords: whether the shard has ended or
    expired, and what an event was that could not be decoded. Its answer is as good as an event.

    Args:
        fetcher: reads the stream.
        subscriber: makes the subscriptions.
        shard: to read from.
        position: where the next record is.
        clock: for pauses.
        executor: makes the calls of GetRecords; None makes them in the caller's thread.
    """

    def __init__(
        self,
        fetcher: Fetcher,
        subscriber: Subscriber,
        shard: Shard,
        position: ShardPosition,
        clock: Clock,
        executor: Executor | None = None,
    ) -> None:
        self.ready_s = 0.0
        self.caught_up_ms: int | None = None
        self.asked_s = 0.0
        """The event peeked last was made after this: nobody asks for an event."""
        self.retries = 0
        self._fetcher = fetcher
        self._subscriber = subscriber
        self._shard = shard
        self._clock = clock
        self._executor = executor
        self._position = position
        self._answer: Answer | None = None
        self._led = ""
        """Where events without records led since `_position`; empty for no further."""
        self._expected: ShardPosition | None = None
        self._subscription: Subscription | None = None
        self._end_subscription: Callable[[], Any] = lambda: None
        self._allowed_s = 0.0
        """No subscription is made before, as it would be refused."""
        self._backoff = Backoff(f"All subscriptions to {shard.shard_id}", clock)
        self._polled: Cursor | None = None
        """Asks by GetRecords what a subscription has left open."""
        self._why: Exception | None = None

    @property
    def held_bytes(self) -> int:
        answer, subscription, polled = self._answer, self._subscription, self._polled
        held = 0 if answer is None or answer.page is None else answer.page.nbytes
        return held + (subscription.size if subscription else 0) + (polled.held_bytes if polled else 0)

    @property
    def pending(self) -> Future[Any] | None:
        """Done when something has come."""
        if self._answer is not None:
            return None
        if self._polled is not None:
            return self._polled.pending
        return None if self._subscription is None else self._subscription.pending()

    def move_to(self, position: ShardPosition) -> None:
        if position == self._position:
            return
        answer, self._answer = self._answer, None
        if answer is None or not answer.reached or answer.end != position:
            self.close()
        self._position, self._led = position, ""

    def peek(self) -> Answer | None:
        if self._answer is not None:
            return self._answer
        answer: Answer | None = None
        while answer is None or not (answer.reached or answer.failures or answer.next_iterator is None):
            following = self._following()
            if following is None:
                return answer
            answer = following
        self._answer = answer
        self.caught_up_ms = None
        if answer.next_iterator is None:
            self.close()
        return answer

    def gap(self) -> tuple[ReadFailure, ...]:
        if self._expected is None or self.caught_up_ms is None:
            return ()
        return (self._fetcher.trimmed(self._shard, self._position),)

    def children(self) -> tuple[ShardInfo, ...] | None:
        return self._listing(lambda: self._fetcher.service.children(self._shard.shard_id))

    def listed(self) -> Sequence[ShardInfo] | None:
        return self._listing(self._fetcher.service.shards)

    def close(self) -> None:
        """Ends the subscription and its thread; `peek` would make another."""
        self._polled = None
        if self._subscription is not None:
            self._not_before(self._subscription.opened_s)
            self._end_subscription()
            self._subscription = None

    def _listing(self, call: Callable[[], _T]) -> _T | None:
        if self._clock.monotonic_s() < self._backoff.until_s:
            return None
        try:
            found = call()
        except TransientError as error:
            self._back_off(error)
            return None
        self._backoff.succeeded()
        return found

    def _following(self) -> Answer | None:
        """What came next, of records or not; None when nothing has."""
        if self._polled is not None:
            return self._ask(self._polled)
        if self._subscription is None:
            now_s = self._clock.monotonic_s()
            self.ready_s = max(self._backoff.until_s, self._allowed_s)
            if now_s < self.ready_s:
                return None
            self._begin()
        assert self._subscription is not None
        item = self._subscription.take()
        if isinstance(item, End):
            self._ended(item)
            return self._following()
        return None if item is None else self._answer_of(item)

    def _begin(self) -> None:
        """Makes a subscription: at a known record, to see that it is still there, or behind where events led."""
        known = self._position if self._position.sequence_number and not self._led else None
        begin = self._position if known is None else ShardPosition.at(known.sequence_number)
        if self._led:
            begin = ShardPosition.after(self._led)
        subscriber, shard_id = self._subscriber, self._shard.shard_id
        subscription = Subscription(lambda: subscriber.subscribe(shard_id, begin), self._clock, f"fan-out {shard_id}")
        self._subscription, self._expected = subscription, known
        # Called by `close`, and when the cursor is dropped or the process ends: the thread must not outlive them.
        self._end_subscription = weakref.finalize(self, subscription.close)

    def _ended(self, end: End) -> None:
        """Waits after an end that is none in good order, and has GetRecords asked why."""
        self.close()
        self._not_before(end.opened_s)
        if end.error is None and end.lasted_s >= SUBSCRIPTION_S:
            return
        error = end.error or ServiceFaultError(f"The subscription ended after {end.lasted_s:.0f} s")
        if isinstance(error, TransientError):
            self._back_off(error)
            asks = end.opened_s is not None and not isinstance(error, ThrottledError)
        elif isinstance(error, NotFoundError):
            asks = True
        else:
            raise error
        if asks:
            self._ask_later(error)

    def _ask_later(self, why: Exception) -> None:
        self._polled = Cursor(self._fetcher, self._shard, self._position, self._clock, self._executor)
        self._why = why

    def _ask(self, polled: Cursor) -> Answer | None:
        """The answer of GetRecords; None when it is not yet time to, or it gives none."""
        if self._clock.monotonic_s() < self._backoff.until_s:
            self.ready_s = self._backoff.until_s
            return None
        try:
            answer = polled.peek()
        except HydrantError:
            if isinstance(self._why, _Spoiled):
                raise
            answer = None  # who may subscribe may not always get; what is wrong, the next subscription shows
        self.retries, polled.retries = self.retries + polled.retries, 0
        if answer is None and (polled.pending is not None or isinstance(self._why, _Spoiled)):
            self.ready_s = polled.ready_s
            return None
        if isinstance(self._why, _Spoiled) and answer is not None and self._says_nothing(answer, polled):
            self.ready_s = polled.ready_s
            return None
        self._polled = None
        if isinstance(self._why, NotFoundError) and (answer is None or answer.next_iterator is not None):
            raise self._why
        if answer is None:
            return self._following()
        self.asked_s, self.caught_up_ms = polled.asked_s, polled.caught_up_ms
        if not answer.reached and isinstance(self._why, _Spoiled) and self._position.passed == math.inf:
            # It was the known record that cannot be decoded: the next subscription begins behind it.
            self._led = self._led or self._position.sequence_number
        return answer

    @staticmethod
    def _says_nothing(answer: Answer, polled: Cursor) -> bool:
        """GetRecords is to be asked again: it gave nothing and is not at the tip, or what it gave waits for a page."""
        if answer.reached or answer.failures or answer.next_iterator is None:
            return False
        return not answer.caught_up or bool(polled.unplaced)

    def _answer_of(self, event: Event) -> Answer | None:
        self._backoff.succeeded()
        answer = decode_body(event.payload, self._shard.shard_id)
        if answer.spoiled is not None:
            self.close()
            self._ask_later(_Spoiled(answer.spoiled.problem))
            return self._following()
        found = _CONTINUATION.search(event.payload)
        # Without children named the shard is not at its end, whatever else is missing: GetRecords is asked in the end.
        following = None if answer.children else found[1].decode() if found else _NOWHERE
        answer = self._unread(dataclasses.replace(answer, next_iterator=following))
        fetched = self._fetcher.judge(answer, self._shard, self._position, self._expected)
        answer, self._expected = fetched.answer, fetched.expected
        self.asked_s = event.as_of_s
        if answer.reached:
            # LocalStack says 0 whatever follows, so only an event without records tells that nothing does.
            return dataclasses.replace(answer, millis_behind=max(1, answer.millis_behind or 0))
        self.caught_up_ms = event.as_of_ms if answer.caught_up else None
        if following is not None and int(following) > int(self._position.sequence_number or _NOWHERE):
            self._led = following
        return answer

    def _unread(self, answer: Answer) -> Answer:
        """`answer` without records that were read, with which a new subscription may begin."""
        page, number = answer.page, self._position.sequence_number
        if page is None or not number:
            return answer
        is_read = self._expected is None and self._position.type == "AFTER_SEQUENCE_NUMBER"
        low, numbers = int(number) + is_read, page.column("sequence_number")
        if int(numbers[0].as_py()) >= low:
            return answer
        rest = with_page(
            answer, page.slice(bisect_left(range(page.num_rows), low, key=lambda row: int(numbers[row].as_py())))
        )
        return rest if rest.page is not None else dataclasses.replace(rest, reached="")

    def _not_before(self, opened_s: float | None) -> None:
        if opened_s is not None:
            self._allowed_s = opened_s + RESUBSCRIBE_S

    def _back_off(self, error: TransientError) -> None:
        self.retries += 1
        self._backoff.failed(error)
        self.ready_s = self._backoff.until_s


class _Spoiled(Exception):
    """An event could not be decoded."""
