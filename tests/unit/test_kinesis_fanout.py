"""Enhanced fan-out: a cursor on subscriptions that a test writes, cuts and breaks (B14)."""

import gc
import threading
from concurrent.futures import Executor, Future

import pytest
from fanout_fake import CHILDREN, SHARD, Plan, Polled, ShardServer, Streams, event, eventually, number
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipelines.kinesis import subscription as subscriptions
from pipelines.kinesis.backoff import FAILURE_BUDGET_S
from pipelines.kinesis.cursor import SPOILED_TRIES
from pipelines.kinesis.decode import Answer, Spoiled, decode_body
from pipelines.kinesis.fanout import RESUBSCRIBE_S, FanoutCursor
from pipelines.kinesis.fetch import Fetcher, Shard
from pipelines.kinesis.lineage import ShardInfo
from pipelines.kinesis.positions import TRIM_HORIZON, ShardPosition
from pipelines.runtime.clock import ManualClock
from pipelines.runtime.errors import (
    ConfigurationError,
    CredentialsError,
    EndpointDownError,
    NotFoundError,
    ServiceFaultError,
    ThrottledError,
    TransientError,
)

DROP = EndpointDownError("the connection broke off")
TAKEN_OVER = ThrottledError("taken over")


class Reading:
    """A cursor, what it stands on, and the threads that were there before."""

    def __init__(self, position: ShardPosition = TRIM_HORIZON, executor: Executor | None = None) -> None:
        self.clock = ManualClock()
        self.streams = Streams()
        self.service = Polled()
        self.before = set(threading.enumerate())
        fetcher = Fetcher(self.service)
        self.cursor = FanoutCursor(fetcher, self.streams, Shard(SHARD), position, self.clock, executor)

    def open(self, calls: int = 1) -> "Reading":
        """Until so many calls were made."""

        def called() -> bool:
            if len(self.streams.calls) < calls:
                self.peek()
            return len(self.streams.calls) >= calls

        eventually(called, f"call {calls}")
        return self

    def peek(self):
        answer = self.cursor.peek()
        if answer is None and self.cursor.ready_s > self.clock.monotonic_s():
            self.clock.advance(self.cursor.ready_s - self.clock.monotonic_s() + 0.001)
        return answer

    def answer(self):
        return eventually(self.peek, "an answer")

    def page(self) -> list[int]:
        """Claims the next page; its records' indexes."""

        def found():
            answer = self.peek()
            return answer if answer is not None and answer.page is not None else None

        answer = eventually(found, "a page")
        self.cursor.move_to(answer.end)
        return indexes(answer)

    def threads(self) -> set[threading.Thread]:
        return set(threading.enumerate()) - self.before

    def ends(self) -> bool:
        eventually(lambda: not self.threads(), "the end of all threads")
        return True


class Held(Executor):
    """Does what it is given when the test says so."""

    def __init__(self) -> None:
        self.calls = []

    def submit(self, fn, /, *args, **kwargs):
        self.calls.append((Future(), lambda: fn(*args, **kwargs)))
        return self.calls[-1][0]

    def go(self) -> None:
        for future, call in self.calls:
            future.set_result(call())


def indexes(answer) -> list[int]:
    return [int(data) for data in answer.page["data"].to_pylist()]


@pytest.fixture
def reading():
    made = Reading()
    yield made
    made.cursor.close()
    assert made.ends()


def test_b14_events_become_pages_in_order(reading):
    reading.open().streams.last.send(event(range(3), behind_ms=700), event([3]))
    answer = reading.answer()
    assert indexes(answer) == [0, 1, 2]
    assert answer.page["sequence_number"].to_pylist() == [number(0), number(1), number(2)]
    assert answer.page["arrival_ms"].to_pylist() == [1_700_000_000_000, 1_700_000_000_001, 1_700_000_000_002]
    assert (answer.data_bytes, answer.millis_behind, answer.next_iterator) == (3, 700, number(2))
    assert answer.end == ShardPosition.after(number(2))
    assert reading.cursor.peek() is answer
    reading.cursor.move_to(answer.end)
    assert reading.page() == [3]
    assert reading.streams.calls == [TRIM_HORIZON]


