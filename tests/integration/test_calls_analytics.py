"""The calls of what reads reference data and of what puts results into a delivery stream, on each target."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pyarrow as pa
import pytest
from call_fixtures import ROLE, bucket_of, stream_of, unique, wait_until
from targets import ACCOUNT, LOCALSTACK, Target

from infra.embedded.target import REGION
from pipelines.analytics.deliver import DeliveryStreamSink
from pipelines.analytics.reference import ReferenceData
from pipelines.firehose.config import KinesisSource
from pipelines.firehose.source import kinesis_source
from pipelines.runtime.aws import client
from pipelines.runtime.clock import SystemClock
from pipelines.runtime.errors import NotFoundError


@contextmanager
def removing(firehose: Any, name: str) -> Iterator[None]:
    yield
    firehose.delete_delivery_stream(DeliveryStreamName=name)


class GaveUpError(Exception):
    """The sink tries for ever; the test does not."""


class ImpatientClock(SystemClock):
    def sleep(self, seconds: float) -> None:
        if seconds > 1:
            raise GaveUpError
        super().sleep(seconds)


def test_c1_reference_data_is_read_from_s3(target: Target) -> None:
    with bucket_of(target) as bucket:
        target.client("s3").put_object(Bucket=bucket, Key="owners.json", Body=b'{"metric":"cpu","owner":"db team"}\n')
        joined = (
            ReferenceData(bucket, "owners.json", "metric").load().join(pa.RecordBatch.from_pydict({"series": ["cpu"]}))
        )
        assert joined.to_pylist() == [{"series": "cpu", "owner": "db team"}]
        with pytest.raises(NotFoundError, match=r"s3://.*/nothing\.json"):
            ReferenceData(bucket, "nothing.json", "metric").load()


def test_c1_a_delivery_stream_is_read_through_its_kinesis_stream(target: Target) -> None:
    firehose, name = target.client("firehose"), unique("calls")
    with pytest.raises(NotFoundError, match=f"Delivery stream {name} does not exist"):
        kinesis_source(client("firehose"), name)
    with bucket_of(target) as bucket, stream_of(target, 1) as stream, removing(firehose, name):
        arn = f"arn:aws:kinesis:{REGION}:{ACCOUNT}:stream/{stream}"
        created = firehose.create_delivery_stream(
            DeliveryStreamName=name,
            DeliveryStreamType="KinesisStreamAsSource",
            KinesisStreamSourceConfiguration={"KinesisStreamARN": arn, "RoleARN": ROLE},
            ExtendedS3DestinationConfiguration={"RoleARN": ROLE, "BucketARN": f"arn:aws:s3:::{bucket}"},
        )
        for given in (name, created["DeliveryStreamARN"]):
            assert kinesis_source(client("firehose"), given) == KinesisSource(arn, ROLE)


def test_c14_results_are_put_into_a_delivery_stream(target: Target) -> None:
    firehose, s3, name = target.client("firehose"), target.client("s3"), unique("calls")
    with pytest.raises(NotFoundError, match=f"delivery stream {name} does not exist"):
        DeliveryStreamSink(name, SystemClock()).deliver([b"{}"])
    with bucket_of(target) as bucket, removing(firehose, name):
        firehose.create_delivery_stream(
            DeliveryStreamName=name,
            DeliveryStreamType="DirectPut",
            ExtendedS3DestinationConfiguration={
                "RoleARN": ROLE,
                "BucketARN": f"arn:aws:s3:::{bucket}",
                "BufferingHints": {"SizeInMBs": 1, "IntervalInSeconds": 0},
            },
        )
        described = lambda: firehose.describe_delivery_stream(DeliveryStreamName=name)["DeliveryStreamDescription"]  # noqa: E731
        wait_until(lambda: described()["DeliveryStreamStatus"] == "ACTIVE")
        try:
            assert DeliveryStreamSink(name, ImpatientClock()).deliver([b'{"n":1}', b'{"n":2}']) == 0
        except GaveUpError:
            assert (
                target.name == LOCALSTACK
            )  # its Firehose assumes the role, and fails where it was started without STS
            return

        def lines() -> list[bytes]:
            keys = [found["Key"] for found in s3.list_objects_v2(Bucket=bucket).get("Contents", ())]
            return [line for key in keys for line in s3.get_object(Bucket=bucket, Key=key)["Body"].read().splitlines()]

        wait_until(lambda: sorted(lines()) == [b'{"n":1}', b'{"n":2}'])
