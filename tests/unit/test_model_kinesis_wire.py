"""The model Kinesis through boto3 and through bare sockets: a server in a process of its own."""

import binascii
import json
import signal
import socket
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import pytest
from botocore.exceptions import ClientError, ConnectionClosedError
from kinesis_on_the_wire import client_of, exchange, first_shard, order, refused, start, stop

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
def stream(kinesis: Any) -> str:
    name = f"stream-{next(NAMES)}"
    kinesis.create_stream(StreamName=name, ShardCount=2)
    kinesis.get_waiter("stream_exists").wait(StreamName=name)
    return name


def test_b1_b2_records_come_back_as_they_were_put(kinesis: Any, stream: str) -> None:
    bodies = [b"", b"\x00\xff\xfe", b'{"a": "\\u20ac"}', bytes(range(256)) * 4, b"x" * (1024 * 1024 - 1)]
    keys = ['"quoted"', "back\\slash", "ключ🛫", "\n", "k"]
    before = datetime.now(UTC).timestamp() - 0.001
    put = [kinesis.put_record(StreamName=stream, Data=bodies[0], PartitionKey=keys[0], ExplicitHashKey="0")]
    rest = [{"Data": b, "PartitionKey": k, "ExplicitHashKey": "1"} for b, k in zip(bodies[1:], keys[1:], strict=True)]
    answer = kinesis.put_records(StreamName=stream, Records=rest)
    assert answer["FailedRecordCount"] == 0
    put += answer["Records"]
    got = kinesis.get_records(ShardIterator=first_shard(kinesis, stream))
    assert [r["Data"] for r in got["Records"]] == bodies
    assert [r["PartitionKey"] for r in got["Records"]] == keys
    assert [r["SequenceNumber"] for r in got["Records"]] == [p["SequenceNumber"] for p in put]
    arrivals = [r["ApproximateArrivalTimestamp"].timestamp() for r in got["Records"]]
    assert before <= min(arrivals) <= max(arrivals) <= datetime.now(UTC).timestamp()
    assert got["MillisBehindLatest"] == 0
    assert kinesis.get_records(ShardIterator=got["NextShardIterator"])["Records"] == []


def test_b1_b2_what_is_too_large_is_refused_and_nothing_of_it_is_kept(kinesis: Any, stream: str) -> None:
    one = {"Data": b"x", "PartitionKey": "k"}
    too_large = {"Data": bytes(1024 * 1024), "PartitionKey": "k"}
    put = kinesis.put_records
    validation = ("ValidationException", 400)
    assert refused(put, StreamName=stream, Records=[one] * 501) == validation
    assert refused(put, StreamName=stream, Records=[]) == validation
    assert refused(put, StreamName=stream, Records=[one, too_large]) == validation
    assert refused(put, StreamName=stream, Records=[one, one | {"PartitionKey": "k" * 257}]) == validation
    assert refused(put, StreamName=stream, Records=[one, {"PartitionKey": "k"}]) == validation
    megabytes = [{"Data": bytes(1024 * 1024 - 1), "PartitionKey": "k"}] * 11
    assert refused(put, StreamName=stream, Records=megabytes) == ("InvalidArgumentException", 400)
    for shard in kinesis.list_shards(StreamName=stream)["Shards"]:
        iterator = first_shard(kinesis, stream, ShardId=shard["ShardId"])
        assert kinesis.get_records(ShardIterator=iterator)["Records"] == []


def test_b1_a_stream_can_take_larger_records(kinesis: Any, stream: str) -> None:
    arn = kinesis.describe_stream_summary(StreamName=stream)["StreamDescriptionSummary"]["StreamARN"]
    kinesis.update_max_record_size(StreamARN=arn, MaxRecordSizeInKiB=2048)
    kinesis.put_record(StreamARN=arn, Data=bytes(2_000_000), PartitionKey="k", ExplicitHashKey="0")
    assert len(kinesis.get_records(ShardIterator=first_shard(kinesis, stream))["Records"][0]["Data"]) == 2_000_000