@pytest.mark.parametrize(
    ("position", "asked"),
    [
        (TRIM_HORIZON, TRIM_HORIZON),
        (ShardPosition("AT_TIMESTAMP", timestamp_ms=1), ShardPosition("AT_TIMESTAMP", timestamp_ms=1)),
        (ShardPosition.at(number(4)), ShardPosition.at(number(4))),
        (ShardPosition.after(number(4)), ShardPosition.at(number(4))),
        (ShardPosition.after(number(4), 2), ShardPosition.at(number(4))),
    ],
)
def test_b14_a_subscription_begins_at_the_position_or_at_the_record_before_it(position, asked):
    reading = Reading(position)
    assert reading.open().streams.calls == [asked]
    reading.cursor.close()
    assert reading.ends()


@pytest.mark.parametrize(
    ("position", "left"), [(ShardPosition.at(number(4)), [4, 5]), (ShardPosition.after(number(4)), [5])]
)
def test_the_record_before_the_position_is_left_out(position, left):
    reading = Reading(position)
    reading.open().streams.last.send(event([4, 5]), event([6]))
    assert reading.page() == left
    assert reading.page() == [6]
    reading.cursor.close()
    assert reading.ends()


def test_b13_another_record_than_the_one_before_the_position_tells_of_a_gap():
    reading = Reading(ShardPosition.after(number(4)))
    reading.open().streams.last.send(event([], number(4)), event([7, 8]), event([9]))
    answer = eventually(lambda: (found := reading.peek()) and found.reached and found)
    assert indexes(answer) == [7, 8]
    assert [(failure.kind, failure.after, failure.up_to) for failure in answer.failures] == [
        ("TRIMMED", number(4), number(7))
    ]
    reading.cursor.move_to(answer.end)
    assert reading.answer().failures == ()
    reading.cursor.close()
    assert reading.ends()


def test_nothing_has_come_and_peek_does_not_wait(reading):
    reading.open()
    assert reading.cursor.peek() is None
    pending = reading.cursor.pending
    assert not pending.done()
    reading.streams.last.send(event([0]))
    assert pending.result(timeout=20) is None
    assert indexes(reading.cursor.peek()) == [0]
    assert reading.cursor.pending is None  # there is an answer: nothing is waited for
    reading.cursor.move_to(ShardPosition.after(number(0)))
    reading.streams.last.send(event([1]))
    eventually(reading.cursor.pending.done)
    assert reading.page() == [1]


def test_who_waits_is_told_of_the_end(reading):
    pending = reading.open().cursor.pending
    reading.streams.last.send(None)
    assert pending.result(timeout=20) is None
    assert reading.cursor.pending.done()


def test_b14_renewed_after_five_minutes_from_the_continuation_number(reading):
    reading.open().streams.last.send(event([0, 1]))
    assert reading.page() == [0, 1]
    reading.clock.advance(300)
    reading.streams.last.send(None)
    reading.open(2)
    assert reading.streams.calls[1:] == [ShardPosition.at(number(1))]
    assert reading.cursor.retries == 0
    assert reading.service.asked == []
    reading.streams.last.send(event([1, 2]))
    assert reading.page() == [2]


def test_b14_events_without_records_move_the_next_subscription_on(reading):
    led = str(int(number(1)) + 4)
    reading.open().streams.last.send(event([0, 1]), event([], led))
    assert reading.page() == [0, 1]
    assert reading.answer().page is None
    reading.clock.advance(300)
    reading.streams.last.send(None)
    assert reading.open(2).streams.calls[1:] == [ShardPosition.after(led)]
    reading.streams.last.send(event([2]))
    answer = reading.answer()
    assert indexes(answer) == [2]
    assert answer.failures == ()


def test_a_page_not_claimed_is_not_passed_by_the_next_subscription(reading):
    reading.open().streams.last.send(event([0, 1]), event([], str(int(number(1)) + 4)))
    answer = reading.answer()
    reading.clock.advance(300)
    reading.streams.last.send(None)
    assert reading.cursor.peek() is answer
    assert len(reading.streams.calls) == 1
    reading.cursor.move_to(answer.end)
    assert reading.answer().page is None
    assert reading.open(2).streams.calls[1:] == [ShardPosition.after(str(int(number(1)) + 4))]


