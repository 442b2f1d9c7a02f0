"""SubscribeToShard on the wire, through boto3."""

import selectors
import signal
import socket
import time
from collections.abc import Iterator
from itertools import count
from typing import Any

import psutil
import pytest
from botocore.eventstream import EventStreamBuffer
from botocore.exceptions import EventStreamError
from kinesis_on_the_wire import advance, client_of, first_shard, order, refused, start, stop
from urllib3.exceptions import HTTPError

from infra.embedded.bell import Bell

FIRST = "shardId-000000000000"
HEARTBEAT_S = 5.0
"""What was quicker was not waiting for a heartbeat."""

NAMES = count()


@pytest.fixture(scope="module")
def served() -> Iterator[dict[str, Any]]:
    process, line = start()
    yield line
    stop(process, signal.SIGTERM)


@pytest.fixture
def kinesis(served: dict[str, Any]) -> Any:
    return client_of(served)


@pytest.fixture
def consumer(kinesis: Any) -> dict[str, str]:
    """A consumer of a fresh stream of one shard, as arguments."""
    name = f"pushed-{next(NAMES)}"
    kinesis.create_stream(StreamName=name, ShardCount=1)
    arn = kinesis.describe_stream_summary(StreamName=name)["StreamDescriptionSummary"]["StreamARN"]
    registered = kinesis.register_stream_consumer(StreamARN=arn, ConsumerName="c")["Consumer"]
    assert registered["ConsumerStatus"] == "CREATING"
    described = kinesis.describe_stream_consumer(ConsumerARN=registered["ConsumerARN"])["ConsumerDescription"]
    assert described["ConsumerStatus"] == "ACTIVE"
    return {"ConsumerARN": described["ConsumerARN"], "ShardId": FIRST}


def name_of(consumer: dict[str, str]) -> str:
    return consumer["ConsumerARN"].split("/")[1]


@pytest.fixture
def subscribed() -> Iterator[Any]:
    """Makes an iterator of SubscribeToShardEvents; what is left of all ends with the test."""
    opened = []

    def subscribe(kinesis: Any, consumer: dict[str, str], kind: str = "TRIM_HORIZON", **more: Any) -> Any:
        answer = kinesis.subscribe_to_shard(**consumer, StartingPosition={"Type": kind, **more})
        opened.append(answer["EventStream"])
        headers = answer["ResponseMetadata"]["HTTPHeaders"]
        assert headers["content-type"] == "application/vnd.amazon.eventstream"
        assert headers["transfer-encoding"] == "chunked"
        return (event["SubscribeToShardEvent"] for event in answer["EventStream"])

    yield subscribe
    for stream in opened:
        stream.close()


def test_b14_records_are_pushed_as_get_records_gives_them(
    kinesis: Any, consumer: dict[str, str], subscribed: Any
) -> None:
    name = name_of(consumer)
    entries = [{"Data": bytes([n % 256]) * 700, "PartitionKey": f"ключ-{n}"} for n in range(500)]
    for _ in range(5):
        kinesis.put_records(StreamName=name, Records=entries)
    expected = kinesis.get_records(ShardIterator=first_shard(kinesis, name))["Records"]
    events, got = subscribed(kinesis, consumer), []
    for event in events:
        got += event["Records"]
        if event["MillisBehindLatest"] == 0:
            break
    assert got == expected
    assert len(got) == 2_500


def test_b14_a_record_is_pushed_when_it_is_put(kinesis: Any, consumer: dict[str, str], subscribed: Any) -> None:
    events = subscribed(kinesis, consumer, "LATEST")
    assert next(events)["Records"] == []
    begun_s = time.monotonic()
    for number in range(20):
        kinesis.put_record(StreamName=name_of(consumer), Data=b"%d" % number, PartitionKey="k")
        (record,) = next(events)["Records"]
        assert record["Data"] == b"%d" % number
    assert time.monotonic() - begun_s < 20 * HEARTBEAT_S / 2


