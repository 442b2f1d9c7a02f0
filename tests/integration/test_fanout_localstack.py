"""Enhanced fan-out on LocalStack: botocore's HTTP/1.1 event stream, its renewals, a shard's end that is not told."""

import uuid

import pytest
from fanout_story import check, tell

from pipelines.kinesis.subscriber import subscription_client

RECORDS = 1000


@pytest.fixture
def _environment(localstack, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", localstack)
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")


@pytest.mark.usefixtures("_environment")
def test_b14_records_put_while_subscribed_arrive_once_in_order_across_a_split():
    check(tell(subscription_client, f"fanout-{uuid.uuid4().hex[:8]}", RECORDS), RECORDS)
