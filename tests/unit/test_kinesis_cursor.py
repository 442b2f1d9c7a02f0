"""A shard's cursor by itself: AWS's limits, back-off, answers that cannot be decoded, reading ahead."""

import itertools
import math
from concurrent.futures import Executor, Future

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kinesis_fake import AtOnce, FakeKinesis, client_error, connection_error

from pipelines.kinesis.aggregate import aggregate
from pipelines.kinesis.backoff import FAILURE_BUDGET_S
from pipelines.kinesis.cursor import (
    BYTES_PER_S,
    NEAR_HORIZON_MS,
    READS_PER_S,
    SPOILED_TRIES,
    Cursor,
)
from pipelines.kinesis.decode import BODY
from pipelines.kinesis.fetch import Fetcher, Shard
from pipelines.kinesis.positions import TRIM_HORIZON, ShardPosition
from pipelines.kinesis.put import Record
from pipelines.kinesis.service import StreamService
from pipelines.runtime.clock import ManualClock
from pipelines.runtime.errors import EndpointDownError

NAME = "shardId-000000000000"
MAX_BACKOFF_S = 5.0


class Later(Executor):
    """Makes the calls it was given when it is told to."""

    def __init__(self) -> None:
        self.calls = []

    def submit(self, fn, /, *args, **kwargs):
        future = Future()
        self.calls.append((future, lambda: fn(*args, **kwargs)))
        return future

    def run(self) -> None:
        calls, self.calls = self.calls, []
        for future, call in calls:
            try:
                future.set_result(call())
            except Exception as error:
                future.set_exception(error)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def stream(clock) -> FakeKinesis:
    return FakeKinesis(clock)


def cursor_of(stream, executor=None, **options) -> Cursor:
    fetcher = Fetcher(StreamService("flights", stream, clock=stream.clock))
    return Cursor(fetcher, Shard(NAME), TRIM_HORIZON, stream.clock, executor, **options)


def wait(cursor, clock) -> None:
    """Until the cursor may ask again, and a millisecond at least."""
    clock.ms = max(clock.ms + 1, math.floor(cursor.ready_s * 1000) + 1)  # rounding down would be too early


def read(cursor, clock, until_s: float) -> list[str]:
    """The numbers of what comes until then."""
    found = []
    while clock.monotonic_s() < until_s:
        answer = cursor.peek()
        if answer is None or not answer.reached:
            wait(cursor, clock)
            continue
        if answer.page is not None:
            found += answer.page["sequence_number"].to_pylist()
        cursor.move_to(answer.end)
    return found


# AWS's limits.


@pytest.mark.parametrize("executor", [None, AtOnce()], ids=["on demand", "ahead"])
@settings(deadline=None, max_examples=25)
@given(st.lists(st.sampled_from([1, 1_000, 200_000, 450_000, 2_000_000, 5_000_000]), min_size=1, max_size=25))
def test_b8_limited_reads_stay_within_a_shards_limits(executor, sizes):
    clock = ManualClock()
    stream = FakeKinesis(clock, page_records=1)
    numbers = [number for size in sizes for number in stream.put(NAME, data=bytes(size))]
    cursor = cursor_of(stream, executor, limited=True)
    # As much time as the limits ask for, two reads more and the shard's tip.
    lasts_s = sum(sizes) / BYTES_PER_S + (len(sizes) + 5) / READS_PER_S
    assert read(cursor, clock, clock.monotonic_s() + lasts_s) == numbers
    times = [at_s for at_s, _ in stream.reads]
    for first_s, sixth_s in zip(times, times[5:], strict=False):
        assert sixth_s - first_s >= 1 - 1e-5
    for begin, (first_s, _) in enumerate(stream.reads):
        had = 0
        for at_s, size in stream.reads[begin:]:
            assert had <= BYTES_PER_S * (at_s - first_s + 1e-5)
            had += size


def test_b8_a_read_that_was_made_twice_counts_twice(stream, clock):
    """An expired iterator takes two calls at once, and the next one waits for both."""
    stream.put(NAME, 9)
    cursor = cursor_of(stream, limited=True)
    cursor.move_to(cursor.peek().end)
    clock.advance(301)
    stream.faults = [client_error("ExpiredIteratorException")]
    begun_s = clock.monotonic_s()
    cursor.move_to(cursor.peek().end)
    assert cursor.peek() is None
    assert [at_s - begun_s for at_s, _ in stream.reads[1:]] == [0, 0]
    assert cursor.ready_s - begun_s == pytest.approx(2 / READS_PER_S)


