"""One shard being read: its iterator, the answer not yet claimed, pauses and back-off.

A cursor is a cache. What counts is the position in the restriction: a cursor that stands elsewhere starts again from
there, and an answer that nobody claimed is simply offered again.
"""

import dataclasses
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future
from typing import Any, Final, Protocol, TypeVar

from pipelines.kinesis.ahead import ANSWER_BYTES, Ahead
from pipelines.kinesis.backoff import Backoff
from pipelines.kinesis.decode import Answer
from pipelines.kinesis.failures import ReadFailure
from pipelines.kinesis.fetch import Fetched, Fetcher, Shard
from pipelines.kinesis.idle import POLL_S, IdlePolls
from pipelines.kinesis.lineage import ShardInfo
from pipelines.kinesis.positions import ShardPosition
from pipelines.runtime.bucket import TokenBucket
from pipelines.runtime.clock import Clock
from pipelines.runtime.errors import TransientError

READS_PER_S: Final = 5.0
BYTES_PER_S: Final = 2.0 * 1024 * 1024
"""What a shard gives to all its readers together (B6, B8)."""
NEAR_HORIZON_MS: Final = 23 * 3600 * 1000
"""From here on retention, 24 hours at least (B13), may take records away before they are read."""
SPOILED_TRIES: Final = 3
"""So often an answer is asked for that cannot be decoded: the network may have spoiled it."""
UNPLACED_ANSWERS: Final = 3
"""So many of them in a row may name no record; they are kept until one comes that does."""

_T = TypeVar("_T")


class ShardCursor(Protocol):
    """What `Reader` reads a shard with."""

    ready_s: float
    """Nothing is to be had before this `monotonic_s`."""
    caught_up_ms: int | None
    """When nothing was left at the shard's tip, by the last answer; None after records."""
    asked_s: float
    """When the answer peeked last was asked for (`monotonic_s`)."""
    retries: int
    """Failed calls that are made again, since someone set it to 0."""

    @property
    def held_bytes(self) -> int:
        """Of answers that have come and were not claimed, and the most that a call under way can bring."""

    @property
    def pending(self) -> "Future[Any] | None":
        """The call under way that the next `peek` would give the answer of."""

    def move_to(self, position: ShardPosition) -> None:
        """Goes to `position`; for nothing when that is behind the answer peeked last."""

    def peek(self) -> Answer | None:
        """The answer at the position; the same again until `move_to` leaves it. Empty answers are not kept.

        Returns:
            None when none has come yet, or the call failed and is made again later (`ready_s`).

        Raises:
            EndpointDownError: all calls of the last `backoff.FAILURE_BUDGET_S` failed.
            TerminalError: trying again gives the same.
        """

    def gap(self) -> tuple[ReadFailure, ...]:
        """What is missing if nothing follows: the record before the position, as nothing at the tip is that record.

        And answers that cannot be decoded in which not even a sequence number was found.
        """

    def children(self) -> tuple[ShardInfo, ...] | None:
        """The shards that follow this one, from ListShards; None when the call failed and is made again later."""

    def listed(self) -> Sequence[ShardInfo] | None:
        """Every shard of the stream, from ListShards; None when the call failed and is made again later."""

    def close(self) -> None:
        """Nobody will peek any more."""


