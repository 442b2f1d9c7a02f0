"""S3, Glue and CloudWatch calls of the product, the same on every target: objects written, found and queried."""

import gzip
import json
import logging
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pyarrow as pa
import pytest
from call_differences import Differences
from call_fixtures import bucket_of, database_of, delivery_stream, sealed, sealed_rows, table_request, unique
from targets import Target

from pipelines.cli.follow import _is_registered
from pipelines.firehose.cloudwatch import DIMENSION, NAMESPACE, Point, Publisher
from pipelines.firehose.config import DeliveryStreamConfig
from pipelines.firehose.deliver import ObjectWriter, data_destination
from pipelines.firehose.schema import table_schema
from pipelines.lake.audit import audit
from pipelines.lake.catalog import (
    Partition,
    PartitionRegistrar,
    create_database,
    create_table,
    get_table,
    list_databases,
    list_partitions,
    list_tables,
    partition_of,
)
from pipelines.lake.delivered import ParquetContent, TextContent, list_infos, object_info, read_content
from pipelines.lake.location import Location
from pipelines.lake.query import query
from pipelines.lake.scan import WHOLE_BYTES
from pipelines.runtime.aws import client, s3_filesystem
from pipelines.runtime.clock import SystemClock
from pipelines.runtime.errors import ConfigurationError
from scenarios.read_back import body

SHARD: Final = "shardId-000000000000"
ARRIVED_MS: Final = 1_764_000_000_000  # 2025-11-24T16:00:00Z
PREFIX: Final = "flights/dt=!{timestamp:yyyy-MM-dd}/"
CLOCK: Final = SystemClock()


@pytest.fixture
def bucket(target: Target) -> Iterator[str]:
    with bucket_of(target) as name:
        yield name


@pytest.fixture
def database(target: Target) -> Iterator[str]:
    with database_of(target) as name:
        yield name


def parquet_stream(bucket: str, database: str) -> DeliveryStreamConfig:
    conversion: dict[str, Any] = {
        "Enabled": True,
        "InputFormatConfiguration": {"Deserializer": {"OpenXJsonSerDe": {}}},
        "OutputFormatConfiguration": {"Serializer": {"ParquetSerDe": {}}},
        "SchemaConfiguration": {
            "RoleARN": "arn:aws:iam::000000000000:role/hydrant-firehose",
            "DatabaseName": database,
            "TableName": "flights",
            "Region": "us-east-1",
        },
    }
    return delivery_stream(
        "calls",
        bucket,
        Prefix=PREFIX,
        ErrorOutputPrefix="errors/!{firehose:error-output-type}/",
        BufferingHints={"SizeInMBs": 64, "IntervalInSeconds": 60},
        DataFormatConversionConfiguration=conversion,
    )


def test_a7_an_object_is_written_found_and_read_again(target: Target, bucket: str) -> None:
    s3 = client("s3")
    stream = delivery_stream("calls", bucket, Prefix="a b/ü=1/", CompressionFormat="GZIP")
    lines = [b'{"flight": 1}\n', b'{"flight": 2}\n', b'{"flight": 3}\n']
    writer = ObjectWriter(data_destination(stream, None), s3, CLOCK)
    written = writer.write(sealed(lines, ARRIVED_MS))
    assert writer.write(sealed(lines, ARRIVED_MS)) == written  # a retry overwrites
    assert written.key.startswith("a b/ü=1/2025/11/24/16/calls-1-2025-11-24-16-00-00-")

    own = target.client("s3")
    listed = own.list_objects_v2(Bucket=bucket)["Contents"]
    assert [(each["Key"], each["Size"]) for each in listed] == [(written.key, written.bytes)]
    head = own.head_object(Bucket=bucket, Key=written.key)
    assert (head["ContentType"], head["ContentEncoding"]) == ("application/octet-stream", "gzip")
    stored = own.get_object(Bucket=bucket, Key=written.key)["Body"].read()
    assert gzip.decompress(stored) == b"".join(lines) == body(s3, written)

    location = Location(bucket, written.key)
    info = object_info(s3, location)
    assert (info.location, info.bytes, info.records) == (location, len(stored), 3)
    assert info.shards == {SHARD: {"first": "100", "last": "102", "count": 3}}
    assert info.metadata == {"hydrant-flushed-by": "size"}
    assert list_infos(s3, Location(bucket, "a b/")) == [info]
    content = read_content(s3, s3_filesystem(), location, rows=2)
    assert content == TextContent("GZIP", len(b"".join(lines)), [line.rstrip() for line in lines[:2]], 3)


