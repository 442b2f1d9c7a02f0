"""AWS's request and description of a delivery stream -> `DeliveryStreamConfig`, checked on the way.

First botocore's own service model checks the shape (required members, types, lower bounds), then `constraints.py` what
botocore's validator leaves out of that model, then `rules.py` the rules that no model holds. Messages are AWS's.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from pipelines.firehose import config, rules
from pipelines.firehose.constraints import check_constraints
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
_PROCESSORS: Final = frozenset({"Lambda", "MetadataExtraction", "AppendDelimiterToRecord"})
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
    check_constraints(request, service_model("firehose").operation_model("CreateDeliveryStream").input_shape)
    _one_destination([name for name in _DESTINATIONS if name in request], "ExtendedS3DestinationConfiguration")
    name = request["DeliveryStreamName"]
    return config.DeliveryStreamConfig(
        name=name,
        arn=f"arn:aws:firehose:{region}:{account}:deliverystream/{name}",
        destination=_destination(request["ExtendedS3DestinationConfiguration"]),
        source=_source(request, request.get("KinesisStreamSourceConfiguration")),
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
    s3 = dict(destinations[0]["ExtendedS3DestinationDescription"])
    if "S3BackupDescription" in s3:
        s3["S3BackupConfiguration"] = s3.pop("S3BackupDescription")
    shape = service_model("firehose").shape_for("ExtendedS3DestinationConfiguration")
    check_constraints(s3, shape, "extendedS3DestinationDescription")
    source = description.get("Source") or {}
    return config.DeliveryStreamConfig(
        name=description["DeliveryStreamName"],
        arn=description["DeliveryStreamARN"],
        destination=_destination(s3),
        source=_source(description, source.get("KinesisStreamSourceDescription")),
        version_id=str(description.get("VersionId", "1")),
        created_ms=_ms(description.get("CreateTimestamp")),
    )


def describe(client: Any, name: str) -> config.DeliveryStreamConfig:
    """The configuration of the delivery stream `name`, once all of it can be executed.

    Args:
        client: a boto3 Firehose client.
        name: delivery stream name (A1.2).

    Raises:
        NotFoundError: there is no such delivery stream.
        ConfigurationError: as `parse_description`, or the graph does not do yet what it asks for.
    """
    stream = parse_description(description_of(client, name))
    s3 = stream.destination
    for wanted, what in (
        (s3.dynamic_partitioning, "Dynamic partitioning"),
        (s3.append_delimiter, "The processor AppendDelimiterToRecord"),
        (s3.kms_key_arn or (s3.backup and s3.backup.kms_key_arn), "EncryptionConfiguration with a KMS key"),
    ):
        if wanted:
            _refuse(what)
    return stream


def description_of(client: Any, name: str) -> Json:
    """The `DeliveryStreamDescription` of the delivery stream `name`, as AWS tells it, unchecked.

    Args:
        client: a boto3 Firehose client.
        name: delivery stream name (A1.2).

    Raises:
        NotFoundError: there is no such delivery stream.
    """
    with aws_errors(f"Delivery stream {name}"):
        described: Json = client.describe_delivery_stream(DeliveryStreamName=name)["DeliveryStreamDescription"]
    return described


def _destination(s3: Json) -> config.S3Destination:
    message = rules.first_violation(s3)
    if message:
        raise ConfigurationError(message)
    processors = {processor["Type"]: rules.parameters(processor) for processor in rules.processors(s3)}
    for kind in processors:
        if kind not in _PROCESSORS:
            _refuse(f"The processor {kind}")
    return config.S3Destination(
        **_place(s3, rules.size_mib(s3)),
        **_given(s3, file_extension="FileExtension"),
        custom_time_zone=s3.get("CustomTimeZone") or "UTC",
        lambda_processor=_lambda(processors["Lambda"]) if "Lambda" in processors else None,
        append_delimiter="AppendDelimiterToRecord" in processors,
        conversion=_conversion(s3["DataFormatConversionConfiguration"]) if rules.is_converting(s3) else None,
        backup=_backup(s3["S3BackupConfiguration"]) if s3.get("S3BackupMode") == "Enabled" else None,
        dynamic_partitioning=_partitioning(s3, processors) if rules.is_partitioning(s3) else None,
    )


def _backup(s3: Json) -> config.S3Backup:
    return config.S3Backup(**_place(s3, config.DEFAULT_SIZE_MIB))


def _place(s3: Json, size_mib: int) -> dict[str, Any]:
    """The fields that S3Destination and S3Backup share; `size_mib` is the default size hint."""
    encryption = (s3.get("EncryptionConfiguration") or {}).get("KMSEncryptionConfig") or {}
    hints = {"size_mib": size_mib} | _given(
        s3.get("BufferingHints") or {}, size_mib="SizeInMBs", interval_s="IntervalInSeconds"
    )
    return {
        "bucket": s3["BucketARN"].rpartition(":::")[2],
        "role_arn": s3["RoleARN"],
        "buffering": config.BufferingHints(**hints),
        "kms_key_arn": encryption.get("AWSKMSKeyARN"),
        **_given(s3, prefix="Prefix", error_output_prefix="ErrorOutputPrefix", compression_format="CompressionFormat"),
    }


def _lambda(given: Mapping[str, str]) -> config.LambdaProcessorConfig:
    numbers = {
        "number_of_retries": ("NumberOfRetries", int),
        "size_mib": ("BufferSizeInMBs", float),
        "interval_s": ("BufferIntervalInSeconds", int),
    }
    hints: dict[str, Any] = {field: number(given[name]) for field, (name, number) in numbers.items() if name in given}
    return config.LambdaProcessorConfig(given["LambdaArn"], **hints)


def _partitioning(s3: Json, processors: Mapping[str, Mapping[str, str]]) -> config.DynamicPartitioning:
    retry = s3["DynamicPartitioningConfiguration"].get("RetryOptions") or {}
    return config.DynamicPartitioning(
        **_given(retry, retry_s="DurationInSeconds"),
        **_given(processors.get("MetadataExtraction", {}), query="MetadataExtractionQuery"),
    )


def _conversion(conversion: Json) -> config.FormatConversion:
    ((deserializer, how),) = conversion["InputFormatConfiguration"]["Deserializer"].items()
    ((serializer, written),) = conversion["OutputFormatConfiguration"]["Serializer"].items()
    if serializer != "ParquetSerDe":
        _refuse(f"The serializer {serializer}")
    return config.FormatConversion(
        deserializer=_open_x(how)
        if deserializer == "OpenXJsonSerDe"
        else config.HiveJsonSerDe(tuple(how.get("TimestampFormats", ()))),
        serializer=config.ParquetSerDe(
            **_given(
                written,
                block_size_bytes="BlockSizeBytes",
                page_size_bytes="PageSizeBytes",
                compression="Compression",
                enable_dictionary_compression="EnableDictionaryCompression",
                max_padding_bytes="MaxPaddingBytes",
                writer_version="WriterVersion",
            )
        ),
        schema=config.SchemaConfiguration(
            **_given(
                conversion["SchemaConfiguration"],
                role_arn="RoleARN",
                database_name="DatabaseName",
                table_name="TableName",
                catalog_id="CatalogId",
                region="Region",
                version_id="VersionId",
            )
        ),
    )


def _open_x(how: Json) -> config.OpenXJsonSerDe:
    return config.OpenXJsonSerDe(
        **_given(
            how,
            case_insensitive="CaseInsensitive",
            convert_dots_in_json_keys_to_underscores="ConvertDotsInJsonKeysToUnderscores",
        ),
        column_to_json_key_mappings=tuple(sorted(how.get("ColumnToJsonKeyMappings", {}).items())),
    )


def _given(members: Json, **names: str) -> dict[str, Any]:
    """Field -> value for the members that are there: the others keep the dataclass's default, which is AWS's."""
    return {field: members[name] for field, name in names.items() if name in members}


def _source(described: Json, source: Json | None) -> config.KinesisSource | None:
    kind = described.get("DeliveryStreamType", "DirectPut")
    if kind == "DirectPut":
        return None  # AWS takes no notice of a source configuration beside it
    if kind != "KinesisStreamAsSource":
        _refuse(f"The source {kind}")
    if not source:
        message = "KinesisSourceStreamConfig is mandatory for KinesisStreamAsSource stream type."
        raise ConfigurationError(message, fix="give KinesisStreamSourceConfiguration")
    return config.KinesisSource(source["KinesisStreamARN"], source["RoleARN"])


def _ms(timestamp: Any) -> int:
    if isinstance(timestamp, datetime):
        return round(timestamp.timestamp() * 1000)
    return round(float(timestamp or 0) * 1000)


def _one_destination(given: list[str], supported: str) -> None:
    if len(given) != 1:
        raise ConfigurationError(_ONE_DESTINATION)
    if given[0] != supported:
        _refuse(f"The destination {given[0]}")


def _refuse(what: str) -> None:
    message = f"{what} is not supported yet."
    raise ConfigurationError(message, fix=_NOT_YET)
