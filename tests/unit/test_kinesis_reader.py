"""The reader, its cursors and `iter_pages` on a client in memory: pauses, faults, ends of reading."""

import json
from concurrent.futures import Executor, Future
from email.utils import formatdate

import pytest
from botocore.exceptions import NoCredentialsError
from kinesis_fake import AtOnce, FakeKinesis, client_error, connection_error

from pipelines.kinesis import reader
from pipelines.kinesis.backoff import FAILURE_BUDGET_S
from pipelines.kinesis.cache import CursorCache
from pipelines.kinesis.cursor import SPOILED_TRIES, Cursor
from pipelines.kinesis.fetch import Fetcher, Shard
from pipelines.kinesis.idle import IDLE_POLL_S, POLL_S, IdlePolls
from pipelines.kinesis.position_file import Positions
from pipelines.kinesis.positions import ShardPosition, StartingPosition
from pipelines.kinesis.reader import Offer, Reader, Wait, iter_pages, start_of
from pipelines.kinesis.service import StreamService
from pipelines.kinesis.until import SLACK_MS, StopFile, check_until
from pipelines.runtime.clock import ManualClock
from pipelines.runtime.errors import (
    ConfigurationError,
    CredentialsError,
    EndpointDownError,
    InvalidDataError,
    NotFoundError,
)

SHARD = "shardId-000000000000"


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def stream(clock) -> FakeKinesis:
    return FakeKinesis(clock)


@pytest.fixture(autouse=True, params=[None, AtOnce()], ids=["on demand", "ahead"])
def _ahead(request, monkeypatch):
    monkeypatch.setattr(Reading, "ahead", request.param)


def cache(stream, clock, executor=None) -> CursorCache:
    fetcher = Fetcher(StreamService("flights", stream, clock=clock))
    return CursorCache(lambda shard, position: Cursor(fetcher, shard, position, clock, executor))


class Reading:
    """A restriction being read, and the numbers of what came."""

    ahead = None

    def __init__(self, stream, clock, start="TRIM_HORIZON", until=None) -> None:
        self.service = StreamService("flights", stream, clock=clock)
        self.cache = cache(stream, clock, self.ahead)
        self.reader = Reader(self.cache, clock, until)
        self.left = start_of(self.service, StartingPosition.parse(start), clock)
        self.clock = clock
        self.numbers: list[str] = []
        self.waits: list[float] = []

    def poll(self, claims: bool = True):
        step = self.reader.poll(self.left)
        if isinstance(step, Offer) and claims:
            self.left = self.left.after(step.claim)
            if step.page is not None:
                self.numbers += step.page["sequence_number"].to_pylist()
        if isinstance(step, Wait):
            self.waits.append(step.seconds)
        return step

    def run(self, polls: int = 100) -> list[str]:
        """Polls until done or nothing but waiting, at most `polls` times; time passes as asked for."""
        for _ in range(polls):
            if self.left.done:
                break
            step = self.poll()
            if isinstance(step, Wait):
                self.clock.sleep(step.seconds + 0.001)
        return self.numbers


def test_b8_pages_in_order_then_waits_at_the_tip(stream, clock):
    numbers = stream.put(SHARD, 7)
    reading = Reading(stream, clock)
    assert [reading.poll().page.num_rows for _ in range(3)] == [3, 3, 1]
    assert reading.numbers == numbers
    assert reading.poll().seconds == pytest.approx(POLL_S)


def test_b8_idle_pauses_grow_to_a_limit_and_data_resets_them(stream, clock):
    reading = Reading(stream, clock)
    reading.run(15)
    few_s, _ = IDLE_POLL_S
    assert reading.waits[:8] == pytest.approx([POLL_S * 1.25**n for n in range(8)])  # the next would be longer
    assert all(POLL_S <= wait <= few_s + POLL_S for wait in reading.waits[8:])
    assert reading.waits[9:] == pytest.approx([few_s] * 6, abs=0.002)
    stream.put(SHARD, 1)
    reading.run(2)
    assert len(reading.numbers) == 1
    assert reading.waits[-1] == pytest.approx(POLL_S)


def test_b8_the_longest_pauses_of_idle_shards_end_together(stream, clock):
    """So many idle shards wake a reader together, and not each for itself."""
    ends = []
    for begun_ms in (0, 130, 777):
        clock.advance(begun_ms / 1000)
        reading = Reading(stream, clock)
        reading.run(20)
        ends.append(clock.monotonic_s() + reading.poll().seconds)
    assert [(end + 0.5) % 1 for end in ends] == pytest.approx([0.5] * 3)


