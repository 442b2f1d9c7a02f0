"""Fixtures of the end-to-end tests."""

from collections.abc import Iterator

import boto3
import pytest
from embedded_aws import SCENARIO, Aws

from infra.embedded.target import EmbeddedTarget
from infra.provisioning import provision


@pytest.fixture(scope="module")
def aws() -> Iterator[Aws]:
    with EmbeddedTarget().started():
        session = boto3.session.Session()
        clients = Aws(*(session.client(service) for service in ("kinesis", "s3", "firehose", "glue")))
        provision(SCENARIO / "aws")
        yield clients


@pytest.fixture
def stream(aws: Aws, request: pytest.FixtureRequest) -> str:
    name = "".join(letter if letter.isalnum() else "-" for letter in request.node.name)[:100]
    aws.kinesis.create_stream(StreamName=name, ShardCount=1)
    aws.kinesis.get_waiter("stream_exists").wait(StreamName=name, WaiterConfig={"Delay": 1})
    return name
