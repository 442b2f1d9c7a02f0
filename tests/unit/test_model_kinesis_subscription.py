"""What SubscribeToShard pushes, without a connection: the test moves the clock and asks what is next."""

from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kinesis_model import HOUR_S, MODEL, TOP, Service, code_of, must_fit

from infra.embedded.model.errors import KinesisError
from infra.embedded.model.faults import DropConnectionError
from infra.embedded.model.subscription import Pause, Subscription

FIRST = "shardId-000000000000"


class Listener:
    """A consumer called c of the stream s, and what its last subscription says."""

    def __init__(self, service: Service, name: str = "c") -> None:
        self.service = service
        stream = service("DescribeStreamSummary")["StreamDescriptionSummary"]
        self.arn = service("RegisterStreamConsumer", StreamARN=stream["StreamARN"], ConsumerName=name)["Consumer"][
            "ConsumerARN"
        ]
        self.subscription: Any = None

    def subscribe(self, kind: str = "TRIM_HORIZON", shard: str = FIRST, dry: bool = False, **more: Any) -> Subscription:
        request = {"ConsumerARN": self.arn, "ShardId": shard, "StartingPosition": {"Type": kind, **more}, "DryRun": dry}
        self.subscription = self.service.kinesis.call("SubscribeToShard", request)
        assert isinstance(self.subscription, Subscription)
        return self.subscription

    def next(self) -> Any:
        """An event, the milliseconds of a pause, or None."""
        said = self.service.kinesis.next_event(self.subscription)
        if isinstance(said, Pause):
            return said.until_ms - self.service.clock.now_ms()
        if said is None:
            return None
        event = orjson.loads(said)
        shape = MODEL.shape_for("SubscribeToShardEvent")
        at_the_end = {"ContinuationSequenceNumber": "AWS says that it is required, and leaves it out at the end"}
        must_fit(shape, event | (at_the_end if "ChildShards" in event else {}), "SubscribeToShardEvent")
        return event

    def events(self) -> list[Any]:
        """All events up to the next pause, or to the end."""
        found = []
        while isinstance(said := self.next(), dict):
            found.append(said)
        return found


def data_of(events: list[Any]) -> list[str]:
    return [record["Data"] for event in events for record in event["Records"]]


def numbers_of(events: list[Any]) -> list[str]:
    return [record["SequenceNumber"] for event in events for record in event["Records"]]


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.one_of(st.integers(1, 3), st.sampled_from(["listen", "again", "split"])), max_size=15),
    st.sampled_from(["AT_SEQUENCE_NUMBER", "AFTER_SEQUENCE_NUMBER"]),
    st.integers(0, 2),
)
def test_b14_going_on_from_the_continuation_number_loses_nothing_and_doubles_nothing(
    steps: list[Any], kind: str, gap_ms: int
) -> None:
    service = Service()
    listener, put, got, split = Listener(service), [], [], False
    listener.subscribe("LATEST")
    events = [listener.next()]
    for step in steps:
        service.clock.advance(gap_ms / 1000)
        if isinstance(step, int):
            put += [(r["ShardId"], r["SequenceNumber"]) for r in (service.put(b"x" * 400_000) for _ in range(step))]
        elif step == "split" and not split:
            split = True
            service("SplitShard", ShardToSplit=FIRST, NewStartingHashKey="1000")
        elif step == "listen" and isinstance(event := listener.next(), dict):
            got += numbers_of([event])
            events.append(event)
        elif step == "again" and "ChildShards" not in events[-1]:
            service.clock.advance(5)
            listener.subscribe(kind, SequenceNumber=events[-1]["ContinuationSequenceNumber"])
    got += numbers_of(listener.events())
    assert got == [number for shard, number in put if shard == FIRST]


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(0, 30), max_size=10), st.integers(0, 400))
def test_b14_the_continuation_number_grows_with_every_event(gaps_s: list[int], more_ms: int) -> None:
    service = Service()
    listener = Listener(service)
    listener.subscribe()
    numbers = []
    for gap in gaps_s:
        numbers += [int(event["ContinuationSequenceNumber"]) for event in listener.events()]
        service.clock.advance(gap + more_ms / 1000)
        if gap % 2:
            put = int(service.put()["SequenceNumber"])
            assert numbers[-1] < put
            numbers.append(put)
    assert numbers == sorted(set(numbers))