@pytest.mark.parametrize(("shards", "longest_s"), [(1, 1), (16, 1), (24, 1.5), (64, 4), (200, 4)])
def test_the_idle_shards_of_a_process_share_their_polls(stream, clock, shards, longest_s):
    idle = IdlePolls()
    fetcher = Fetcher(StreamService("flights", stream, clock=clock))
    cursors = [Cursor(fetcher, Shard(SHARD), ShardPosition("TRIM_HORIZON"), clock, idle=idle) for _ in range(shards)]
    assert idle.longest_s == longest_s
    for _ in range(40):
        clock.advance(max(0, cursors[0].ready_s - clock.monotonic_s()) + 0.001)
        assert cursors[0].peek().reached == ""
    assert cursors[0].ready_s - clock.monotonic_s() == pytest.approx(longest_s, abs=0.002)
    del cursors[1:]
    assert idle.longest_s == 1  # who is not read any more does not count


def test_an_offer_not_claimed_is_offered_again(stream, clock):
    stream.put(SHARD, 7)
    reading = Reading(stream, clock)
    first = reading.poll(claims=False)
    assert reading.poll(claims=False) == first
    reading.reader.close(reading.left)
    again = Reader(reading.cache, clock).poll(reading.left)
    assert again.page.equals(first.page)
    assert stream.calls.count("get_records") == (1 if Reading.ahead is None else 2)  # and the page behind it


@pytest.mark.parametrize("behind", [0, 1, 4])
def test_a_cursor_that_is_moved_elsewhere_reads_from_there(stream, clock, behind):
    numbers = stream.put(SHARD, 9)
    fetcher = Fetcher(StreamService("flights", stream))
    cursor = Cursor(fetcher, Shard(SHARD), ShardPosition("TRIM_HORIZON"), clock, Reading.ahead)
    assert cursor.peek().page["sequence_number"].to_pylist() == numbers[:3]
    cursor.move_to(ShardPosition.after(numbers[behind]))
    # The answer begins with the known record, which is left out.
    assert cursor.peek().page["sequence_number"].to_pylist() == numbers[behind + 1 : behind + 3]
    assert stream.iterators[-1]["StartingSequenceNumber"] == numbers[behind]


def test_b8_nothing_is_fetched_ahead_of_the_tip(stream, clock):
    stream.put(SHARD, 3)
    reading = Reading(stream, clock)
    reading.poll()
    assert stream.calls.count("get_records") == 1
    reading.poll()  # the tip was reached: there is a pause first
    assert stream.calls.count("get_records") == 1


def test_the_next_call_goes_on_without_a_new_iterator(stream, clock):
    numbers = stream.put(SHARD, 9)
    reading = Reading(stream, clock)
    for _ in range(3):
        reading.poll()
        reading.reader.close(reading.left)
        reading.reader = Reader(reading.cache, clock)
    assert reading.numbers == numbers
    assert stream.calls.count("get_shard_iterator") == 1


def test_a_restored_position_wins_over_the_cache(stream, clock):
    numbers = stream.put(SHARD, 9)
    reading = Reading(stream, clock)
    reading.poll()
    checkpoint = reading.left
    reading.poll()
    reading.reader.close(reading.left)
    reading.reader, reading.left, reading.numbers = Reader(reading.cache, clock), checkpoint, numbers[:3]
    reading.run(5)
    assert reading.numbers == numbers


def test_b7_expired_iterator_is_renewed_at_the_last_claim(stream, clock):
    numbers = stream.put(SHARD, 7)
    reading = Reading(stream, clock)
    reading.poll()
    stream.faults = [client_error("ExpiredIteratorException")]
    reading.run(5)
    assert reading.numbers == numbers
    assert stream.iterators[-1]["ShardIteratorType"] == "AT_SEQUENCE_NUMBER"  # to see that the record is there
    claimed = numbers[2] if Reading.ahead is None else numbers[5]  # ahead, the call that fails is the third
    assert stream.iterators[-1]["StartingSequenceNumber"] == claimed
    assert reading.reader.take_retries() == 1
    assert reading.reader.take_retries() == 0