def test_b7_every_iterator_type(kinesis: Any, stream: str) -> None:
    latest = first_shard(kinesis, stream, "LATEST")
    numbers = [
        kinesis.put_record(StreamName=stream, Data=b"x", PartitionKey="k", ExplicitHashKey="0")["SequenceNumber"]
        for _ in range(3)
    ]

    def after(iterator: str) -> list[str]:
        return [r["SequenceNumber"] for r in kinesis.get_records(ShardIterator=iterator)["Records"]]

    assert after(latest) == numbers
    assert after(first_shard(kinesis, stream, "TRIM_HORIZON")) == numbers
    assert after(first_shard(kinesis, stream, "AT_SEQUENCE_NUMBER", StartingSequenceNumber=numbers[1])) == numbers[1:]
    assert after(first_shard(kinesis, stream, "AFTER_SEQUENCE_NUMBER", StartingSequenceNumber=numbers[1])) == [
        numbers[2]
    ]
    assert after(first_shard(kinesis, stream, "AT_TIMESTAMP", Timestamp=datetime(2020, 1, 1, tzinfo=UTC))) == numbers


def test_b10_b11_split_merge_and_scale(kinesis: Any, stream: str) -> None:
    kinesis.split_shard(StreamName=stream, ShardToSplit="shardId-000000000000", NewStartingHashKey=str(2**126))
    shards = {s["ShardId"][-1]: s for s in kinesis.list_shards(StreamName=stream)["Shards"]}
    assert "EndingSequenceNumber" in shards["0"]["SequenceNumberRange"]
    assert (shards["2"]["ParentShardId"], shards["2"].get("AdjacentParentShardId")) == ("shardId-000000000000", None)
    drained = kinesis.get_records(ShardIterator=first_shard(kinesis, stream))
    assert drained.get("NextShardIterator") is None
    assert [c["ShardId"][-1] for c in drained["ChildShards"]] == ["2", "3"]
    kinesis.merge_shards(
        StreamName=stream, ShardToMerge="shardId-000000000003", AdjacentShardToMerge="shardId-000000000001"
    )
    merged = kinesis.list_shards(StreamName=stream)["Shards"][-1]
    assert (merged["ParentShardId"], merged["AdjacentParentShardId"]) == (
        "shardId-000000000003",
        "shardId-000000000001",
    )
    scaled = kinesis.update_shard_count(StreamName=stream, TargetShardCount=4, ScalingType="UNIFORM_SCALING")
    assert (scaled["CurrentShardCount"], scaled["TargetShardCount"]) == (2, 4)
    summary = kinesis.describe_stream_summary(StreamName=stream)["StreamDescriptionSummary"]
    assert summary["OpenShardCount"] == 4


def test_b13_settings_of_a_stream(kinesis: Any, stream: str) -> None:
    kinesis.increase_stream_retention_period(StreamName=stream, RetentionPeriodHours=48)
    kinesis.decrease_stream_retention_period(StreamName=stream, RetentionPeriodHours=36)
    kinesis.add_tags_to_stream(StreamName=stream, Tags={"a": "1", "b": "2", "c": "3"})
    kinesis.remove_tags_from_stream(StreamName=stream, TagKeys=["b"])
    enabled = kinesis.enable_enhanced_monitoring(
        StreamName=stream, ShardLevelMetrics=["IncomingBytes", "OutgoingBytes"]
    )
    assert (enabled["CurrentShardLevelMetrics"], enabled["DesiredShardLevelMetrics"]) == (
        [],
        ["IncomingBytes", "OutgoingBytes"],
    )
    kinesis.disable_enhanced_monitoring(StreamName=stream, ShardLevelMetrics=["IncomingBytes"])
    described = kinesis.describe_stream(StreamName=stream, Limit=1)["StreamDescription"]
    assert described["RetentionPeriodHours"] == 36
    assert described["StreamARN"] == f"arn:aws:kinesis:us-east-1:000000000000:stream/{stream}"
    assert described["EnhancedMonitoring"] == [{"ShardLevelMetrics": ["OutgoingBytes"]}]
    assert (len(described["Shards"]), described["HasMoreShards"]) == (1, True)
    tags = kinesis.list_tags_for_stream(StreamName=stream, Limit=1)
    assert (tags["Tags"], tags["HasMoreTags"]) == ([{"Key": "a", "Value": "1"}], True)
    assert kinesis.list_tags_for_stream(StreamName=stream, ExclusiveStartTagKey="a")["Tags"][0]["Key"] == "c"