def test_a_place_between_records_is_left_behind_by_the_next_record(reading):
    reading.open().streams.last.send(event([0]), event([], str(int(number(0)) + 4)), event([1]), DROP)
    assert reading.page() == [0]
    assert reading.page() == [1]
    assert reading.open(2).streams.calls[1:] == [ShardPosition.at(number(1))]


@pytest.mark.parametrize("told", ["0", None])
def test_b14_a_continuation_that_leads_nowhere_is_not_used(reading, told):
    """LocalStack names 0 until there was a record, and takes it for no place."""
    reading.open().streams.last.send(event([], told))
    answer = reading.answer()
    assert answer.page is None
    assert answer.next_iterator is not None
    reading.clock.advance(300)
    reading.streams.last.send(None)
    assert reading.open(2).streams.calls[1:] == [TRIM_HORIZON]


def test_b14_records_sent_again_after_a_renewal_are_not_offered_again(reading):
    reading.open().streams.last.send(event(range(4)), DROP)
    assert reading.page() == [0, 1, 2, 3]
    reading.open(2).streams.last.send(event([1, 2]), event([2, 3, 4, 5]), event([3, 4, 5, 6]))
    answer = reading.answer()
    while answer.page is None:
        assert not answer.reached
        answer = reading.answer()
    assert indexes(answer) == [4, 5]
    assert answer.data_bytes == 2
    assert answer.failures == ()
    assert reading.page() == [4, 5]
    assert reading.page() == [6]


def test_b14_a_drop_in_the_stream_is_subscribed_again_after_five_seconds(reading):
    begun_s = reading.clock.monotonic_s()
    reading.open().streams.last.send(event([0]), DROP)
    assert reading.page() == [0]
    reading.open(2)
    assert reading.streams.calls[1:] == [ShardPosition.at(number(0))]
    assert reading.clock.monotonic_s() - begun_s >= RESUBSCRIBE_S
    assert reading.cursor.retries == 1


def test_b14_a_subscription_that_has_lasted_is_renewed_without_a_pause(reading):
    reading.open()
    reading.clock.advance(RESUBSCRIBE_S + 295)
    before_s = reading.clock.monotonic_s()
    reading.streams.last.send(None)
    reading.open(2)
    assert reading.clock.monotonic_s() == before_s


@pytest.mark.parametrize("error", [TAKEN_OVER, ServiceFaultError("fault"), TransientError("expired"), DROP])
def test_refused_calls_are_made_again_with_a_pause_that_grows(reading, error, monkeypatch):
    limits = []
    monkeypatch.setattr("random.uniform", lambda low, high: limits.append((low, high)) or high)
    reading.streams.refusals = [error] * 5
    reading.open(6)
    assert limits == [(0, 0.2), (0, 0.4), (0, 0.8), (0, 1.6), (0, 3.2)]
    assert reading.cursor.retries == 5
    assert reading.service.asked == []
    reading.streams.last.send(event([0]))
    assert reading.page() == [0]
    reading.streams.last.send(error)
    reading.open(7)
    assert limits[5:] == [(0, 0.2)]


def test_nothing_but_failures_ends_the_pipeline(reading):
    reading.streams.refusals = [DROP] * 1000
    begun_s = reading.clock.monotonic_s()
    with pytest.raises(
        EndpointDownError, match=r"All subscriptions to shardId-000000000000 failed for 30 s\. the conn"
    ):
        reading.answer()
    assert FAILURE_BUDGET_S < reading.clock.monotonic_s() - begun_s < FAILURE_BUDGET_S + 10


def test_b14_to_be_refused_because_another_subscribes_is_no_failure(reading):
    reading.streams.refusals = [TAKEN_OVER] * 40
    reading.open(41)
    assert len(reading.streams.opened) == 1
    assert reading.clock.monotonic_s() - ManualClock().monotonic_s() > FAILURE_BUDGET_S


