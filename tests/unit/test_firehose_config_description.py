"""DescribeDeliveryStream -> configuration: AWS's documented shape, moto's answer, and the same as from the request."""

import copy
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber
from firehose_requests import (
    ACCOUNT,
    BUCKET,
    CONVERSION,
    LAMBDA,
    PARTITIONED_PREFIX,
    QUERY,
    REGION,
    ROLE,
    SMALLEST,
    function,
    processing,
    request,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from moto import mock_aws

from pipelines.firehose.config import BufferingHints, KinesisSource, LambdaProcessorConfig, S3Backup
from pipelines.firehose.parse import describe, parse_create_request, parse_description
from pipelines.runtime.errors import ConfigurationError, CredentialsError, NotFoundError

CREATED = datetime(2026, 11, 24, 13, 45, 1, 250_000, tzinfo=UTC)
CREATED_MS = 1_795_527_901_250

AWS_DESCRIPTION: dict[str, Any] = {
    "DeliveryStreamName": "orders",
    "DeliveryStreamARN": "arn:aws:firehose:us-east-1:123456789012:deliverystream/orders",
    "DeliveryStreamStatus": "ACTIVE",
    "DeliveryStreamType": "KinesisStreamAsSource",
    "VersionId": "7",
    "CreateTimestamp": CREATED,
    "LastUpdateTimestamp": CREATED + timedelta(days=1),
    "Source": {
        "KinesisStreamSourceDescription": {
            "KinesisStreamARN": "arn:aws:kinesis:us-east-1:123456789012:stream/orders-in",
            "RoleARN": ROLE,
            "DeliveryStartTimestamp": CREATED + timedelta(seconds=40),
        }
    },
    "Destinations": [
        {
            "DestinationId": "destinationId-000000000001",
            "S3DestinationDescription": {
                "RoleARN": ROLE,
                "BucketARN": BUCKET,
                "BufferingHints": {"SizeInMBs": 128, "IntervalInSeconds": 300},
                "CompressionFormat": "UNCOMPRESSED",
                "EncryptionConfiguration": {"NoEncryptionConfig": "NoEncryption"},
            },
            "ExtendedS3DestinationDescription": {
                "RoleARN": ROLE,
                "BucketARN": BUCKET,
                "Prefix": "dt=!{timestamp:yyyy-MM-dd}/",
                "ErrorOutputPrefix": "errors/!{firehose:error-output-type}/",
                "BufferingHints": {"SizeInMBs": 128, "IntervalInSeconds": 300},
                "CompressionFormat": "UNCOMPRESSED",
                "EncryptionConfiguration": {"NoEncryptionConfig": "NoEncryption"},
                "CloudWatchLoggingOptions": {"Enabled": False},
                "ProcessingConfiguration": processing(function()),
                "S3BackupMode": "Enabled",
                "S3BackupDescription": {
                    "RoleARN": ROLE,
                    "BucketARN": BUCKET,
                    "Prefix": "raw/",
                    "BufferingHints": {"SizeInMBs": 5, "IntervalInSeconds": 300},
                    "CompressionFormat": "GZIP",
                    "EncryptionConfiguration": {"NoEncryptionConfig": "NoEncryption"},
                },
                "DataFormatConversionConfiguration": CONVERSION,
                "FileExtension": "",
                "CustomTimeZone": "UTC",
            },
        }
    ],
    "HasMoreDestinations": False,
}


def changed(**s3: Any) -> dict[str, Any]:
    description = copy.deepcopy(AWS_DESCRIPTION)
    description["Destinations"][0]["ExtendedS3DestinationDescription"].update(s3)
    return description


@pytest.fixture(autouse=True, scope="module")
def _no_endpoint() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_FIREHOSE", "AWS_PROFILE"):
            patch.delenv(name, raising=False)
        yield


@pytest.fixture
def firehose() -> Iterator[Any]:
    with mock_aws():
        yield boto3.client("firehose", region_name=REGION)


def test_the_documented_shape_is_read() -> None:
    stream = parse_description(AWS_DESCRIPTION)
    assert stream.name == "orders"
    assert stream.arn == "arn:aws:firehose:us-east-1:123456789012:deliverystream/orders"
    assert stream.version_id == "7"
    assert stream.source == KinesisSource("arn:aws:kinesis:us-east-1:123456789012:stream/orders-in", ROLE)
    s3 = stream.destination
    assert (s3.bucket, s3.prefix) == ("lake", "dt=!{timestamp:yyyy-MM-dd}/")
    assert s3.buffering == BufferingHints(128, 300)
    assert s3.lambda_processor == LambdaProcessorConfig(LAMBDA)
    assert s3.backup == S3Backup("lake", ROLE, "raw/", buffering=BufferingHints(5, 300), compression_format="GZIP")
    assert s3.conversion is not None
    assert s3.kms_key_arn is None


def test_x15_reading_starts_at_the_creation_to_the_millisecond() -> None:
    assert parse_description(AWS_DESCRIPTION).created_ms == CREATED_MS
    assert parse_description(AWS_DESCRIPTION | {"CreateTimestamp": CREATED_MS / 1000}).created_ms == CREATED_MS


@pytest.mark.parametrize("destinations", [[], AWS_DESCRIPTION["Destinations"] * 2, [{"DestinationId": "d"}]])
def test_a1_5_exactly_one_destination_is_described(destinations: list[Any]) -> None:
    with pytest.raises(ConfigurationError, match=r"^Exactly one destination configuration is supported"):
        parse_description(AWS_DESCRIPTION | {"Destinations": destinations})


def test_a_description_of_another_destination_is_refused() -> None:
    splunk = [{"DestinationId": "d", "SplunkDestinationDescription": {"HECEndpoint": "https://example.com"}}]
    with pytest.raises(ConfigurationError, match=r"^The destination SplunkDestinationDescription is not supported yet"):
        parse_description(AWS_DESCRIPTION | {"Destinations": splunk})


def test_what_a_stand_in_took_without_a_check_is_checked() -> None:
    with pytest.raises(ConfigurationError, match=r"'extendedS3DestinationDescription.bufferingHints.sizeInMBs' failed"):
        parse_description(changed(BufferingHints={"SizeInMBs": 500, "IntervalInSeconds": 1}))
    with pytest.raises(ConfigurationError, match="must be at least 64 when data format conversion is enabled"):
        parse_description(changed(BufferingHints={"SizeInMBs": 5, "IntervalInSeconds": 300}))


def maybe(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.none() | values


HINTS = st.fixed_dictionaries({"SizeInMBs": st.integers(64, 128), "IntervalInSeconds": st.integers(60, 900)})
TRANSFORMS = st.builds(
    lambda retries, hints: processing(function(**({"NumberOfRetries": str(retries)} if retries else {}), **hints)),
    maybe(st.integers(0, 300)),
    st.sampled_from([{}, {"BufferSizeInMBs": "0.5", "BufferIntervalInSeconds": "0"}]),
)
CONVERSIONS = st.builds(
    lambda how, written: (
        CONVERSION
        | {
            "InputFormatConfiguration": {"Deserializer": how},
            "OutputFormatConfiguration": {"Serializer": {"ParquetSerDe": written}},
        }
    ),
    st.sampled_from(
        [
            {"OpenXJsonSerDe": {}},
            {"OpenXJsonSerDe": {"CaseInsensitive": False, "ColumnToJsonKeyMappings": {"ts": "timestamp"}}},
            {"HiveJsonSerDe": {}},
            {"HiveJsonSerDe": {"TimestampFormats": ["millis", "yyyy"]}},
        ]
    ),
    st.sampled_from([{}, {"Compression": "GZIP", "WriterVersion": "V2", "PageSizeBytes": 65_536}]),
)
PREFIXES = st.sampled_from(
    [
        {},
        {"Prefix": "", "ErrorOutputPrefix": ""},
        {"Prefix": "legacy"},
        {"Prefix": "!{timestamp:yyyy}/", "ErrorOutputPrefix": "e/!{firehose:error-output-type}/"},
    ]
)
BACKUPS = st.builds(
    lambda prefixes, hints, compression: (
        {"RoleARN": ROLE, "BucketARN": BUCKET, "CompressionFormat": compression}
        | prefixes
        | ({"BufferingHints": hints} if hints else {})
    ),
    PREFIXES,
    maybe(HINTS),
    st.sampled_from(["UNCOMPRESSED", "GZIP", "HADOOP_SNAPPY"]),
)


@st.composite
def requests(draw: st.DrawFn) -> dict[str, Any]:
    members = {
        "BufferingHints": draw(maybe(HINTS)),
        "CustomTimeZone": draw(st.sampled_from([None, "", "UTC", "Asia/Tokyo"])),
        "FileExtension": draw(st.sampled_from([None, "", ".json"])),
        "ProcessingConfiguration": draw(maybe(TRANSFORMS)),
        "DataFormatConversionConfiguration": draw(maybe(CONVERSIONS)),
        "S3BackupMode": draw(st.sampled_from([None, "Disabled", "Enabled"])),
    }
    if members["DataFormatConversionConfiguration"] is None:
        members["CompressionFormat"] = draw(st.sampled_from([None, "UNCOMPRESSED", "ZIP", "Snappy"]))
    if members["S3BackupMode"] == "Enabled":
        members["S3BackupConfiguration"] = draw(BACKUPS)
    return request(**draw(PREFIXES), **{name: value for name, value in members.items() if value is not None})


def described(asked: dict[str, Any]) -> dict[str, Any]:
    """As AWS describes it: the members of the request under the names of the description."""
    s3 = copy.deepcopy(asked["ExtendedS3DestinationConfiguration"])
    if "S3BackupConfiguration" in s3:
        s3["S3BackupDescription"] = s3.pop("S3BackupConfiguration")
    return AWS_DESCRIPTION | {
        "VersionId": "1",
        "Source": {"KinesisStreamSourceDescription": asked["KinesisStreamSourceConfiguration"]},
        "Destinations": [{"DestinationId": "d", "ExtendedS3DestinationDescription": s3}],
    }


@settings(max_examples=150, deadline=None)
@given(requests())
def test_request_and_description_give_the_same_configuration(asked: dict[str, Any]) -> None:
    from_request = parse_create_request(asked, region=REGION, account=ACCOUNT, created_ms=CREATED_MS)
    assert parse_description(described(asked)) == from_request
    assert hash(from_request) == hash(parse_description(described(asked)))


@settings(max_examples=20, deadline=None)
@given(requests())
def test_a_stream_made_at_moto_is_described_as_it_was_asked_for(asked: dict[str, Any]) -> None:
    with mock_aws():
        client = boto3.client("firehose", region_name=REGION)
        client.create_delivery_stream(**asked)
        stream = describe(client, "orders")
    expected = parse_create_request(asked, region=REGION, account=ACCOUNT, created_ms=stream.created_ms)
    assert stream == expected
    assert abs(stream.created_ms - time.time() * 1000) < 60_000


def test_an_unknown_delivery_stream_is_not_found(firehose: Any) -> None:
    with pytest.raises(NotFoundError) as caught:
        describe(firehose, "nosuch")
    assert "Delivery stream nosuch does not exist" in caught.value.message
    assert caught.value.fix == "check the name, the region and AWS_ENDPOINT_URL"


def test_refused_credentials_are_told() -> None:
    client = boto3.client("firehose", region_name=REGION, aws_access_key_id="a", aws_secret_access_key="b")
    with Stubber(client) as stub:
        stub.add_client_error("describe_delivery_stream", "UnrecognizedClientException", "bad token", 400)
        with pytest.raises(CredentialsError, match="Delivery stream orders"):
            describe(client, "orders")


KEY = {"KMSEncryptionConfig": {"AWSKMSKeyARN": "arn:aws:kms:us-east-1:123456789012:key/ab-12"}}


@pytest.mark.parametrize(
    ("s3", "what"),
    [
        (PARTITIONED_PREFIX | {"ProcessingConfiguration": processing(QUERY)}, "Dynamic partitioning"),
        (
            {"ProcessingConfiguration": processing({"Type": "AppendDelimiterToRecord"})},
            "The processor AppendDelimiterToRecord",
        ),
        ({"EncryptionConfiguration": KEY}, "EncryptionConfiguration with a KMS key"),
        (
            {
                "S3BackupMode": "Enabled",
                "S3BackupConfiguration": {"RoleARN": ROLE, "BucketARN": BUCKET, "EncryptionConfiguration": KEY},
            },
            "EncryptionConfiguration with a KMS key",
        ),
    ],
)
def test_what_is_parsed_and_not_executed_yet_is_not_run(firehose: Any, s3: dict[str, Any], what: str) -> None:
    asked = request(**s3)
    assert parse_create_request(asked, region=REGION, account=ACCOUNT).name == "orders"
    firehose.create_delivery_stream(**asked)
    with pytest.raises(ConfigurationError) as caught:
        describe(firehose, "orders")
    assert caught.value.message == f"{what} is not supported yet."
    assert caught.value.fix == "see docs/divergences.md for what is there"


def test_direct_put_is_described_without_a_source(firehose: Any) -> None:
    firehose.create_delivery_stream(
        DeliveryStreamName="puts",
        ExtendedS3DestinationConfiguration=SMALLEST["ExtendedS3DestinationConfiguration"],
    )
    assert describe(firehose, "puts").source is None