def test_an_audit_finds_what_is_missing_and_what_is_too_much(target: Target, bucket: str) -> None:
    s3, own = client("s3"), target.client("s3")
    assert audit(s3, [], [bucket]) == []
    writer = ObjectWriter(data_destination(delivery_stream("calls", bucket), None), s3, CLOCK)
    receipts = [writer.write(sealed([b"x" * size], ARRIVED_MS + size)) for size in (1, 2, 3)]
    assert len({receipt.key for receipt in receipts}) == 1  # of the same records: what came last stays
    assert audit(s3, receipts[2:], [bucket]) == []
    other = writer.write(sealed([b"a", b"b"], ARRIVED_MS + 86_400_000))
    assert audit(s3, receipts[2:], [bucket]) == [f"s3://{bucket}/{other.key} is there, but has no receipt"]
    own.put_object(Bucket=bucket, Key=other.key, Body=b"ab", Metadata={"hydrant-records": "1"})
    of_shard = {SHARD: {"first": "100", "last": "101", "count": 2}}
    assert audit(s3, [receipts[2], other], [bucket]) == [
        f"s3://{bucket}/{other.key}: 1 records, by its receipt 2",
        f"s3://{bucket}/{other.key}: lineage {{}}, by its receipt {of_shard}",
    ]
    own.delete_object(Bucket=bucket, Key=other.key)
    assert audit(s3, [receipts[2], other], [bucket]) == [f"s3://{bucket}/{other.key} has a receipt, but is not there"]


def test_d9_databases_and_tables_are_created_once_and_listed(target: Target, database: str) -> None:
    glue = client("glue")
    request = table_request(database, "flights", "s3://nowhere/flights/")
    for _ in range(2):
        create_database(glue, {"DatabaseInput": {"Name": database}})
        table = create_table(glue, request)
    assert database in list_databases(glue)
    assert list_tables(glue, database) == ["flights"]
    wanted = request["TableInput"]
    assert {name: table[name] for name in wanted} == wanted
    assert get_table(glue, database, "flights") == table
    wanted["StorageDescriptor"]["Columns"].append({"Name": "late", "Type": "boolean"})
    with pytest.raises(ConfigurationError, match=f"{database}.flights exists with other Columns"):
        create_table(glue, request)
    assert list(list_partitions(glue, table)) == []


def test_d9_partitions_are_registered_once_and_listed_page_by_page(target: Target, database: str) -> None:
    glue = client("glue")
    create_database(glue, {"DatabaseInput": {"Name": database}})
    table = create_table(glue, table_request(database, "flights", "s3://lake/flights/"))
    partition = partition_of(table, "lake", "flights/dt=2025-11-24/x.parquet")
    assert partition == Partition(("2025-11-24",), "s3://lake/flights/dt=2025-11-24/")
    first, second = PartitionRegistrar(glue, table), PartitionRegistrar(glue, table)
    assert [first.register(partition), first.register(partition), second.register(partition)] == [True, False, True]
    assert [_is_registered(table, values) for values in (["2025-11-24"], ["2025-11-25"])] == [True, False]
    many = [Partition((f"day {number:03}",), f"s3://lake/flights/dt={number}/") for number in range(120)]
    for each in many:
        first.register(each)
    assert sorted(list_partitions(glue, table), key=lambda each: each.values) == [partition, *many]
    (entry,) = target.client("glue").get_partitions(
        DatabaseName=database, TableName="flights", Expression="dt = '2025-11-24'"
    )["Partitions"]
    storage = {**table["StorageDescriptor"], "Location": partition.location}
    assert entry["StorageDescriptor"] == storage