@pytest.mark.parametrize("code", ["ProvisionedThroughputExceededException", "LimitExceededException"])
def test_b6_throttling_backs_off_for_as_long_as_it_lasts(stream, clock, code):
    numbers = stream.put(SHARD, 1)
    reading = Reading(stream, clock)
    stream.faults = [client_error(code) for _ in range(40)]
    begin = clock.monotonic_s()
    reading.run(200)
    assert reading.numbers == numbers
    assert clock.monotonic_s() - begin > FAILURE_BUDGET_S
    assert max(reading.waits) > 1.0
    assert reading.reader.take_retries() == 40


@pytest.mark.parametrize(
    "fault", [connection_error, lambda: client_error("InternalFailure", status=500)], ids=["down", "fault"]
)
def test_short_failures_are_survived_and_long_ones_end_it(stream, clock, fault):
    numbers = stream.put(SHARD, 1)
    reading = Reading(stream, clock)
    stream.faults = [fault() for _ in range(5)]
    assert reading.run(100) == numbers
    stream.faults = [fault() for _ in range(500)]
    begin = clock.monotonic_s()
    with pytest.raises(EndpointDownError, match=f"{SHARD} failed for 30 s") as raised:
        reading.run(500)
    assert raised.value.fix
    assert FAILURE_BUDGET_S < clock.monotonic_s() - begin < 2 * FAILURE_BUDGET_S


def test_b6_back_off_lasts_also_when_the_end_is_known(stream, clock, tmp_path):
    stream.put(SHARD, 1)
    stop = StopFile(str(tmp_path / "stop.json"))
    stop.write({SHARD: None})
    for until in (clock.now_ms() + 60_000, {SHARD: "1"}, stop):
        reading = Reading(stream, clock, until=until)
        stream.faults = [client_error("ProvisionedThroughputExceededException") for _ in range(9)]
        reading.poll()
        for _ in range(5):
            reading.poll()
        assert len(stream.faults) == 8
        stream.faults.clear()


def test_a_success_in_between_renews_the_failure_budget(stream, clock):
    reading = Reading(stream, clock)
    for _ in range(4):
        stream.faults = [connection_error() for _ in range(3)]
        clock.advance(FAILURE_BUDGET_S)
        reading.run(12)
        assert not stream.faults


def test_one_throttled_shard_does_not_hold_up_another(clock):
    stream = FakeKinesis(clock, 2)
    stream.put("shardId-000000000000", 3)
    expected = stream.put("shardId-000000000001", 3)
    reading = Reading(stream, clock)
    stream.faults = [client_error("ProvisionedThroughputExceededException")]
    assert reading.poll().claim.shard_id == "shardId-000000000001"
    assert reading.numbers == expected


@pytest.mark.parametrize(
    ("fault", "error", "fix"),
    [
        (client_error("ResourceNotFoundException", "ListShards"), NotFoundError, "aws kinesis list-streams"),
        (client_error("UnrecognizedClientException", "ListShards"), CredentialsError, "sts get-caller-identity"),
        (NoCredentialsError(), CredentialsError, "aws configure"),
        (connection_error(), EndpointDownError, "hydrant up"),
    ],
    ids=["missing", "refused", "no credentials", "down"],
)
def test_listing_says_what_is_wrong_and_how_to_mend_it(stream, clock, fault, error, fix):
    stream.faults = [fault]
    with pytest.raises(error, match="Kinesis stream flights") as raised:
        start_of(StreamService("flights", stream), StartingPosition("TRIM_HORIZON"), clock)
    assert fix in raised.value.fix


def test_terminal_errors_are_raised_at_once(stream, clock):
    reading = Reading(stream, clock)
    stream.faults = [client_error("AccessDeniedException")]
    with pytest.raises(CredentialsError):
        reading.poll()


def test_shards_are_listed_page_by_page(clock):
    stream = FakeKinesis(clock, 7, list_page=3)
    assert len(StreamService("s", stream).shards()) == 7
    assert stream.calls == ["list_shards"] * 3


def test_arn_goes_as_an_arn(clock):
    seen = {}

    class Client(FakeKinesis):
        def list_shards(self, **arguments):
            seen.update(arguments)
            return {"Shards": []}

    StreamService("arn:aws:kinesis:us-east-1:1:stream/s", Client(clock)).shards()
    assert seen == {"StreamARN": "arn:aws:kinesis:us-east-1:1:stream/s"}


