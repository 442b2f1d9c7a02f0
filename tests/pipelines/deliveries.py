"""Delivery streams for the tests, and where their records are afterwards, read from S3.

A record is known by its bytes, and in a delivered row by the number `n` that its JSON holds.
"""

import contextlib
import gzip
import io
import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import apache_beam as beam
import pyarrow as pa
import pyarrow.parquet as pq
from stand_ins import Aws, fresh

from pipelines.cli.job import DeliveryJob, in_process, load
from pipelines.firehose.delivery import DeliveryStream
from pipelines.firehose.errors import parse_line
from pipelines.firehose.ledger import Account, Entry, RecordId, WriteLedger, account, read_ledger
from pipelines.kinesis.aggregate import aggregate
from pipelines.kinesis.page import make_page
from pipelines.kinesis.put import Placed, Record
from pipelines.lake.delivered import ObjectInfo, list_infos
from pipelines.lake.location import Location
from pipelines.runtime.clock import SystemClock

ROLE = "arn:aws:iam::000000000000:role/firehose"
LAMBDA = "arn:aws:lambda:us-east-1:000000000000:function:transform:$LATEST"
HANDLERS = Path(__file__).parent / "handlers.py"
COLUMNS = {"n": "bigint", "word": "string", "size": "int"}
NEVER_S = 900
"""An interval that no test waits for."""
ERROR_PREFIX = "errors/!{firehose:error-output-type}/"


@dataclass(frozen=True)
class QuickClock(SystemClock):
    """A clock on which a minute is over in a second: for what waits long before it gives up."""

    def monotonic_s(self) -> float:
        return super().monotonic_s() * 60

    def sleep(self, seconds: float) -> None:
        super().sleep(seconds / 60)


@dataclass(frozen=True)
class Declared:
    """A delivery stream that exists, on a bucket of its own.

    `placed` tells of each record's bytes where it is in the Kinesis stream.
    """

    aws: Aws
    name: str
    stream: str
    bucket: str
    table: tuple[str, str] | None
    placed: dict[bytes, RecordId] = field(default_factory=dict)

    def job(self, handler: str | None = None) -> DeliveryJob:
        """As `hydrant deliver` makes it; `handler` is a function of handlers.py."""
        return load(self.name, in_process(f"{HANDLERS}:{handler}")) if handler else load(self.name)

    def put(self, data: Iterable[bytes]) -> list[Placed]:
        """Puts records into the Kinesis stream, spread over its shards."""
        records = [Record(each, f"key-{number}") for number, each in enumerate(data)]
        places = self.aws.kinesis.put(self.stream, records)
        for record, place in zip(records, places, strict=True):
            self.placed[record.data] = (place.shard_id, place.sequence_number, 0)
        return places

    def put_aggregated(self, data: Sequence[bytes], count: int) -> list[Placed]:
        """Puts records into the Kinesis stream of one shard, `count` in each KPL aggregate (B16)."""
        parts = [data[begin : begin + count] for begin in range(0, len(data), count)]
        places = self.aws.kinesis.put(
            self.stream, [aggregate([Record(each, "key") for each in part]) for part in parts]
        )
        for part, place in zip(parts, places, strict=True):
            self.placed.update({each: (place.shard_id, place.sequence_number, sub) for sub, each in enumerate(part)})
        return places

    def pages(self, shards: Sequence[Sequence[Sequence[bytes]]]) -> list[pa.RecordBatch]:
        """Pages as the source would hand them out, without one: for each shard its pages' records."""
        made = []
        number = 10**55
        for shard, pages in enumerate(shards):
            for page in pages:
                numbers = [str(number := number + 1) for _ in page]
                shard_id = f"shardId-{shard:012d}"
                self.placed.update({data: (shard_id, at, 0) for data, at in zip(page, numbers, strict=True)})
                arrivals = [1_750_000_000_000] * len(page)
                made.append(make_page(shard_id, page, ["key"] * len(page), numbers, arrivals))
        return made


