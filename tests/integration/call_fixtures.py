"""What tests of calls begin with: streams, buckets and tables of their own, and pages to deliver."""

import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Final

import pyarrow as pa
from botocore.exceptions import ClientError
from targets import ACCOUNT, Target

from infra.embedded.target import REGION
from pipelines.firehose.chunk import Chunk, Sealed
from pipelines.firehose.config import DeliveryStreamConfig
from pipelines.firehose.parse import parse_create_request
from pipelines.kinesis.page import make_page
from pipelines.kinesis.service import StreamService

ROLE: Final = f"arn:aws:iam::{ACCOUNT}:role/hydrant-firehose"
PARQUET: Final = "org.apache.hadoop.hive.ql.io.parquet"
_WAIT_S: Final = 30.0


def unique(name: str) -> str:
    """A name that nothing else has: a LocalStack may hold what somebody else works with."""
    return f"{name}-{uuid.uuid4().hex[:10]}"


def wait_until(done: Callable[[], bool]) -> None:
    give_up_s = time.monotonic() + _WAIT_S
    while not done():
        assert time.monotonic() < give_up_s
        time.sleep(0.02)


def status(kinesis: Any, stream: str) -> str | None:
    """The stream's status; None where there is none."""
    try:
        return str(kinesis.describe_stream_summary(StreamName=stream)["StreamDescriptionSummary"]["StreamStatus"])
    except ClientError as error:
        if error.response["Error"]["Code"] == "ResourceNotFoundException":
            return None
        raise


@contextmanager
def stream_of(target: Target, shards: int) -> Iterator[str]:
    """A stream's name, for as long as the context is open."""
    kinesis, name = target.client("kinesis"), unique("calls")
    kinesis.create_stream(StreamName=name, ShardCount=shards)
    wait_until(lambda: status(kinesis, name) == "ACTIVE")
    yield name
    kinesis.delete_stream(StreamName=name, EnforceConsumerDeletion=True)
    wait_until(lambda: status(kinesis, name) is None)


@contextmanager
def bucket_of(target: Target) -> Iterator[str]:
    """A bucket's name, for as long as the context is open; emptied by whoever fills it."""
    s3, name = target.client("s3"), unique("calls")
    s3.create_bucket(Bucket=name)
    yield name
    for found in s3.list_objects_v2(Bucket=name).get("Contents", ()):
        s3.delete_object(Bucket=name, Key=found["Key"])
    s3.delete_bucket(Bucket=name)


@contextmanager
def database_of(target: Target) -> Iterator[str]:
    """A name for a database, which is deleted when the context ends."""
    name = unique("calls").replace("-", "_")
    yield name
    with suppress(ClientError):
        target.client("glue").delete_database(Name=name)


def table_request(database: str, name: str, location: str) -> dict[str, Any]:
    """CreateTable of a Parquet table with two columns, partitioned by day (D9)."""
    return {
        "DatabaseName": database,
        "TableInput": {
            "Name": name,
            "TableType": "EXTERNAL_TABLE",
            "PartitionKeys": [{"Name": "dt", "Type": "string"}],
            "StorageDescriptor": {
                "Columns": [{"Name": "carrier", "Type": "string"}, {"Name": "delay", "Type": "int"}],
                "Location": location,
                "InputFormat": f"{PARQUET}.MapredParquetInputFormat",
                "OutputFormat": f"{PARQUET}.MapredParquetOutputFormat",
                "SerdeInfo": {"SerializationLibrary": f"{PARQUET}.serde.ParquetHiveSerDe"},
            },
        },
    }


def delivery_stream(name: str, bucket: str, **s3: Any) -> DeliveryStreamConfig:
    """A delivery stream without a source."""
    destination = {"RoleARN": ROLE, "BucketARN": f"arn:aws:s3:::{bucket}", **s3}
    request = {"DeliveryStreamName": name, "ExtendedS3DestinationConfiguration": destination}
    return parse_create_request(request, region=REGION, account=ACCOUNT)


def sealed(data: Sequence[bytes], arrival_ms: int) -> Sealed:
    """A buffer of one page of shard 0, with sequence numbers from 100."""
    size = len(data)
    page = make_page(
        "shardId-000000000000", data, ["k"] * size, [str(100 + i) for i in range(size)], [arrival_ms] * size
    )
    return Sealed("shardId-000000000000", (Chunk.of_page(page),), "size")


def sealed_rows(carriers: Sequence[str], delays: Sequence[int], arrival_ms: int) -> Sealed:
    """A buffer of rows of `table_request`'s columns."""
    size = len(carriers)
    rows = pa.RecordBatch.from_arrays(
        [
            pa.array(carriers, pa.string()),
            pa.array(delays, pa.int32()),
            pa.array(["shardId-000000000000"] * size, pa.string()),
            pa.array([str(100 + i) for i in range(size)], pa.string()),
            pa.array([0] * size, pa.int64()),
            pa.array([arrival_ms] * size, pa.int64()),
        ],
        names=["carrier", "delay", *(f"hydrant:{name}" for name in
                                     ("shard_id", "sequence_number", "sub_sequence_number", "arrival_ms"))],
    )  # fmt: skip
    return Sealed("shardId-000000000000", (Chunk.of(rows, 30 * size),), "interval")


def read(service: StreamService, shard_id: str, iterator: str) -> list[tuple[str, bytes]]:
    """(sequence number, data) of the records from `iterator` on, until the reader has caught up or the shard ends."""
    found: list[tuple[str, bytes]] = []
    at: str | None = iterator
    while at is not None:
        answer = service.get(shard_id, at)
        if answer.page is not None:
            found += zip(answer.page["sequence_number"].to_pylist(), answer.page["data"].to_pylist(), strict=True)
        elif answer.caught_up:
            break
        at = answer.next_iterator
    return found
