"""AWS's request and description of a delivery stream -> `DeliveryStreamConfig`, checked on the way.

First botocore's own service model checks the shape (required members, types, lengths, and here its enums and patterns
too), then `rules.py` the rules that no model holds. Messages are AWS's.
"""

import re
from collections.abc import Mapping
from datetime import datetime
from functools import cache
from typing import Any, Final

from pipelines.firehose import config, rules
from pipelines.runtime.aws import aws_errors, service_model, validate_shape
from pipelines.runtime.errors import ConfigurationError

Json = Mapping[str, Any]

_DESTINATIONS: Final = tuple(
    f"{kind}DestinationConfiguration"
    for kind in (
        "S3", "ExtendedS3", "Redshift", "Elasticsearch", "Amazonopensearchservice", "Splunk", "HttpEndpoint",
        "AmazonOpenSearchServerless", "Snowflake", "Iceberg",
    )
)  # fmt: skip
_ONE_DESTINATION: Final = "Exactly one destination configuration is supported for a Firehose"  # A1.5
_NOT_YET: Final = "see docs/divergences.md for what is there"


def parse_create_request(
    request: Json, *, region: str, account: str, created_ms: int = 0
) -> config.DeliveryStreamConfig:
    """The configuration that a CreateDeliveryStream request asks for.

    Args:
        request: as AWS takes it.
        region: the delivery stream's region.
        account: the 12-digit account id.
        created_ms: when it was created, ms since the epoch.

    Raises:
        ConfigurationError: AWS would refuse the request (with AWS's message), or it asks for what is not there yet.
    """
    validate_shape("firehose", "CreateDeliveryStream", request)
    _check_enums_and_patterns(request, _input_shape(), "")
    _one_destination([name for name in _DESTINATIONS if request.get(name)], "ExtendedS3DestinationConfiguration")
    kind = request.get("DeliveryStreamType", "DirectPut")
    source = request.get("KinesisStreamSourceConfiguration")
    if kind == "KinesisStreamAsSource" and not source:
        message = "KinesisStreamSourceConfiguration is required when DeliveryStreamType is KinesisStreamAsSource."
        raise ConfigurationError(message)
    _only_supported_source(kind)
    name = request["DeliveryStreamName"]
    return config.DeliveryStreamConfig(
        name=name,
        arn=f"arn:aws:firehose:{region}:{account}:deliverystream/{name}",
        destination=_destination(request["ExtendedS3DestinationConfiguration"]),
        source=_source(source),
        created_ms=created_ms,
    )


def parse_description(description: Json) -> config.DeliveryStreamConfig:
    """The configuration that DescribeDeliveryStream tells (its `DeliveryStreamDescription`).

    Raises:
        ConfigurationError: it is one AWS would refuse, or asks for what is not there yet.
    """
    destinations = description.get("Destinations") or []
    if len(destinations) != 1:
        raise ConfigurationError(_ONE_DESTINATION)
    kinds = [name for name, value in destinations[0].items() if name.endswith("DestinationDescription") and value]
    # A stream with an extended S3 destination describes it twice, once in the older shape.
    kinds = [name for name in kinds if name != "S3DestinationDescription"] or kinds
    _one_destination(kinds, "ExtendedS3DestinationDescription")
    _only_supported_source(description.get("DeliveryStreamType", "DirectPut"))
    s3 = dict(destinations[0]["ExtendedS3DestinationDescription"])
    if "S3BackupDescription" in s3:
        s3["S3BackupConfiguration"] = s3.pop("S3BackupDescription")
    return config.DeliveryStreamConfig(
        name=description["DeliveryStreamName"],
        arn=description["DeliveryStreamARN"],
        destination=_destination(s3),
        source=_source((description.get("Source") or {}).get("KinesisStreamSourceDescription")),
        version_id=str(description.get("VersionId", "1")),
        created_ms=_ms(description.get("CreateTimestamp")),
    )


def describe(client: Any, name: str) -> config.DeliveryStreamConfig:
    """The configuration of the delivery stream `name`.

    Args:
        client: a boto3 Firehose client.
        name: A1.2.

    Raises:
        NotFoundError: there is no such delivery stream.
        ConfigurationError: as `parse_description`.
    """
    with aws_errors(f"Delivery stream {name}"):
        answer = client.describe_delivery_stream(DeliveryStreamName=name)
    return parse_description(answer["DeliveryStreamDescription"])


def _destination(s3: Json) -> config.S3Destination:
    message = rules.first_violation(s3)
    if message:
        raise ConfigurationError(message)
    converting = rules.is_converting(s3)
    processors = {processor["Type"]: rules.parameters(processor) for processor in rules.processors(s3)}
    unsupported = sorted(processors.keys() - {"Lambda", "MetadataExtraction", "AppendDelimiterToRecord"})
    if unsupported:
        _refuse(f"The processor {unsupported[0]}")
    if processors.keys() & {"MetadataExtraction", "AppendDelimiterToRecord"} or rules.is_partitioning(s3):
        _refuse("Dynamic partitioning")
    size = config.CONVERSION_SIZE_MIB if converting else config.DEFAULT_SIZE_MIB  # A2.3
    function = processors.get("Lambda")
    return config.S3Destination(
        bucket=_bucket(s3),
        role_arn=s3["RoleARN"],
        prefix=s3.get("Prefix", ""),
        error_output_prefix=s3.get("ErrorOutputPrefix", ""),
        buffering=_hints(s3, size),
        compression_format=s3.get("CompressionFormat", "UNCOMPRESSED"),
        file_extension=s3.get("FileExtension", ""),
        custom_time_zone=s3.get("CustomTimeZone") or "UTC",
        lambda_processor=None if function is None else _lambda(function),
        conversion=_conversion(s3["DataFormatConversionConfiguration"]) if converting else None,
        backup=_backup(s3["S3BackupConfiguration"]) if s3.get("S3BackupMode") == "Enabled" else None,
    )