def declare(
    aws: Aws,
    *,
    shards: int = 1,
    columns: Mapping[str, str] | None = None,
    backup: str | None = None,
    **s3: Any,
) -> Declared:
    """Creates a Kinesis stream, a bucket, with `columns` a Glue table, and the delivery stream.

    Args:
        aws: the stand-ins.
        shards: of the Kinesis stream.
        columns: of the Glue table, which is partitioned by `dt`: converts to Parquet.
        backup: compression format of the source backup; None for no backup.
        s3: further members of its ExtendedS3DestinationConfiguration.
    """
    stream, bucket, name, table = aws.kinesis.stream(shards), aws.bucket(), fresh("delivery"), None
    destination: dict[str, Any] = {
        "RoleARN": ROLE,
        "BucketARN": f"arn:aws:s3:::{bucket}",
        "Prefix": "data/dt=!{timestamp:yyyy-MM-dd}/",
        "ErrorOutputPrefix": ERROR_PREFIX,
        "BufferingHints": {"SizeInMBs": 64 if columns else 1, "IntervalInSeconds": NEVER_S},
    }
    if columns:
        table = create_table(aws, bucket, columns)
        destination["DataFormatConversionConfiguration"] = {
            "Enabled": True,
            "InputFormatConfiguration": {"Deserializer": {"OpenXJsonSerDe": {}}},
            "OutputFormatConfiguration": {"Serializer": {"ParquetSerDe": {}}},
            "SchemaConfiguration": {"RoleARN": ROLE, "DatabaseName": table[0], "TableName": table[1]},
        }
    if backup:
        destination["S3BackupMode"] = "Enabled"
        destination["S3BackupConfiguration"] = {
            "RoleARN": ROLE,
            "BucketARN": f"arn:aws:s3:::{bucket}",
            "Prefix": "backup/",
            "BufferingHints": {"SizeInMBs": 1, "IntervalInSeconds": NEVER_S},
            "CompressionFormat": backup,
        }
    arn = aws.kinesis.client.describe_stream_summary(StreamName=stream)["StreamDescriptionSummary"]["StreamARN"]
    aws.firehose.create_delivery_stream(
        DeliveryStreamName=name,
        DeliveryStreamType="KinesisStreamAsSource",
        KinesisStreamSourceConfiguration={"KinesisStreamARN": arn, "RoleARN": ROLE},
        ExtendedS3DestinationConfiguration={**destination, **s3},
    )
    return Declared(aws, name, stream, bucket, table)


def create_table(aws: Aws, bucket: str, columns: Mapping[str, str]) -> tuple[str, str]:
    database, table = fresh("database"), "rows"
    aws.glue.create_database(DatabaseInput={"Name": database})
    aws.glue.create_table(
        DatabaseName=database,
        TableInput={
            "Name": table,
            "PartitionKeys": [{"Name": "dt", "Type": "string"}],
            "StorageDescriptor": {
                "Location": f"s3://{bucket}/data/",
                "Columns": [{"Name": column, "Type": kind} for column, kind in columns.items()],
            },
        },
    )
    return database, table


def transform(**parameters: str) -> dict[str, Any]:
    """A ProcessingConfiguration with one Lambda processor."""
    given = {"LambdaArn": LAMBDA, "BufferSizeInMBs": "1", "BufferIntervalInSeconds": "1"} | parameters
    named = [{"ParameterName": name, "ParameterValue": value} for name, value in given.items()]
    return {"Enabled": True, "Processors": [{"Type": "Lambda", "Parameters": named}]}


def fed(job: DeliveryJob, pages: Sequence[pa.RecordBatch], ledger: Path) -> Callable[[beam.Pipeline], None]:
    """The graph of `job` on pages that are all there at once, each of them an element that comes by itself."""

    def build(pipeline: beam.Pipeline) -> None:
        stream = DeliveryStream(job.config, schema=job.schema, invoker=job.invoker)
        pipeline | beam.Create(pages) | stream | WriteLedger(ledger)

    return build


@dataclass(frozen=True)
class Object:
    """An object on S3: its metadata, and the records found in its content."""

    info: ObjectInfo
    records: list[RecordId]
    body: bytes

    @property
    def key(self) -> str:
        return self.info.location.key