@pytest.mark.parametrize("tells", [True, False])
def test_b10_children_are_read_also_when_get_records_does_not_name_them(stream, clock, tells):
    stream.tell_children = tells
    stream.put(SHARD, 4)
    for child in stream.split(SHARD):
        stream.put(child, 2)
    merged = stream.merge(*stream.open_shards())
    stream.put(merged, 2)
    reading = Reading(stream, clock)
    assert sorted(reading.run(30)) == stream.all_numbers()


@pytest.mark.parametrize("tells", [True, False])
def test_b12_a_merges_child_waits_for_a_parent_that_reading_has_not_come_to(clock, tells):
    """Reading lags behind in the shard whose half was merged: the child is known before that half is."""
    stream = FakeKinesis(clock, 2)
    stream.tell_children = tells
    slow, quick = stream.open_shards()
    reading = Reading(stream, clock)
    numbers = stream.put(slow, 20)
    end, half = stream.split(slow)
    other_end, quarter = stream.split(half)
    stream.close(end)
    stream.close(other_end)
    numbers += stream.put(quarter, 5)
    child = stream.merge(quarter, quick)
    numbers += stream.put(child, 2)
    stream.close(child)
    assert reading.run() == numbers
    assert reading.left.done


def test_b12_b13_reading_goes_on_in_what_descends_from_expired_shards(clock):
    """Of a shard's children one has expired, too: its own children are read beside the other one."""
    stream = FakeKinesis(clock)
    reading = Reading(stream, clock)
    stream.put(SHARD, 2)
    first, second = stream.split(SHARD)
    stream.put(first, 2)
    quarters = stream.split(first)
    for shard_id in (SHARD, first):
        stream.expire(shard_id)
    for shard_id in (second, *quarters):
        stream.put(shard_id, 2)
        stream.close(shard_id)
    gap = reading.poll()
    assert [(failure.kind, failure.shard_id, failure.after) for failure in gap.failures] == [("EXPIRED", SHARD, "")]
    assert (gap.page, gap.claim.ends) == (None, True)
    assert sorted(reading.run()) == stream.all_numbers()
    assert reading.left.done


def test_b12_b13_an_heir_waits_for_all_expired_shards_that_may_have_had_its_records(clock):
    """Else it could have been read before the last of them is found to have expired, and would be found once more."""
    stream = FakeKinesis(clock, 3)
    low, middle, high = stream.open_shards()
    reading = Reading(stream, clock)
    heir = stream.merge(stream.merge(low, middle), high)
    stream.put(heir, 4)
    stream.close(heir)
    for shard_id in set(stream.shards) - {heir}:
        stream.expire(shard_id)
    for shard_id, others in ((low, (middle, high)), (middle, (high,)), (high, ())):
        offer = reading.poll()
        assert [(failure.kind, failure.shard_id) for failure in offer.failures] == [("EXPIRED", shard_id)]
        assert reading.left.find(heir).waits_for == others
    assert reading.run() == stream.all_numbers()
    assert reading.left.done


def test_b7_latest_is_fixed_at_start_up(stream, clock):
    stream.put(SHARD, 3)
    clock.advance(1)
    reading = Reading(stream, clock, "LATEST")
    numbers = stream.put(SHARD, 2)
    clock.advance(60)
    assert reading.run(5) == numbers
    assert stream.iterators[0]["ShardIteratorType"] == "AT_TIMESTAMP"


def test_b7_at_and_after_sequence_number(stream, clock):
    numbers = stream.put(SHARD, 5)
    assert Reading(stream, clock, StartingPosition.at({SHARD: numbers[2]})).run(5) == numbers[2:]
    assert Reading(stream, clock, StartingPosition.after({SHARD: numbers[2]})).run(5) == numbers[3:]


@pytest.mark.parametrize("start", ["AT_TIMESTAMP", "latest", ""])
def test_start_must_be_a_name_that_stands_alone(start):
    with pytest.raises(ConfigurationError, match="no starting position"):
        StartingPosition.parse(start)


def test_start_must_have_sequence_numbers():
    with pytest.raises(ConfigurationError, match="no sequence number"):
        StartingPosition.after({SHARD: "LATEST"})


@pytest.mark.parametrize("until", ["2026-01-01", {}, {SHARD: "x"}, True, 1.5, 1_700_000_000])
def test_until_must_be_an_end(until):
    with pytest.raises(ConfigurationError, match="no end of reading"):
        check_until(until)


