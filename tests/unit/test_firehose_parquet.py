"""Parquet objects as ParquetSerDe describes them (A5.7)."""

import datetime
from dataclasses import replace
from decimal import Decimal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.firehose.config import ParquetSerDe
from pipelines.firehose.parquet import write_parquet
from pipelines.firehose.schema import arrow_type, parse_hive_type, table_schema

COLUMNS = {
    "b": ("boolean", True),
    "i8": ("tinyint", -128),
    "i16": ("smallint", 32767),
    "i32": ("int", -1),
    "i64": ("bigint", 2**63 - 1),
    "f": ("float", 0.5),
    "d": ("double", 0.1),
    "s": ("string", "tête"),
    "c": ("char(3)", "abc"),
    "v": ("varchar(9)", "abc"),
    "bin": ("binary", b"\x00\xff"),
    "t": ("timestamp", 1_600_000_000_123_456_789),
    "day": ("date", datetime.date(1969, 12, 31)),
    "dec": ("decimal(20,3)", Decimal("-1.500")),
    "l": ("array<int>", [1, None]),
    "m": ("map<string,int>", [("k", 1)]),
    "st": ("struct<x:int,y:array<string>>", {"x": 1, "y": ["a"]}),
}
SCHEMA = table_schema(
    {
        "Name": "t",
        "StorageDescriptor": {"Columns": [{"Name": name, "Type": text} for name, (text, _) in COLUMNS.items()]},
    }
)


def _batch(rows=2, columns=COLUMNS, schema=SCHEMA):
    arrays = [
        pa.array([value, *[None] * (rows - 1)], arrow_type(parse_hive_type(text))) for text, value in columns.values()
    ]
    names = [*schema.arrow.names, "hydrant:shard_id"]
    return pa.RecordBatch.from_arrays([*arrays, pa.array(["s"] * rows)], names=names)


def _file(data: bytes) -> pq.ParquetFile:
    return pq.ParquetFile(pa.BufferReader(data))


def test_a5_7_every_type_reads_back_and_lineage_is_left_out():
    read = _file(write_parquet([_batch(), _batch(1)], ParquetSerDe(), SCHEMA)).read()
    assert read.column_names == SCHEMA.arrow.names
    assert read.num_rows == 3
    expected = pa.Table.from_batches([_batch(), _batch(1)]).select(SCHEMA.arrow.names)
    assert read.to_pylist() == expected.to_pylist()
    assert read.column("t")[0].value == 1_600_000_000_123_456_789


def test_a5_7_physical_types_are_hives_and_all_columns_are_optional():
    schema = _file(write_parquet([_batch()], ParquetSerDe(), SCHEMA)).schema
    columns = [schema.column(i) for i in range(len(schema.names))]
    physical = {column.path: column.physical_type for column in columns}
    assert physical["t"] == "INT96"
    assert physical["dec"] == "FIXED_LEN_BYTE_ARRAY"
    assert physical["day"] == "INT32"
    assert physical["i8"] == physical["i16"] == physical["i32"] == "INT32"
    assert physical["s"] == physical["c"] == physical["bin"] == "BYTE_ARRAY"
    assert all(column.max_definition_level >= 1 for column in columns)
    assert "UTF8" in str(schema.column(schema.names.index("s"))) or "String" in str(schema)


@pytest.mark.parametrize("compression", ["UNCOMPRESSED", "GZIP", "SNAPPY"])
def test_a5_7_compression_is_the_configured_one(compression):
    data = write_parquet([_batch()], replace(ParquetSerDe(), compression=compression), SCHEMA)
    assert _file(data).metadata.row_group(0).column(0).compression == compression


@pytest.mark.parametrize("enabled", [True, False])
def test_a5_7_dictionary_compression_is_off_unless_enabled(enabled):
    data = write_parquet([_batch()], replace(ParquetSerDe(), enable_dictionary_compression=enabled), SCHEMA)
    group = _file(data).metadata.row_group(0)
    assert group.column(SCHEMA.arrow.names.index("s")).has_dictionary_page == enabled


@pytest.mark.parametrize(("version", "format_version"), [("V1", "1.0"), ("V2", "2.6")])
def test_a5_7_writer_version(version, format_version):
    data = write_parquet([_batch()], replace(ParquetSerDe(), writer_version=version), SCHEMA)
    assert _file(data).metadata.format_version == format_version
    assert _file(data).read().num_rows == 2


INTS = {"i": ("bigint", 1)}
INT_SCHEMA = table_schema({"Name": "t", "StorageDescriptor": {"Columns": [{"Name": "i", "Type": "bigint"}]}})


def test_a5_7_block_size_makes_row_groups():
    batches = [pa.RecordBatch.from_arrays([pa.array(range(n, n + 5000))], names=["i"]) for n in range(0, 20_000, 5000)]
    settings = replace(ParquetSerDe(), block_size_bytes=80_000)
    read = _file(write_parquet(batches, settings, INT_SCHEMA))
    sizes = [read.metadata.row_group(i).num_rows for i in range(read.num_row_groups)]
    assert sum(sizes) == 20_000
    assert max(sizes) * 8 <= 80_000
    assert read.read().column("i").to_pylist() == list(range(20_000))


def test_a5_7_page_size_makes_more_pages():
    batch = pa.RecordBatch.from_arrays([pa.array(range(200_000))], names=["i"])
    settings = replace(ParquetSerDe(), compression="UNCOMPRESSED")
    large = write_parquet([batch], settings, INT_SCHEMA)
    small = write_parquet([batch], replace(settings, page_size_bytes=65_536), INT_SCHEMA)
    assert len(small) > len(large)  # a header for each page


def test_a5_7_no_rows_give_an_empty_object_with_the_schema():
    read = _file(write_parquet([_batch().slice(0, 0)], ParquetSerDe(), SCHEMA)).read()
    assert read.num_rows == 0
    assert read.column_names == SCHEMA.arrow.names


def test_a5_7_metadata_of_the_file_is_the_callers_only():
    assert not _file(write_parquet([_batch()], ParquetSerDe(), SCHEMA)).metadata.metadata
    data = write_parquet([_batch()], ParquetSerDe(), SCHEMA, {"hydrant.delivery_stream": "flights"})
    assert _file(data).metadata.metadata == {b"hydrant.delivery_stream": b"flights"}