@pytest.mark.parametrize(
    "error", [CredentialsError("denied"), ConfigurationError("disabled"), ZeroDivisionError("bug")]
)
def test_what_trying_again_does_not_mend_is_raised(reading, error):
    reading.open().streams.last.send(event([0]), error)
    assert reading.page() == [0]
    with pytest.raises(type(error), match=str(error)):
        eventually(reading.peek)


def test_b14_the_shards_end_names_the_children(reading):
    reading.open().streams.last.send(event([0, 1], None, children=CHILDREN))
    answer = reading.answer()
    assert indexes(answer) == [0, 1]
    assert answer.next_iterator is None
    assert [(child.shard_id, child.parents) for child in answer.children] == [(child, (SHARD,)) for child in CHILDREN]
    assert reading.ends()
    assert reading.cursor.peek() is answer


def test_b14_the_shards_end_without_records_and_with_a_continuation(reading):
    reading.open().streams.last.send(event([], number(9), children=CHILDREN[:1]))
    answer = reading.answer()
    assert (answer.page, answer.next_iterator, len(answer.children)) == (None, None, 1)


@pytest.mark.parametrize("ending", [None, DROP])
def test_a_subscription_that_breaks_off_may_have_been_at_the_shards_end(reading, ending):
    """LocalStack's ends so: GetRecords is asked, at the record read last."""
    reading.service.answer = decode_body(event([0], None, children=CHILDREN), SHARD)
    reading.open().streams.last.send(event([0]), ending)
    assert reading.page() == [0]
    answer = reading.answer()
    assert (answer.page, answer.reached, answer.next_iterator) == (None, "", None)
    assert [child.shard_id for child in answer.children] == list(CHILDREN)
    assert reading.service.asked == [ShardPosition.after(number(0))]
    assert len(reading.streams.calls) == 1


def test_getrecords_is_asked_on_a_thread_of_the_executor_and_peek_does_not_wait():
    executor = Held()
    reading = Reading(executor=executor)
    reading.open().streams.last.send(event([0]), DROP)
    assert reading.page() == [0]
    eventually(lambda: reading.peek() or executor.calls)
    pending = reading.cursor.pending
    assert not pending.done()
    assert reading.cursor.peek() is None
    reading.service.answer = decode_body(event([0], None, children=CHILDREN), SHARD)
    executor.go()
    assert pending.done()
    assert reading.cursor.peek().next_iterator is None
    assert len(executor.calls) == len(reading.streams.calls) == 1
    assert reading.ends()


def test_records_that_getrecords_gives_then_are_as_good_as_an_event(reading):
    reading.service.answer = Answer(decode_body(event([0, 1]), SHARD).page, 2, 40, "next", reached=number(1))
    reading.open().streams.last.send(event([0]), DROP)
    assert reading.page() == [0]
    assert reading.page() == [1]
    reading.open(2).streams.last.send(event([1, 2]))
    assert reading.page() == [2]


@pytest.mark.parametrize("fault", [None, CredentialsError("may not get"), DROP, ThrottledError("too often")])
def test_a_shard_that_is_not_at_its_end_or_cannot_be_asked_is_subscribed_again(reading, fault):
    reading.service.faults = [fault] if fault else []
    reading.open().streams.last.send(event([0]), DROP)
    assert reading.page() == [0]
    reading.open(2)
    assert len(reading.service.asked) == 1
    assert reading.streams.calls[1:] == [ShardPosition.at(number(0))]


def test_b12_a_shard_that_has_expired_ends_with_its_heirs_and_a_failure(reading):
    reading.service.faults = [NotFoundError("no such shard")]
    reading.streams.refusals = [NotFoundError("no such shard")]
    answer = reading.answer()
    assert [failure.kind for failure in answer.failures] == ["EXPIRED"]
    assert answer.next_iterator is None
    assert [child.shard_id for child in answer.children] == list(CHILDREN)


