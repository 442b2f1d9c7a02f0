"""CreateDeliveryStream -> configuration: what is read, the defaults, and what is refused in which words."""

import copy
from typing import Any

import pytest
from firehose_requests import (
    ACCOUNT,
    BUCKET,
    CONVERSION,
    LAMBDA,
    PARTITIONED_PREFIX,
    QUERY,
    REGION,
    ROLE,
    SMALLEST,
    function,
    processing,
    request,
)

from pipelines.firehose.config import (
    BufferingHints,
    DeliveryStreamConfig,
    DynamicPartitioning,
    FormatConversion,
    HiveJsonSerDe,
    KinesisSource,
    LambdaProcessorConfig,
    OpenXJsonSerDe,
    ParquetSerDe,
    S3Backup,
    S3Destination,
    SchemaConfiguration,
)
from pipelines.firehose.parse import parse_create_request
from pipelines.runtime.errors import ConfigurationError


def parsed(asked: dict[str, Any]) -> DeliveryStreamConfig:
    return parse_create_request(asked, region=REGION, account=ACCOUNT)


def refusal(asked: dict[str, Any]) -> str:
    with pytest.raises(ConfigurationError) as caught:
        parsed(asked)
    return caught.value.message


def with_member(name: str, value: Any) -> dict[str, Any]:
    return copy.deepcopy(SMALLEST) | {name: value}


def converting(**conversion: Any) -> dict[str, Any]:
    return request(DataFormatConversionConfiguration=copy.deepcopy(CONVERSION) | conversion)


def test_the_smallest_request_gets_aws_defaults() -> None:
    assert parsed(SMALLEST) == DeliveryStreamConfig(
        name="orders",
        arn="arn:aws:firehose:us-east-1:123456789012:deliverystream/orders",
        source=KinesisSource("arn:aws:kinesis:us-east-1:123456789012:stream/orders-in", ROLE),
        destination=S3Destination(bucket="lake", role_arn=ROLE, buffering=BufferingHints(5, 300)),
    )
    assert parsed(SMALLEST).region == "us-east-1"
    assert parsed(SMALLEST).source.stream_name == "orders-in"  # type: ignore[union-attr]


def test_every_member_of_the_request_is_read() -> None:
    asked = request(
        Prefix="data/",
        ErrorOutputPrefix="errors/!{firehose:error-output-type}/",
        BufferingHints={"SizeInMBs": 64, "IntervalInSeconds": 0},
        CustomTimeZone="Europe/Berlin",
        FileExtension=".pq",
        EncryptionConfiguration={
            "KMSEncryptionConfig": {"AWSKMSKeyARN": "arn:aws:kms:us-east-1:123456789012:key/ab-12"}
        },
        ProcessingConfiguration=processing(
            function(NumberOfRetries="0", BufferSizeInMBs="0.2", BufferIntervalInSeconds="900", RoleArn=ROLE),
            {"Type": "AppendDelimiterToRecord"},
        ),
        DataFormatConversionConfiguration={
            "InputFormatConfiguration": {
                "Deserializer": {
                    "OpenXJsonSerDe": {
                        "CaseInsensitive": False,
                        "ConvertDotsInJsonKeysToUnderscores": True,
                        "ColumnToJsonKeyMappings": {"ts": "timestamp", "a": "b"},
                    }
                }
            },
            "OutputFormatConfiguration": {
                "Serializer": {
                    "ParquetSerDe": {
                        "BlockSizeBytes": 67_108_864,
                        "PageSizeBytes": 65_536,
                        "Compression": "GZIP",
                        "EnableDictionaryCompression": True,
                        "MaxPaddingBytes": 7,
                        "WriterVersion": "V2",
                    }
                }
            },
            "SchemaConfiguration": CONVERSION["SchemaConfiguration"]
            | {"CatalogId": ACCOUNT, "Region": "eu-west-1", "VersionId": "3"},
        },
        S3BackupMode="Enabled",
        S3BackupConfiguration={
            "RoleARN": ROLE,
            "BucketARN": "arn:aws:s3:::backup.lake",
            "Prefix": "raw/",
            "ErrorOutputPrefix": "raw-errors/",
            "BufferingHints": {"SizeInMBs": 1, "IntervalInSeconds": 60},
            "CompressionFormat": "Snappy",
        },
    )
    assert parsed(asked).destination == S3Destination(
        bucket="lake",
        role_arn=ROLE,
        prefix="data/",
        error_output_prefix="errors/!{firehose:error-output-type}/",
        buffering=BufferingHints(64, 0),
        file_extension=".pq",
        custom_time_zone="Europe/Berlin",
        kms_key_arn="arn:aws:kms:us-east-1:123456789012:key/ab-12",
        lambda_processor=LambdaProcessorConfig(LAMBDA, number_of_retries=0, size_mib=0.2, interval_s=900),
        append_delimiter=True,
        conversion=FormatConversion(
            OpenXJsonSerDe(False, True, (("a", "b"), ("ts", "timestamp"))),
            ParquetSerDe(67_108_864, 65_536, "GZIP", True, 7, "V2"),
            SchemaConfiguration(ROLE, "shop", "orders", ACCOUNT, "eu-west-1", "3"),
        ),
        backup=S3Backup("backup.lake", ROLE, "raw/", "raw-errors/", BufferingHints(1, 60), "Snappy"),
    )


