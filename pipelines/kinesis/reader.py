"""Reading a restriction page by page, and a stream without Beam (`iter_pages`).

`Reader.poll` offers, the caller claims: what the caller does not claim was not read. The caller keeps the restriction,
so the same reader serves the splittable DoFn, where a claim can fail, and a plain loop, where it cannot.
"""

import dataclasses
import math
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, wait
from dataclasses import dataclass
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.kinesis.cache import CursorCache
from pipelines.kinesis.cursor import Cursor, ShardCursor
from pipelines.kinesis.decode import Answer
from pipelines.kinesis.failures import ReadFailure
from pipelines.kinesis.fetch import Fetcher, with_page
from pipelines.kinesis.idle import IdlePolls
from pipelines.kinesis.lineage import ShardInfo, lineage
from pipelines.kinesis.positions import StartingPosition
from pipelines.kinesis.restriction import Claim, Restriction, ShardRange, initial
from pipelines.kinesis.service import StreamService, one_attempt_client
from pipelines.kinesis.until import SLACK_MS, EndNumbers, ShardEnd, StopFile, Until, check_until, end_of
from pipelines.runtime import aws
from pipelines.runtime.clock import Clock, SystemClock
from pipelines.runtime.errors import InvalidDataError

_SECOND_MS: Final = 1000
"""An HTTP date is cut off to the second."""
CALL_WAIT_S: Final = 0.25
"""So long `poll` waits for calls under way before it says that there is nothing yet."""
_STILL_CALLING_S: Final = 0.05


