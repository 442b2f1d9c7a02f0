"""One shard being read: its iterator, the answer not yet claimed, pauses and back-off.

A cursor is a cache. What counts is the position in the restriction: a cursor that stands elsewhere starts again from
there, and an answer that nobody claimed is simply offered again.
"""

import random
import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Final, TypeVar

from pipelines.kinesis.decode import Answer
from pipelines.kinesis.positions import ShardPosition
from pipelines.kinesis.restriction import ShardInfo
from pipelines.kinesis.service import StreamService
from pipelines.runtime.clock import Clock
from pipelines.runtime.errors import EndpointDownError, ExpiredIteratorError, ThrottledError, TransientError

POLL_S: Final = 0.2
"""Pause after an answer that reached the shard's tip: five reads a second are a shard's limit (B8)."""
IDLE_POLL_S: Final = 1.0
"""The longest pause of a shard in which nothing happens."""
FAILURE_BUDGET_S: Final = 30.0
"""Calls that do nothing but fail for this long end the pipeline; throttling does not."""
_IDLE_GROWTH: Final = 1.5
_BACKOFF_S: Final = 0.1
_MAX_BACKOFF_S: Final = 5.0

_T = TypeVar("_T")


class Cursor:
    """Reads one shard from a position on. Used by one thread at a time.

    While a page is worked on, the next one is fetched, unless the shard's tip was reached. Who does not come for it
    has lost nothing but a call.

    Args:
        service: calls for the stream.
        shard_id: the shard.
        position: where the next record is.
        clock: for pauses.
        ahead: makes the calls ahead; None for none.
    """

    def __init__(
        self,
        service: StreamService,
        shard_id: str,
        position: ShardPosition,
        clock: Clock,
        ahead: Executor | None = None,
    ) -> None:
        self.shard_id: Final = shard_id
        self.ready_s = 0.0
        """No records are asked for before this `monotonic_s`."""
        self.caught_up_ms: int | None = None
        """When the call was made that last found nothing at the shard's tip; None after records."""
        self.retries = 0
        """Failed calls that are made again, since someone set it to 0."""
        self._service = service
        self._clock = clock
        self._position = position
        self._iterator: str | None = None
        self._answer: Answer | None = None
        self._executor = ahead
        self._ahead: Future[Answer] | None = None
        """What follows the answer peeked last, fetched before it is asked for."""
        self._pause_s = 0.0
        self._failures = 0
        self._failing_since_s: float | None = None

    def move_to(self, position: ShardPosition) -> None:
        """Goes to `position`; for nothing when that is behind the answer peeked last, else by a new iterator."""
        if position == self._position:
            return
        answer, self._answer = self._answer, None
        if answer is not None and answer.page is not None and answer.end == position:
            self._iterator = answer.next_iterator
        else:
            self._iterator = self._ahead = None
        self._position = position

    def peek(self) -> Answer | None:
        """The answer at the position; the same again until `move_to` leaves it. Empty answers are not kept.

        Returns:
            None when it is not yet time to call, or the call failed and is made again later (`ready_s`).

        Raises:
            EndpointDownError: all calls of the last `FAILURE_BUDGET_S` failed.
            TerminalError: trying again gives the same.
        """
        if self._answer is None and self._clock.monotonic_s() >= self.ready_s:
            now_ms = self._clock.now_ms()
            answer = self._attempt(self._fetch)
            if answer is None:
                return None
            if answer.page is None and answer.next_iterator is not None:
                self._iterator = answer.next_iterator
                self._rest(answer, now_ms)
                return answer
            self._answer = answer
            self._rest(answer, now_ms)
            self._look_ahead(answer)
        return self._answer

    def children(self) -> tuple[ShardInfo, ...] | None:
        """The shards that follow this one, from ListShards; None when the call failed and is made again later."""
        if self._failures and self._clock.monotonic_s() < self.ready_s:
            return None
        return self._attempt(lambda: self._service.children(self.shard_id))

    def _fetch(self) -> Answer:
        ahead, self._ahead = self._ahead, None
        if self._iterator is not None:
            try:
                if ahead is not None:
                    answer = ahead.result()
                    if answer.page is not None and not answer.caught_up:
                        return answer
                    # That nothing more was there when the call was made ahead says nothing of now.
                return self._service.get(self.shard_id, self._iterator)
            except ExpiredIteratorError:
                self.retries += 1
        self._iterator = self._service.iterator(self.shard_id, self._position)
        return self._service.get(self.shard_id, self._iterator)

    def _look_ahead(self, answer: Answer) -> None:
        if self._executor is not None and answer.next_iterator is not None and answer.millis_behind:
            self._ahead = self._executor.submit(self._service.get, self.shard_id, answer.next_iterator)

    def _rest(self, answer: Answer, now_ms: int) -> None:
        self.caught_up_ms = now_ms if answer.caught_up and answer.page is None else None
        if not answer.caught_up:
            self._pause_s = 0.0
        elif answer.page is not None:
            self._pause_s = POLL_S
        else:
            self._pause_s = min(IDLE_POLL_S, max(POLL_S, self._pause_s * _IDLE_GROWTH))
        self.ready_s = self._clock.monotonic_s() + self._pause_s

    def _attempt(self, call: Callable[[], _T]) -> _T | None:
        try:
            result = call()
        except TransientError as error:
            self._back_off(error)
            return None
        self._failures, self._failing_since_s = 0, None
        return result

    def _back_off(self, error: TransientError) -> None:
        now_s = self._clock.monotonic_s()
        self.retries += 1
        self._failures += 1
        if isinstance(error, ThrottledError):
            self._failing_since_s = None
        elif self._failing_since_s is None:
            self._failing_since_s = now_s
        elif now_s - self._failing_since_s > FAILURE_BUDGET_S:
            message = f"All reads of {self.shard_id} failed for {FAILURE_BUDGET_S:.0f} s. {error.message}"
            raise EndpointDownError(message, fix=error.fix) from error
        # Full jitter, so that shards that failed together do not come back together.
        limit_s = min(_MAX_BACKOFF_S, _BACKOFF_S * 2 ** min(self._failures, 10))
        self.ready_s = now_s + random.uniform(0, limit_s)


class CursorCache:
    """The cursors of one process, so that the next `process()` call goes on without a new iterator. Thread-safe.

    Args:
        service: calls for the stream.
        clock: for pauses.
        ahead: makes calls ahead, see `Cursor`.
    """

    def __init__(self, service: StreamService, clock: Clock, ahead: Executor | None = None) -> None:
        self.service: Final = service
        self._clock = clock
        self._ahead = ahead
        self._cursors: dict[str, Cursor] = {}
        self._lock = threading.Lock()

    def take(self, shard_id: str, position: ShardPosition) -> Cursor:
        """A cursor at `position` for the caller alone."""
        with self._lock:
            cursor = self._cursors.pop(shard_id, None)
        if cursor is None:
            return Cursor(self.service, shard_id, position, self._clock, self._ahead)
        cursor.move_to(position)
        return cursor

    def give(self, cursor: Cursor) -> None:
        """Keeps `cursor` for the next `take`."""
        with self._lock:
            self._cursors[cursor.shard_id] = cursor
