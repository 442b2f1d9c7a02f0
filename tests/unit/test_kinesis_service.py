"""The calls for a stream: credentials that are renewed, lists that are begun anew, times that the service tells."""

import pytest
from kinesis_fake import FakeKinesis, client_error

from pipelines.kinesis.positions import TRIM_HORIZON, ShardPosition, StartingPosition
from pipelines.kinesis.reader import start_of
from pipelines.kinesis.service import StreamService
from pipelines.runtime.clock import ManualClock
from pipelines.runtime.errors import CredentialsError, ExpiredNextTokenError, NotFoundError

SHARD = "shardId-000000000000"
DENIED = "ExpiredTokenException"


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def stream(clock) -> FakeKinesis:
    return FakeKinesis(clock, list_page=100)


def refuse(stream, times):
    stream.faults = [client_error(DENIED) for _ in range(times)]


class Renewals:
    """Makes clients of a stream, each of which is refused `refused` times."""

    def __init__(self, clock, refused=0) -> None:
        self.clock = clock
        self.refused = refused
        self.made: list[FakeKinesis] = []

    def __call__(self) -> FakeKinesis:
        stream = FakeKinesis(self.clock)
        refuse(stream, self.refused)
        self.made.append(stream)
        return stream


# Credentials.


@pytest.mark.parametrize(
    "call",
    [
        lambda service: service.shards(),
        lambda service: service.iterator(SHARD, TRIM_HORIZON),
        lambda service: service.get(SHARD, f"{SHARD}|0"),
    ],
    ids=["list_shards", "get_shard_iterator", "get_records"],
)
def test_credentials_refused_once_are_renewed_and_the_new_client_stays(stream, clock, call):
    refuse(stream, 1)
    renew = Renewals(clock)
    service = StreamService("flights", stream, renew=renew, clock=clock)
    call(service)
    call(service)
    assert len(stream.calls) == 1
    assert [len(new.calls) for new in renew.made] == [2]


def test_credentials_are_renewed_once_in_ten_seconds(stream, clock):
    refuse(stream, 9)
    renew = Renewals(clock, refused=9)
    service = StreamService("flights", stream, renew=renew, clock=clock)
    for seconds, renewals in [(0, 1), (0, 1), (9.9, 1), (0.2, 2), (9.9, 2), (0.2, 3)]:
        clock.advance(seconds)
        with pytest.raises(CredentialsError, match=DENIED):
            service.shards()
        assert len(renew.made) == renewals
    assert len(stream.calls) == 1


def test_who_is_refused_with_the_old_client_uses_the_one_that_another_renewed(stream, clock):
    """Several threads are refused at once, and one of them renews."""
    renew = Renewals(clock)
    service = StreamService("flights", stream, renew=renew, clock=clock)
    refuse(stream, 1)
    assert service.shards()
    service._use(stream)  # as if its call had begun before
    refuse(stream, 1)
    assert service.shards()
    assert len(renew.made) == 1


def test_without_a_way_to_renew_refused_credentials_stay_an_error(stream, clock):
    refuse(stream, 1)
    with pytest.raises(CredentialsError, match=DENIED) as refused:
        StreamService("flights", stream, clock=clock).shards()
    assert refused.value.fix
    assert stream.calls == ["list_shards"]


def test_other_errors_renew_nothing(stream, clock):
    stream.faults = [client_error("ResourceNotFoundException", "ListShards")]
    renew = Renewals(clock)
    with pytest.raises(NotFoundError):
        StreamService("flights", stream, renew=renew, clock=clock).shards()
    assert renew.made == []


def test_a_shard_that_there_is_not_is_what_the_error_speaks_of(stream, clock):
    stream.faults = [client_error("ResourceNotFoundException", "GetShardIterator")]
    with pytest.raises(NotFoundError, match=r"^shard shardId-9 of Kinesis stream flights does not exist") as missing:
        StreamService("flights", stream, clock=clock).iterator("shardId-9", TRIM_HORIZON)
    assert "aws kinesis list-streams" in missing.value.fix


# Lists of shards.


def expire_tokens(stream, monkeypatch, times):
    """The first `times` calls with a NextToken are refused."""
    listed, left = stream.list_shards, [None] * times

    def list_shards(**arguments):
        if "NextToken" in arguments and left:
            left.pop()
            raise client_error("ExpiredNextTokenException", "ListShards")
        return listed(**arguments)

    monkeypatch.setattr(stream, "list_shards", list_shards)


@pytest.mark.parametrize("times", [0, 1, 4])
def test_b15_a_list_whose_token_expired_is_begun_anew(clock, monkeypatch, times):
    stream = FakeKinesis(clock, shards=5, list_page=2)
    expire_tokens(stream, monkeypatch, times)
    found = StreamService("flights", stream, clock=clock).shards()
    assert [shard.shard_id for shard in found] == list(stream.shards)
    assert len(stream.calls) == times + 3


def test_b15_a_list_whose_token_always_expires_is_given_up(clock, monkeypatch):
    stream = FakeKinesis(clock, shards=5, list_page=2)
    expire_tokens(stream, monkeypatch, 1_000)
    with pytest.raises(ExpiredNextTokenError):
        StreamService("flights", stream, clock=clock).shards()
    assert len(stream.calls) == 5