def _backup(s3: Json) -> config.S3Backup:
    return config.S3Backup(
        bucket=_bucket(s3),
        role_arn=s3["RoleARN"],
        prefix=s3.get("Prefix", ""),
        error_output_prefix=s3.get("ErrorOutputPrefix", ""),
        buffering=_hints(s3, config.DEFAULT_SIZE_MIB),
        compression_format=s3.get("CompressionFormat", "UNCOMPRESSED"),
    )


def _conversion(conversion: Json) -> config.FormatConversion:
    ((deserializer, how),) = conversion["InputFormatConfiguration"]["Deserializer"].items()
    ((serializer, written),) = conversion["OutputFormatConfiguration"]["Serializer"].items()
    if serializer != "ParquetSerDe":
        _refuse(f"The serializer {serializer}")
    schema = conversion["SchemaConfiguration"]
    return config.FormatConversion(
        deserializer=_open_x(how)
        if deserializer == "OpenXJsonSerDe"
        else config.HiveJsonSerDe(tuple(how.get("TimestampFormats") or ())),
        serializer=config.ParquetSerDe(
            block_size_bytes=written.get("BlockSizeBytes", 268_435_456),
            page_size_bytes=written.get("PageSizeBytes", 1_048_576),
            compression=written.get("Compression", "SNAPPY"),
            enable_dictionary_compression=written.get("EnableDictionaryCompression", False),
            max_padding_bytes=written.get("MaxPaddingBytes", 0),
            writer_version=written.get("WriterVersion", "V1"),
        ),
        schema=config.SchemaConfiguration(
            role_arn=schema["RoleARN"],
            database_name=schema["DatabaseName"],
            table_name=schema["TableName"],
            catalog_id=schema.get("CatalogId"),
            region=schema.get("Region"),
            version_id=schema.get("VersionId", "LATEST"),
        ),
    )


def _open_x(how: Json) -> config.OpenXJsonSerDe:
    return config.OpenXJsonSerDe(
        case_insensitive=how.get("CaseInsensitive", True),
        convert_dots_in_json_keys_to_underscores=how.get("ConvertDotsInJsonKeysToUnderscores", False),
        column_to_json_key_mappings=tuple(sorted((how.get("ColumnToJsonKeyMappings") or {}).items())),
    )


def _lambda(given: Mapping[str, str]) -> config.LambdaProcessorConfig:
    return config.LambdaProcessorConfig(
        lambda_arn=given["LambdaArn"],
        number_of_retries=int(given.get("NumberOfRetries", 3)),
        size_mib=float(given.get("BufferSizeInMBs", 1)),
        interval_s=int(given.get("BufferIntervalInSeconds", 60)),
    )


def _hints(s3: Json, default_size_mib: int) -> config.BufferingHints:
    given = s3.get("BufferingHints") or {}
    return config.BufferingHints(
        given.get("SizeInMBs", default_size_mib), given.get("IntervalInSeconds", config.DEFAULT_INTERVAL_S)
    )


def _source(source: Json | None) -> config.KinesisSource | None:
    return config.KinesisSource(source["KinesisStreamARN"], source["RoleARN"]) if source else None


def _bucket(s3: Json) -> str:
    return str(s3["BucketARN"]).rpartition(":::")[2]


def _ms(timestamp: Any) -> int:
    if isinstance(timestamp, datetime):
        return round(timestamp.timestamp() * 1000)
    return round(float(timestamp or 0) * 1000)


def _one_destination(given: list[str], supported: str) -> None:
    if len(given) != 1:
        raise ConfigurationError(_ONE_DESTINATION)
    if given[0] != supported:
        _refuse(f"The destination {given[0]}")


def _only_supported_source(kind: str) -> None:
    if kind not in ("DirectPut", "KinesisStreamAsSource"):
        _refuse(f"The source {kind}")


def _refuse(what: str) -> None:
    message = f"{what} is not supported yet."
    raise ConfigurationError(message, fix=_NOT_YET)


@cache
def _input_shape() -> Any:
    return service_model("firehose").operation_model("CreateDeliveryStream").input_shape


def _check_enums_and_patterns(value: Any, shape: Any, where: str) -> None:
    """What botocore's validator leaves out: values of enums, and patterns (the pattern of a name: A1.2)."""
    if shape.type_name == "structure":
        for name, member in (value or {}).items():
            _check_enums_and_patterns(member, shape.members[name], f"{where}.{name}" if where else name)
    elif shape.type_name == "list":
        for item in value:
            _check_enums_and_patterns(item, shape.member, where)
    elif shape.type_name == "string":
        if shape.enum and value not in shape.enum:
            message = f"{where} must be one of {', '.join(shape.enum)}, not {value!r}."
            raise ConfigurationError(message)
        pattern = shape.metadata.get("pattern")
        if pattern and not re.fullmatch(_python_pattern(pattern), value, re.DOTALL):
            message = f"{where} {value!r} must satisfy the pattern {pattern}."
            raise ConfigurationError(message)


def _python_pattern(pattern: str) -> str:
    # The model's patterns are Java's; the only thing Python's engine does not know is the class of printable text.
    return pattern.replace(r"\p{Print}", r"\x20-\x7e")
