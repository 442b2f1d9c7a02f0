"""What the model Kinesis knows of a stream besides its records: tags, policies, encryption, modes, consumers."""

import re
from pathlib import Path
from typing import Any

import pytest
from botocore.loaders import Loader
from kinesis_model import HOUR_S, TOP, Service, code_of

from infra.embedded.model.errors import KinesisError

PAGE = Path(__file__).parents[2] / "docs/divergences.md"
ADVANTAGE = {"MinimumThroughputBillingCommitment": {"Status": "ENABLED"}}
ON_DEMAND = {"StreamMode": "ON_DEMAND"}
PROVISIONED = {"StreamMode": "PROVISIONED"}


def summary(service: Service, **named: str) -> dict[str, Any]:
    found: dict[str, Any] = service("DescribeStreamSummary", **named)["StreamDescriptionSummary"]
    return found


def arn_of(service: Service) -> str:
    return str(summary(service)["StreamARN"])


def refusal(service: Service, operation: str, **request: Any) -> str:
    """The code of the error that the call ends with."""
    with pytest.raises(KinesisError) as error:
        service(operation, **request)
    return code_of(error)


def register(service: Service, *names: str) -> list[str]:
    """Registers consumers of the stream s; their ARNs."""
    arn = arn_of(service)
    return [service("RegisterStreamConsumer", StreamARN=arn, ConsumerName=n)["Consumer"]["ConsumerARN"] for n in names]


def test_every_operation_of_the_api_is_answered_or_named_as_a_difference() -> None:
    service = Service()
    operations = set(Loader().load_service_model("kinesis", "service-2")["operations"])
    unknown = set()
    for operation in operations:
        try:
            service.kinesis.call(operation, {})
        except KinesisError as error:
            if error.code == "UnknownOperationException":
                unknown.add(operation)
    (row,) = [line for line in PAGE.read_text().splitlines() if "| UnknownOperationException |" in line]
    assert unknown == set(re.findall(r"`(\w+)`", row))
    assert len(operations - unknown) == 40
    assert "SubscribeToShard" not in unknown


@pytest.mark.parametrize("of", ["stream", "consumer"])
def test_tags_of_streams_and_consumers(of: str) -> None:
    service = Service()
    arn = arn_of(service) if of == "stream" else register(service, "c")[0]
    service("TagResource", ResourceARN=arn, Tags={"b": "2", "a": "1", "c": ""})
    service("TagResource", ResourceARN=arn, Tags={"a": "3"})
    service("UntagResource", ResourceARN=arn, TagKeys=["c", "d"])
    tags = [{"Key": "a", "Value": "3"}, {"Key": "b", "Value": "2"}]
    assert service("ListTagsForResource", ResourceARN=arn) == {"Tags": tags}
    assert service("ListTagsForStream")["Tags"] == (tags if of == "stream" else [])
    many = {f"k{number}": "" for number in range(49)}
    assert refusal(service, "TagResource", ResourceARN=arn, Tags=many) == "InvalidArgumentException"
    service("TagResource", ResourceARN=arn, Tags={"a": "", **dict(list(many.items())[:48])})
    assert len(service("ListTagsForResource", ResourceARN=arn)["Tags"]) == 50


def test_tags_are_given_at_birth() -> None:
    service = Service()
    service("CreateStream", StreamName="t", ShardCount=1, Tags={"a": "1"})
    assert service("ListTagsForStream", StreamName="t")["Tags"] == [{"Key": "a", "Value": "1"}]
    arn = summary(service, StreamName="t")["StreamARN"]
    consumer = service("RegisterStreamConsumer", StreamARN=arn, ConsumerName="c", Tags={"b": "2"})["Consumer"]
    tags = service("ListTagsForResource", ResourceARN=consumer["ConsumerARN"])["Tags"]
    assert tags == [{"Key": "b", "Value": "2"}]
    too_many = {f"k{number}": "" for number in range(51)}
    assert refusal(service, "CreateStream", StreamName="u", ShardCount=1, Tags=too_many) == "InvalidArgumentException"
    assert refusal(service, "DescribeStream", StreamName="u") == "ResourceNotFoundException"