class Cursor:
    """Reads one shard from a position on by GetRecords. Used by one thread at a time.

    Calls are made on the threads of `executor`; while a page is worked on, the next one is fetched, unless the shard's
    tip was reached. Who does not come for it has lost nothing but a call.

    Args:
        fetcher: reads the stream.
        shard: to read from.
        position: where the next record is.
        clock: for pauses.
        executor: makes the calls; None makes them in the caller's thread, and none ahead.
        limited: whether AWS's limits of a shard are kept to by waiting, and not found out by being refused.
        idle: the pauses of all shards that are read beside this one; None for this one alone.
        ahead: what all of them hold; None for this one alone.
    """

    def __init__(
        self,
        fetcher: Fetcher,
        shard: Shard,
        position: ShardPosition,
        clock: Clock,
        executor: Executor | None = None,
        *,
        limited: bool = False,
        idle: IdlePolls | None = None,
        ahead: Ahead | None = None,
    ) -> None:
        self.ready_s = 0.0
        self.caught_up_ms: int | None = None
        self.asked_s = 0.0
        self.retries = 0
        self._fetcher = fetcher
        self._shard = shard
        self._clock = clock
        self._position = position
        self._executor = executor
        self._iterator: str | None = None
        self._expected: ShardPosition | None = None
        self._answer: Answer | None = None
        self._call: Future[Fetched] | None = None
        self._asked_ms = 0
        self._call_asked = (0.0, 0)
        now_s = clock.monotonic_s()
        # Nothing is saved up: a burst and what follows it would be more than a second's worth within a second.
        self._reads = TokenBucket.full(READS_PER_S, 1, now_s) if limited else None
        self._bytes = TokenBucket.full(BYTES_PER_S, 0, now_s) if limited else None
        self._idle = idle or IdlePolls()
        self._idle.join(self)
        self._ahead = ahead or Ahead()
        self._ahead.join(self)
        self._pause_s = 0.0
        self._backoff = Backoff(f"All reads of {shard.shard_id}", clock)
        self._spoiled = 0
        self._unplaced: tuple[ReadFailure, ...] = ()
        """Of answers that named no record, until one comes that does."""

    @property
    def held_bytes(self) -> int:
        # Read by other threads: each member is looked at once.
        answer, call = self._answer, self._call
        held = 0 if answer is None else _size(answer)
        if call is None:
            return held
        if not call.done():
            return held + ANSWER_BYTES
        return held + (0 if call.cancelled() or call.exception() else _size(call.result().answer))

    @property
    def pending(self) -> Future[Any] | None:
        return self._call if self._answer is None else None

    def move_to(self, position: ShardPosition) -> None:
        if position == self._position:
            return
        answer, self._answer = self._answer, None
        if answer is not None and answer.reached and answer.end == position and not _near_horizon(answer):
            self._iterator = answer.next_iterator or None
        else:  # also where retention may be taking away what comes next: a new iterator finds out
            self._iterator = self._expected = self._call = None
            self._unplaced = ()
            if (
                not self._backoff.failures
            ):  # the pause was for what there was to read elsewhere, by another reader perhaps
                self.ready_s = self._pause_s = 0.0
        self._position = position

    def peek(self) -> Answer | None:
        if self._answer is not None:
            return self._answer
        if self._call is None:
            self._ask()
        if self._call is None or not self._call.done():
            return None
        call, self._call = self._call, None
        self.asked_s, self._asked_ms = self._call_asked
        return self._take(call)

    @property
    def unplaced(self) -> tuple[ReadFailure, ...]:
        """Answers that named no record; they go with the next page."""
        return self._unplaced

    def gap(self) -> tuple[ReadFailure, ...]:
        if self._expected is None or self.caught_up_ms is None:
            return self._unplaced
        return (self._fetcher.trimmed(self._shard, self._position), *self._unplaced)

    def children(self) -> tuple[ShardInfo, ...] | None:
        return self._listing(lambda: self._fetcher.service.children(self._shard.shard_id))

    def listed(self) -> Sequence[ShardInfo] | None:
        return self._listing(self._fetcher.service.shards)

    def close(self) -> None:
        self._answer = self._call = None

    def _listing(self, call: Callable[[], _T]) -> _T | None:
        if self._backoff.failures and self._clock.monotonic_s() < self.ready_s:
            return None
        return self._attempt(call)

    def _ask(self) -> None:
        """Makes the next call, if it is time to."""
        now_s = self._clock.monotonic_s()
        if now_s < self.ready_s:
            return
        if self._reads is not None and self._bytes is not None:
            wait_s = max(self._reads.wait_s(1, now_s), self._bytes.wait_s(0, now_s))
            if wait_s > 0:
                self.ready_s = now_s + wait_s
                return
            self._reads.take(1)
        self._submit(self._iterator)

    def _submit(self, iterator: str | None) -> None:
        self._call_asked = (self._clock.monotonic_s(), self._clock.now_ms())
        arguments = (self._shard, iterator, self._position, self._expected)
        if self._executor is not None:
            self._call = self._executor.submit(self._fetcher.fetch, *arguments)
            return
        self._call = Future()
        try:
            self._call.set_result(self._fetcher.fetch(*arguments))
        except Exception as error:
            self._call.set_exception(error)

    def _take(self, call: Future[Fetched]) -> Answer | None:
        taken = self._attempt(lambda: self._judged(call.result()))
        if taken is None:
            return None
        answer, fetched = taken
        self.retries += fetched.retries
        self._expected = None if answer.reached or self._unplaced else fetched.expected
        if self._reads is not None and self._bytes is not None:
            self._reads.take(fetched.retries)
            self._bytes.take(fetched.sent_bytes)
        self._rest(answer)
        if not answer.reached and answer.next_iterator is not None and not answer.failures:
            self._iterator = answer.next_iterator or None
            return answer
        if self._unplaced:
            failures = (*self._unplaced, *answer.failures)
            answer, self._unplaced = dataclasses.replace(answer, failures=failures), ()
        self._answer = answer
        self._look_ahead(answer)
        return answer

    def _judged(self, fetched: Fetched) -> tuple[Answer, Fetched]:
        """The answer; one that cannot be decoded, tried often enough, as the failure that it is.

        Raises:
            TransientError: it is to be asked for again.
        """
        answer = fetched.answer
        if answer.spoiled is None:
            self._spoiled = 0
            return answer, fetched
        self._spoiled += 1
        shard_id, stream = self._shard.shard_id, self._fetcher.service.stream
        message = f"An answer of {stream} for {shard_id} cannot be decoded ({answer.spoiled.problem})."
        if answer.reached:
            leads_on = self._is_behind(answer.reached)
        else:
            leads_on = bool(answer.next_iterator) and len(self._unplaced) < UNPLACED_ANSWERS
        if self._spoiled < SPOILED_TRIES or not leads_on:
            raise TransientError(message, fix="look for what changes answers on their way, a proxy perhaps")
        self._spoiled = 0
        failure = ReadFailure(
            "UNDECODABLE",
            stream,
            shard_id,
            self._position.sequence_number,
            answer.reached,
            message,
            answer.spoiled.body,
        )
        if not answer.reached:
            # There is no position behind it that could be claimed: it goes with what comes next.
            self._unplaced = (*self._unplaced, failure)
            return dataclasses.replace(answer, spoiled=None, millis_behind=None), fetched
        # A new iterator is made behind the last record that could be found in it: its own leads behind those, too, that
        # could not. And only an answer that can be read ends a shard.
        return dataclasses.replace(answer, spoiled=None, next_iterator="", failures=(failure,)), fetched

    def _is_behind(self, sequence_number: str) -> bool:
        return ShardPosition.after(sequence_number).order > self._position.order

    def _look_ahead(self, answer: Answer) -> None:
        if self._executor is None or not answer.next_iterator or not answer.millis_behind or _near_horizon(answer):
            return
        if self._ahead.is_waited_for or not self._ahead.has_room:
            return
        now_s = self._clock.monotonic_s()
        if self._reads is not None and self._bytes is not None:
            if self._reads.wait_s(1, now_s) > 0 or self._bytes.wait_s(0, now_s) > 0:
                return
            self._reads.take(1)
        # A look-ahead begins where the answer ends, and must find that place again if its iterator has expired.
        here, self._position = self._position, answer.end
        self._submit(answer.next_iterator)
        self._position = here

    def _rest(self, answer: Answer) -> None:
        nothing = not answer.reached
        self.caught_up_ms = self._asked_ms if answer.caught_up and nothing else None
        if not answer.caught_up:
            self._pause_s = 0.0
        elif nothing:
            self._pause_s = self._idle.after(self._pause_s)
        else:
            self._pause_s = POLL_S
        self.ready_s = self._idle.end_s(self._clock.monotonic_s(), self._pause_s)

    def _attempt(self, call: Callable[[], _T]) -> _T | None:
        try:
            result = call()
        except TransientError as error:
            self.retries += 1
            self._backoff.failed(error)
            self.ready_s = self._backoff.until_s
            return None
        self._backoff.succeeded()
        return result


def _near_horizon(answer: Answer) -> bool:
    return (answer.millis_behind or 0) >= NEAR_HORIZON_MS


def _size(answer: Answer) -> int:
    spoiled = 0 if answer.spoiled is None else len(answer.spoiled.body)
    return spoiled if answer.page is None else answer.page.nbytes