def test_until_sequence_numbers_cuts_the_page_and_ends_shards_not_named(clock):
    stream = FakeKinesis(clock, 3)
    numbers = stream.put(SHARD, 8)
    stream.put("shardId-000000000001", 2)
    reading = Reading(stream, clock, until={SHARD: numbers[4]})
    reading.run(20)
    assert reading.left.done
    assert sorted(reading.numbers) == sorted(numbers[:5] + stream.all_numbers()[8:])


def test_until_sequence_number_reads_the_children_too(stream, clock):
    first = stream.put(SHARD, 2)
    stream.put(SHARD, 1)  # someone else's, behind our last
    left_child, _ = stream.split(SHARD)
    second = stream.put(left_child, 2)
    reading = Reading(stream, clock, until={SHARD: first[-1], left_child: second[0]})
    assert reading.run(20) == [*first, second[0]]
    assert reading.left.done


def test_until_sequence_number_behind_a_restored_position_ends_at_once(stream, clock):
    numbers = stream.put(SHARD, 5)
    reading = Reading(stream, clock, StartingPosition.after({SHARD: numbers[3]}), until={SHARD: numbers[1]})
    assert reading.run(3) == []
    assert reading.left.done


def test_until_time_reads_what_arrived_by_then_and_ends_when_idle(stream, clock):
    before = stream.put(SHARD, 4)
    until_ms = clock.now_ms() + 500
    reading = Reading(stream, clock, until=until_ms)
    reading.run(3)
    assert reading.numbers == before
    assert not reading.left.done
    clock.advance((until_ms - clock.now_ms()) / 1000)
    at_the_end = stream.put(SHARD, 1)
    clock.advance(0.001)
    stream.put(SHARD, 1)
    reading.run(20)
    assert reading.left.done
    assert reading.numbers == before + at_the_end
    assert until_ms + SLACK_MS < clock.now_ms() < until_ms + SLACK_MS + 2000


def test_b9_until_time_survives_arrivals_out_of_order(stream, clock):
    until_ms = clock.now_ms()
    clock.advance(SLACK_MS / 1000 / 2)
    stream.put(SHARD, 3)
    clock.advance(-SLACK_MS / 1000)
    wanted = stream.put(SHARD, 1)
    clock.advance(10)
    stream.put(SHARD, 1)
    reading = Reading(stream, clock, until=until_ms)
    reading.run(20)
    assert reading.left.done
    assert reading.numbers == wanted


def test_stop_file_appears_while_reading(stream, clock, tmp_path):
    stop = StopFile(str(tmp_path / "stop.json"))
    numbers = stream.put(SHARD, 7)
    reading = Reading(stream, clock, until=stop)
    reading.poll()
    stop.write({SHARD: numbers[4]})
    reading.run()
    assert reading.left.done
    assert reading.numbers == numbers[:5]
    assert [path.name for path in tmp_path.iterdir()] == ["stop.json"]


def test_stop_file_null_and_missing_shards_end_when_caught_up(clock, tmp_path):
    stream = FakeKinesis(clock, 3)
    numbers = stream.put("shardId-000000000002", 4)
    stop = StopFile(str(tmp_path / "stop.json"))
    stop.write({SHARD: None})
    reading = Reading(stream, clock, until=stop)
    assert reading.run(30) == numbers
    assert reading.left.done


def test_stop_file_empty_object_stops_everything_where_it_stands(clock, tmp_path):
    stream = FakeKinesis(clock, 2)
    stream.put(SHARD, 9)
    stop = StopFile(str(tmp_path / "stop.json"))
    reading = Reading(stream, clock, until=stop)
    reading.poll()
    stop.write({})
    reading.run(5)
    assert reading.left.done
    assert len(reading.numbers) == 3


@pytest.mark.parametrize("content", [b"", b'{"shardId', b"[]"])
def test_stop_file_not_complete_is_not_there_yet(tmp_path, content):
    path = tmp_path / "stop.json"
    path.write_bytes(content)
    assert StopFile(str(path)).read() is None
    path.write_text(json.dumps({SHARD: None}))
    assert StopFile(str(path)).read() == {SHARD: None}