@pytest.mark.parametrize("of", ["stream", "consumer"])
def test_resource_policies_are_kept(of: str) -> None:
    service = Service()
    arn = arn_of(service) if of == "stream" else register(service, "c")[0]
    assert service("GetResourcePolicy", ResourceARN=arn) == {"Policy": "{}"}
    assert refusal(service, "DeleteResourcePolicy", ResourceARN=arn) == "ResourceNotFoundException"
    for wrong in ("nonsense", "[]"):
        assert refusal(service, "PutResourcePolicy", ResourceARN=arn, Policy=wrong) == "InvalidArgumentException"
    policy = '{"Version":"2012-10-17","Statement":[]}'
    service("PutResourcePolicy", ResourceARN=arn, Policy=policy)
    assert service("GetResourcePolicy", ResourceARN=arn) == {"Policy": policy}
    service("DeleteResourcePolicy", ResourceARN=arn)
    assert service("GetResourcePolicy", ResourceARN=arn) == {"Policy": "{}"}


@pytest.mark.parametrize(
    "arn",
    [
        "arn:aws:kinesis:us-east-1:123456789012:stream/none",
        "arn:aws:kinesis:us-east-1:123456789012:stream/s/consumer/none:1",
        "arn:aws:kinesis:us-east-1:999999999999:stream/s",
        "arn:aws:kinesis:us-east-1:123456789012:queue/s",
    ],
)
def test_a_resource_that_there_is_not_is_not_found(arn: str) -> None:
    service = Service()
    for operation in ("ListTagsForResource", "GetResourcePolicy", "DeleteResourcePolicy"):
        assert refusal(service, operation, ResourceARN=arn) == "ResourceNotFoundException"


def test_records_put_while_a_stream_is_encrypted_say_so() -> None:
    service = Service(settle_ms=1_000)
    kms: dict[str, Any] = {"EncryptionType": "KMS", "KeyId": "alias/aws/kinesis"}
    assert "EncryptionType" not in service.put(b"a")
    assert summary(service)["EncryptionType"] == "NONE"
    service("StartStreamEncryption", **kms)
    described = service("DescribeStream")["StreamDescription"]
    assert described["StreamStatus"] == "UPDATING"
    assert (described["EncryptionType"], described["KeyId"]) == ("KMS", "alias/aws/kinesis")
    assert service.put(b"b")["EncryptionType"] == "KMS"
    entries = [{"Data": "Yw==", "PartitionKey": "k"}]
    assert service("PutRecords", Records=entries)["EncryptionType"] == "KMS"
    assert refusal(service, "StopStreamEncryption", **kms) == "ResourceInUseException"
    service.clock.advance(1)
    service("StopStreamEncryption", **kms)
    service.clock.advance(1)
    assert "KeyId" not in summary(service)
    assert "EncryptionType" not in service("PutRecords", Records=entries)
    records = service.drain("shardId-000000000000", limit=10)
    assert [record.get("EncryptionType") for record in records] == [None, "KMS", "KMS", None]
    none = kms | {"EncryptionType": "NONE"}
    assert refusal(service, "StartStreamEncryption", **none) == "InvalidArgumentException"


def test_a_key_changes_twenty_five_times_a_day() -> None:
    service = Service()
    for number in range(25):
        service("StartStreamEncryption", EncryptionType="KMS", KeyId=f"alias/{number}")
    more: dict[str, Any] = {"EncryptionType": "KMS", "KeyId": "alias/more"}
    assert refusal(service, "StartStreamEncryption", **more) == "LimitExceededException"
    service("StopStreamEncryption", **more)
    service.clock.advance(24 * HOUR_S)
    service("StartStreamEncryption", **more)


def test_b11_only_a_provisioned_stream_is_resharded_by_hand() -> None:
    service = Service(2)
    arn = arn_of(service)
    service("UpdateStreamMode", StreamARN=arn, StreamModeDetails=ON_DEMAND)
    assert summary(service)["StreamModeDetails"] == ON_DEMAND
    one, other = (f"shardId-00000000000{number}" for number in range(2))
    split = {"ShardToSplit": one, "NewStartingHashKey": "1000"}
    merge = {"ShardToMerge": one, "AdjacentShardToMerge": other}
    scale = {"TargetShardCount": 3, "ScalingType": "UNIFORM_SCALING"}
    reshardings: list[tuple[str, dict[str, Any]]] = [
        ("SplitShard", split),
        ("MergeShards", merge),
        ("UpdateShardCount", scale),
    ]
    for operation, request in reshardings:
        assert refusal(service, operation, **request) == "ValidationException"
    assert service("DescribeLimits")["OnDemandStreamCount"] == 1
    service("UpdateStreamMode", StreamARN=arn, StreamModeDetails=PROVISIONED)
    service("SplitShard", **split)
    again = {"StreamARN": arn, "StreamModeDetails": ON_DEMAND}
    assert refusal(service, "UpdateStreamMode", **again) == "LimitExceededException"
    service.clock.advance(24 * HOUR_S)
    service("UpdateStreamMode", **again)


