"""Delivery: a sealed buffer becomes one S3 object with AWS's name, and a receipt with its lineage (A7)."""

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import pyarrow as pa

from pipelines.firehose.chunk import (
    DATA_COLUMN,
    DeliveredObject,
    Sealed,
    ShardLineage,
    joined,
    lineage,
    sequence_columns,
)
from pipelines.firehose.compress import compress
from pipelines.firehose.config import DeliveryStreamConfig, ParquetSerDe
from pipelines.firehose.naming import content_encoding, extension, lineage_uuid, object_key
from pipelines.firehose.parquet import write_parquet
from pipelines.firehose.prefix import Prefix, compile_error_prefix, compile_prefix
from pipelines.firehose.schema import TableSchema
from pipelines.runtime.aws import aws_errors
from pipelines.runtime.clock import Clock
from pipelines.runtime.errors import TransientError
from pipelines.runtime.metrics import StageMetrics

DATA: Final = "data"
BACKUP: Final = "backup"
ERRORS: Final = "errors"

LINEAGE_METADATA: Final = "hydrant-lineage"
"""S3 user metadata: `{"shardId-...": {"first": ..., "last": ..., "count": n}}`, where it fits."""
RECORDS_METADATA: Final = "hydrant-records"
FLUSHED_BY_METADATA: Final = "hydrant-flushed-by"
"""S3 user metadata: why the buffer was flushed, see `Sealed.reason`."""
_METADATA_BYTES: Final = 1_900  # S3 takes 2 KB of user metadata in all

_RETRY_FOR_S: Final = 60.0
"""AWS retries S3 until the stream's retention is over (A7.12). We do so for a minute, then fail the pipeline with the
reason: nothing is lost, the records are still in the stream."""


@dataclass(frozen=True)
class Destination:
    """Where a kind of object goes and what form it takes.

    Attributes:
        kind: DATA, BACKUP or ERRORS.
        stream: the delivery stream.
        bucket: S3 bucket.
        prefix: compiled Prefix or ErrorOutputPrefix.
        compression_format: A7.9; of the text, Parquet has its own.
        parquet: settings when the objects are Parquet, else the data is written as it came.
        schema: the table's columns, with `parquet`.
        suffix: file extension with its dot, or nothing.
    """

    kind: str
    stream: DeliveryStreamConfig
    bucket: str
    prefix: Prefix
    compression_format: str = "UNCOMPRESSED"
    parquet: ParquetSerDe | None = None
    schema: TableSchema | None = None
    suffix: str = ""


def data_destination(stream: DeliveryStreamConfig, schema: TableSchema | None) -> Destination:
    """Where what was processed goes; `schema` is needed when the stream converts formats."""
    s3 = stream.destination
    parquet = s3.conversion.serializer if s3.conversion else None
    return Destination(
        DATA,
        stream,
        s3.bucket,
        compile_prefix(s3.prefix, s3.custom_time_zone),
        s3.compression_format,
        parquet,
        schema,
        extension(s3.compression_format, parquet=parquet is not None, file_extension=s3.file_extension),
    )


def error_destination(stream: DeliveryStreamConfig) -> Destination:
    """Where records that failed go. Error objects have no extension."""
    s3 = stream.destination
    prefix = compile_error_prefix(s3.error_output_prefix, s3.prefix, s3.custom_time_zone)
    return Destination(ERRORS, stream, s3.bucket, prefix)


def backup_destination(stream: DeliveryStreamConfig) -> Destination:
    """Where every source record goes as it came (A7.13); only where the backup is enabled."""
    backup = stream.destination.backup
    if backup is None:
        message = f"Delivery stream {stream.name} has no source backup"
        raise ValueError(message)
    return Destination(
        BACKUP,
        stream,
        backup.bucket,
        compile_prefix(backup.prefix, stream.destination.custom_time_zone),
        backup.compression_format,
        suffix=extension(backup.compression_format, parquet=False),
    )


@dataclass(frozen=True)
class RenderedObject:
    """An object that is ready to be put: all of it follows from the sealed buffer alone, so a retry overwrites it."""

    key: str
    body: bytes
    metadata: dict[str, str]
    content_encoding: str | None
    receipt: DeliveredObject