def test_b14_five_minutes_pass_and_the_next_subscription_goes_on(
    served: dict[str, Any], kinesis: Any, consumer: dict[str, str], subscribed: Any
) -> None:
    kinesis.put_record(StreamName=name_of(consumer), Data=b"a", PartitionKey="k")
    events = subscribed(kinesis, consumer)
    begun_s = time.monotonic()
    assert [r["Data"] for r in next(events)["Records"]] == [b"a"]
    advance(served, 10)
    heartbeat = next(events)
    assert (heartbeat["Records"], heartbeat["MillisBehindLatest"]) == ([], 0)
    advance(served, 290)
    assert list(events) == []
    assert time.monotonic() - begun_s < 60
    kinesis.put_record(StreamName=name_of(consumer), Data=b"b", PartitionKey="k")
    number = heartbeat["ContinuationSequenceNumber"]
    again = subscribed(kinesis, consumer, "AFTER_SEQUENCE_NUMBER", SequenceNumber=number)
    assert [r["Data"] for r in next(again)["Records"]] == [b"b"]


def test_b14_a_closed_shard_ends_with_its_children(kinesis: Any, consumer: dict[str, str], subscribed: Any) -> None:
    events = subscribed(kinesis, consumer, "LATEST")
    next(events)
    kinesis.split_shard(StreamName=name_of(consumer), ShardToSplit=FIRST, NewStartingHashKey="1000")
    (last,) = events
    assert "ContinuationSequenceNumber" not in last
    assert [(child["ShardId"], child["ParentShards"]) for child in last["ChildShards"]] == [
        ("shardId-000000000001", [FIRST]),
        ("shardId-000000000002", [FIRST]),
    ]
    children = subscribed(kinesis, consumer | {"ShardId": "shardId-000000000002"})
    assert next(children)["Records"] == []


def test_b14_a_later_call_takes_over_and_the_first_hears_of_it(
    served: dict[str, Any], kinesis: Any, consumer: dict[str, str], subscribed: Any
) -> None:
    old = subscribed(kinesis, consumer)
    next(old)
    position = {"Type": "LATEST"}
    assert refused(kinesis.subscribe_to_shard, **consumer, StartingPosition=position) == ("ResourceInUseException", 400)
    advance(served, 5)
    new = subscribed(kinesis, consumer)
    with pytest.raises(EventStreamError, match=r"ResourceInUseException.*took over"):
        list(old)
    next(new)
    kinesis.put_record(StreamName=name_of(consumer), Data=b"x", PartitionKey="k")
    assert len(next(new)["Records"]) == 1


def test_b14_a_stream_that_is_deleted_ends_its_subscriptions(
    kinesis: Any, consumer: dict[str, str], subscribed: Any
) -> None:
    events = subscribed(kinesis, consumer)
    next(events)
    kinesis.delete_stream(StreamName=name_of(consumer), EnforceConsumerDeletion=True)
    with pytest.raises(EventStreamError, match=r"ResourceNotFoundException.*not found"):
        next(events)
    position = {"Type": "LATEST"}
    assert refused(kinesis.subscribe_to_shard, **consumer, StartingPosition=position)[0] == "ResourceNotFoundException"


def test_b14_a_dropped_connection_is_no_end(
    served: dict[str, Any], kinesis: Any, consumer: dict[str, str], subscribed: Any
) -> None:
    events = subscribed(kinesis, consumer)
    next(events)
    order(served, {"drop": [{"operation": "SubscribeToShardEvent"}]})
    kinesis.put_record(StreamName=name_of(consumer), Data=b"x", PartitionKey="k")
    with pytest.raises(HTTPError):
        next(events)
    order(served, {})


def until_threads(pid: int, wanted: int) -> float:
    """Seconds until the process has that many threads."""
    process, begun_s = psutil.Process(pid), time.monotonic()
    while process.num_threads() != wanted:
        assert time.monotonic() - begun_s < 60
        time.sleep(0.02)
    return time.monotonic() - begun_s


