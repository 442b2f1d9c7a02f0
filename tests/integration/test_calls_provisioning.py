"""What the scenarios declare is created, is there as it was declared, and is gone again: the same on every target."""

import dataclasses
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from call_differences import Differences
from call_fixtures import ROLE, status, unique, wait_until
from declared_calls import SCENARIOS, declare, renamed, requests
from targets import ACCOUNT, Target

from infra.embedded.target import REGION
from infra.provisioning import provision, remove
from pipelines.firehose.parse import describe, parse_create_request
from pipelines.lake.catalog import get_table
from pipelines.lake.delivered import list_infos
from pipelines.lake.location import Location
from pipelines.runtime.aws import client
from pipelines.runtime.errors import ConfigurationError

DELETIONS = {
    "kinesis.create_stream": "kinesis.delete_stream",
    "s3.create_bucket": "s3.delete_bucket",
    "glue.create_database": "glue.delete_database",
    "glue.create_table": "glue.delete_table",
    "firehose.create_delivery_stream": "firehose.delete_delivery_stream",
}


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_scenario_is_provisioned_and_removed(
    target: Target, known: Differences, scenario: str, tmp_path: Path
) -> None:
    folder = renamed(scenario, tmp_path)
    declared = [path.stem.partition("-")[2] for path in sorted(folder.glob("*.json"))]
    expected = [call for call in declared if call != "lambda.create_function"]
    try:
        assert provision(folder) == expected
        assert provision(folder) == expected  # what is there is left as it is
        _is_there(target, known, folder)
        own = target.client("kinesis")
        for request in requests(folder, "kinesis.create_stream"):
            arn = own.describe_stream_summary(StreamName=request["StreamName"])["StreamDescriptionSummary"]["StreamARN"]
            own.register_stream_consumer(StreamARN=arn, ConsumerName="app")  # goes with its stream
    finally:
        removed = remove(folder)
    assert removed == [DELETIONS[call] for call in reversed(expected)]
    _is_gone(target, folder)
    assert remove(folder) == []


def _is_there(target: Target, known: Differences, folder: Path) -> None:
    kinesis, firehose = target.client("kinesis"), client("firehose")
    for request in requests(folder, "kinesis.create_stream"):
        summary = kinesis.describe_stream_summary(StreamName=request["StreamName"])["StreamDescriptionSummary"]
        assert (summary["StreamStatus"], summary["OpenShardCount"]) == ("ACTIVE", request["ShardCount"])
        assert summary["StreamARN"] == f"arn:aws:kinesis:{REGION}:{ACCOUNT}:stream/{request['StreamName']}"
    for request in requests(folder, "s3.create_bucket"):
        assert target.client("s3").list_objects_v2(Bucket=request["Bucket"])["KeyCount"] == 0
    for request in requests(folder, "glue.create_table"):
        table = get_table(client("glue"), request["DatabaseName"], request["TableInput"]["Name"])
        assert {name: table[name] for name in request["TableInput"]} == request["TableInput"]
    for request in requests(folder, "firehose.create_delivery_stream"):
        name = request["DeliveryStreamName"]
        told = describe(firehose, name)
        wanted = parse_create_request(request, region=REGION, account=ACCOUNT)
        assert abs(told.created_ms / 1000 - time.time()) < 300
        assert dataclasses.replace(told, created_ms=0) == wanted
        state = firehose.describe_delivery_stream(DeliveryStreamName=name)["DeliveryStreamDescription"]
        if known.on(target.name, "delivers-by-itself"):
            assert state["DeliveryStreamStatus"] == "CREATING_FAILED" or _delivers(target, request)
        else:
            assert state["DeliveryStreamStatus"] == "ACTIVE"


def _delivers(target: Target, request: dict[str, dict[str, str]]) -> bool:
    """Whether the target's Firehose writes to the bucket what is put into the stream."""
    stream = request["KinesisStreamSourceConfiguration"]["KinesisStreamARN"].rpartition("/")[2]
    bucket = request["ExtendedS3DestinationConfiguration"]["BucketARN"].rpartition(":")[2]
    target.client("kinesis").put_record(StreamName=stream, Data=b"{}", PartitionKey="k")
    wait_until(lambda: target.client("s3").list_objects_v2(Bucket=bucket)["KeyCount"] > 0)
    return True