def render(destination: Destination, sealed: Sealed) -> RenderedObject:
    """The object of a sealed buffer: key, body and metadata.

    The UUID in the key comes from the lineage, and so does the random string of a prefix: rendering the same buffer
    again gives the same key, and putting it again overwrites the same object.
    """
    batches = [chunk.rows() for chunk in sealed.chunks]
    shards = lineage(batches)
    records = sum(shard.count for shard in shards)
    kind = sealed.key.partition("|")[0] if destination.kind == ERRORS else destination.kind
    uuid = lineage_uuid(destination.stream.arn, kind, shards)
    prefix = destination.prefix.evaluate(
        sealed.oldest_arrival_ms,
        error_output_type=kind if destination.kind == ERRORS else None,
        rng=random.Random(uuid.int),
    )
    key = object_key(
        prefix,
        destination.stream.name,
        destination.stream.version_id,
        sealed.oldest_arrival_ms,
        uuid,
        suffix=destination.suffix,
        zone=destination.stream.destination.custom_time_zone,
    )
    body = _body(destination, batches, shards)
    receipt = DeliveredObject(
        kind=kind,
        bucket=destination.bucket,
        key=key,
        bytes=len(body),
        records=records,
        raw_bytes=sealed.raw_bytes,
        reason=sealed.reason,
        shards=shards,
        sequence_numbers=sequence_columns(batches),
        opened_ms=sealed.opened_ms,
        flushed_ms=sealed.flushed_ms,
        oldest_arrival_ms=sealed.oldest_arrival_ms,
    )
    metadata = _metadata(shards, records) | {FLUSHED_BY_METADATA: sealed.reason}
    return RenderedObject(key, body, metadata, content_encoding(destination.compression_format), receipt)


class ObjectWriter:
    """Renders sealed buffers and puts them on S3.

    Args:
        destination: where to.
        client: a boto3 S3 client.
        clock: for the back-off.
    """

    def __init__(self, destination: Destination, client: Any, clock: Clock) -> None:
        self._destination = destination
        self._client = client
        self._clock = clock
        self._metrics = StageMetrics({DATA: "deliver", BACKUP: "backup", ERRORS: "errors"}[destination.kind])

    def write(self, sealed: Sealed) -> DeliveredObject:
        """Puts the object of `sealed`; transient S3 failures are retried with a growing pause (A7.12).

        Raises:
            NotFoundError: the bucket does not exist.
            TransientError: S3 still fails after a minute of trying.
            CredentialsError: AWS refuses the credentials.
        """
        rendered = render(self._destination, sealed)
        extra = {"ContentEncoding": rendered.content_encoding} if rendered.content_encoding else {}
        give_up_s = self._clock.monotonic_s() + _RETRY_FOR_S
        pause_s = 0.2
        started_ms = self._clock.now_ms()
        while True:
            try:
                with aws_errors(f"S3 bucket {self._destination.bucket}"):
                    self._client.put_object(
                        Bucket=self._destination.bucket,
                        Key=rendered.key,
                        Body=rendered.body,
                        ContentType="application/octet-stream",
                        Metadata=rendered.metadata,
                        **extra,
                    )
                break
            except TransientError:
                if self._clock.monotonic_s() + pause_s > give_up_s:
                    raise
                self._metrics.retries.inc()
                self._clock.sleep(pause_s)
                pause_s = min(pause_s * 2, 10.0)
        receipt = rendered.receipt
        self._metrics.objects.inc()
        self._metrics.records_out.inc(receipt.records)
        self._metrics.bytes_out.inc(receipt.bytes)
        self._metrics.latency_ms.update(self._clock.now_ms() - started_ms)
        return receipt


def _body(destination: Destination, batches: Sequence[pa.RecordBatch], shards: Sequence[ShardLineage]) -> bytes:
    if destination.parquet is not None and destination.schema is not None:
        lineage_of_rows = {LINEAGE_METADATA: _lineage_json(shards)}
        return write_parquet(batches, destination.parquet, destination.schema, lineage_of_rows)
    return compress(destination.compression_format, b"".join(joined(batch.column(DATA_COLUMN)) for batch in batches))


def _metadata(shards: Sequence[ShardLineage], records: int) -> dict[str, str]:
    described = _lineage_json(shards)
    metadata = {RECORDS_METADATA: str(records)}
    if len(described) <= _METADATA_BYTES:
        metadata[LINEAGE_METADATA] = described
    return metadata


def _lineage_json(shards: Sequence[ShardLineage]) -> str:
    return json.dumps(
        {shard.shard_id: {"first": shard.first, "last": shard.last, "count": shard.count} for shard in shards},
        separators=(",", ":"),
    )