def test_b15_shards_that_end_within_a_second_are_looked_for_in_one_list(clock):
    stream = FakeKinesis(clock, shards=3, list_page=100)
    parents = list(stream.shards)
    children = {parent: stream.split(parent) for parent in parents}
    service = StreamService("flights", stream, clock=clock)
    for parent in parents:
        assert tuple(shard.shard_id for shard in service.children(parent)) == children[parent]
        clock.advance(0.3)
    assert stream.calls == ["list_shards"]
    clock.advance(0.2)
    service.children(parents[0])
    assert stream.calls == ["list_shards"] * 2


def test_b15_children_that_a_recent_list_lacks_are_looked_for_again(clock):
    stream = FakeKinesis(clock, shards=2, list_page=100)
    first, second = stream.shards
    service = StreamService("flights", stream, clock=clock)
    stream.split(first)
    assert len(service.children(first)) == 2
    low, high = stream.split(second)
    clock.advance(0.1)
    assert [shard.shard_id for shard in service.children(second)] == [low, high]
    assert stream.calls == ["list_shards"] * 2


def test_b12_a_merges_child_is_found_by_either_parent(clock):
    stream = FakeKinesis(clock, shards=2, list_page=100)
    first, second = stream.shards
    child = stream.merge(first, second)
    service = StreamService("flights", stream, clock=clock)
    for parent in (first, second):
        (found,) = service.children(parent)
        assert (found.shard_id, found.parents, found.closed) == (child, (first, second), False)
    assert {shard.shard_id: shard.closed for shard in service.shards()} == {first: True, second: True, child: False}


# Times and places.


def tell(stream, monkeypatch, date):
    listed = stream.list_shards
    headers = {} if date is None else {"date": date}
    answer = {"ResponseMetadata": {"HTTPHeaders": headers}}
    monkeypatch.setattr(stream, "list_shards", lambda **arguments: listed(**arguments) | answer)


@pytest.mark.parametrize(
    ("date", "told_ms"),
    [("Mon, 24 Nov 2025 16:00:01 GMT", 1_764_000_001_000), (None, None), ("", None), ("later today", None)],
)
def test_the_services_time_is_that_of_the_date_header(stream, clock, monkeypatch, date, told_ms):
    tell(stream, monkeypatch, date)
    service = StreamService("flights", stream, clock=clock)
    assert service.told_ms is None
    service.shards()
    assert service.told_ms == told_ms


@pytest.mark.parametrize(
    ("date", "now_ms", "begins_ms"),
    [
        ("Mon, 24 Nov 2025 16:00:01 GMT", 1_764_000_001_000, 1_764_000_001_000),
        ("Mon, 24 Nov 2025 16:00:01 GMT", 1_764_000_001_999, 1_764_000_001_999),  # right: told to the second only
        ("Mon, 24 Nov 2025 16:00:01 GMT", 1_764_000_061_000, 1_764_000_001_000),  # fast
        ("Mon, 24 Nov 2025 16:00:01 GMT", 1_763_999_941_000, 1_764_000_001_000),  # slow
        (None, 1_763_999_941_000, 1_763_999_941_000),
    ],
)
def test_b7_latest_is_a_time_of_the_service(stream, clock, monkeypatch, date, now_ms, begins_ms):
    tell(stream, monkeypatch, date)
    clock.ms = now_ms
    left = start_of(StreamService("flights", stream, clock=clock), StartingPosition.parse("LATEST"), clock)
    assert [shard.start for shard in left.shards] == [ShardPosition("AT_TIMESTAMP", timestamp_ms=begins_ms)]


@pytest.mark.parametrize(
    ("position", "arguments"),
    [
        (
            ShardPosition.after("77"),
            {"ShardIteratorType": "AT_SEQUENCE_NUMBER", "StartingSequenceNumber": "77"},
        ),
        (
            ShardPosition.after("77", 3),
            {"ShardIteratorType": "AT_SEQUENCE_NUMBER", "StartingSequenceNumber": "77"},
        ),
        (ShardPosition.at("77"), {"ShardIteratorType": "AT_SEQUENCE_NUMBER", "StartingSequenceNumber": "77"}),
        (TRIM_HORIZON, {"ShardIteratorType": "TRIM_HORIZON"}),
    ],
)
def test_b7_iterators_begin_at_the_record_that_is_known(stream, clock, position, arguments):
    StreamService("flights", stream, clock=clock).iterator(SHARD, position)
    assert stream.iterators == [{"StreamName": "flights", "ShardId": SHARD} | arguments]


def test_b7_a_time_is_told_to_the_millisecond_and_in_utc(stream, clock):
    StreamService("flights", stream, clock=clock).iterator(
        SHARD, ShardPosition("AT_TIMESTAMP", timestamp_ms=1_764_000_001_234)
    )
    (asked,) = stream.iterators
    assert asked["Timestamp"].isoformat(timespec="milliseconds") == "2025-11-24T16:00:01.234+00:00"
    assert "StartingSequenceNumber" not in asked


def test_b8_a_limit_is_passed_on(stream, clock):
    numbers = stream.put(SHARD, 3)
    answer = StreamService("flights", stream, clock=clock).get(SHARD, f"{SHARD}|0", limit=2)
    assert answer.page["sequence_number"].to_pylist() == numbers[:2]
