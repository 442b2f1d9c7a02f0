"""`hydrant bench path`: a filled 4-shard stream to Parquet objects on S3, beside a hand-written loop without Beam.

`python -m pipelines.cli.benchmarks.path CONTESTANT ENDS` is one contestant, as `measure` runs it; ENDS is a file with
the last sequence number of each shard.
"""

import json
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import pyarrow
import pyarrow.parquet as pq

from pipelines.cli.benchmarks.flights import SHARDS, glue_table, json_lines
from pipelines.cli.benchmarks.measure import tell
from pipelines.runtime.aws import client
from pipelines.runtime.clock import SystemClock

STREAM: Final = "bench"
BUCKET: Final = "hydrant-bench"
OURS: Final = "ours/"
LOOP: Final = "loop/"
_ROLE: Final = "arn:aws:iam::000000000000:role/hydrant-bench"


def delivery_stream(stream_arn: str) -> dict[str, Any]:
    """The CreateDeliveryStream request: Parquet by 64 MiB of JSON, no transform, no backup."""
    return {
        "DeliveryStreamName": STREAM,
        "DeliveryStreamType": "KinesisStreamAsSource",
        "KinesisStreamSourceConfiguration": {"KinesisStreamARN": stream_arn, "RoleARN": _ROLE},
        "ExtendedS3DestinationConfiguration": {
            "RoleARN": _ROLE,
            "BucketARN": f"arn:aws:s3:::{BUCKET}",
            "Prefix": f"{OURS}dt=!{{timestamp:yyyy-MM-dd}}/",
            "ErrorOutputPrefix": "errors/!{firehose:error-output-type}/",
            "BufferingHints": {"SizeInMBs": 64, "IntervalInSeconds": 300},
            "DataFormatConversionConfiguration": {
                "Enabled": True,
                "InputFormatConfiguration": {"Deserializer": {"OpenXJsonSerDe": {}}},
                "OutputFormatConfiguration": {"Serializer": {"ParquetSerDe": {}}},
                "SchemaConfiguration": {"RoleARN": _ROLE, "DatabaseName": "bench", "TableName": "flights"},
            },
        },
    }


def fill(records: int) -> dict[str, str]:
    """Creates stream, bucket, table and delivery stream, puts `records` flights; returns each shard's last number."""
    from pipelines.kinesis.put import Record, batches, put_records

    kinesis, glue = client("kinesis"), client("glue")
    kinesis.create_stream(StreamName=STREAM, ShardCount=SHARDS)
    kinesis.get_waiter("stream_exists").wait(StreamName=STREAM, WaiterConfig={"Delay": 1})
    client("s3").create_bucket(Bucket=BUCKET)
    glue.create_database(DatabaseInput={"Name": "bench"})
    table = glue_table()
    table["StorageDescriptor"]["Location"] = f"s3://{BUCKET}/{OURS}"
    glue.create_table(DatabaseName="bench", TableInput={**table, "PartitionKeys": [{"Name": "dt", "Type": "string"}]})
    arn = kinesis.describe_stream_summary(StreamName=STREAM)["StreamDescriptionSummary"]["StreamARN"]
    client("firehose").create_delivery_stream(**delivery_stream(arn))
    flights = (Record(line, f"{number % 4096}") for number, line in enumerate(json_lines(records)))

    ends: dict[str, str] = {}
    with ThreadPoolExecutor(2) as threads:
        for placed in threads.map(lambda batch: put_records(kinesis, STREAM, batch), batches(flights)):
            for place in placed:
                ends[place.shard_id] = max(ends.get(place.shard_id, "0"), place.sequence_number, key=int)
    return ends


def ours(ends: dict[str, str]) -> str:
    """The whole delivery stream on Prism."""
    from pipelines.cli.job import load
    from pipelines.runtime.launch import run_pipeline
    from pipelines.runtime.options import HydrantOptions

    run_pipeline(load(STREAM).pipeline("TRIM_HORIZON", ends), HydrantOptions.for_runner("prism"))
    return OURS


def plain_loop(ends: dict[str, str]) -> str:
    """The loop without Beam."""
    from pipelines.cli.benchmarks.plain_loop import run

    run(STREAM, BUCKET, LOOP)
    return LOOP


def rows(prefix: str) -> int:
    """The rows of every Parquet object under `prefix`, from their footers."""
    return sum(pq.read_metadata(pyarrow.BufferReader(body)).num_rows for body in _objects(prefix))


def _objects(prefix: str) -> Iterator[bytes]:
    s3 = client("s3")
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=prefix):
        for found in page.get("Contents", []):
            yield s3.get_object(Bucket=BUCKET, Key=found["Key"])["Body"].read()


CONTESTANTS: Final = {"ours": ours, "plain_loop": plain_loop}


def main(contestant: str, ends: str) -> None:
    """Runs one contestant and prints its rows and seconds as the last line."""
    if contestant == "ours":  # what it imports, before its clock starts; `measure` tells the time with imports, too
        import pipelines.cli.job
        import pipelines.runtime.launch  # noqa: F401
    clock = SystemClock()
    read = json.loads(Path(ends).read_text(encoding="utf-8"))
    started_s = clock.monotonic_s()
    prefix = CONTESTANTS[contestant](read)
    seconds = clock.monotonic_s() - started_s
    tell(seconds, lambda: rows(prefix))


if __name__ == "__main__":
    main(*sys.argv[1:])