@pytest.mark.parametrize("fault", [None, CredentialsError("may not get"), NotFoundError("no stream either")])
def test_b14_a_consumer_that_is_gone_while_its_shard_is_not(reading, fault):
    reading.service.faults = [fault] if fault else []
    reading.service.listed += (ShardInfo(SHARD),)
    reading.streams.refusals = [NotFoundError("no such consumer")]
    with pytest.raises(NotFoundError, match="no such consumer"):
        eventually(reading.peek)


def test_an_event_that_cannot_be_decoded_is_asked_for_by_getrecords(reading):
    reading.service.answer = Answer(decode_body(event([0, 1]), SHARD).page, 2, 0, "next", reached=number(1))
    reading.open().streams.last.send(event([0]), b'{"Records": [{"Data": "!"}], "MillisBehindLatest": 0}')
    assert reading.page() == [0]
    assert reading.page() == [1]
    reading.open(2).streams.last.send(event([1, 2]))
    assert reading.page() == [2]


def test_an_event_that_getrecords_cannot_give_either_is_a_failure_and_reading_goes_on(reading):
    spoiled = Answer(None, 0, 0, "next", reached=number(3), spoiled=Spoiled(b"<html>", "no JSON"))
    reading.service.answer = spoiled
    reading.open().streams.last.send(b"<html>")
    answer = reading.answer()
    assert [(failure.kind, failure.body) for failure in answer.failures] == [("UNDECODABLE", b"<html>")]
    assert reading.cursor.retries == SPOILED_TRIES - 1
    reading.cursor.move_to(answer.end)
    reading.open(2).streams.last.send(event([3, 4]))
    assert reading.page() == [4]


def test_behind_a_last_record_that_cannot_be_decoded_the_next_subscription_begins():
    """After a restart: the record before the position is the one that spoils what begins with it."""
    reading = Reading(ShardPosition.after(number(3)))
    body = b'{"Records": [{"Data": "!", "SequenceNumber": "%b"}]}' % number(3).encode()
    reading.service.answer = Answer(None, 0, 0, "next", reached=number(3), spoiled=Spoiled(body, "no base64"))
    reading.open().streams.last.send(body)
    reading.open(2)
    assert reading.streams.calls[-1] == ShardPosition.after(number(3))
    reading.streams.last.send(event([4, 5]))
    assert reading.page() == [4, 5]
    reading.cursor.close()
    assert reading.ends()


def test_an_empty_answer_of_getrecords_that_is_not_at_the_tip_passes_nothing():
    """AWS gives such answers; the record that the subscription began with comes behind them."""
    reading = Reading(ShardPosition.at(number(3)))
    empty, full = (
        Answer(None, 0, 5_000, "next"),
        Answer(decode_body(event([3]), SHARD).page, 1, 0, "n", reached=number(3)),
    )
    answers = [empty, empty, full]
    reading.service.get = lambda shard_id, iterator: answers.pop(0) if len(answers) > 1 else answers[0]
    reading.open().streams.last.send(b"<html>")
    assert reading.page() == [3]
    reading.cursor.close()
    assert reading.ends()


def test_an_answer_of_getrecords_that_names_no_record_is_told_with_the_next_page():
    reading = Reading(ShardPosition.after(number(2)))
    spoiled = Answer(None, 0, 0, "next", spoiled=Spoiled(b"<html>", "no JSON"))
    full = Answer(decode_body(event([3]), SHARD).page, 1, 0, "n", reached=number(3))
    answers = [spoiled] * SPOILED_TRIES + [full]
    reading.service.get = lambda shard_id, iterator: answers.pop(0) if len(answers) > 1 else answers[0]
    reading.open().streams.last.send(b"<html>")
    answer = reading.answer()
    assert [failure.body for failure in answer.failures if failure.kind == "UNDECODABLE"] == [b"<html>"]
    assert answer.reached == number(3)
    reading.cursor.close()
    assert reading.ends()


def test_an_event_that_cannot_be_decoded_and_may_not_be_asked_for(reading):
    reading.service.faults = [CredentialsError("may not get")]
    reading.open().streams.last.send(b"<html>")
    with pytest.raises(CredentialsError, match="may not get"):
        eventually(reading.peek)