def test_iter_pages_reads_a_stream_without_beam(clock):
    stream = FakeKinesis(clock, 2)
    for shard_id in stream.open_shards():
        stream.put(shard_id, 5)
    stream.split(SHARD)
    pages = list(iter_pages("s", until={SHARD: "1"}, kinesis=stream, clock=clock))
    numbers = [number for page in pages for number in page["sequence_number"].to_pylist()]
    assert sorted(numbers) == stream.all_numbers()[5:]
    pages = list(iter_pages("s", until=clock.now_ms(), kinesis=stream, clock=clock))
    assert sum(page.num_rows for page in pages) == 10


def test_sub_sequence_numbers_order_positions():
    at = ShardPosition("AT_SEQUENCE_NUMBER", "7", 1)
    assert ShardPosition.after("6", 9).order < at.order < ShardPosition.after("7", 1).order
    assert ShardPosition("TRIM_HORIZON").order < ShardPosition.after("0").order < ShardPosition("SHARD_END").order


def test_records_put_after_a_look_ahead_are_read_before_a_shard_counts_as_caught_up(stream, clock, tmp_path):
    numbers = stream.put(SHARD, 3)
    clock.sleep(1)
    numbers += stream.put(SHARD, 3)
    stop = StopFile(str(tmp_path / "stop.json"))
    reading = Reading(stream, clock, until=stop)
    reading.poll()  # what follows is fetched ahead, and is the tip
    numbers += stream.put(SHARD, 3)
    stop.write({SHARD: None})
    assert reading.run() == numbers


def test_records_that_arrive_after_an_empty_look_ahead_and_before_the_end_are_read(stream, clock, monkeypatch):
    numbers = stream.put(SHARD, 3)
    answers = stream.get_records
    monkeypatch.setattr(stream, "get_records", lambda ShardIterator: answers(ShardIterator) | behind(ShardIterator))
    reading = Reading(stream, clock, until=clock.now_ms() + 3000)
    reading.poll()
    clock.sleep(1)
    numbers += stream.put(SHARD, 3)
    clock.sleep(4)  # whoever works on the first page is slow
    assert reading.run() == numbers


def behind(iterator):
    """B9: a shard may say that there is more although nothing follows yet."""
    return {"MillisBehindLatest": 5} if iterator.endswith("|0") else {}


@pytest.mark.parametrize(("fast_ms", "begins_ms"), [(0, 0), (900, 900), (3_600_000, 0), (-5_000, 0)])
def test_b7_latest_is_no_time_in_the_services_future(stream, clock, monkeypatch, fast_ms, begins_ms):
    theirs_ms = 1_764_000_000_000
    listed = stream.list_shards
    answer = {"ResponseMetadata": {"HTTPHeaders": {"date": "Mon, 24 Nov 2025 16:00:00 GMT"}}}
    monkeypatch.setattr(stream, "list_shards", lambda **arguments: listed(**arguments) | answer)
    monkeypatch.setattr(clock, "now_ms", lambda: theirs_ms + fast_ms)
    left = start_of(StreamService("flights", stream), StartingPosition.parse("LATEST"), clock)
    assert {shard.start.timestamp_ms for shard in left.shards} == {theirs_ms + begins_ms}


class Slow(Executor):
    """Calls that take `seconds` of the tests' clock."""

    def __init__(self, clock, seconds) -> None:
        self.clock = clock
        self.seconds = seconds
        self.calls = []

    def submit(self, fn, /, *args, **kwargs):
        future = Future()
        self.calls.append((self.clock.monotonic_s() + self.seconds, future, lambda: fn(*args, **kwargs)))
        return future

    def pass_by(self, seconds) -> None:
        """Time passes, and the calls whose answers have come meanwhile are done."""
        self.clock.sleep(seconds)
        due = [call for call in self.calls if call[0] <= self.clock.monotonic_s()]
        self.calls = [call for call in self.calls if call not in due]
        for _, future, call in due:
            future.set_result(call())


