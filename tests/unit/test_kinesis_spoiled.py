"""Answers that lost members on their way, and records that can never be decoded: nothing ends, nothing is lost."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kinesis_fake import AtOnce, FakeKinesis

from pipelines.kinesis.backoff import FAILURE_BUDGET_S
from pipelines.kinesis.cache import CursorCache
from pipelines.kinesis.cursor import SPOILED_TRIES, UNPLACED_ANSWERS, Cursor
from pipelines.kinesis.fetch import Fetcher
from pipelines.kinesis.positions import StartingPosition
from pipelines.kinesis.reader import Offer, Reader, start_of
from pipelines.kinesis.service import StreamService
from pipelines.runtime.clock import ManualClock
from pipelines.runtime.errors import EndpointDownError

SHARD = "shardId-000000000000"


class Reading:
    """Reads a stream; `restart` begins anew behind what was claimed, as a process does that was killed."""

    def __init__(self, stream: FakeKinesis, executor=None) -> None:
        self.stream, self.clock, self.executor = stream, stream.clock, executor
        self.numbers: list[str] = []
        self.failures = []
        self.service = StreamService("flights", stream, clock=stream.clock)
        self.left = start_of(self.service, StartingPosition.parse("TRIM_HORIZON"), stream.clock)
        self.restart()

    def restart(self) -> None:
        fetcher = Fetcher(StreamService("flights", self.stream, clock=self.clock))
        cache = CursorCache(lambda shard, at: Cursor(fetcher, shard, at, self.clock, self.executor))
        self.reader = Reader(cache, self.clock)

    def poll(self) -> bool:
        """Whether something was offered; it is claimed."""
        step = self.reader.poll(self.left)
        if not isinstance(step, Offer):
            self.clock.ms += max(1, round(step.seconds * 1000) + 1)
            return False
        self.left = self.left.after(step.claim)
        self.failures += step.failures
        if step.page is not None:
            self.numbers += step.page["sequence_number"].to_pylist()
        return True

    def run(self, polls: int = 60) -> list[str]:
        for _ in range(polls):
            if self.left.done:
                break
            self.poll()
        return self.numbers


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def stream(clock) -> FakeKinesis:
    return FakeKinesis(clock)


@pytest.fixture(params=[None, AtOnce()], ids=["on demand", "ahead"])
def executor(request):
    return request.param


# Answers that lost where reading goes on.


def test_b10_an_open_shard_goes_on_behind_an_answer_without_its_iterator(stream, executor):
    numbers = stream.put(SHARD, 9)
    reading = Reading(stream, executor)
    stream.endless = 2
    assert reading.run() == numbers
    later = stream.put(SHARD, 2)
    stream.endless = 1
    assert reading.run() == numbers + later
    assert not reading.left.done
    assert reading.failures == []


def test_b10_an_open_shard_goes_on_behind_an_empty_answer_without_its_iterator(stream, executor):
    reading = Reading(stream, executor)
    stream.endless = 3
    reading.run(10)
    assert not reading.left.done
    numbers = stream.put(SHARD, 4)
    assert reading.run() == numbers


@pytest.mark.parametrize("tells", [True, False], ids=["children told", "children not told"])
def test_b10_a_closed_shard_is_read_to_its_end_though_an_answer_lost_its_iterator(stream, executor, tells):
    stream.tell_children = tells
    numbers = stream.put(SHARD, 9)
    for child in stream.split(SHARD):
        numbers += stream.put(child, 3)
    reading = Reading(stream, executor)
    stream.endless = 2
    reading.run()
    assert sorted(reading.numbers) == sorted(numbers)
    assert reading.numbers[:9] == numbers[:9]
    assert reading.left.find(SHARD) is None


def test_b10_the_end_of_a_shard_is_made_sure_of_once(stream, clock):
    """Where GetRecords names no children, as before 2020: one list and one more read for each shard that ends."""
    stream.tell_children = False
    stream.put(SHARD, 1)
    stream.close(SHARD)
    reading = Reading(stream)
    reading.run()
    assert reading.left.done
    assert stream.calls.count("get_records") == 2


@settings(deadline=None, max_examples=60)
@given(st.lists(st.integers(0, 3), max_size=12), st.booleans(), st.booleans(), st.data())
def test_b10_whatever_answers_lose_their_iterators_every_record_is_read_once(sizes, tells, ahead, data):
    stream = FakeKinesis(ManualClock())
    stream.tell_children = tells
    reading = Reading(stream, AtOnce() if ahead else None)
    numbers, open_shards = [], [SHARD]
    for size in sizes:
        shard_id = data.draw(st.sampled_from(open_shards))
        numbers += stream.put(shard_id, size) if size else []
        if not size:
            open_shards.remove(shard_id)
            open_shards += stream.split(shard_id)
        stream.endless = data.draw(st.integers(0, 3))
        if data.draw(st.booleans()):
            reading.poll()
        if data.draw(st.booleans()):
            reading.restart()
    reading.run(60 + 20 * len(sizes))
    assert sorted(reading.numbers) == sorted(numbers)
    assert not reading.failures


# Records that can never be decoded.


@pytest.mark.parametrize("before", [0, 1, 5])
@pytest.mark.parametrize("restarts", ["restart", "23 hours behind", "expired iterator"])
def test_behind_a_last_record_that_cannot_be_decoded_reading_goes_on(stream, clock, executor, before, restarts):
    """Reading begins at the record before the position, here the one that spoils its answer."""
    numbers = stream.put(SHARD, before)
    (poison,) = stream.put(SHARD)
    stream.poison = {poison}
    reading = Reading(stream, executor)
    reading.run()
    assert [failure.up_to for failure in reading.failures] == [poison]
    if restarts == "restart":
        reading.restart()
    elif restarts == "expired iterator":
        reading.run(3)
        iterator = reading.reader._cursors[SHARD]
        iterator._iterator = None  # as after ExpiredIteratorException
    else:
        clock.advance(24 * 3600)
    reading.run()
    assert len(reading.failures) == 1, "told once"
    later = stream.put(SHARD, 4)
    reading.run()
    lost = len(numbers) % 3  # those that shared the answer with it
    assert reading.numbers == numbers[: len(numbers) - lost] + later
    assert len(reading.failures) == 1


def test_a_record_that_cannot_be_decoded_does_not_take_others_with_it_after_a_restart(stream, executor):
    (poison,) = stream.put(SHARD)
    stream.poison = {poison}
    reading = Reading(stream, executor)
    reading.run()
    later = stream.put(SHARD, 4)  # by now they come in one answer with it
    reading.restart()
    assert reading.run() == later
    assert len(reading.failures) == 1


def test_b10_a_shard_whose_last_record_cannot_be_decoded_ends(stream, executor):
    (poison,) = stream.put(SHARD)
    stream.poison = {poison}
    reading = Reading(stream, executor)
    reading.run()
    reading.restart()
    children = stream.split(SHARD)
    numbers = stream.put(children[0], 2)
    assert reading.run() == numbers
    assert reading.left.find(SHARD) is None


# Answers in which no record is found.


def test_an_answer_that_names_no_record_is_a_failure_with_the_page_that_follows(stream, executor):
    numbers = stream.put(SHARD, 9)
    reading = Reading(stream, executor)
    reading.poll()
    stream.unplaced = SPOILED_TRIES
    stream.faults = []
    reading.run()
    ahead = 3 if executor else 0  # the answer behind the first one was fetched before
    assert reading.numbers == numbers[: 3 + ahead] + numbers[6 + ahead :]
    if not executor:
        (failure,) = reading.failures
        assert (failure.kind, failure.after, failure.up_to) == ("UNDECODABLE", numbers[2], "")
        assert failure.body
        assert numbers[3].encode() in failure.body


def test_an_answer_that_names_no_record_is_a_failure_also_when_the_shard_ends(stream):
    stream.put(SHARD, 3)
    reading = Reading(stream)
    stream.unplaced = SPOILED_TRIES
    reading.run()
    assert reading.failures == []  # there is no place yet to put it
    stream.split(SHARD)
    reading.run()
    assert [failure.kind for failure in reading.failures] == ["UNDECODABLE"]


def test_answers_that_name_no_record_are_given_up_in_the_end(stream, clock):
    stream.put(SHARD, 30)
    reading = Reading(stream)
    stream.unplaced = 10_000
    with pytest.raises(EndpointDownError, match="cannot be decoded"):
        for _ in itertools.count():
            reading.poll()
    assert clock.monotonic_s() > FAILURE_BUDGET_S
    assert 10_000 - stream.unplaced > UNPLACED_ANSWERS * SPOILED_TRIES


# Where reading ends.


@pytest.mark.parametrize("answers", ["unplaced", "empty"])
def test_until_time_an_answer_that_does_not_say_how_far_it_is_ends_nothing(stream, clock, answers):
    numbers = stream.put(SHARD, 12)
    clock.advance(60)
    reading = Reading(stream)
    reading.reader = Reader(reading.reader._cache, clock, until=clock.now_ms() - 30_000)
    if answers == "unplaced":
        stream.unplaced = SPOILED_TRIES
    else:
        stream.emptied = 2
    reading.run()
    assert reading.left.done
    assert reading.numbers == (numbers[3:] if answers == "unplaced" else numbers)
    assert len(reading.failures) == (answers == "unplaced")


def test_until_a_record_that_was_in_an_unplaced_answer_reading_ends_with_the_failure(stream, clock):
    numbers = stream.put(SHARD, 6)
    reading = Reading(stream)
    reading.reader = Reader(reading.reader._cache, clock, until={SHARD: numbers[5]})
    reading.poll()
    stream.unplaced = SPOILED_TRIES
    reading.run()
    assert reading.left.done
    assert reading.numbers == numbers[:3]
    assert [failure.kind for failure in reading.failures] == ["UNDECODABLE"]


def test_what_could_not_be_found_in_a_spoiled_answer_is_read_behind_what_could(stream, executor):
    """Its iterator leads behind all of it, also behind records whose numbers are lost."""
    numbers = stream.put(SHARD, 6)
    reading = Reading(stream, executor)
    stream.cut = SPOILED_TRIES
    reading.run()
    assert reading.numbers == numbers[1:]
    assert [failure.up_to for failure in reading.failures] == [numbers[0]]


@pytest.mark.parametrize("records", [0, 5])
def test_b10_a_closed_shard_ends_though_an_empty_answer_comes_before_its_last(stream, executor, records):
    stream.tell_children = False
    stream.empty_before_the_end = True
    numbers = stream.put(SHARD, records)
    children = stream.split(SHARD)
    numbers += stream.put(children[1], 2)
    reading = Reading(stream, executor)
    assert reading.run(200) == numbers
    assert {shard.shard_id for shard in reading.left.shards} == set(children)


def test_b12_a_shard_that_expires_behind_its_last_answer_has_given_it(stream, monkeypatch):
    stream.tell_children = False
    numbers = stream.put(SHARD, 3)
    stream.split(SHARD)
    reading = Reading(stream)
    get_records = stream.get_records

    def and_expires(**arguments):
        answer = get_records(**arguments)
        stream.expire(SHARD)
        return answer

    monkeypatch.setattr(stream, "get_records", and_expires)
    reading.poll()
    assert reading.numbers == numbers