def test_b8_reads_that_are_not_limited_wait_for_nothing(stream, clock):
    numbers = stream.put(NAME, 30)
    begun_s = clock.monotonic_s()
    cursor = cursor_of(stream)
    assert read(cursor, clock, begun_s + 0.1) == numbers
    assert {at_s for at_s, _ in stream.reads[:10]} == {begun_s}


def test_b6_what_aggregates_and_known_records_take_of_the_limit_is_counted_too(clock):
    """The service counts what it sends, not what is left of it."""
    stream = FakeKinesis(clock, page_records=1)
    users = [Record(b"", f"key-{n:0200}") for n in range(5_000)]
    data = aggregate(users).data
    assert len(data) > 1_000_000
    for _ in range(5):
        stream.put(NAME, data=data)
    cursor = cursor_of(stream, limited=True)
    read(cursor, clock, clock.monotonic_s() + 4)
    had = 0
    for at_s, size in stream.reads:
        assert had <= BYTES_PER_S * (at_s - stream.reads[0][0] + 1e-5)
        had += size
    assert had == 5 * len(data)


# Failures.


def test_b6_back_off_has_full_jitter_and_doubles_to_a_limit(stream, clock, monkeypatch):
    drawn = []

    def uniform(low, high):
        drawn.append((low, high))
        return high

    monkeypatch.setattr("pipelines.kinesis.backoff.random.uniform", uniform)
    cursor = cursor_of(stream)
    stream.faults = [client_error("ProvisionedThroughputExceededException") for _ in range(8)]
    for _ in range(8):
        assert cursor.peek() is None
        assert cursor.ready_s == pytest.approx(clock.monotonic_s() + drawn[-1][1])
        assert cursor.peek() is None  # not yet: no call is made
        wait(cursor, clock)
    assert drawn == [(0, pytest.approx(limit)) for limit in (0.2, 0.4, 0.8, 1.6, 3.2, 5, 5, 5)]
    assert cursor.retries == len(stream.calls) == 8
    stream.put(NAME)
    assert cursor.peek().page.num_rows == 1  # and a success begins anew
    cursor.move_to(cursor.peek().end)
    stream.faults = [client_error("ProvisionedThroughputExceededException")]
    wait(cursor, clock)
    assert cursor.peek() is None
    assert drawn[-1] == (0, pytest.approx(0.2))


def fail(cursor, clock, error_at) -> float:
    """Seconds until the cursor gives up, or 600."""
    begun_s = clock.monotonic_s()
    while clock.monotonic_s() - begun_s < 600:
        error_at(clock.monotonic_s() - begun_s)
        try:
            answer = cursor.peek()
            assert answer is None or not (answer.reached or answer.caught_up or answer.failures)
        except EndpointDownError:
            return clock.monotonic_s() - begun_s
        wait(cursor, clock)
    return 600


@pytest.mark.parametrize("error", [connection_error(), client_error("InternalFailure", status=500)])
def test_failures_alone_end_reading_when_their_budget_is_over(stream, clock, error):
    lasted_s = fail(cursor_of(stream), clock, lambda _: stream.faults.append(error))
    assert FAILURE_BUDGET_S < lasted_s <= FAILURE_BUDGET_S + MAX_BACKOFF_S + 0.002


def test_b6_throttling_never_ends_reading(stream, clock):
    throttled = client_error("ProvisionedThroughputExceededException")
    assert fail(cursor_of(stream), clock, lambda _: stream.faults.append(throttled)) == 600


def test_b6_who_is_throttled_has_been_answered(stream, clock):
    """Nothing but failures for so long: being throttled in between is none, and the budget begins anew."""
    throttled = [client_error("ProvisionedThroughputExceededException")]

    def error_at(passed_s):
        stream.faults.append(throttled.pop() if passed_s > 20 and throttled else connection_error())

    lasted_s = fail(cursor_of(stream), clock, error_at)
    assert 20 + FAILURE_BUDGET_S < lasted_s <= 20 + FAILURE_BUDGET_S + 3 * MAX_BACKOFF_S


# Answers that cannot be decoded.