@pytest.mark.parametrize("seconds", [0.05, 0.24, 0.3, 1.3])
def test_an_end_is_known_once_however_slow_the_calls_and_however_many_readers(
    stream, clock, tmp_path, monkeypatch, seconds
):
    """A `process()` call does not wait for a slow answer: the next one, with a reader of its own, gets it."""
    numbers = stream.put(SHARD, 4)
    slow, stop = Slow(clock, seconds), StopFile(str(tmp_path / "stop.json"))
    monkeypatch.setattr(reader, "wait", lambda calls, timeout, _: slow.pass_by(timeout))
    reading = Reading(stream, clock)
    reading.cache = cache(stream, clock, slow)
    for turn in range(40):
        if turn == 10:
            stop.write({SHARD: None})
        reading.reader = Reader(reading.cache, clock, stop)
        while not reading.left.done and isinstance(reading.poll(), Offer):
            pass
        if reading.left.done:
            break
        reading.reader.close(reading.left)
        slow.pass_by(reading.waits[-1] + 0.001)
    assert reading.left.done
    assert reading.numbers == numbers


@pytest.mark.parametrize("tells", [True, False])
@pytest.mark.parametrize("failures", [1, 2, 3])
def test_a_shards_end_is_offered_when_its_followers_are_known(clock, tells, failures):
    """A merge's child whose other parent is not known here takes a list of the stream; what fails is made again."""
    stream = FakeKinesis(clock, 2, list_page=100)
    stream.tell_children = tells
    slow, quick = stream.open_shards()
    reading = Reading(stream, clock)
    end, half = stream.split(slow)
    stream.close(end)
    child = stream.merge(half, quick)
    stream.close(child)
    reading.left = reading.left.only([quick]) if failures == 3 else reading.left
    listed, left = stream.list_shards, [None] * failures

    def list_shards(**arguments):
        if left:
            left.pop()
            raise client_error("LimitExceededException", "ListShards")
        return listed(**arguments)

    stream.list_shards = list_shards
    reading.run(60)
    assert not left
    assert reading.left.done


def test_iter_pages_tells_of_an_answer_that_cannot_be_decoded(stream, clock):
    stream.put(SHARD, 4)
    stream.spoiled = SPOILED_TRIES
    pages = iter_pages("s", until=clock.now_ms(), kinesis=stream, clock=clock)
    with pytest.raises(InvalidDataError, match=f"An answer of s for {SHARD} cannot be decoded") as raised:
        next(pages)
    assert "ReadFromKinesis" in raised.value.fix


def test_b13_iter_pages_goes_on_behind_what_is_past_retention(stream, clock):
    numbers = stream.put(SHARD, 6)
    stream.trim(SHARD, 3)
    start = StartingPosition.after({SHARD: numbers[0]})
    pages = list(iter_pages("s", start, until=clock.now_ms(), kinesis=stream, clock=clock))
    assert [number for page in pages for number in page["sequence_number"].to_pylist()] == numbers[3:]


def test_b13_a_gap_comes_with_the_page_behind_it(stream, clock):
    numbers = stream.put(SHARD, 6)
    stream.trim(SHARD, 3)
    reading = Reading(stream, clock, StartingPosition.after({SHARD: numbers[0]}))
    offer = reading.poll()
    assert [(gap.kind, gap.after, gap.up_to) for gap in offer.failures] == [("TRIMMED", numbers[0], numbers[3])]
    assert reading.numbers == numbers[3:]


@pytest.mark.parametrize(("fast_ms", "began_ms"), [(0, 0), (90_000, -90_000), (-90_000, 90_000)])
def test_latest_is_the_services_time_for_who_has_to_keep_it(stream, clock, monkeypatch, fast_ms, began_ms):
    """`ExportPositions` needs it: a shard that gave no page is read from there, not from its beginning."""
    stream.put(SHARD, 3)
    clock.advance(10)
    served_s = (clock.now_ms() - fast_ms) // 1000
    listed = stream.list_shards

    def list_shards(**arguments):
        headers = {"date": formatdate(served_s, usegmt=True)}
        return listed(**arguments) | {"ResponseMetadata": {"HTTPHeaders": headers}}

    monkeypatch.setattr(stream, "list_shards", list_shards)
    start = reader.latest("flights", kinesis=stream, clock=clock)
    assert start.type == "AT_TIMESTAMP"
    assert start.timestamp_ms == (clock.now_ms() if began_ms == 0 else served_s * 1000)


def test_a_reader_that_began_with_latest_and_got_nothing_goes_on_from_that_moment(stream, clock):
    stream.put(SHARD, 3)
    clock.advance(10)
    start = reader.latest("flights", kinesis=stream, clock=clock)
    clock.advance(200)
    later = stream.put(SHARD, 2)
    assert Reading(stream, clock, Positions({}, start.timestamp_ms).start).run() == later