def _is_gone(target: Target, folder: Path) -> None:
    kinesis, s3, glue, firehose = map(target.client, ("kinesis", "s3", "glue", "firehose"))
    for request in requests(folder, "kinesis.create_stream"):
        assert status(kinesis, request["StreamName"]) is None
    buckets = {each["Name"] for each in s3.list_buckets()["Buckets"]}
    assert buckets.isdisjoint(each["Bucket"] for each in requests(folder, "s3.create_bucket"))
    databases = {each["Name"] for each in glue.get_databases()["DatabaseList"]}
    assert databases.isdisjoint(each["DatabaseInput"]["Name"] for each in requests(folder, "glue.create_database"))
    streams = set(firehose.list_delivery_streams(Limit=1000)["DeliveryStreamNames"])
    declared = requests(folder, "firehose.create_delivery_stream")
    assert streams.isdisjoint(each["DeliveryStreamName"] for each in declared)


def test_a_bucket_of_more_objects_than_a_page_lists_is_listed_and_removed(target: Target, tmp_path: Path) -> None:
    bucket, s3 = unique("calls"), target.client("s3")
    folder = declare(tmp_path, s3__create_bucket={"Bucket": bucket})
    assert provision(folder) == ["s3.create_bucket"]
    keys = [f"many/{number:04}" for number in range(1_003)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda key: s3.put_object(Bucket=bucket, Key=key, Body=b"x"), keys))
    infos = list_infos(client("s3"), Location(bucket, "many/"))
    assert [(info.location.key, info.bytes) for info in infos] == [(key, 1) for key in keys]
    assert remove(folder) == ["s3.delete_bucket"]
    assert bucket not in {each["Name"] for each in s3.list_buckets()["Buckets"]}


def test_a_stream_that_is_created_after_it_was_removed_stays(target: Target, tmp_path: Path) -> None:
    name = unique("calls")
    folder = declare(tmp_path, kinesis__create_stream={"StreamName": name, "ShardCount": 1})
    assert remove(folder) == []
    provision(folder)
    time.sleep(1)
    assert status(target.client("kinesis"), name) == "ACTIVE"
    assert remove(folder) == ["kinesis.delete_stream"]


def test_a_bucket_name_that_aws_refuses(target: Target, known: Differences, tmp_path: Path) -> None:
    folder = declare(tmp_path, s3__create_bucket={"Bucket": unique("No_bucket")})
    if known.on(target.name, "any-bucket-name"):
        assert provision(folder) == ["s3.create_bucket"]
        assert remove(folder) == ["s3.delete_bucket"]
    else:
        with pytest.raises(ConfigurationError, match=r"10-s3\.create_bucket\.json: InvalidBucketName"):
            provision(folder)


def test_a1_5_a_delivery_stream_without_destination(target: Target, known: Differences, tmp_path: Path) -> None:
    name = unique("calls")
    folder = declare(tmp_path, firehose__create_delivery_stream={"DeliveryStreamName": name})
    refused = "Exactly one destination configuration is supported for a Firehose"
    if known.on(target.name, "any-delivery-stream"):
        provision(folder)
        with pytest.raises(ConfigurationError, match=refused):
            describe(client("firehose"), name)
        assert remove(folder) == ["firehose.delete_delivery_stream"]
    else:
        with pytest.raises(ConfigurationError, match=f"InvalidArgumentException: {refused}"):
            provision(folder)


def test_a2_1_a_delivery_stream_that_buffers_too_much(target: Target, known: Differences, tmp_path: Path) -> None:
    name = unique("calls")
    destination = {"RoleARN": ROLE, "BucketARN": "arn:aws:s3:::nowhere", "BufferingHints": {"SizeInMBs": 129}}
    request = {"DeliveryStreamName": name, "ExtendedS3DestinationConfiguration": destination}
    folder = declare(tmp_path, firehose__create_delivery_stream=request)
    refused = "failed to satisfy constraint: Member must have value less than or equal to 128"
    assert known.on(target.name, "any-buffering-hints")
    provision(folder)
    with pytest.raises(ConfigurationError, match=refused):
        describe(client("firehose"), name)
    assert remove(folder) == ["firehose.delete_delivery_stream"]