def test_b14_consumers_are_registered_up_to_twenty(kinesis: Any, stream: str) -> None:
    arn = kinesis.describe_stream_summary(StreamName=stream)["StreamDescriptionSummary"]["StreamARN"]
    consumer = kinesis.register_stream_consumer(StreamARN=arn, ConsumerName="c")["Consumer"]
    named = {"ConsumerARN": consumer["ConsumerARN"]}
    assert kinesis.describe_stream_consumer(**named)["ConsumerDescription"]["StreamARN"] == arn
    assert [c["ConsumerName"] for c in kinesis.list_stream_consumers(StreamARN=arn)["Consumers"]] == ["c"]
    assert refused(kinesis.register_stream_consumer, StreamARN=arn, ConsumerName="c")[0] == "ResourceInUseException"
    assert refused(kinesis.delete_stream, StreamName=stream)[0] == "ResourceInUseException"
    for number in range(19):
        kinesis.register_stream_consumer(StreamARN=arn, ConsumerName=f"c{number}")
    assert refused(kinesis.register_stream_consumer, StreamARN=arn, ConsumerName="d")[0] == "LimitExceededException"
    kinesis.deregister_stream_consumer(**named)
    assert refused(kinesis.describe_stream_consumer, **named)[0] == "ResourceNotFoundException"
    kinesis.delete_stream(StreamName=stream, EnforceConsumerDeletion=True)
    assert refused(kinesis.describe_stream, StreamName=stream)[0] == "ResourceNotFoundException"


def test_b11_what_else_a_stream_can_be_told(kinesis: Any, stream: str) -> None:
    arn = kinesis.describe_stream_summary(StreamName=stream)["StreamDescriptionSummary"]["StreamARN"]
    kinesis.tag_resource(ResourceARN=arn, Tags={"a": "1", "b": "2"})
    kinesis.untag_resource(ResourceARN=arn, TagKeys=["b"])
    assert kinesis.list_tags_for_resource(ResourceARN=arn)["Tags"] == [{"Key": "a", "Value": "1"}]
    kinesis.put_resource_policy(ResourceARN=arn, Policy='{"Statement":[]}')
    assert kinesis.get_resource_policy(ResourceARN=arn)["Policy"] == '{"Statement":[]}'
    kinesis.delete_resource_policy(ResourceARN=arn)
    key: dict[str, Any] = {"StreamARN": arn, "EncryptionType": "KMS", "KeyId": "alias/aws/kinesis"}
    kinesis.start_stream_encryption(**key)
    put = kinesis.put_record(StreamARN=arn, Data=b"x", PartitionKey="k", ExplicitHashKey="0")
    (record,) = kinesis.get_records(ShardIterator=first_shard(kinesis, stream))["Records"]
    assert put["EncryptionType"] == record["EncryptionType"] == "KMS"
    kinesis.stop_stream_encryption(**key)
    kinesis.update_account_settings(MinimumThroughputBillingCommitment={"Status": "ENABLED"})
    commitment = kinesis.describe_account_settings()["MinimumThroughputBillingCommitment"]
    assert commitment["EarliestAllowedEndAt"] - commitment["StartedAt"] == timedelta(days=1)
    kinesis.update_stream_mode(StreamARN=arn, StreamModeDetails={"StreamMode": "ON_DEMAND"})
    assert refused(
        kinesis.split_shard, StreamName=stream, ShardToSplit="shardId-000000000000", NewStartingHashKey="1000"
    ) == ("ValidationException", 400)
    kinesis.update_stream_warm_throughput(StreamARN=arn, WarmThroughputMiBps=10)
    kinesis.update_stream_record_distribution_strategy(StreamARN=arn, RecordDistributionStrategy="AUTO")
    summary = kinesis.describe_stream_summary(StreamARN=arn)["StreamDescriptionSummary"]
    assert summary["RecordDistributionStrategy"] == "AUTO"
    assert summary["WarmThroughput"]["TargetMiBps"] == 10
    assert refused(kinesis.list_queues)[0] == "UnknownOperationException"
    kinesis.delete_stream(StreamName=stream)


