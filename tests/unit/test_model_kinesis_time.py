"""The clock of the model Kinesis moved on the wire: retention and expiry, which begin at 24 hours, in a moment."""

import signal
from collections.abc import Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import pytest
from kinesis_on_the_wire import advance, client_of, exchange, first_shard, refused, start, stop

FIRST = "shardId-000000000000"
HOUR_S = 3600


@pytest.fixture
def served() -> Iterator[dict[str, Any]]:
    process, line = start()
    yield line
    stop(process, signal.SIGTERM)


@pytest.fixture
def kinesis(served: dict[str, Any]) -> Any:
    kinesis = client_of(served)
    kinesis.create_stream(StreamName="s", ShardCount=1)
    return kinesis


def date_of(kinesis: Any) -> float:
    """What the Date header of an answer says, in seconds."""
    date = kinesis.list_streams()["ResponseMetadata"]["HTTPHeaders"]["date"]
    return parsedate_to_datetime(date).timestamp()


def test_b7_an_iterator_expires_on_the_wire(served: dict[str, Any], kinesis: Any) -> None:
    iterator = first_shard(kinesis, "s")
    advance(served, 299)
    assert kinesis.get_records(ShardIterator=iterator)["Records"] == []
    advance(served, 2)
    assert refused(kinesis.get_records, ShardIterator=iterator) == ("ExpiredIteratorException", 400)


def test_b12_b13_records_and_shards_expire_on_the_wire(served: dict[str, Any], kinesis: Any) -> None:
    kinesis.put_record(StreamName="s", Data=b"old", PartitionKey="k")
    kinesis.split_shard(StreamName="s", ShardToSplit=FIRST, NewStartingHashKey="1000")
    child = kinesis.put_record(StreamName="s", Data=b"old", PartitionKey="k")["ShardId"]
    advance(served, 23 * HOUR_S)
    young = kinesis.put_record(StreamName="s", Data=b"young", PartitionKey="k")
    assert len(kinesis.list_shards(StreamName="s")["Shards"]) == 3
    advance(served, 2 * HOUR_S)
    assert FIRST not in {shard["ShardId"] for shard in kinesis.list_shards(StreamName="s")["Shards"]}
    code = refused(kinesis.get_shard_iterator, StreamName="s", ShardId=FIRST, ShardIteratorType="TRIM_HORIZON")
    assert code == ("ResourceNotFoundException", 400)
    records = kinesis.get_records(ShardIterator=first_shard(kinesis, "s", ShardId=child))["Records"]
    assert [(r["Data"], r["SequenceNumber"]) for r in records] == [(b"young", young["SequenceNumber"])]


def test_the_date_header_is_the_services_time(served: dict[str, Any], kinesis: Any) -> None:
    before = datetime.now(UTC).timestamp()
    assert before - 1 < date_of(kinesis) <= datetime.now(UTC).timestamp()
    told_ms = advance(served, 25 * HOUR_S)
    assert told_ms >= (before + 25 * HOUR_S) * 1000 - 1
    assert told_ms // 1000 <= date_of(kinesis) <= datetime.now(UTC).timestamp() + 25 * HOUR_S
    put = kinesis.put_record(StreamName="s", Data=b"x", PartitionKey="k")
    (record,) = kinesis.get_records(ShardIterator=first_shard(kinesis, "s"))["Records"]
    assert record["SequenceNumber"] == put["SequenceNumber"]
    assert record["ApproximateArrivalTimestamp"].timestamp() * 1000 >= told_ms
    advance(served, -25 * HOUR_S)
    assert before - 1 < date_of(kinesis) <= datetime.now(UTC).timestamp()


@pytest.mark.parametrize("body", [b"{}", b'{"advance_s": "1"}', b"[]", b"nonsense"])
def test_a_clock_order_that_cannot_be_read_is_refused_and_moves_nothing(served: dict[str, Any], body: bytes) -> None:
    now_ms = advance(served, 0)
    answer = exchange(served, b"POST /_clock HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    assert b"400 Bad Request" in answer
    assert b"SerializationException" in answer
    assert 0 <= advance(served, 0) - now_ms < 60_000