@dataclass(frozen=True)
class Found:
    """Where the records of a delivery stream are, told by the objects themselves; of dropped ones by the ledger."""

    data: list[Object]
    errors: list[Object]
    backups: list[Object]
    dropped: list[RecordId]
    account: Account
    entries: list[Entry]
    failures: list[dict[str, Any]]

    @property
    def reasons(self) -> dict[str, str]:
        """Key of a data object -> why its buffer was flushed."""
        return {e.object.key: e.object.reason for e in self.entries if e.object and e.object.kind == "data"}

    @property
    def delivered(self) -> set[RecordId]:
        return {record for each in self.data for record in each.records}

    @property
    def codes(self) -> dict[bytes, str]:
        """Bytes of a record that failed -> AWS's code."""
        return {f["rawData"]: f.get("errorCode") or f["lastErrorCode"] for f in self.failures}


def found(declared: Declared, ledger: Path) -> Found:
    """Reads every object of the bucket, and checks what must be so of every run.

    Each record put is exactly once in the data, the dropped and the failed; the objects' rows, their metadata and the
    ledger say the same; backups, where there are any, hold each record once.
    """
    known = _Known(declared.placed)
    objects = [_read(declared.aws, info, known) for info in list_infos(declared.aws.s3, Location(declared.bucket, ""))]
    data, errors, backups = (
        [each for each in objects if each.key.startswith(prefix)] for prefix in ("data/", "errors/", "backup/")
    )
    assert len(data) + len(errors) + len(backups) == len(objects)
    entries = list(read_ledger(ledger))
    dropped = [record for entry in entries if entry.outcome == "dropped" for record in entry.records]
    ended = Counter(record for each in data + errors for record in each.records) + Counter(dropped)
    put = list(declared.placed.values())
    assert ended == Counter(put)
    result = account(put, entries)
    assert result.adds_up
    assert result.delivered == sum(len(each.records) for each in data)
    assert result.failed == sum(len(each.records) for each in errors)
    for each in data + errors:
        assert each.info.shards == lineage(each.records)
        assert each.info.records == len(each.records)
    if backups:
        assert Counter(record for each in backups for record in each.records) == Counter(
            place
            for data, place in declared.placed.items()
            if data  # an empty record leaves no trace in text
        )
        assert sum(each.info.records or 0 for each in backups) == len(put)
        assert sum(shard["count"] for each in backups for shard in each.info.shards.values()) == len(put)
    failures = [parse_line(line) for each in errors for line in each.body.splitlines()]
    return Found(data, errors, backups, dropped, result, entries, failures)


def lineage(records: Iterable[RecordId]) -> dict[str, dict[str, Any]]:
    """First, last and count by shard, counted here and not by the product."""
    by_shard: dict[str, list[int]] = {}
    for shard_id, number, _ in records:
        by_shard.setdefault(shard_id, []).append(int(number))
    return {
        shard_id: {"first": str(min(numbers)), "last": str(max(numbers)), "count": len(numbers)}
        for shard_id, numbers in by_shard.items()
    }


def _read(aws: Aws, info: ObjectInfo, known: "_Known") -> Object:
    key = info.location.key
    body = aws.body(info.location.bucket, key)
    if key.endswith(".parquet"):
        numbers = pq.read_table(io.BytesIO(body)).column("n").to_pylist()
        return Object(info, [known.by_number[number] for number in numbers], body)
    if key.endswith(".gz"):
        body = gzip.decompress(body)
    lines = body.split(b"\n")
    assert lines.pop() == b"", f"{key} ends in the middle of a line"
    if key.startswith("errors/"):
        return Object(info, [known.by_data[parse_line(line)["rawData"]] for line in lines], body)
    if key.startswith("backup/"):
        return Object(info, [known.by_data[line + b"\n"] for line in lines], body)
    return Object(info, [known.by_number[json.loads(line)["n"]] for line in lines], body)


class _Known:
    """Where records are in the Kinesis stream, by their bytes and by the number in their JSON."""

    def __init__(self, placed: Mapping[bytes, RecordId]) -> None:
        self.by_data = placed
        self.by_number: dict[int, RecordId] = {}
        for data, place in placed.items():
            with contextlib.suppress(ValueError, AttributeError, KeyError):
                self.by_number[{key.lower(): value for key, value in json.loads(data).items()}["n"]] = place