def test_streams_and_shards_are_listed_in_pages(kinesis: Any) -> None:
    names = [f"listed-{number}" for number in range(3)]
    for name in names:
        kinesis.create_stream(StreamName=name, ShardCount=3)
    found = [n for page in kinesis.get_paginator("list_streams").paginate(Limit=2) for n in page["StreamNames"]]
    assert [n for n in found if n.startswith("listed")] == names
    assert len(found) == len(set(found))
    first = kinesis.list_shards(StreamName=names[0], MaxResults=2)
    second = kinesis.list_shards(NextToken=first["NextToken"])
    assert [s["ShardId"][-1] for s in first["Shards"] + second["Shards"]] == ["0", "1", "2"]
    assert "NextToken" not in second
    open_shards = sum(
        kinesis.describe_stream_summary(StreamName=n)["StreamDescriptionSummary"]["OpenShardCount"] for n in found
    )
    assert kinesis.describe_limits()["OpenShardCount"] == open_shards


@pytest.mark.parametrize(
    ("operation", "request_", "code"),
    [
        ("create_stream", {"StreamName": "a b", "ShardCount": 1}, "ValidationException"),
        ("create_stream", {"StreamName": "none", "ShardCount": 0}, "ValidationException"),
        ("create_stream", {"StreamName": "none"}, "ValidationException"),
        ("create_stream", {"StreamName": "STREAM", "ShardCount": 1}, "ResourceInUseException"),
        ("describe_stream", {"StreamName": "none"}, "ResourceNotFoundException"),
        ("describe_stream_summary", {}, "InvalidArgumentException"),
        ("describe_stream", {"StreamName": "STREAM", "Limit": 10_001}, "ValidationException"),
        (
            "list_shards",
            {"StreamARN": "arn:aws:kinesis:us-east-1:111111111111:stream/STREAM"},
            "ResourceNotFoundException",
        ),
        ("list_shards", {"StreamName": "STREAM", "ShardFilter": {"Type": "NONE"}}, "ValidationException"),
        ("list_shards", {"NextToken": "nonsense"}, "InvalidArgumentException"),
        ("get_records", {"ShardIterator": "nonsense"}, "InvalidArgumentException"),
        ("get_records", {"ShardIterator": "nonsense", "Limit": 10_001}, "ValidationException"),
        ("get_shard_iterator", {"StreamName": "STREAM", "ShardIteratorType": "LATEST"}, "ValidationException"),
        (
            "get_shard_iterator",
            {"StreamName": "STREAM", "ShardId": "shardId-000000000009", "ShardIteratorType": "LATEST"},
            "ResourceNotFoundException",
        ),
        (
            "get_shard_iterator",
            {"StreamName": "STREAM", "ShardId": "shardId-000000000000", "ShardIteratorType": "AT_TIMESTAMP"},
            "InvalidArgumentException",
        ),
        (
            "merge_shards",
            {
                "StreamName": "STREAM",
                "ShardToMerge": "shardId-000000000000",
                "AdjacentShardToMerge": "shardId-000000000000",
            },
            "InvalidArgumentException",
        ),
        (
            "increase_stream_retention_period",
            {"StreamName": "STREAM", "RetentionPeriodHours": 23},
            "InvalidArgumentException",
        ),
        ("put_record", {"StreamName": "none", "Data": b"", "PartitionKey": "k"}, "ResourceNotFoundException"),
        ("put_record", {"StreamName": "STREAM", "Data": b"", "PartitionKey": ""}, "ValidationException"),
        (
            "put_record",
            {"StreamName": "STREAM", "Data": b"", "PartitionKey": "k", "ExplicitHashKey": str(2**128)},
            "InvalidArgumentException",
        ),
    ],
)
def test_refusals_have_awss_codes(
    kinesis: Any, stream: str, operation: str, request_: dict[str, Any], code: str
) -> None:
    request = json.loads(json.dumps(request_, default=bytes.decode).replace("STREAM", stream))
    assert refused(getattr(kinesis, operation), **request) == (code, 400)


