"""The Kinesis stream behind a delivery stream: which it is, and what is refused (C1, A1.3)."""

from typing import Any

import boto3
import pytest
from botocore.stub import Stubber
from firehose_requests import BUCKET, REGION, ROLE
from moto import mock_aws

from pipelines.firehose.config import KinesisSource
from pipelines.firehose.source import kinesis_source
from pipelines.runtime.errors import ConfigurationError, CredentialsError, NotFoundError

STREAM = "arn:aws:kinesis:us-east-1:123456789012:stream/orders-in"
ARN = "arn:aws:firehose:us-east-1:123456789012:deliverystream/orders"
SOURCE = {"KinesisStreamSourceDescription": {"KinesisStreamARN": STREAM, "RoleARN": ROLE}}
DESCRIPTION: dict[str, Any] = {
    "DeliveryStreamName": "orders",
    "DeliveryStreamARN": ARN,
    "DeliveryStreamStatus": "ACTIVE",
    "DeliveryStreamType": "KinesisStreamAsSource",
    "VersionId": "1",
    "Source": SOURCE,
    "Destinations": [{"DestinationId": "d"}],
    "HasMoreDestinations": False,
}


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Any:
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_FIREHOSE", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    return boto3.client("firehose", region_name=REGION, aws_access_key_id="a", aws_secret_access_key="b")


def source(client: Any, given: str = "orders", **changes: Any) -> KinesisSource:
    """What is found where AWS describes the delivery stream with `changes`; it is asked for by its name alone."""
    with Stubber(client) as stub:
        answer = {"DeliveryStreamDescription": DESCRIPTION | changes}
        stub.add_response("describe_delivery_stream", answer, {"DeliveryStreamName": "orders"})
        return kinesis_source(client, given)


@pytest.mark.parametrize("given", ["orders", ARN, ARN.replace("aws", "aws-us-gov"), ARN.replace("us-east-1", "eu-1")])
def test_c1_it_is_found_by_name_and_by_arn(client: Any, given: str) -> None:
    found = source(client, given)
    assert found == KinesisSource(STREAM, ROLE)
    assert found.stream_name == "orders-in"


@pytest.mark.parametrize("status", ["CREATING", "CREATING_FAILED", "DELETING", "DELETING_FAILED"])
def test_a1_4_its_status_does_not_keep_anyone_from_its_stream(client: Any, status: str) -> None:
    assert source(client, DeliveryStreamStatus=status).stream_arn == STREAM


@pytest.mark.parametrize("kind", ["DirectPut", "MSKAsSource", "DatabaseAsSource"])
def test_a1_3_one_that_reads_no_kinesis_stream_is_refused(client: Any, kind: str) -> None:
    with pytest.raises(ConfigurationError, match=f"of the type {kind}: AWS has no public") as refused:
        source(client, DeliveryStreamType=kind, Source={})
    assert "create it with DeliveryStreamType KinesisStreamAsSource" in refused.value.fix


def test_one_that_is_described_without_its_stream_is_refused(client: Any) -> None:
    with pytest.raises(ConfigurationError, match="does not say which Kinesis stream delivery stream orders reads"):
        source(client, Source={})


@pytest.mark.parametrize("arn", [STREAM, "arn:aws:firehose:us-east-1:123456789012:deliverystream/", "arn:"])
def test_an_arn_of_something_else_is_refused(client: Any, arn: str) -> None:
    with pytest.raises(ConfigurationError, match="is the ARN of no delivery stream") as refused:
        kinesis_source(client, arn)
    assert "deliverystream/NAME" in refused.value.fix


def test_one_that_is_missing_is_not_found() -> None:
    with mock_aws(), pytest.raises(NotFoundError, match="Delivery stream orders does not exist"):
        kinesis_source(boto3.client("firehose", region_name=REGION), ARN)


def test_refused_credentials_are_told(client: Any) -> None:
    with Stubber(client) as stub:
        stub.add_client_error("describe_delivery_stream", "UnrecognizedClientException", "bad token", 400)
        with pytest.raises(CredentialsError, match="Delivery stream orders"):
            kinesis_source(client, "orders")


def test_where_it_delivers_does_not_matter() -> None:
    with mock_aws():
        firehose = boto3.client("firehose", region_name=REGION)
        firehose.create_delivery_stream(
            DeliveryStreamName="orders",
            DeliveryStreamType="KinesisStreamAsSource",
            KinesisStreamSourceConfiguration={"KinesisStreamARN": STREAM, "RoleARN": ROLE},
            HttpEndpointDestinationConfiguration={
                "EndpointConfiguration": {"Url": "https://example.com"},
                "S3Configuration": {"RoleARN": ROLE, "BucketARN": BUCKET},
            },
        )
        assert kinesis_source(firehose, "orders").stream_arn == STREAM