def test_b14_an_idle_subscription_says_at_once_and_every_five_seconds_that_it_is_caught_up() -> None:
    service = Service()
    listener = Listener(service)
    listener.subscribe("LATEST")
    first = listener.next()
    assert first.keys() == {"Records", "ContinuationSequenceNumber", "MillisBehindLatest"}
    assert (first["Records"], first["MillisBehindLatest"]) == ([], 0)
    assert listener.next() == 5_000
    service.clock.advance(4.999)
    assert listener.next() == 1
    service.clock.advance(0.001)
    second = listener.next()
    assert (second["Records"], second["MillisBehindLatest"]) == ([], 0)
    assert int(second["ContinuationSequenceNumber"]) > int(first["ContinuationSequenceNumber"])
    assert listener.next() == 5_000


def test_b14_an_event_holds_a_mebibyte_and_tells_how_far_behind_it_is() -> None:
    service = Service()
    for second in range(3):
        for _ in range(3):
            service.put(b"%d" % second * 500_000)
        service.clock.advance(1)
    listener = Listener(service)
    listener.subscribe()
    events = listener.events()
    assert [len(event["Records"]) for event in events] == [2, 2, 2, 2, 1]
    assert [event["MillisBehindLatest"] for event in events] == [3_000, 2_000, 1_000, 1_000, 0]
    assert [data[:4] for data in data_of(events)] == ["MDAw"] * 3 + ["MTEx"] * 3 + ["MjIy"] * 3
    assert events[0]["Records"][0].keys() == {"SequenceNumber", "ApproximateArrivalTimestamp", "Data", "PartitionKey"}


def test_b14_a_record_larger_than_an_event_comes_alone() -> None:
    service = Service()
    service("UpdateMaxRecordSize", MaxRecordSizeInKiB=10_240)
    for size in (1, 5_000_000, 1):
        service.put(bytes(size))
    listener = Listener(service)
    listener.subscribe()
    assert [len(event["Records"]) for event in listener.events()] == [1, 1, 1]


def test_b14_a_subscription_ends_after_five_minutes() -> None:
    service = Service()
    listener = Listener(service)
    listener.subscribe()
    service.clock.advance(297)
    assert len(listener.events()) == 1
    assert listener.next() == 3_000  # the end comes before the next heartbeat
    service.clock.advance(2.999)
    service.put()
    assert len(listener.events()) == 1
    service.clock.advance(0.001)
    service.put()
    assert listener.next() is None
    assert listener.next() is None


def test_b14_b10_at_the_end_of_a_closed_shard_the_children_are_named_and_it_is_over() -> None:
    service = Service(2)
    service.put(b"last", ExplicitHashKey="0")
    listener = Listener(service)
    listener.subscribe()
    assert data_of(listener.events()) == ["bGFzdA=="]
    service("MergeShards", ShardToMerge=FIRST, AdjacentShardToMerge="shardId-000000000001")
    merged = {
        "ShardId": "shardId-000000000002",
        "ParentShards": [FIRST, "shardId-000000000001"],
        "HashKeyRange": {"StartingHashKey": "0", "EndingHashKey": str(TOP)},
    }
    assert listener.next() == {"Records": [], "MillisBehindLatest": 0, "ChildShards": [merged]}
    assert listener.next() is None
    service.clock.advance(5)
    listener.subscribe("LATEST")
    assert listener.next()["ChildShards"] == [merged]
    service.clock.advance(5)
    listener.subscribe()
    (event,) = listener.events()
    assert (data_of([event]), event["ChildShards"]) == (["bGFzdA=="], [merged])
    assert "ContinuationSequenceNumber" not in event