def test_a2_3_the_default_size_is_128_mib_with_conversion() -> None:
    assert parsed(converting()).destination.buffering == BufferingHints(128, 300)


def test_a4_6_and_a4_8_defaults_of_the_transform() -> None:
    asked = request(ProcessingConfiguration=processing(function()))
    assert parsed(asked).destination.lambda_processor == LambdaProcessorConfig(LAMBDA, 3, 1.0, 60)


def test_a5_4_a5_7_and_a5_2_defaults_of_the_conversion() -> None:
    assert parsed(converting()).destination.conversion == FormatConversion(
        OpenXJsonSerDe(case_insensitive=True, convert_dots_in_json_keys_to_underscores=False),
        ParquetSerDe(268_435_456, 1_048_576, "SNAPPY", False, 0, "V1"),
        SchemaConfiguration(ROLE, "shop", "orders", None, None, "LATEST"),
    )


def test_a5_6_the_hive_deserializer() -> None:
    hive = {"Deserializer": {"HiveJsonSerDe": {"TimestampFormats": ["millis"]}}}
    conversion = parsed(converting(InputFormatConfiguration=hive)).destination.conversion
    assert conversion is not None
    assert conversion.deserializer == HiveJsonSerDe(("millis",))


def test_a1_16_conversion_is_on_unless_it_says_otherwise_and_processing_is_off() -> None:
    unsaid = {name: value for name, value in CONVERSION.items() if name != "Enabled"}
    assert parsed(request(DataFormatConversionConfiguration=unsaid)).destination.conversion is not None
    assert parsed(converting(Enabled=False)).destination.conversion is None
    assert parsed(request(DataFormatConversionConfiguration={})).destination.conversion is None
    off = processing(function(), enabled=False)
    assert parsed(request(ProcessingConfiguration=off)).destination.lambda_processor is None
    del off["Enabled"]
    assert parsed(request(ProcessingConfiguration=off)).destination.lambda_processor is None


def test_a7_13_a_backup_that_is_not_enabled_is_none() -> None:
    place = {"RoleARN": ROLE, "BucketARN": BUCKET}
    assert parsed(request(S3BackupMode="Disabled", S3BackupConfiguration=place)).destination.backup is None
    assert parsed(request(S3BackupConfiguration=place)).destination.backup is None
    assert parsed(request(S3BackupMode="Enabled", S3BackupConfiguration=place)).destination.backup == S3Backup(
        "lake", ROLE
    )


def test_a6_dynamic_partitioning_is_read() -> None:
    asked = request(**PARTITIONED_PREFIX, ProcessingConfiguration=processing(QUERY))
    assert parsed(asked).destination.dynamic_partitioning == DynamicPartitioning(retry_s=10, query="{c:.customer}")
    by_function = PARTITIONED_PREFIX | {
        "Prefix": "c=!{partitionKeyFromLambda:c}/",
        "DynamicPartitioningConfiguration": {"Enabled": True},
    }
    assert parsed(request(**by_function)).destination.dynamic_partitioning == DynamicPartitioning(300, None)
    assert parsed(request(DynamicPartitioningConfiguration={})).destination.dynamic_partitioning is None


def test_direct_put_has_no_source_and_ignores_a_source_configuration() -> None:
    assert parsed(with_member("DeliveryStreamType", "DirectPut")).source is None
    unsaid = copy.deepcopy(SMALLEST)
    del unsaid["DeliveryStreamType"]
    assert parsed(unsaid).source is None