@dataclass(frozen=True, slots=True)
class Offer:
    """Something to claim.

    Attributes:
        claim: what to claim.
        page: the records that the claim stands for; None when it only moves or ends the shard.
        failures: what is missing before the page or in place of one.
        drained: for a claim that ends its shard: nothing of it is left for anyone, now or later.
        gone: see `Answer`.
    """

    claim: Claim
    page: pa.RecordBatch | None = None
    failures: tuple[ReadFailure, ...] = ()
    drained: bool = True
    gone: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing to claim before `seconds` are over."""

    seconds: float


class Reader:
    """Reads the shards of a restriction in turns, from the cursors of `cache`. Used by one thread; close it.

    Args:
        cache: the process's cursors of the stream.
        clock: for pauses and for `until`.
        until: where reading ends.
    """

    def __init__(self, cache: CursorCache, clock: Clock, until: Until = None) -> None:
        self._cache = cache
        self._clock = clock
        self._until = until
        self._end_known_s = -math.inf
        self._cursors: dict[str, ShardCursor] = {}
        self._retries = 0

    def poll(self, restriction: Restriction) -> Offer | Wait:
        """The next page of `restriction`, or how long there is none.

        Args:
            restriction: what is left to read, with every claim taken into account; not done.

        Raises:
            EndpointDownError: nothing but failures for `FAILURE_BUDGET_S`.
            TerminalError: a call failed for good.
        """
        give_up_s = self._clock.monotonic_s() + CALL_WAIT_S
        while True:
            last = self._cache.last_shard
            shards = sorted(restriction.readable(), key=lambda shard: (shard.shard_id <= last, shard.shard_id))
            self._let_go({shard.shard_id for shard in shards})
            # All of them first: what was claimed of one is held no more, and makes room for another.
            taken = [(shard, self._cursor(shard)) for shard in shards]
            until = self._read_until()
            waits_for_room = False
            for shard, cursor in taken:
                if waits_for_room and not self._has_begun(cursor):
                    continue
                if not self._may_ask(cursor):
                    waits_for_room = True
                    continue
                offer = self._offer(restriction, shard, cursor, end_of(shard.shard_id, until))
                if offer is not None:
                    self._cache.last_shard = shard.shard_id
                    self._cache.ahead.is_waited_for = waits_for_room
                    return offer
            self._cache.ahead.is_waited_for = waits_for_room
            cursors = [self._cursors[shard.shard_id] for shard in shards]
            calls = [cursor.pending for cursor in cursors if cursor.pending is not None]
            now_s = self._clock.monotonic_s()
            ready_s = min((cursor.ready_s for cursor in cursors if cursor.pending is None), default=now_s)
            pause_s = max(0.0, ready_s - now_s)
            if not calls:
                return Wait(max(pause_s, _STILL_CALLING_S) if waits_for_room else pause_s)
            if now_s >= give_up_s:
                return Wait(_STILL_CALLING_S)
            wait(calls, min(give_up_s - now_s, pause_s or CALL_WAIT_S), FIRST_COMPLETED)

    def caught_up_ms(self, shard_id: str) -> int | None:
        """When the shard was last found with nothing left in it; None while there is or it was not read."""
        cursor = self._cursors.get(shard_id)
        return cursor.caught_up_ms if cursor else None

    def take_retries(self) -> int:
        """Calls made again since the last time."""
        for cursor in self._cursors.values():
            self._retries, cursor.retries = self._retries + cursor.retries, 0
        count, self._retries = self._retries, 0
        return count

    def close(self, left: Restriction) -> None:
        """Gives the cursors of the shards still to be read back to the cache, for whoever reads `left`."""
        for shard in left.readable():
            cursor = self._cursors.pop(shard.shard_id, None)
            if cursor is not None:
                self._cache.give(shard.shard_id, cursor)
        self._let_go(set())

    def _let_go(self, shard_ids: set[str]) -> None:
        """Closes the cursors of all shards but these: what they hold nobody takes any more."""
        for shard_id in self._cursors.keys() - shard_ids:
            cursor = self._cursors.pop(shard_id)
            self._retries += cursor.retries
            cursor.close()

    def _read_until(self) -> int | EndNumbers | None:
        if not isinstance(self._until, StopFile):
            return self._until
        until = self._until.read()
        self._end_known_s = self._cache.end_known_s(until, self._clock.monotonic_s())
        return until

    def _may_ask(self, cursor: ShardCursor) -> bool:
        """Whether there is something to look at, or room to fetch it; who holds nothing does not wait for others."""
        if self._has_begun(cursor) or self._cache.ahead.has_room:
            return True
        return not any(other.held_bytes for other in self._cursors.values())

    def _has_begun(self, cursor: ShardCursor) -> bool:
        """Whether to look at it costs no room: it was asked, or is not to be asked yet."""
        return bool(cursor.held_bytes) or cursor.pending is not None or cursor.ready_s > self._clock.monotonic_s()

    def _cursor(self, shard: ShardRange) -> ShardCursor:
        cursor = self._cursors.get(shard.shard_id)
        if cursor is None:
            cursor = self._cursors[shard.shard_id] = self._cache.take(shard)
        else:
            cursor.move_to(shard.start)
        return cursor

    def _offer(self, restriction: Restriction, shard: ShardRange, cursor: ShardCursor, end: ShardEnd) -> Offer | None:
        if end.kind == "NOW":
            return Offer(Claim(shard.shard_id, ends=True), drained=False)
        if end.kind == "AT_SEQUENCE_NUMBER" and shard.start.order >= end.order:
            return _ended(restriction, shard, cursor)
        if end.kind != "OPEN" and cursor.asked_s < self._end_known_s:
            cursor.ready_s = (
                0.0  # it was asked before the end was known, and may be one that is asked every few seconds
            )
        answer = cursor.peek()
        if answer is None:
            return None
        if answer.reached:
            return self._page_offer(restriction, shard, cursor, answer, end)
        if answer.next_iterator is None:
            return _ended(restriction, shard, cursor, answer)
        if shard.stop is not None and shard.stop.sequence_number and answer.caught_up:
            # The record that reading stops at was in the stream, and is not any more: it would wait for ever.
            return Offer(Claim(shard.shard_id, shard.stop, ends=True), None, cursor.gap(), drained=False)
        if end.kind == "AT_SEQUENCE_NUMBER" and answer.caught_up and cursor.gap():
            # The same of the record that reading was to end with: it was lost, or is in an answer that was.
            return _ended(restriction, shard, cursor, dataclasses.replace(answer, failures=cursor.gap()))
        if end.kind == "CAUGHT_UP" and self._is_caught_up(answer, cursor):
            return _ended(restriction, shard, cursor, dataclasses.replace(answer, failures=cursor.gap()))
        if end.kind == "AT_TIMESTAMP" and self._passed(answer, cursor, end.value):
            return Offer(Claim(shard.shard_id, ends=True), None, cursor.gap())
        return None

    def _page_offer(
        self, restriction: Restriction, shard: ShardRange, cursor: ShardCursor, answer: Answer, end: ShardEnd
    ) -> Offer | None:
        position, page = answer.end, answer.page
        followers: _Followers | None = ((), ())
        ends = drained = answer.next_iterator is None
        if end.kind == "AT_SEQUENCE_NUMBER":
            page = _up_to(page, end.value)
            ends = ends or position.order >= end.order
        elif end.kind == "AT_TIMESTAMP" and page is not None:
            arrival_ms = page.column("arrival_ms")
            ends = ends or pc.min(arrival_ms).as_py() > end.value + SLACK_MS
            page = page.filter(pc.less_equal(arrival_ms, end.value))
        elif end.kind == "CAUGHT_UP":
            ends = ends or self._is_caught_up(answer, cursor)
        stops = shard.stop is not None and position.order >= shard.stop.order
        if shard.stop is not None and stops:
            # The rest of the shard, and what follows it, belongs to another restriction.
            page, position, ends = _up_to(page, int(shard.stop.sequence_number)), shard.stop, True
        elif ends and (drained or end.kind != "AT_TIMESTAMP"):
            followers = _followers(restriction, shard, cursor, answer)
        if followers is None:
            return None
        if page is not None and answer.page is not None and page.num_rows < answer.page.num_rows:
            answer = with_page(answer, page)
        span_ms = 0
        if answer.page is not None:
            arrival = pc.min_max(answer.page.column("arrival_ms")).as_py()
            span_ms = arrival["max"] - arrival["min"]
        children, line = followers
        claim = Claim(shard.shard_id, position, ends, children, answer.millis_behind, answer.data_bytes, span_ms, line)
        return Offer(claim, answer.page, answer.failures, drained=not stops)

    def _is_caught_up(self, answer: Answer, cursor: ShardCursor) -> bool:
        """Nothing was left when the end was known: what was asked for before says nothing of that."""
        return answer.caught_up and cursor.asked_s > self._end_known_s

    def _passed(self, answer: Answer, cursor: ShardCursor, timestamp_ms: int) -> bool:
        if answer.millis_behind is None:  # it does not say how far it is
            return False
        age_ms = round((self._clock.monotonic_s() - cursor.asked_s) * 1000)
        return self._clock.now_ms() - age_ms - answer.millis_behind > timestamp_ms + SLACK_MS


def _up_to(page: pa.RecordBatch | None, sequence_number: int) -> pa.RecordBatch | None:
    if page is None or page.num_rows == 0 or int(page.column("sequence_number")[-1].as_py()) <= sequence_number:
        return page  # without records perhaps, as `until` cut them
    numbers = page.column("sequence_number").to_pylist()
    return page.slice(0, sum(int(number) <= sequence_number for number in numbers))


_Followers = tuple[tuple[ShardInfo, ...], tuple[ShardInfo, ...]]


def _followers(
    restriction: Restriction, shard: ShardRange, cursor: ShardCursor, answer: Answer | None
) -> _Followers | None:
    """The children of a shard that has ended; and the lineage of all that is read here, where they do not say enough.

    Args:
        restriction: what is read here.
        shard: that has ended.
        cursor: of the shard.
        answer: its last one; None where reading ends before that.

    Returns:
        None when a call failed and is made again later.
    """
    is_expired = answer is not None and any(failure.kind == "EXPIRED" for failure in answer.failures)
    children = answer.children if answer and (answer.children or is_expired) else cursor.children()
    if children is None:
        return None
    if not is_expired and all(restriction.find(parent) is not None for child in children for parent in child.parents):
        return children, ()
    # Asked for anew: whoever is read here and is not in the list has expired, and did not come later.
    listed = cursor.listed()
    if listed is None:
        return None
    return children, lineage({here.shard_id: here.hash_range for here in restriction.shards}, listed)


def _ended(
    restriction: Restriction, shard: ShardRange, cursor: ShardCursor, answer: Answer | None = None
) -> Offer | None:
    followers = _followers(restriction, shard, cursor, answer)
    if followers is None:
        return None
    children, line = followers
    claim = Claim(shard.shard_id, ends=True, children=children, lineage=line)
    return Offer(claim, None, answer.failures, gone=answer.gone) if answer else Offer(claim)


def start_of(service: StreamService, start: StartingPosition, clock: Clock) -> Restriction:
    """All of a stream from `start`; LATEST becomes the time it is now, so that nothing put from now on is missed.

    Raises:
        NotFoundError: there is no such stream.
        HydrantError: any other error of AWS.
    """
    now_ms = clock.now_ms()
    shards = service.shards()
    return initial(shards, _from_now(service, now_ms) if start.type == "LATEST" else start)


def _from_now(service: StreamService, now_ms: int) -> StartingPosition:
    # Arrival times are the service's: by a clock that is slow reading would begin with what was put before, and a
    # time in its future, which that of a clock that is fast would be, AWS refuses.
    told_ms = now_ms if service.told_ms is None else service.told_ms
    return StartingPosition.at_timestamp(now_ms if told_ms <= now_ms <= told_ms + _SECOND_MS else told_ms)


def latest(stream: str, *, kinesis: Any = None, clock: Clock | None = None) -> StartingPosition:
    """LATEST as the time that it is now, for who has to know it: `ExportPositions(folder, latest.timestamp_ms)`.

    Args:
        stream: name or ARN.
        kinesis: a boto3 Kinesis client; None makes one.
        clock: what time it is, where the service does not say.

    Raises:
        NotFoundError: there is no such stream.
        HydrantError: any other error of AWS.
    """
    service = StreamService(stream, kinesis or aws.client("kinesis"))
    now_ms = (clock or SystemClock()).now_ms()
    service.shards()
    return _from_now(service, now_ms)


def iter_pages(
    stream: str,
    start: str | StartingPosition = "TRIM_HORIZON",
    until: Until = None,
    *,
    kinesis: Any = None,
    clock: Clock | None = None,
) -> Iterator[pa.RecordBatch]:
    """Reads a stream in this thread, without Beam and without a checkpoint.

    Args:
        stream: name or ARN.
        start: where to begin, see `StartingPosition`.
        until: where to end, see `Until`; None reads on for ever.
        kinesis: a boto3 Kinesis client; None makes one.
        clock: for pauses.

    Yields:
        Pages of `PAGE_SCHEMA`. The records of a shard come in their order, and behind those of its parents.

    Raises:
        NotFoundError: there is no such stream.
        InvalidDataError: an answer of the service cannot be decoded.
        EndpointDownError: nothing but failures for `FAILURE_BUDGET_S`.
        HydrantError: any other error of AWS.
    """
    clock = clock or SystemClock()
    service = Fetcher(StreamService(stream, kinesis or one_attempt_client()))
    listing = StreamService(stream, kinesis or aws.client("kinesis"))
    left = start_of(listing, StartingPosition.parse(start), clock)
    idle = IdlePolls()
    cache = CursorCache(lambda shard, position: Cursor(service, shard, position, clock, idle=idle))
    reader = Reader(cache, clock, check_until(until))
    while not left.done:
        step = reader.poll(left)
        if isinstance(step, Wait):
            clock.sleep(step.seconds)
            continue
        for failure in step.failures:
            if not failure.is_gap:
                raise InvalidDataError(failure.message, fix="read with ReadFromKinesis and its failure output")
        left = left.after(step.claim)
        if step.page is not None:
            yield step.page