def test_b14_an_abandoned_connection_frees_its_thread() -> None:
    process, line = start()
    kinesis = client_of(line)
    kinesis.create_stream(StreamName="s", ShardCount=1)
    arn = kinesis.describe_stream_summary(StreamName="s")["StreamDescriptionSummary"]["StreamARN"]
    named = kinesis.register_stream_consumer(StreamARN=arn, ConsumerName="c")["Consumer"]["ConsumerARN"]
    before, freed_s = psutil.Process(process.pid).num_threads(), []
    for _ in range(3):
        advance(line, 5)
        position = {"Type": "LATEST"}
        answer = client_of(line).subscribe_to_shard(ConsumerARN=named, ShardId=FIRST, StartingPosition=position)
        next(iter(answer["EventStream"]))
        until_threads(process.pid, before + 1)
        answer["EventStream"].close()
        freed_s.append(until_threads(process.pid, before))
    assert min(freed_s) < HEARTBEAT_S / 2
    stop(process, signal.SIGTERM)


def test_a_bell_rings_once_however_often_it_is_rung_and_blocks_nobody() -> None:
    bell = Bell()
    with selectors.DefaultSelector() as selector:
        selector.register(bell, selectors.EVENT_READ)
        assert selector.select(0) == []
        for _ in range(2):
            for _ in range(100_000):  # more than a pipe holds
                bell.ring()
            assert len(selector.select(0)) == 1
            bell.hush()
            assert selector.select(0) == []
    bell.close()


def test_b14_a_connection_serves_calls_after_a_subscription(
    served: dict[str, Any], kinesis: Any, consumer: dict[str, str]
) -> None:
    kinesis.split_shard(StreamName=name_of(consumer), ShardToSplit=FIRST, NewStartingHashKey="1000")
    body = b'{"ConsumerARN":"%s","ShardId":"%s","StartingPosition":{"Type":"TRIM_HORIZON"}}' % (
        consumer["ConsumerARN"].encode(),
        FIRST.encode(),
    )
    head = b"POST / HTTP/1.1\r\nX-Amz-Target: Kinesis_20131202.%s\r\nContent-Length: %d\r\n\r\n"
    with socket.create_connection(("127.0.0.1", served["port"]), timeout=5) as connection:
        connection.sendall(head % (b"SubscribeToShard", len(body)) + body)
        answer = b""
        while not answer.endswith(b"\r\n0\r\n\r\n"):
            answer += connection.recv(65_536)
        connection.sendall(head % (b"ListStreams", 2) + b"{}")
        listed = connection.recv(65_536)
    assert b"200 OK" in listed
    assert b"StreamNames" in listed
    buffer, rest = EventStreamBuffer(), answer.partition(b"\r\n\r\n")[2]
    kinds = []
    while not rest.startswith(b"0\r\n"):
        size, _, rest = rest.partition(b"\r\n")
        length = int(size, 16)
        buffer.add_data(rest[:length])
        assert rest[length : length + 2] == b"\r\n"
        rest = rest[length + 2 :]
        kinds += [message.headers[":event-type"] for message in buffer]
    assert kinds == ["initial-response", "SubscribeToShardEvent"]


def test_b14_many_subscriptions_at_once_hear_of_their_own_shard_only(
    served: dict[str, Any], kinesis: Any, subscribed: Any
) -> None:
    kinesis.create_stream(StreamName="wide", ShardCount=4)
    arn = kinesis.describe_stream_summary(StreamName="wide")["StreamDescriptionSummary"]["StreamARN"]
    listeners = []
    for number in range(3):
        named = kinesis.register_stream_consumer(StreamARN=arn, ConsumerName=f"c{number}")["Consumer"]["ConsumerARN"]
        for shard in kinesis.list_shards(StreamName="wide")["Shards"]:
            events = subscribed(client_of(served), {"ConsumerARN": named, "ShardId": shard["ShardId"]})
            next(events)
            listeners.append((shard, events))
    for shard in kinesis.list_shards(StreamName="wide")["Shards"]:
        key = shard["HashKeyRange"]["StartingHashKey"]
        data = shard["ShardId"].encode()
        kinesis.put_record(StreamName="wide", Data=data, PartitionKey="k", ExplicitHashKey=key)
    for shard, events in listeners:
        assert [r["Data"] for r in next(events)["Records"]] == [shard["ShardId"].encode()]
