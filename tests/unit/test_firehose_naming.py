"""Names, extensions and encodings of objects."""

import uuid

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.firehose.chunk import ShardLineage
from pipelines.firehose.naming import (
    HADOOP_SNAPPY_EXTENSION,
    content_encoding,
    extension,
    lineage_uuid,
    object_key,
)

ARN = "arn:aws:firehose:us-east-1:123456789012:deliverystream/orders"
UNIQUE = uuid.UUID("0123abcd-0123-5123-8123-0123456789ab")
MOMENT_MS = 1_798_761_599_999  # 2026-12-31T23:59:59.999Z
SHARDS = (ShardLineage("shardId-000000000000", "100", "120", 20), ShardLineage("shardId-000000000001", "7", "9", 3))


def test_a7_1_the_name_is_prefix_stream_version_time_uuid_extension() -> None:
    assert object_key("dt=1/", "orders", "3", MOMENT_MS, UNIQUE, suffix=".parquet", zone="UTC") == (
        "dt=1/orders-3-2026-12-31-23-59-59-0123abcd-0123-5123-8123-0123456789ab.parquet"
    )


def test_a7_1_the_prefix_is_put_before_it_with_no_slash_between() -> None:
    assert object_key("logs", "s", "1", 0, UNIQUE, suffix="", zone="UTC") == f"logss-1-1970-01-01-00-00-00-{UNIQUE}"


@pytest.mark.parametrize(
    ("zone", "time"),
    [("UTC", "2026-12-31-23-59-59"), ("Asia/Tokyo", "2027-01-01-08-59-59"), ("", "2026-12-31-23-59-59")],
)
def test_a7_4_the_time_in_the_name_is_in_the_custom_time_zone(zone: str, time: str) -> None:
    assert f"-1-{time}-" in object_key("", "s", "1", MOMENT_MS, UNIQUE, suffix="", zone=zone)


@pytest.mark.parametrize(
    ("compression", "default", "encoding"),
    [
        ("UNCOMPRESSED", "", None),
        ("GZIP", ".gz", "gzip"),
        ("ZIP", ".zip", "zip"),
        ("Snappy", ".snappy", "snappy-java"),
        ("HADOOP_SNAPPY", ".snappy", "hadoop-snappy"),
    ],
)
def test_a7_9_a7_10_extension_and_encoding_of_text(compression: str, default: str, encoding: str | None) -> None:
    assert extension(compression, parquet=False) == default
    assert extension(compression, parquet=False, file_extension=".json") == ".json"
    assert content_encoding(compression) == encoding


def test_x3_hadoop_snappy_is_named_as_measured() -> None:
    assert HADOOP_SNAPPY_EXTENSION == ".snappy"


def test_a5_14_parquet_has_its_own_extension_until_another_is_set() -> None:
    assert extension("UNCOMPRESSED", parquet=True) == ".parquet"
    assert extension("UNCOMPRESSED", parquet=True, file_extension=".pq") == ".pq"


def test_the_uuid_never_changes() -> None:
    """An object of an earlier version is overwritten by a retry with this one: the value may not move."""
    assert str(lineage_uuid(ARN, "data", SHARDS)) == "b19c829b-19f8-550d-b324-81d1f076e6f4"
    assert lineage_uuid(ARN, "data", SHARDS).version == 5


LINEAGES = st.lists(
    st.builds(
        ShardLineage,
        st.sampled_from(["shardId-000000000000", "shardId-000000000001"]),
        st.integers(0, 20).map(str),
        st.integers(0, 20).map(str),
        st.integers(1, 5),
    ),
    min_size=1,
    max_size=2,
    unique_by=lambda shard: shard.shard_id,
).map(tuple)
SOURCES = st.tuples(
    st.sampled_from([ARN, ARN + "2"]), st.sampled_from(["data", "backup", "processing-failed"]), LINEAGES
)


@settings(max_examples=200)
@given(SOURCES, SOURCES)
def test_the_uuid_is_the_same_exactly_for_the_same_buffer(
    one: tuple[str, str, tuple[ShardLineage, ...]], other: tuple[str, str, tuple[ShardLineage, ...]]
) -> None:
    assert (lineage_uuid(*one) == lineage_uuid(*other)) == (one == other)