def test_b14_a_second_call_within_five_seconds_is_refused_and_a_later_one_takes_over() -> None:
    service = Service(2)
    listener, other = Listener(service), Listener(service, "d")
    old = listener.subscribe()
    for busy in (listener.subscribe, lambda: listener.subscribe(dry=True)):
        with pytest.raises(KinesisError, match="less than 5000 milliseconds ago") as error:
            busy()
        assert code_of(error) == "ResourceInUseException"
    other.subscribe()
    listener.subscribe(shard="shardId-000000000001")
    service.clock.advance(4.999)
    with pytest.raises(KinesisError):
        listener.subscribe()
    service.clock.advance(0.001)
    new = listener.subscribe()
    service.put(ExplicitHashKey="0")
    with pytest.raises(KinesisError, match="took over") as error:
        service.kinesis.next_event(old)
    assert code_of(error) == "ResourceInUseException"
    assert service.kinesis.next_event(old) is None
    assert isinstance(service.kinesis.next_event(new), bytes)
    assert len(data_of(other.events())) == 1


def test_b14_a_subscription_that_is_over_can_be_taken_up_after_five_seconds_only() -> None:
    service = Service()
    listener = Listener(service)
    service("SplitShard", ShardToSplit=FIRST, NewStartingHashKey="1000")
    listener.subscribe()
    assert len(listener.events()) == 1
    with pytest.raises(KinesisError) as error:
        listener.subscribe()
    assert code_of(error) == "ResourceInUseException"


def test_b14_every_starting_position() -> None:
    service = Service()
    numbers = []
    for byte in (b"a", b"b", b"c"):
        numbers.append(service.put(byte)["SequenceNumber"])
        service.clock.advance(1)
    listener = Listener(service)
    at_b = service.clock.now_ms() / 1000 - 2

    def from_(kind: str, **more: Any) -> list[str]:
        service.clock.advance(5)
        listener.subscribe(kind, **more)
        return data_of(listener.events())

    a, b, c = "YQ==", "Yg==", "Yw=="
    assert from_("TRIM_HORIZON") == [a, b, c]
    assert from_("LATEST") == []
    assert from_("AT_SEQUENCE_NUMBER", SequenceNumber=numbers[1]) == [b, c]
    assert from_("AFTER_SEQUENCE_NUMBER", SequenceNumber=numbers[1]) == [c]
    assert from_("AT_TIMESTAMP", Timestamp=at_b) == [b, c]
    assert from_("AT_TIMESTAMP", Timestamp=at_b + 0.001) == [c]
    assert from_("AT_TIMESTAMP", Timestamp=1.0) == [a, b, c]
    for kind, more in (
        ("AT_SEQUENCE_NUMBER", {}),
        ("AT_SEQUENCE_NUMBER", {"SequenceNumber": "7"}),
        ("AT_TIMESTAMP", {}),
        ("AT_TIMESTAMP", {"Timestamp": service.clock.now_ms() / 1000 + 60}),
    ):
        with pytest.raises(KinesisError) as error:
            from_(kind, **more)
        assert code_of(error) == "InvalidArgumentException"


def test_b14_what_is_gone_ends_a_subscription_with_an_exception() -> None:
    service = Service()
    listener, other = Listener(service), Listener(service, "d")
    listener.subscribe()
    other.subscribe()
    service("DeregisterStreamConsumer", ConsumerARN=listener.arn, StreamARN=listener.arn.partition("/consumer")[0])
    with pytest.raises(KinesisError, match=r"Consumer .* not found") as error:
        listener.next()
    assert code_of(error) == "ResourceNotFoundException"
    assert listener.next() is None
    service("DeleteStream", EnforceConsumerDeletion=True)
    with pytest.raises(KinesisError, match="Stream s under account 123456789012 not found") as error:
        other.next()
    assert code_of(error) == "ResourceNotFoundException"


def test_b14_b13_records_that_expire_are_not_pushed() -> None:
    service = Service()
    service.put(b"a")
    service.clock.advance(24 * HOUR_S)
    listener = Listener(service)
    listener.subscribe()
    service.clock.advance(0.001)
    service.put(b"b")
    assert data_of(listener.events()) == ["Yg=="]