def keep_bodies(stream, monkeypatch) -> list[bytes]:
    bodies, get_records = [], stream.get_records

    def kept(**arguments):
        answer = get_records(**arguments)
        bodies.append(answer.get(BODY, b""))
        return answer

    monkeypatch.setattr(stream, "get_records", kept)
    return bodies


@pytest.mark.parametrize("executor", [None, AtOnce()], ids=["on demand", "ahead"])
def test_an_answer_that_cannot_be_decoded_is_a_failure_with_its_body(stream, clock, monkeypatch, executor):
    numbers = stream.put(NAME, 5)
    bodies = keep_bodies(stream, monkeypatch)
    stream.spoiled = SPOILED_TRIES
    cursor = cursor_of(stream, executor)
    for asked in range(1, SPOILED_TRIES):
        assert cursor.peek() is None
        assert len(bodies) == asked
        wait(cursor, clock)
    answer = cursor.peek()
    (failure,) = answer.failures
    assert (failure.kind, failure.stream, failure.shard_id) == ("UNDECODABLE", "flights", NAME)
    assert (failure.after, failure.up_to, failure.body) == ("", numbers[2], bodies[SPOILED_TRIES - 1])
    assert failure.message.startswith(f"An answer of flights for {NAME} cannot be decoded (Error: ")
    assert not failure.is_gap
    assert (answer.page, answer.spoiled, answer.reached) == (None, None, numbers[2])
    cursor.move_to(answer.end)
    assert read(cursor, clock, clock.monotonic_s() + 1) == numbers[3:]


def test_only_an_answer_that_can_be_read_ends_a_shard(stream, clock):
    """The last one of a closed shard names no iterator; one that is spoiled may have lost it."""
    numbers = stream.put(NAME, 3)
    children = stream.split(NAME)
    stream.spoiled = SPOILED_TRIES
    cursor = cursor_of(stream)
    while (answer := cursor.peek()) is None:
        wait(cursor, clock)
    assert [failure.kind for failure in answer.failures] == ["UNDECODABLE"]
    assert answer.next_iterator is not None
    cursor.move_to(answer.end)
    wait(cursor, clock)
    last = cursor.peek()
    assert (last.page, last.next_iterator, last.failures) == (None, None, ())
    assert tuple(child.shard_id for child in last.children) == children
    assert stream.iterators[-1]["StartingSequenceNumber"] == numbers[-1]


def test_an_answer_spoiled_on_its_way_comes_whole_the_next_time(stream, clock):
    numbers = stream.put(NAME, 9)
    cursor = cursor_of(stream)
    for page in (numbers[:3], numbers[3:6], numbers[6:]):  # each has tries of its own
        stream.spoiled = SPOILED_TRIES - 1
        while (answer := cursor.peek()) is None:
            wait(cursor, clock)
        assert answer.page["sequence_number"].to_pylist() == page
        cursor.move_to(answer.end)
    assert cursor.retries == 3 * (SPOILED_TRIES - 1)


def test_an_answer_that_cannot_be_decoded_and_names_no_record_is_asked_for_until_the_budget_is_over(stream, clock):
    stream.spoiled = 10_000  # of an empty shard
    cursor = cursor_of(stream)
    lasted_s = fail(cursor, clock, lambda _: None)
    assert FAILURE_BUDGET_S < lasted_s <= FAILURE_BUDGET_S + 2 * MAX_BACKOFF_S
    assert cursor.retries > SPOILED_TRIES


# What is there, and what is not.


def test_b13_a_gap_is_told_when_something_comes_after_empty_answers(stream, clock):
    numbers = stream.put(NAME, 2)
    stream.trim(NAME, 2)
    cursor = cursor_of(stream)
    cursor.move_to(ShardPosition.after(numbers[0]))
    for _ in range(3):
        answer = cursor.peek()
        assert (answer.page, answer.failures) == (None, ())
        wait(cursor, clock)
    new = stream.put(NAME, 1)
    answer = cursor.peek()
    assert answer.page["sequence_number"].to_pylist() == new
    assert [(gap.kind, gap.after, gap.up_to) for gap in answer.failures] == [("TRIMMED", numbers[0], new[0])]
    cursor.move_to(answer.end)
    wait(cursor, clock)
    assert cursor.peek().failures == ()


