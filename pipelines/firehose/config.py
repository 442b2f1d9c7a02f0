"""A delivery stream's configuration: frozen values, named as AWS names them, with units.

They are made from AWS's own shapes by `parse.py` and checked by `rules.py`; nothing else makes them in production.
"""

from dataclasses import dataclass
from typing import Final

DEFAULT_SIZE_MIB: Final = 5
DEFAULT_INTERVAL_S: Final = 300
CONVERSION_SIZE_MIB: Final = 128
"""The default size hint where format conversion is on (A2.3)."""


@dataclass(frozen=True, slots=True)
class BufferingHints:
    """When a buffer is delivered: the first of both (A2.1, A2.2)."""

    size_mib: int = DEFAULT_SIZE_MIB
    interval_s: int = DEFAULT_INTERVAL_S


@dataclass(frozen=True, slots=True)
class KinesisSource:
    """The stream it reads (KinesisStreamAsSource)."""

    stream_arn: str
    role_arn: str

    @property
    def stream_name(self) -> str:
        return self.stream_arn.rpartition("/")[2]


@dataclass(frozen=True, slots=True)
class LambdaProcessorConfig:
    """The transform function and its batching hints (A4.6, A4.8)."""

    lambda_arn: str
    number_of_retries: int = 3
    size_mib: float = 1.0
    interval_s: int = 60


@dataclass(frozen=True, slots=True)
class OpenXJsonSerDe:
    """The deserializer most streams use (A5.4)."""

    case_insensitive: bool = True
    convert_dots_in_json_keys_to_underscores: bool = False
    column_to_json_key_mappings: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class HiveJsonSerDe:
    """The other deserializer (A5.6)."""

    timestamp_formats: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ParquetSerDe:
    """The Parquet writer's settings (A5.7)."""

    block_size_bytes: int = 268_435_456
    page_size_bytes: int = 1_048_576
    compression: str = "SNAPPY"
    enable_dictionary_compression: bool = False
    max_padding_bytes: int = 0
    writer_version: str = "V1"


@dataclass(frozen=True, slots=True)
class SchemaConfiguration:
    """The Glue table whose schema the records get (A5.2)."""

    role_arn: str
    database_name: str
    table_name: str
    catalog_id: str | None = None
    region: str | None = None
    version_id: str = "LATEST"


@dataclass(frozen=True, slots=True)
class FormatConversion:
    """Record format conversion, enabled (A5)."""

    deserializer: OpenXJsonSerDe | HiveJsonSerDe
    serializer: ParquetSerDe
    schema: SchemaConfiguration


@dataclass(frozen=True, slots=True)
class DynamicPartitioning:
    """Dynamic partitioning, enabled (A6).

    Attributes:
        retry_s: seconds to retry a partition's delivery (A6.11).
        query: the jq object literal that yields the keys (A6.3), or None where only the function yields them.
    """

    retry_s: int = 300
    query: str | None = None


@dataclass(frozen=True, slots=True)
class S3Backup:
    """Where every source record goes as it came (A7.13)."""

    bucket: str
    role_arn: str
    prefix: str = ""
    error_output_prefix: str = ""
    buffering: BufferingHints = BufferingHints()
    compression_format: str = "UNCOMPRESSED"
    kms_key_arn: str | None = None


@dataclass(frozen=True, slots=True)
class S3Destination:
    """The extended S3 destination: where it delivers, and all that happens on the way.

    Attributes:
        bucket: name of the bucket.
        role_arn: role that may write to it.
        prefix: raw Prefix, see `prefix.py`.
        error_output_prefix: raw ErrorOutputPrefix.
        buffering: when a data object is delivered.
        compression_format: of text objects (A7.9).
        file_extension: replaces the default extension; empty for that (A7.10).
        custom_time_zone: of the prefixes' timestamps and of object names (A7.4).
        kms_key_arn: encrypts the objects; None where the bucket's own default does.
        lambda_processor: the transform (A4).
        append_delimiter: whether a newline goes between records (A6.9).
        conversion: JSON to columns (A5).
        backup: where source records go too (A7.13).
        dynamic_partitioning: A6.
    """

    bucket: str
    role_arn: str
    prefix: str = ""
    error_output_prefix: str = ""
    buffering: BufferingHints = BufferingHints()
    compression_format: str = "UNCOMPRESSED"
    file_extension: str = ""
    custom_time_zone: str = "UTC"
    kms_key_arn: str | None = None
    lambda_processor: LambdaProcessorConfig | None = None
    append_delimiter: bool = False
    conversion: FormatConversion | None = None
    backup: S3Backup | None = None
    dynamic_partitioning: DynamicPartitioning | None = None


@dataclass(frozen=True, slots=True)
class DeliveryStreamConfig:
    """One delivery stream.

    Attributes:
        name: delivery stream name (A1.2).
        arn: its ARN (A1.2).
        destination: where it delivers.
        source: the Kinesis stream it reads; None for Direct PUT.
        version_id: in the names of its objects (A7.1).
        created_ms: when it was created, ms since the epoch: where reading starts (X15).
    """

    name: str
    arn: str
    destination: S3Destination
    source: KinesisSource | None = None
    version_id: str = "1"
    created_ms: int = 0

    @property
    def region(self) -> str:
        return self.arn.split(":")[3]