def test_b4_an_on_demand_stream_begins_with_four_shards() -> None:
    service = Service()
    service("CreateStream", StreamName="d", StreamModeDetails=ON_DEMAND)
    assert len(service.shards(StreamName="d")) == 4
    wrong = {"StreamName": "e", "ShardCount": 4, "StreamModeDetails": ON_DEMAND}
    assert refusal(service, "CreateStream", **wrong) == "ValidationException"


def test_an_account_commits_itself_for_a_day_at_least() -> None:
    service = Service()
    name = "MinimumThroughputBillingCommitment"

    def status() -> dict[str, Any]:
        found: dict[str, Any] = service.kinesis.call("DescribeAccountSettings", {})[name]
        return found

    def update(wanted: str) -> dict[str, Any]:
        return service.kinesis.call("UpdateAccountSettings", {name: {"Status": wanted}})[name]  # type: ignore[index,return-value]

    assert status() == {"Status": "DISABLED"} == update("DISABLED")
    begun = service.clock.now_ms() / 1000
    times = {"StartedAt": begun, "EarliestAllowedEndAt": begun + 24 * HOUR_S}
    assert update("ENABLED") == {"Status": "ENABLED"} | times == status()
    service.clock.advance(HOUR_S)
    assert update("DISABLED") == {"Status": "ENABLED_UNTIL_EARLIEST_ALLOWED_END"} | times
    assert update("ENABLED") == {"Status": "ENABLED"} | times
    update("DISABLED")
    service.clock.advance(23 * HOUR_S)
    ended = {"Status": "DISABLED", "EndedAt": begun + 24 * HOUR_S}
    assert status() == ended | times
    service.clock.advance(HOUR_S)
    assert update("ENABLED")["StartedAt"] == begun + 25 * HOUR_S
    service.clock.advance(48 * HOUR_S)
    assert update("DISABLED")["EndedAt"] == begun + 73 * HOUR_S


def test_warm_throughput_needs_on_demand_and_a_commitment() -> None:
    service = Service()
    arn = arn_of(service)
    warm = {"StreamARN": arn, "WarmThroughputMiBps": 10}
    assert refusal(service, "UpdateStreamWarmThroughput", **warm) == "ValidationException"
    on_demand = {"StreamARN": arn, "StreamModeDetails": ON_DEMAND}
    assert refusal(service, "UpdateStreamMode", **on_demand, WarmThroughputMiBps=5) == "ValidationException"
    service("UpdateStreamMode", **on_demand)
    assert refusal(service, "UpdateStreamWarmThroughput", **warm) == "ValidationException"
    service("UpdateAccountSettings", **ADVANTAGE)
    shown = {"TargetMiBps": 10, "CurrentMiBps": 10}
    assert (
        service("UpdateStreamWarmThroughput", **warm)["WarmThroughput"] == shown == summary(service)["WarmThroughput"]
    )
    service("CreateStream", StreamName="w", StreamModeDetails=ON_DEMAND, WarmThroughputMiBps=7)
    assert summary(service, StreamName="w")["WarmThroughput"]["TargetMiBps"] == 7
    provisioned = {"StreamARN": arn, "StreamModeDetails": PROVISIONED, "WarmThroughputMiBps": 5}
    assert refusal(service, "UpdateStreamMode", **provisioned) == "InvalidArgumentException"
    service("UpdateStreamMode", StreamARN=arn, StreamModeDetails=PROVISIONED)
    assert "WarmThroughput" not in summary(service)


def test_the_service_distributes_records_where_it_is_asked_to() -> None:
    service = Service(2)
    arn = arn_of(service)
    auto = {"StreamARN": arn, "RecordDistributionStrategy": "AUTO"}
    assert refusal(service, "UpdateStreamRecordDistributionStrategy", **auto) == "InvalidArgumentException"
    service("UpdateStreamMode", StreamARN=arn, StreamModeDetails=ON_DEMAND)
    assert summary(service)["RecordDistributionStrategy"] == "USER_PARTITION_KEY"
    assert refusal(service, "PutRecord", Data="") == "ValidationException"
    service("UpdateStreamRecordDistributionStrategy", **auto)
    assert summary(service)["RecordDistributionStrategy"] == "AUTO"
    without_key = service("PutRecord", Data="YQ==")
    with_key = [service.put(b"b", "k", ExplicitHashKey="0") for _ in range(9)]
    shards = [put["ShardId"] for put in [without_key, *with_key]]
    assert [shards.count(f"shardId-00000000000{number}") for number in range(2)] == [5, 5]
    records = {r["SequenceNumber"]: r for name in sorted(set(shards)) for r in service.drain(name, limit=10)}
    assert "PartitionKey" not in records[without_key["SequenceNumber"]]
    assert records[with_key[0]["SequenceNumber"]]["PartitionKey"] == "k"
    back = {"StreamARN": arn, "StreamModeDetails": PROVISIONED}
    assert refusal(service, "UpdateStreamMode", **back) == "InvalidArgumentException"
    service("UpdateStreamRecordDistributionStrategy", StreamARN=arn, RecordDistributionStrategy="USER_PARTITION_KEY")
    assert service.put(ExplicitHashKey="0")["ShardId"].endswith("0")
    assert service.put(ExplicitHashKey=str(TOP))["ShardId"].endswith("1")
    service("CreateStream", StreamName="a", StreamModeDetails=ON_DEMAND, RecordDistributionStrategy="AUTO")
    assert service("PutRecord", StreamName="a", Data="")["ShardId"] == "shardId-000000000000"