def test_e9_sql_reads_what_was_delivered(target: Target, bucket: str, database: str) -> None:
    s3, glue = client("s3"), client("glue")
    create_database(glue, {"DatabaseInput": {"Name": database}})
    table = create_table(glue, table_request(database, "flights", f"s3://{bucket}/flights/"))
    registrar = PartitionRegistrar(glue, table)
    writer = ObjectWriter(data_destination(parquet_stream(bucket, database), table_schema(table)), s3, CLOCK)
    few = writer.write(sealed_rows(["UA", "AA", "UA"], [10, -5, 20], ARRIVED_MS))
    carriers = [f"{number:x}" * 12 for number in range(40_000)]
    large = writer.write(sealed_rows(carriers, list(range(40_000)), ARRIVED_MS + 86_400_000))
    assert few.bytes < WHOLE_BYTES < large.bytes  # one is fetched whole, one by pyarrow's own client
    for written in (few, large):
        partition = partition_of(table, bucket, written.key)
        assert partition is not None
        assert registrar.register(partition)
    sql = f"SELECT carrier, sum(delay) AS delay FROM {database}.flights WHERE dt = '2025-11-24' GROUP BY 1 ORDER BY 1"
    found = query(sql)
    assert found.table.to_pylist() == [{"carrier": "AA", "delay": -5}, {"carrier": "UA", "delay": 30}]
    assert (found.objects_read, found.partitions_read, found.partitions_pruned) == (1, 1, 1)
    assert 0 < found.data_scanned_bytes < few.bytes
    whole = query(
        "SELECT count(carrier) AS n, max(delay) AS most, count(DISTINCT dt) AS days FROM flights", database=database
    )
    assert whole.table.to_pylist() == [{"n": 40_003, "most": 39_999, "days": 2}]
    assert query("SHOW TABLES", database=database).table.to_pydict().popitem()[1] == ["flights"]

    content = read_content(s3, s3_filesystem(), Location(bucket, few.key), rows=2)
    assert isinstance(content, ParquetContent)
    assert content.rows == 3
    assert content.first_rows.to_pylist() == [{"carrier": "UA", "delay": 10}, {"carrier": "AA", "delay": -5}]
    assert content.arrow_schema == pa.schema([("carrier", pa.string()), ("delay", pa.int32())])
    lineage = {SHARD: {"first": "100", "last": "102", "count": 3}}
    assert (
        json.loads(content.key_values["hydrant-lineage"])
        == lineage
        == object_info(s3, Location(bucket, few.key)).shards
    )
    assert audit(s3, [few, large], [bucket]) == []


def test_a9_metrics_can_be_read_back(target: Target, known: Differences, caplog: pytest.LogCaptureFixture) -> None:
    name, cloudwatch = unique("calls"), target.client("cloudwatch")
    publisher = Publisher(name)
    publisher.add([Point("IncomingRecords", "Count", records) for records in (3, 5, 3)])
    publisher.add([Point("DeliveryToS3.DataFreshness", "Seconds", 1.5)])
    with caplog.at_level(logging.WARNING):
        publisher.flush()
    assert caplog.messages == []
    now = datetime.now(UTC)
    about = {
        "Namespace": NAMESPACE,
        "Dimensions": [{"Name": DIMENSION, "Value": name}],
        "StartTime": now - timedelta(minutes=10),
        "EndTime": now + timedelta(minutes=10),
        "Period": 3600,
        "Statistics": ["Sum", "SampleCount", "Minimum", "Maximum"],
    }
    told = {}
    for metric in ("IncomingRecords", "DeliveryToS3.DataFreshness"):
        (point,) = cloudwatch.get_metric_statistics(MetricName=metric, **about)["Datapoints"]
        told[metric] = [point["Unit"], *(point[each] for each in about["Statistics"])]
    assert told == {
        "IncomingRecords": ["Count", 11, 3, 3, 5],
        "DeliveryToS3.DataFreshness": ["Seconds", 1.5, 1, 1.5, 1.5],
    }
    data = [{"MetricName": "IncomingRecords", "Value": 1.0}]
    if known.on(target.name, "any-namespace"):
        cloudwatch.put_metric_data(Namespace="AWS/Firehose", MetricData=data)
    else:
        with pytest.raises(Exception, match="InvalidParameterValue"):
            cloudwatch.put_metric_data(Namespace="AWS/Firehose", MetricData=data)