def test_children_are_listed_with_retries(reading):
    assert reading.cursor.children() == reading.service.listed
    reading.service.faults = [DROP]
    assert reading.cursor.children() is None
    assert reading.cursor.retries == 1
    assert reading.cursor.children() is None or reading.cursor.ready_s <= reading.clock.monotonic_s()
    reading.clock.advance(reading.cursor.ready_s - reading.clock.monotonic_s() + 0.001)
    assert reading.cursor.children() == reading.service.listed


@pytest.mark.parametrize(
    "position",
    [TRIM_HORIZON, ShardPosition.at(number(0)), ShardPosition.at(number(4)), ShardPosition.at(number(9))],
)
def test_a_cursor_that_is_moved_elsewhere_begins_there(reading, position):
    begun_s = reading.clock.monotonic_s()
    reading.open().streams.last.send(event(range(3)), event(range(3, 6)))
    assert reading.page() == [0, 1, 2]
    assert indexes(reading.answer()) == [3, 4, 5]
    stream = reading.streams.last
    reading.cursor.move_to(position)
    assert stream.closed.is_set()
    reading.open(2)
    assert reading.streams.calls[1:] == [position]
    assert RESUBSCRIBE_S <= reading.clock.monotonic_s() - begun_s <= RESUBSCRIBE_S + 0.1


def test_a_cursor_moved_before_it_began_reads_from_there(reading):
    reading.cursor.move_to(ShardPosition.after(number(3)))
    assert reading.open().streams.calls == [ShardPosition.at(number(3))]


def test_b9_caught_up_is_told_for_a_time_before_the_event_was_made(reading):
    stream = reading.open().streams.last
    for wait_s in (5, 4):
        eventually(stream.waits.is_set)
        begun_ms, begun_s = reading.clock.now_ms(), reading.clock.monotonic_s()
        reading.clock.advance(wait_s)
        stream.send(event([], "0"))
        assert reading.answer().caught_up
        assert reading.cursor.caught_up_ms == begun_ms
        assert reading.cursor.asked_s == begun_s
    stream.send(event([0], behind_ms=0))
    assert not reading.answer().caught_up  # LocalStack says so whatever follows
    assert reading.cursor.caught_up_ms is None


def test_b9_an_event_that_waited_to_be_read_is_told_for_the_time_before_the_wait(reading, monkeypatch):
    monkeypatch.setattr(subscriptions, "QUEUE_BYTES", 1)
    begun_s = reading.clock.monotonic_s()
    stream = reading.open().streams.last
    stream.send(event([0]), event([1]), event([], number(1)))
    eventually(lambda: stream.taken == 2)  # the third is there, and the thread has no room for it
    reading.clock.advance(60)
    assert reading.page() + reading.page() == [0, 1]
    reading.answer()
    assert reading.cursor.asked_s == begun_s


def test_b9_no_time_is_told_when_more_follows(reading):
    reading.open().streams.last.send(event([], number(3), behind_ms=4000))
    assert reading.answer().millis_behind == 4000
    assert reading.cursor.caught_up_ms is None


def test_a_slow_taker_slows_the_thread_down_not_the_memory(reading, monkeypatch):
    monkeypatch.setattr(subscriptions, "QUEUE_BYTES", 5_000)
    size = len(event([0], data=b"x" * 1000))
    stream = reading.open().streams.last
    stream.send(*(event([index], data=b"x" * 1000) for index in range(50)))
    limit = 5_000 // size
    eventually(lambda: stream.taken == limit + 1)  # one more is in the thread's hands
    threading.Event().wait(0.05)
    assert stream.taken == limit + 1
    reading.answer()
    eventually(lambda: stream.taken == limit + 2)
    taken = []
    for _ in range(50):
        answer = reading.answer()
        taken += answer.page["sequence_number"].to_pylist()
        reading.cursor.move_to(answer.end)
    assert taken == [number(index) for index in range(50)]


def test_an_event_larger_than_the_queue_comes_through(reading, monkeypatch):
    monkeypatch.setattr(subscriptions, "QUEUE_BYTES", 100)
    reading.open().streams.last.send(event(range(40)), event([40]))
    assert reading.page() == list(range(40))
    assert reading.page() == [40]