@pytest.mark.parametrize("advantage", [False, True])
def test_b14_a_stream_has_twenty_consumers_or_fifty_with_on_demand_advantage(advantage: bool) -> None:
    service = Service()
    most = 20
    if advantage:
        service("UpdateAccountSettings", **ADVANTAGE)
        register(service, *(f"c{number}" for number in range(20)))
        assert refusal(service, "RegisterStreamConsumer", StreamARN=arn_of(service), ConsumerName="x") == (
            "LimitExceededException"
        )
        service("UpdateStreamMode", StreamARN=arn_of(service), StreamModeDetails=ON_DEMAND)
        most = 50
    register(service, *(f"d{number}" for number in range(most - summary(service)["ConsumerCount"])))
    assert summary(service)["ConsumerCount"] == most
    assert refusal(service, "RegisterStreamConsumer", StreamARN=arn_of(service), ConsumerName="x") == (
        "LimitExceededException"
    )


def test_b14_five_consumers_are_created_at_a_time() -> None:
    service = Service(settle_ms=1_000)
    one, *_ = register(service, *"abcde")
    arn = arn_of(service)

    def status() -> str:
        found: str = service("DescribeStreamConsumer", StreamARN=arn, ConsumerName="a")["ConsumerDescription"][
            "ConsumerStatus"
        ]
        return found

    assert status() == "CREATING"
    assert refusal(service, "RegisterStreamConsumer", StreamARN=arn, ConsumerName="f") == "LimitExceededException"
    service.clock.advance(1)
    assert status() == "ACTIVE"
    register(service, "f")
    listed = service("ListStreamConsumers", StreamARN=arn)["Consumers"]
    assert [(c["ConsumerName"], c["ConsumerStatus"]) for c in listed] == [
        *((name, "ACTIVE") for name in "abcde"),
        ("f", "CREATING"),
    ]
    assert listed[0]["ConsumerARN"] == one
    assert listed[0]["ConsumerCreationTimestamp"] == 1_700_000_001.0


def test_b14_consumers_are_listed_in_pages() -> None:
    service = Service()
    register(service, *"gfedcba")
    arn = arn_of(service)
    found, request = [], {"StreamARN": arn, "MaxResults": 3}
    while True:
        page = service("ListStreamConsumers", **request)
        found += [consumer["ConsumerName"] for consumer in page["Consumers"]]
        if "NextToken" not in page:
            break
        request["NextToken"] = page["NextToken"]
    assert found == list("abcdefg")
    assert len(page["Consumers"]) == 1
    both = request | {"StreamCreationTimestamp": 1_700_000_000}
    assert refusal(service, "ListStreamConsumers", **both) == "InvalidArgumentException"
    service("CreateStream", StreamName="t", ShardCount=1)
    other = request | {"StreamARN": summary(service, StreamName="t")["StreamARN"]}
    assert refusal(service, "ListStreamConsumers", **other) == "InvalidArgumentException"
    shards = service("ListShards", StreamName="s")
    assert "NextToken" not in shards
    service.clock.advance(301)
    assert refusal(service, "ListStreamConsumers", **request) == "ExpiredNextTokenException"


def test_b14_a_consumer_is_named_by_arn_or_by_stream_and_name() -> None:
    service = Service()
    one, _ = register(service, "c", "d")
    arn = arn_of(service)
    for named in ({"ConsumerARN": one}, {"StreamARN": arn, "ConsumerName": "c"}):
        described = service("DescribeStreamConsumer", **({"StreamARN": arn} | named))["ConsumerDescription"]
        assert (described["ConsumerARN"], described["StreamARN"]) == (one, arn)
    for wrong, code in (
        ({"ConsumerARN": one, "ConsumerName": "d"}, "InvalidArgumentException"),
        ({"ConsumerARN": one, "StreamARN": arn + "x"}, "InvalidArgumentException"),
        ({"StreamARN": arn}, "InvalidArgumentException"),
        ({"StreamARN": arn, "ConsumerName": "e"}, "ResourceNotFoundException"),
        ({"ConsumerARN": one[:-1] + "7", "StreamARN": arn}, "ResourceNotFoundException"),
    ):
        assert refusal(service, "DescribeStreamConsumer", **wrong) == code
        assert refusal(service, "DeregisterStreamConsumer", **wrong) == code
    assert summary(service)["ConsumerCount"] == 2