def test_b9_a_shard_is_caught_up_when_an_answer_has_nothing_of_it(stream, clock):
    """Records that reach the tip are to be worked on first: what has not been output holds the watermark."""
    stream.put(NAME, 3)
    cursor = cursor_of(stream)
    answer = cursor.peek()
    assert answer.caught_up
    assert cursor.caught_up_ms is None
    cursor.move_to(answer.end)
    wait(cursor, clock)
    asked_ms = clock.now_ms()
    assert not cursor.peek().reached
    assert cursor.caught_up_ms == asked_ms
    stream.put(NAME, 1)
    wait(cursor, clock)
    cursor.peek()
    assert cursor.caught_up_ms is None


# Reading ahead.


@pytest.mark.parametrize(
    ("behind_ms", "ahead", "then"),
    [
        (NEAR_HORIZON_MS - 1, ["get_records"], ["get_records"]),  # and the next look-ahead
        (NEAR_HORIZON_MS, [], ["get_shard_iterator", "get_records"]),
    ],
)
def test_b13_near_the_horizon_each_read_makes_sure_that_nothing_is_gone(stream, clock, behind_ms, ahead, then):
    numbers = stream.put(NAME, 9)
    clock.ms += behind_ms
    cursor = cursor_of(stream, AtOnce())
    first = cursor.peek()
    assert first.millis_behind == behind_ms
    assert stream.calls == ["get_shard_iterator", "get_records", *ahead]
    stream.calls.clear()
    cursor.move_to(first.end)
    second = cursor.peek()
    assert stream.calls == then
    assert second.failures == ()
    assert second.page["sequence_number"][0].as_py() == numbers[3]


def test_b13_near_the_horizon_nothing_is_read_ahead_and_what_is_trimmed_meanwhile_is_told(stream, clock):
    numbers = stream.put(NAME, 9)
    clock.advance(NEAR_HORIZON_MS / 1000)
    cursor = cursor_of(stream, AtOnce())
    first = cursor.peek()
    assert stream.calls == ["get_shard_iterator", "get_records"]
    stream.trim(NAME, 5)
    cursor.move_to(first.end)
    second = cursor.peek()
    assert [(gap.kind, gap.after, gap.up_to) for gap in second.failures] == [("TRIMMED", numbers[2], numbers[5])]
    assert second.page["sequence_number"].to_pylist() == numbers[5:8]


def ahead(stream):
    """A cursor with its first answer, and the look-ahead that is still to run."""
    executor = Later()
    cursor = cursor_of(stream, executor)
    assert cursor.peek() is None
    executor.run()
    return executor, cursor, cursor.peek()


@pytest.mark.parametrize("moves_first", [True, False])
def test_b7_a_look_ahead_whose_iterator_expired_reads_on_from_the_right_place(stream, clock, moves_first):
    numbers = stream.put(NAME, 9)
    clock.advance(1)
    executor, cursor, first = ahead(stream)
    stream.faults = [client_error("ExpiredIteratorException")]
    if moves_first:
        cursor.move_to(first.end)
        executor.run()
    else:
        executor.run()
        cursor.move_to(first.end)
    second = cursor.peek()
    assert second.page["sequence_number"].to_pylist() == numbers[3:5]  # the page of three began with the known record
    assert second.failures == ()
    assert stream.iterators[-1]["StartingSequenceNumber"] == numbers[2]
    assert cursor.retries == 1


def test_a_look_ahead_is_pending_only_once_its_answer_is_what_comes_next(stream, clock):
    stream.put(NAME, 9)
    clock.advance(1)
    executor, cursor, first = ahead(stream)
    assert cursor.pending is None
    assert cursor.peek() is first
    cursor.move_to(first.end)
    assert not cursor.pending.done()
    assert cursor.peek() is None
    executor.run()
    assert cursor.pending.done()


def test_a_failed_look_ahead_is_made_again_at_its_place(stream, clock):
    numbers = stream.put(NAME, 9)
    clock.advance(1)
    executor, cursor, first = ahead(stream)
    stream.faults = [connection_error()]
    executor.run()
    assert cursor.peek() is first  # nobody is told before it matters
    cursor.move_to(first.end)
    assert cursor.peek() is None
    for _ in itertools.takewhile(lambda _: cursor.peek() is None, range(3)):
        wait(cursor, clock)
        cursor.peek()
        executor.run()
    assert cursor.peek().page["sequence_number"].to_pylist() == numbers[3:6]