def test_b14_a_consumer_is_creating_before_it_can_subscribe() -> None:
    service = Service(settle_ms=2_000)
    listener = Listener(service)
    with pytest.raises(KinesisError, match="not ACTIVE, instead in state CREATING") as error:
        listener.subscribe()
    assert code_of(error) == "ResourceInUseException"
    service.clock.advance(2)
    listener.subscribe()
    with pytest.raises(KinesisError, match="Could not find shard shardId-000000000009") as error:
        listener.subscribe(shard="shardId-000000000009")
    assert code_of(error) == "ResourceNotFoundException"


def test_b14_two_mebibytes_a_second_for_each_consumer_and_shard() -> None:
    service = Service(limited=True)
    service("UpdateMaxRecordSize", MaxRecordSizeInKiB=10_240)
    for _ in range(6):
        service.put(b"x" * (1_048_576 - 1))
        service.clock.advance(1)
    listener, other = Listener(service), Listener(service, "d")
    listener.subscribe()
    assert [len(listener.next()["Records"]) for _ in range(2)] == [1, 1]
    assert listener.next() == 500
    other.subscribe()
    assert len(other.events()) == 2
    service.clock.advance(0.498)
    assert listener.next() in {2, 3}
    service.clock.advance(0.003)
    assert len(listener.events()) == 1
    service.clock.advance(4.4)
    assert len(listener.events()) == 2
    service.clock.advance(0.1)
    listener.subscribe()  # taking over refills nothing
    assert 395 <= listener.next() <= 400


def test_b14_without_limits_nothing_is_held_back() -> None:
    service = Service()
    for _ in range(6):
        service.put(b"x" * (1_048_576 - 1))
    listener = Listener(service)
    listener.subscribe()
    assert len(listener.events()) == 6


def test_b14_whoever_watches_is_woken_by_all_that_changes_what_is_next() -> None:
    service = Service(2)
    listener = Listener(service)
    woken: list[int] = []

    def after(act: Any) -> int:
        woken.clear()
        act()
        return len(woken)

    with listener.subscribe().watched(lambda: woken.append(1)):
        assert after(lambda: service.put(ExplicitHashKey="0")) == 1
        assert after(lambda: service("PutRecords", Records=[{"Data": "", "PartitionKey": "k"}] * 3)) in {0, 3}
        assert after(lambda: service.put(ExplicitHashKey=str(TOP))) == 0
        assert after(lambda: service("SplitShard", ShardToSplit=FIRST, NewStartingHashKey="1000")) == 1
        assert after(lambda: service.kinesis.advance(5)) == 1
        assert after(listener.subscribe) == 1
        stream = listener.arn.partition("/consumer")[0]
        assert after(lambda: service("DeregisterStreamConsumer", StreamARN=stream, ConsumerName="c")) == 1
        assert after(lambda: service("DeleteStream")) == 1
    assert after(lambda: service.kinesis.advance(5)) == 0


def test_b14_a_dry_run_checks_and_subscribes_nobody() -> None:
    service = Service()
    listener = Listener(service)
    with pytest.raises(KinesisError) as error:
        listener.subscribe(dry=True)
    assert code_of(error) == "DryRunOperationException"
    with pytest.raises(KinesisError) as error:
        listener.subscribe(dry=True, shard="shardId-000000000009")
    assert code_of(error) == "ResourceNotFoundException"
    listener.subscribe()


def test_faults_of_events_are_ordered_by_their_type() -> None:
    service = Service()
    service.put(b"abc")
    listener = Listener(service)
    event = "SubscribeToShardEvent"
    service.kinesis.faults.order({
        "fail": [{"operation": event, "code": "InternalFailureException", "status": 500}],
        "garble": [{"operation": event, "how": "missing_member", "shard": FIRST}],
    })  # fmt: skip
    listener.subscribe()
    with pytest.raises(KinesisError) as error:
        listener.next()
    assert code_of(error) == "InternalFailureException"
    service.clock.advance(5)
    listener.subscribe()
    assert listener.next()["Records"][0].keys() == {"SequenceNumber", "ApproximateArrivalTimestamp", "Data"}
    service.kinesis.faults.order({"drop": [{"operation": event}]})
    service.put()
    with pytest.raises(DropConnectionError):
        listener.next()