def test_a_refusal_says_what_is_wrong_in_awss_words(kinesis: Any, stream: str) -> None:
    with pytest.raises(ClientError, match="Stream none under account 000000000000 not found"):
        kinesis.describe_stream(StreamName="none")
    with pytest.raises(ClientError, match=r"Value '0' at 'shardCount' failed .* greater than or equal to 1"):
        kinesis.create_stream(StreamName="none", ShardCount=0)
    with pytest.raises(ClientError, match="2 validation errors detected: Value null at 'shardId'"):
        kinesis.get_shard_iterator(StreamName=stream)


def test_ordered_faults_reach_the_client(served: dict[str, Any], kinesis: Any, stream: str) -> None:
    iterator = first_shard(kinesis, stream)
    order(served, {"fail": [{"operation": "GetRecords", "code": "InternalFailure", "status": 500}]})
    assert refused(kinesis.get_records, ShardIterator=iterator) == ("InternalFailure", 500)
    order(served, {"drop": [{"operation": "GetRecords"}]})
    with pytest.raises(ConnectionClosedError):
        kinesis.get_records(ShardIterator=iterator)
    order(served, {"throttle": {"fraction": 1}})
    answer = kinesis.put_records(StreamName=stream, Records=[{"Data": b"x", "PartitionKey": "k"}] * 2)
    order(served, {})
    assert answer["FailedRecordCount"] == 2
    assert answer["Records"][0]["ErrorCode"] == "ProvisionedThroughputExceededException"
    assert kinesis.get_records(ShardIterator=iterator)["Records"] == []


def test_ordered_garbles_reach_the_client(served: dict[str, Any], kinesis: Any, stream: str) -> None:
    kinesis.put_record(StreamName=stream, Data=b"abc", PartitionKey="k", ExplicitHashKey="0")
    iterator = first_shard(kinesis, stream)
    hows = ("missing_member", "not_json", "bad_base64")
    order(served, {"garble": [{"operation": "GetRecords", "how": how} for how in hows]})
    assert "PartitionKey" not in kinesis.get_records(ShardIterator=iterator)["Records"][0]
    assert "Records" not in kinesis.get_records(ShardIterator=iterator)  # what botocore makes of a body cut in two
    with pytest.raises(binascii.Error):
        kinesis.get_records(ShardIterator=iterator)
    assert kinesis.get_records(ShardIterator=iterator)["Records"][0]["Data"] == b"abc"


def test_b6_limits_are_on_when_asked_for() -> None:
    process, line = start("--limits", "aws", "--region", "eu-west-1", "--account", "123456789012")
    try:
        kinesis = client_of(line)
        kinesis.create_stream(StreamName="s", ShardCount=1)
        big = {"Data": bytes(1_000_000), "PartitionKey": "k"}
        answer = kinesis.put_records(StreamName="s", Records=[big] * 3)
        assert answer["FailedRecordCount"] == 2
        summary = kinesis.describe_stream_summary(StreamName="s")["StreamDescriptionSummary"]
        assert summary["StreamARN"] == "arn:aws:kinesis:eu-west-1:123456789012:stream/s"
    finally:
        stop(process, signal.SIGINT)