# What is refused. (id, request, AWS's message)
HINTS = "BufferingHints"
DFCC = "DataFormatConversionConfiguration"
NO_SERIALIZER = CONVERSION | {"OutputFormatConfiguration": {"Serializer": {}}}
TWO: dict[str, Any] = {"OpenXJsonSerDe": {}, "HiveJsonSerDe": {}}
BACKUP = {"RoleARN": ROLE, "BucketARN": BUCKET}
DEAGGREGATION = {"Type": "RecordDeAggregation", "Parameters": []}
BOTH = "Both BufferSizeInMBs and BufferIntervalInSeconds are required to configure buffering for lambda processor."
ONE_TO_FIVE = "A maximum of 5 and a minimum of 1 processor needs to be supplied when processing is enabled."
JQ = "MetaDataExtraction JSON Parsing Engine has to be one of JQ-1.6"
RETRIES = "Number of retries for lambda must be between 0 and 300."
SIZE = "BufferSizeInMBs for lambda processor must be between 0.2 and 3."
INTERVAL = "BufferIntervalInSeconds for lambda processor must be between 0 and 900."
ZONE = (
    "Provided custom time zone is not supported. Custom time zones are limited to UTC and non-3-letter IANA time zones."
)
PARTITIONING_ONLY = (
    "class com.amazonaws.services.firehose.internal.model.{}Processor "
    "can only be present when Dynamic Partitioning is enabled."
)


def transforming(**parameters: str) -> dict[str, Any]:
    return request(ProcessingConfiguration=processing(function(**parameters)))


def partitioning(*processors: dict[str, Any], **s3: Any) -> dict[str, Any]:
    extra = {"ProcessingConfiguration": processing(*processors)} if processors else {}
    return request(**(PARTITIONED_PREFIX | extra | s3))