def test_a_stream_of_another_birth_is_not_found() -> None:
    service = Service()
    for operation, named in (
        ("ListShards", {"StreamName": "s"}),
        ("ListStreamConsumers", {"StreamARN": arn_of(service)}),
    ):
        service(operation, **named, StreamCreationTimestamp=1_700_000_000)
        other = named | {"StreamCreationTimestamp": 1_700_000_001}
        assert refusal(service, operation, **other) == "ResourceNotFoundException"


def test_pages_are_no_larger_than_aws_makes_them() -> None:
    service = Service(1_001)
    assert len(service("DescribeStream", Limit=1_000)["StreamDescription"]["Shards"]) == 100
    assert len(service("ListShards", MaxResults=10_000)["Shards"]) == 1_000
    for number in range(100):
        service("CreateStream", StreamName=f"t{number}", ShardCount=1)
    assert len(service.kinesis.call("ListStreams", {"Limit": 1_000})["StreamNames"]) == 100  # type: ignore[call-overload,index]


@pytest.mark.parametrize(
    ("operation", "request_", "rate"),
    [
        ("ListShards", {"StreamName": "s"}, 1_000),
        ("DescribeStream", {"StreamName": "s"}, 10),
        ("DescribeStreamSummary", {"StreamName": "s"}, 20),
        ("DescribeLimits", {}, 1),
        ("ListStreams", {}, 5),
        ("ListStreamConsumers", {"StreamARN": "arn:aws:kinesis:us-east-1:123456789012:stream/s"}, 5),
    ],
)
def test_where_limits_are_on_calls_are_counted(operation: str, request_: dict[str, Any], rate: int) -> None:
    service = Service(limited=True)
    service.clock.advance(1)
    for _ in range(rate):
        service.kinesis.call(operation, request_)
    with pytest.raises(KinesisError, match=f"{rate} times a second") as error:
        service.kinesis.call(operation, request_)
    assert code_of(error) == "LimitExceededException"
    service.clock.advance(1)
    service.kinesis.call(operation, request_)
    free = Service()
    for _ in range(rate + 1):
        free.kinesis.call(operation, request_)


def test_limits_of_a_stream_are_its_own_however_it_is_named() -> None:
    service = Service(limited=True)
    service("CreateStream", StreamName="t", ShardCount=3)
    arn = arn_of(service)
    token = service("ListShards", StreamName="t", MaxResults=1)["NextToken"]
    for _ in range(999):
        service("ListShards", StreamName="t")
    assert refusal(service, "ListShards", NextToken=token) == "LimitExceededException"
    for _ in range(500):
        service("ListShards", StreamName="s")
        service("ListShards", StreamARN=arn)
    assert refusal(service, "ListShards", StreamARN=arn) == "LimitExceededException"


@pytest.mark.parametrize("operation", ["PutRecord", "PutRecords", "GetShardIterator", "GetRecords"])
def test_a_dry_run_checks_and_does_nothing(operation: str) -> None:
    service = Service(limited=True)
    service.put()
    entry = {"Data": "", "PartitionKey": "k"}
    good, bad = {
        "PutRecord": (entry, entry | {"ExplicitHashKey": str(TOP + 1)}),
        "PutRecords": ({"Records": [entry]}, {"Records": [entry | {"ExplicitHashKey": str(TOP + 1)}]}),
        "GetShardIterator": (
            {"ShardId": "shardId-000000000000", "ShardIteratorType": "LATEST"},
            {"ShardId": "shardId-000000000000", "ShardIteratorType": "AT_TIMESTAMP"},
        ),
        "GetRecords": ({"ShardIterator": service.iterator()}, {"ShardIterator": "nonsense"}),
    }[operation]
    assert refusal(service, operation, **good, DryRun=True) == "DryRunOperationException"
    assert refusal(service, operation, **bad, DryRun=True) == "InvalidArgumentException"
    service(operation, **good, DryRun=False)
    records = service.drain("shardId-000000000000")
    assert len(records) == (2 if operation.startswith("Put") else 1)