def test_b5_many_clients_at_once_lose_and_double_nothing(served: dict[str, Any], kinesis: Any, stream: str) -> None:
    put: list[str] = []

    def work(number: int, mine: Any) -> None:
        for turn in range(10):
            entries = [{"Data": b"x", "PartitionKey": f"{number}-{turn}-{i}"} for i in range(50)]
            put.extend(r["SequenceNumber"] for r in mine.put_records(StreamName=stream, Records=entries)["Records"])

    threads = [threading.Thread(target=work, args=(n, client_of(served))) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    got = []
    for shard in kinesis.list_shards(StreamName=stream)["Shards"]:
        answer = kinesis.get_records(ShardIterator=first_shard(kinesis, stream, ShardId=shard["ShardId"]))
        numbers = [r["SequenceNumber"] for r in answer["Records"]]
        assert numbers == sorted(numbers)
        got += numbers
    assert len(put) == 2_000
    assert sorted(got) == sorted(put)


HEAD = b"POST / HTTP/1.1\r\nHost: x\r\nX-Amz-Target: Kinesis_20131202.%s\r\n"


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        (b"GET /_health HTTP/1.1\r\n\r\n", b'200 OK|{"status":"running"}'),
        (HEAD % b"ListStreams" + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n", b"411 Length Required"),
        (HEAD % b"ListStreams" + b"Content-Length: -2\r\n\r\n{}", b"400 Bad Request"),
        (HEAD % b"ListStreams" + b"Content-Length: 99999999999\r\n\r\n{}", b"413 Content Too Large"),
        (HEAD % b"ListStreams" + b"Content-Length: 2\r\n\r\n{]", b"SerializationException"),
        (HEAD % b"ListStreams" + b"Content-Length: 2\r\n\r\n[]", b"SerializationException"),
        (HEAD % b"NoSuch" + b"Content-Length: 2\r\n\r\n{}", b"x-amzn-ErrorType: UnknownOperationException"),
        (b"POST / HTTP/1.1\r\n\r\n", b"UnknownOperationException"),
        (b"GET /_health HTTP/1.1\r\n\r\nGET /_health HTTP/1.1\r\n\r\n", b"running|HTTP/1.1 200 OK|running"),
        (b"nonsense\r\n\r\n", b"400 Bad Request"),
        (HEAD % b"ListStreams" + b"X: " + b"x" * 150_000, b"431 Request Header Fields Too Large"),
    ],
)
def test_bare_http_is_answered(served: dict[str, Any], request_: bytes, expected: bytes) -> None:
    answer, at = exchange(served, request_), 0
    for part in expected.split(b"|"):
        at = answer.find(part, at) + 1
        assert at > 0, answer


def test_data_that_is_not_base64_is_refused(served: dict[str, Any], stream: str) -> None:
    body = json.dumps({"StreamName": stream, "Records": [{"Data": '","x":"', "PartitionKey": "k"}]}).encode()
    answer = exchange(served, HEAD % b"PutRecords" + b"Content-Length: %d\r\n\r\n" % len(body) + body)
    assert b"SerializationException" in answer


def test_expect_continue_is_granted(served: dict[str, Any]) -> None:
    with socket.create_connection(("127.0.0.1", served["port"]), timeout=5) as connection:
        connection.sendall(HEAD % b"ListStreams" + b"Expect: 100-continue\r\nContent-Length: 2\r\n\r\n")
        assert connection.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(b"{}")
        assert b"200 OK" in connection.recv(65_536)


def test_a_client_that_goes_away_harms_nobody(served: dict[str, Any], kinesis: Any, stream: str) -> None:
    for part in (b"", b"POST", HEAD % b"PutRecords" + b"Content-Length: 1000\r\n\r\n{"):
        with socket.create_connection(("127.0.0.1", served["port"]), timeout=5) as connection:
            connection.sendall(part)
    assert kinesis.describe_stream_summary(StreamName=stream)["StreamDescriptionSummary"]["StreamStatus"] == "ACTIVE"