REFUSED: list[tuple[str, dict[str, Any], str]] = [
    (
        "a1_5_none",
        {n: v for n, v in SMALLEST.items() if n != "ExtendedS3DestinationConfiguration"},
        "Exactly one destination configuration is supported for a Firehose",
    ),
    (
        "a1_5_two",
        with_member("S3DestinationConfiguration", BACKUP),
        "Exactly one destination configuration is supported for a Firehose",
    ),
    (
        "a1_3_no_source",
        {n: v for n, v in SMALLEST.items() if n != "KinesisStreamSourceConfiguration"},
        "KinesisSourceStreamConfig is mandatory for KinesisStreamAsSource stream type.",
    ),
    (
        "a2_1_pair",
        request(BufferingHints={"SizeInMBs": 5}),
        "BufferingHints must have both SizeInMBs and IntervalInSeconds, or neither.",
    ),
    (
        "a2_1_pair_backup",
        request(S3BackupConfiguration=BACKUP | {HINTS: {"IntervalInSeconds": 60}}),
        "BufferingHints must have both SizeInMBs and IntervalInSeconds, or neither.",
    ),
    (
        "a2_3",
        request(**{HINTS: {"SizeInMBs": 63, "IntervalInSeconds": 60}, DFCC: CONVERSION}),
        "BufferingHints.SizeInMBs must be at least 64 when data format conversion is enabled.",
    ),
    (
        "a2_4_size",
        partitioning(BufferingHints={"SizeInMBs": 63, "IntervalInSeconds": 60}),
        "BufferingHints.SizeInMBs must be at least 64 when Dynamic Partitioning is enabled.",
    ),
    (
        "a2_4_default_size",
        partitioning(BufferingHints={}),
        "BufferingHints.SizeInMBs must be at least 64 when Dynamic Partitioning is enabled.",
    ),
    (
        "a2_4_interval",
        partitioning(BufferingHints={"SizeInMBs": 64, "IntervalInSeconds": 0}),
        "BufferingHints.IntervalInSeconds must be greater than 0 when Dynamic Partitioning is enabled.",
    ),
    (
        "a2_5",
        request(S3BackupConfiguration=BACKUP | {HINTS: {"SizeInMBs": 5, "IntervalInSeconds": 59}}),
        "BufferingHints.IntervalInSeconds for S3 backup must be between 60 and 900.",
    ),
    ("a3_3_arn", request(ProcessingConfiguration=processing({"Type": "Lambda"})),
     "LambdaArn is required when Lambda processor is used."),
    ("a3_4_none", request(ProcessingConfiguration=processing()), ONE_TO_FIVE),
    ("a3_4_unsaid", request(ProcessingConfiguration={"Enabled": True}), ONE_TO_FIVE),
    ("a3_4_six", request(ProcessingConfiguration=processing(*[function()] * 6)), ONE_TO_FIVE),
    (
        "a3_4_two_functions",
        request(ProcessingConfiguration=processing(function(), function())),
        "Cannot have more than 1 Lambda processor.",
    ),
    ("a3_5_query", request(ProcessingConfiguration=processing(QUERY)), PARTITIONING_ONLY.format("MetadataExtraction")),
    (
        "a3_5_deaggregation",
        request(ProcessingConfiguration=processing(DEAGGREGATION)),
        PARTITIONING_ONLY.format("RecordDeAggregation"),
    ),
    ("a4_6_size_alone", transforming(BufferSizeInMBs="1"), BOTH),
    ("a4_6_interval_alone", transforming(BufferIntervalInSeconds="60"), BOTH),
    ("a4_6_small", transforming(BufferSizeInMBs="0.19", BufferIntervalInSeconds="60"), SIZE),
    ("a4_6_large", transforming(BufferSizeInMBs="3.1", BufferIntervalInSeconds="60"), SIZE),
    ("a4_6_nan", transforming(BufferSizeInMBs="nan", BufferIntervalInSeconds="60"), SIZE),
    ("a4_6_long", transforming(BufferSizeInMBs="1", BufferIntervalInSeconds="901"), INTERVAL),
    ("a4_6_negative", transforming(BufferSizeInMBs="1", BufferIntervalInSeconds="-1"), INTERVAL),
    ("a4_6_fraction", transforming(BufferSizeInMBs="1", BufferIntervalInSeconds="60.5"), INTERVAL),
    ("x10_negative", transforming(NumberOfRetries="-1"), RETRIES),
    ("x10_many", transforming(NumberOfRetries="301"), RETRIES),
    ("x10_word", transforming(NumberOfRetries="three"), RETRIES),
    (
        "a5_1",
        request(**{DFCC: CONVERSION, "CompressionFormat": "GZIP"}),
        "The S3 destination's compression format must be set to UNCOMPRESSED when data format conversion is enabled",
    ),
    ("a5_2_no_input", request(**{DFCC: {n: v for n, v in CONVERSION.items() if n != "InputFormatConfiguration"}}),
     "InputFormatConfiguration must not be null"),
    ("a5_2_no_schema", request(**{DFCC: {n: v for n, v in CONVERSION.items() if n != "SchemaConfiguration"}}),
     "SchemaConfiguration must not be null"),
    ("a5_2_no_serializer", request(**{DFCC: NO_SERIALIZER}), "Serializer must not be null"),
    (
        "a5_2_two_deserializers",
        converting(InputFormatConfiguration={"Deserializer": TWO}),
        "More than one deserializer specified. Only one may be chosen.",
    ),
    (
        "a5_2_two_serializers",
        converting(OutputFormatConfiguration={"Serializer": {"ParquetSerDe": {}, "OrcSerDe": {}}}),
        "More than one serializer specified. Only one may be chosen.",
    ),
    (
        "a5_2_no_table",
        converting(SchemaConfiguration={"RoleARN": ROLE, "DatabaseName": "shop"}),
        "SchemaConfiguration.TableName must not be null",
    ),
    (
        "a6_1",
        partitioning(Prefix="no-keys/"),
        "S3 Prefix should contain Dynamic Partitioning namespaces when Dynamic Partitioning is enabled",
    ),
    (
        "a6_1_error_prefix",
        partitioning(ErrorOutputPrefix=""),
        "ErrorOutputPrefix cannot be null or empty when Prefix contains expressions",
    ),
    ("a6_2_no_query", partitioning({"Type": "MetadataExtraction", "Parameters": QUERY["Parameters"][1:]}), JQ),
    ("a6_2_no_engine", partitioning({"Type": "MetadataExtraction", "Parameters": QUERY["Parameters"][:1]}), JQ),
    (
        "a6_5",
        request(Prefix="!{partitionKeyFromLambda:c}/", ErrorOutputPrefix="!{firehose:error-output-type}/"),
        "Dynamic Partitioning Namespaces can only be part of a prefix expression "
        "when Dynamic Partitioning is enabled.",
    ),
    (
        "a6_5_backup",
        partitioning(
            S3BackupConfiguration=BACKUP
            | {"Prefix": "!{partitionKeyFromLambda:c}/", "ErrorOutputPrefix": "!{firehose:error-output-type}/"}
        ),
        "Dynamic Partitioning Namespaces can only be part of a prefix expression "
        "when Dynamic Partitioning is enabled.",
    ),
    ("a6_9_type", partitioning(DEAGGREGATION), "SubRecordType has to be one of JSON, DELIMITED"),
    (
        "a6_9_delimiter",
        partitioning(
            DEAGGREGATION | {"Parameters": [{"ParameterName": "SubRecordType", "ParameterValue": "DELIMITED"}]}
        ),
        "Delimiter should be present for DELIMITED",
    ),
    ("a7_4_unknown", request(CustomTimeZone="Mars/Olympus"), ZONE),
    ("a7_4_three_letters", request(CustomTimeZone="EST"), ZONE),
    ("a7_4_folder", request(CustomTimeZone="America"), ZONE),
    (
        "a7_6",
        request(Prefix="!{firehose:error-output-type}/"),
        "Prefix must not contain any occurrence of !{firehose:error-output-type}",
    ),
    (
        "a7_7",
        request(Prefix="!{timestamp:yyyy}/"),
        "ErrorOutputPrefix cannot be null or empty when Prefix contains expressions",
    ),
    (
        "a7_7_backup",
        request(S3BackupConfiguration=BACKUP | {"Prefix": "!{timestamp:yyyy}/"}),
        "ErrorOutputPrefix cannot be null or empty when Prefix contains expressions",
    ),
    (
        "a7_13",
        request(S3BackupMode="Enabled"),
        "S3 backup destination configuration is required when enabling S3 backup.",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("asked", "message"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_rules_answer_with_the_words_of_aws(asked: dict[str, Any], message: str) -> None:
    assert refusal(asked) == message


# The service model: (id, request, what the message must say)
MODEL: list[tuple[str, dict[str, Any], str]] = [
    ("a1_2_empty", with_member("DeliveryStreamName", ""), "valid min length: 1"),
    (
        "a1_2_long",
        with_member("DeliveryStreamName", "n" * 65),
        f"1 validation error detected: Value '{'n' * 65}' at 'deliveryStreamName' failed to satisfy constraint: "
        "Member must have length less than or equal to 64",
    ),
    (
        "a1_2_pattern",
        with_member("DeliveryStreamName", "my stream"),
        "at 'deliveryStreamName' failed to satisfy constraint: "
        "Member must satisfy regular expression pattern: [a-zA-Z0-9_.-]+",
    ),
    ("a1_3", with_member("DeliveryStreamType", "Sqs"), "Member must satisfy enum value set: [DirectPut, "),
    (
        "a2_1_size",
        request(BufferingHints={"SizeInMBs": 129, "IntervalInSeconds": 60}),
        "Value '129' at 'extendedS3DestinationConfiguration.bufferingHints.sizeInMBs' failed to satisfy constraint: "
        "Member must have value less than or equal to 128",
    ),
    ("a2_1_no_size", request(BufferingHints={"SizeInMBs": 0, "IntervalInSeconds": 60}), "valid min value: 1"),
    (
        "a2_1_interval",
        request(BufferingHints={"SizeInMBs": 5, "IntervalInSeconds": 901}),
        "bufferingHints.intervalInSeconds' failed to satisfy constraint: "
        "Member must have value less than or equal to 900",
    ),
    (
        "a3_3_name",
        request(ProcessingConfiguration=processing(function(Speed="1"))),
        "processors.1.member.parameters.2.member.parameterName' failed",
    ),
    (
        "a3_3_long",
        request(ProcessingConfiguration=processing(function(RoleArn="x" * 5121))),
        "Member must have length less than or equal to 5120",
    ),
    (
        "a5_7_block",
        converting(OutputFormatConfiguration={"Serializer": {"ParquetSerDe": {"BlockSizeBytes": (64 << 20) - 1}}}),
        "valid min value: 67108864",
    ),
    (
        "a5_7_page",
        converting(OutputFormatConfiguration={"Serializer": {"ParquetSerDe": {"PageSizeBytes": (64 << 10) - 1}}}),
        "valid min value: 65536",
    ),
    (
        "a5_7_compression",
        converting(OutputFormatConfiguration={"Serializer": {"ParquetSerDe": {"Compression": "ZSTD"}}}),
        "Member must satisfy enum value set: [UNCOMPRESSED, GZIP, SNAPPY]",
    ),
    ("a6_11", partitioning(DynamicPartitioningConfiguration={"RetryOptions": {"DurationInSeconds": 7201}}), "7200"),
    ("a7_4", request(CustomTimeZone="UTC+1"), "Member must satisfy regular expression pattern: ^$|[a-zA-Z/_]+"),
    ("a7_4_long", request(CustomTimeZone="a" * 51), "Member must have length less than or equal to 50"),
    ("a7_8_raw", request(Prefix="p" * 1025), "Member must have length less than or equal to 1024"),
    ("a7_9", request(CompressionFormat="ZSTD"), "Member must satisfy enum value set: [UNCOMPRESSED, GZIP, ZIP, "),
    ("a7_10", request(FileExtension="json"), "fileExtension' failed to satisfy constraint"),
    ("a7_10_upper", request(FileExtension=".JSON"), "fileExtension' failed to satisfy constraint"),
    ("missing", with_member("ExtendedS3DestinationConfiguration", {"RoleARN": ROLE}), "Missing required parameter"),
    ("unknown", request(Colour="red"), "Unknown parameter"),
    ("type", request(Prefix=5), "Invalid type for parameter ExtendedS3DestinationConfiguration.Prefix"),
    (
        "map",
        converting(
            InputFormatConfiguration={"Deserializer": {"OpenXJsonSerDe": {"ColumnToJsonKeyMappings": {"a b": "c"}}}}
        ),
        r"Member must satisfy regular expression pattern: ^\S+$",
    ),
]


@pytest.mark.parametrize(("asked", "part"), [row[1:] for row in MODEL], ids=[row[0] for row in MODEL])
def test_the_service_model_is_enforced(asked: dict[str, Any], part: str) -> None:
    assert part in refusal(asked)


def test_all_violations_of_the_model_are_told_at_once() -> None:
    asked = with_member("DeliveryStreamName", "a b") | {"DeliveryStreamType": "Sqs"}
    assert refusal(asked).startswith("2 validation errors detected: Value 'a b' at 'deliveryStreamName' failed")


def test_tags_pass_the_unicode_patterns_of_the_model() -> None:
    assert parsed(with_member("Tags", [{"Key": "équipe", "Value": "données 1"}])).name == "orders"
    assert "tags.1.member.key" in refusal(with_member("Tags", [{"Key": "aws:mine"}]))


@pytest.mark.parametrize(
    ("asked", "what"),
    [
        (
            {n: v for n, v in SMALLEST.items() if not n.startswith("Extended")}
            | {"HttpEndpointDestinationConfiguration": {
                "EndpointConfiguration": {"Url": "https://example.com"}, "S3Configuration": BACKUP}},
            "The destination HttpEndpointDestinationConfiguration",
        ),
        (
            {n: v for n, v in SMALLEST.items() if not n.startswith("Extended")}
            | {"S3DestinationConfiguration": BACKUP},
            "The destination S3DestinationConfiguration",
        ),
        (with_member("DeliveryStreamType", "MSKAsSource"), "The source MSKAsSource"),
        (
            converting(OutputFormatConfiguration={"Serializer": {"OrcSerDe": {}}}),
            "The serializer OrcSerDe",
        ),
        (request(ProcessingConfiguration=processing({"Type": "Decompression"})), "The processor Decompression"),
    ],
)  # fmt: skip
def test_what_is_not_there_yet_is_refused_in_one_sentence(asked: dict[str, Any], what: str) -> None:
    assert refusal(asked) == f"{what} is not supported yet."


def test_edges_of_the_ranges_are_taken() -> None:
    assert parsed(with_member("DeliveryStreamName", "n" * 64)).name == "n" * 64
    for hints in ((1, 0), (128, 900)):
        asked = request(BufferingHints=dict(zip(("SizeInMBs", "IntervalInSeconds"), hints, strict=True)))
        assert parsed(asked).destination.buffering == BufferingHints(*hints)
    for size, interval, retries in (("0.2", "0", "0"), ("3", "900", "300")):
        asked = transforming(BufferSizeInMBs=size, BufferIntervalInSeconds=interval, NumberOfRetries=retries)
        assert parsed(asked).destination.lambda_processor == LambdaProcessorConfig(
            LAMBDA, int(retries), float(size), int(interval)
        )
