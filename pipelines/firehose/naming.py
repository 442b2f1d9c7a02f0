"""Names of S3 objects (A7.1, A7.4, A7.9, A7.10)."""

import uuid
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final
from zoneinfo import ZoneInfo

from pipelines.firehose.chunk import ShardLineage

PARQUET_EXTENSION: Final = ".parquet"  # A5.14
HADOOP_SNAPPY_EXTENSION: Final = ".snappy"  # X3: measured so, the guide says .hsnappy

_EXTENSIONS: Final = {
    "UNCOMPRESSED": "",
    "GZIP": ".gz",
    "ZIP": ".zip",
    "Snappy": ".snappy",
    "HADOOP_SNAPPY": HADOOP_SNAPPY_EXTENSION,
}
_CONTENT_ENCODINGS: Final = {
    "GZIP": "gzip",
    "ZIP": "zip",
    "Snappy": "snappy-java",
    "HADOOP_SNAPPY": "hadoop-snappy",
}
_NAMESPACE: Final = uuid.UUID("6f1c2c1e-5d0c-5a56-9b3a-3b1f4a0a7d5e")


def extension(compression_format: str, *, parquet: bool, file_extension: str = "") -> str:
    """The end of an object's name: FileExtension where one is set, else by format and compression (A7.9, A7.10)."""
    return file_extension or (PARQUET_EXTENSION if parquet else _EXTENSIONS[compression_format])


def content_encoding(compression_format: str) -> str | None:
    """The Content-Encoding header of a compressed text object; the Content-Type is always octet-stream (A7.9)."""
    return _CONTENT_ENCODINGS.get(compression_format)


def lineage_uuid(delivery_stream_arn: str, kind: str, shards: Sequence[ShardLineage]) -> uuid.UUID:
    """The UUID of an object's name. It follows from what is in the object: writing it again overwrites it.

    Args:
        delivery_stream_arn: A1.2.
        kind: data, backup or the error-output-type.
        shards: what is in the object.
    """
    described = ";".join(f"{s.shard_id}:{s.first}:{s.last}:{s.count}" for s in shards)
    return uuid.uuid5(_NAMESPACE, f"{delivery_stream_arn}|{kind}|{described}")


def object_key(
    prefix: str,
    stream_name: str,
    version_id: str,
    oldest_arrival_ms: int,
    unique: uuid.UUID,
    *,
    suffix: str,
    zone: str,
) -> str:
    """PREFIX NAME-VERSION-yyyy-MM-dd-HH-mm-ss-UUID EXTENSION (A7.1); the time is in the custom time zone (A7.4)."""
    moment = datetime.fromtimestamp(oldest_arrival_ms // 1000, UTC).astimezone(ZoneInfo(zone or "UTC"))
    return f"{prefix}{stream_name}-{version_id}-{moment:%Y-%m-%d-%H-%M-%S}-{unique}{suffix}"