@pytest.mark.parametrize("blocked", [False, True], ids=["waits for events", "waits for room"])
def test_close_frees_the_thread(reading, monkeypatch, blocked):
    stream = reading.open().streams.last
    if blocked:
        monkeypatch.setattr(subscriptions, "QUEUE_BYTES", 1)
        stream.send(event([0]), event([1]), event([2]))
        eventually(lambda: stream.taken == 2)
    assert len(reading.threads()) == 1
    reading.cursor.close()
    assert reading.ends()
    assert stream.closed.is_set()


def test_a_cursor_that_is_dropped_frees_its_thread():
    reading = Reading().open()
    stream = reading.streams.last
    del reading.cursor
    gc.collect()
    assert reading.ends()
    assert stream.closed.is_set()


def test_close_while_the_call_is_made_ends_what_it_opens(reading, monkeypatch):
    answers, goes_on = reading.streams.subscribe, threading.Event()

    def slow(shard_id, position):
        goes_on.wait(20)
        return answers(shard_id, position)

    monkeypatch.setattr(reading.streams, "subscribe", slow)
    reading.cursor.peek()
    reading.cursor.close()
    goes_on.set()
    assert reading.ends()
    assert reading.streams.last.closed.is_set()


def test_a_cursor_that_nobody_reads_makes_no_subscription_by_itself(reading):
    stream = reading.open().streams.last
    reading.clock.advance(300)
    stream.send(None)
    assert reading.ends()
    reading.clock.advance(300)
    assert len(reading.streams.calls) == 1


def test_close_is_undone_by_peek_from_where_it_stood(reading):
    reading.open().streams.last.send(event([0, 1]), event([2]))
    assert reading.page() == [0, 1]
    reading.cursor.close()
    reading.open(2)
    assert reading.streams.calls[1:] == [ShardPosition.at(number(1))]


ENDS = st.sampled_from([None, DROP, TAKEN_OVER, ServiceFaultError("fault"), TransientError("expired")])
PLANS = st.lists(
    st.builds(
        Plan,
        cuts=st.lists(st.integers(0, 6), max_size=6).map(tuple),
        ends=ENDS,
        again=st.integers(0, 4),
    ),
    max_size=6,
)
CLAIMS = st.lists(st.sampled_from(["all", "all", "all", "some", "none", "dropped", "back"]), max_size=30)


@settings(deadline=None)
@given(count=st.integers(1, 40), plans=PLANS, claims=CLAIMS)
@example(count=3, plans=[Plan((0, 2), DROP), Plan((0,), None, again=2)], claims=["some", "none"])
def test_b14_every_record_is_read_once_in_order_however_subscriptions_are_cut(count, plans, claims):
    clock = ManualClock()
    server = ShardServer(count, plans, clock)

    def made(position):
        return FanoutCursor(Fetcher(Polled()), server, Shard(SHARD), position, clock)

    def found():
        answer = cursor.peek()
        if answer is None:
            clock.advance(0.5)
        return answer if answer is not None and (answer.reached or answer.next_iterator is None) else None

    position, claimed = TRIM_HORIZON, [(TRIM_HORIZON, 0)]
    cursor, read = made(position), []
    while True:
        answer = eventually(found, "a page")
        assert answer.failures == ()
        claim = claims.pop(0) if claims else "all"
        if claim == "dropped":
            cursor = made(position)
        elif claim == "back":
            # As after a bundle that failed.
            position, done = [mark for mark in claimed if mark[1] <= len(read)][-2:][0]
            read = read[:done]
        elif claim == "some" and answer.page is not None and answer.page.num_rows > 1:
            half = answer.page.num_rows // 2
            read += indexes(answer)[:half]
            position = ShardPosition.after(answer.page["sequence_number"][half - 1].as_py())
        elif claim in ("all", "some"):
            if answer.page is not None:
                read += indexes(answer)
                position = answer.end
            if answer.next_iterator is None:
                break
        cursor.move_to(position)
        claimed.append((position, len(read)))
    cursor.close()
    assert read == list(range(count))
    assert [child.shard_id for child in answer.children] == list(CHILDREN)
