"""What AWS checks of a delivery stream's S3 destination beyond its shape, with AWS's messages.

`RULES` is the table: each rule is a function named after the row it implements, from the extended S3 destination (as
AWS's JSON has it) to the message AWS answers with, or None. The first that speaks is the answer. Where no record of
AWS's words is to be had, the words are ours.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from pipelines.firehose.config import CONVERSION_SIZE_MIB, DEFAULT_SIZE_MIB
from pipelines.firehose.prefix import check_prefixes, check_time_zone

Request = Mapping[str, Any]
Rule = Callable[[Request], str | None]

_MOST_RETRIES: Final = 300
_LEAST_SIZE_MIB: Final = 64  # with format conversion, and with dynamic partitioning
_PARTITIONING_ONLY: Final = ("MetadataExtraction", "RecordDeAggregation")


def processors(s3: Request) -> list[Request]:
    """The declared processors, where processing is enabled (A1.16: disabled unless it says so)."""
    processing = s3.get("ProcessingConfiguration") or {}
    return list(processing.get("Processors") or []) if processing.get("Enabled") else []


def parameters(processor: Request) -> dict[str, str]:
    """A processor's parameters by name."""
    return {p["ParameterName"]: p["ParameterValue"] for p in processor.get("Parameters") or []}


def is_converting(s3: Request) -> bool:
    """Whether format conversion is on (A1.16: it is unless it says otherwise)."""
    conversion = s3.get("DataFormatConversionConfiguration") or {"Enabled": False}
    return bool(conversion.get("Enabled", True))


def is_partitioning(s3: Request) -> bool:
    """Whether dynamic partitioning is on (A6.1)."""
    return bool((s3.get("DynamicPartitioningConfiguration") or {}).get("Enabled"))


def size_mib(s3: Request) -> int:
    """The size hint of the destination, or its default (A2.1, A2.3)."""
    return int(_hints(s3).get("SizeInMBs", CONVERSION_SIZE_MIB if is_converting(s3) else DEFAULT_SIZE_MIB))


def _a2_1_hints_come_in_pairs(s3: Request) -> str | None:
    for hints in (_hints(s3), _hints(_backup(s3))):
        if ("SizeInMBs" in hints) != ("IntervalInSeconds" in hints):
            return "BufferingHints must have both SizeInMBs and IntervalInSeconds, or neither."
    return None


def _a2_3_conversion_needs_64_mib(s3: Request) -> str | None:
    if is_converting(s3) and size_mib(s3) < _LEAST_SIZE_MIB:
        return "BufferingHints.SizeInMBs must be at least 64 when data format conversion is enabled."
    return None


def _a2_4_partitioning_needs_64_mib(s3: Request) -> str | None:
    if is_partitioning(s3) and size_mib(s3) < _LEAST_SIZE_MIB:
        return "BufferingHints.SizeInMBs must be at least 64 when Dynamic Partitioning is enabled."
    return None


def _a2_4_partitioning_needs_an_interval(s3: Request) -> str | None:
    if is_partitioning(s3) and _hints(s3).get("IntervalInSeconds") == 0:
        return "BufferingHints.IntervalInSeconds must be greater than 0 when Dynamic Partitioning is enabled."
    return None


def _a2_5_backup_interval(s3: Request) -> str | None:
    if _hints(_backup(s3)).get("IntervalInSeconds", 300) < 60:
        return "BufferingHints.IntervalInSeconds for S3 backup must be between 60 and 900."
    return None


def _a3_4_one_to_five_processors(s3: Request) -> str | None:
    if (s3.get("ProcessingConfiguration") or {}).get("Enabled") and not 1 <= len(processors(s3)) <= 5:
        return "A maximum of 5 and a minimum of 1 processor needs to be supplied when processing is enabled."
    return None


def _a3_4_each_type_once(s3: Request) -> str | None:
    counts = Counter(processor["Type"] for processor in processors(s3))
    return next((f"Cannot have more than 1 {kind} processor." for kind, many in counts.items() if many > 1), None)


def _a3_5_partitioning_processors(s3: Request) -> str | None:
    for processor in processors(s3):
        kind = processor["Type"]
        if kind in _PARTITIONING_ONLY and not is_partitioning(s3):
            return (
                f"class com.amazonaws.services.firehose.internal.model.{kind}Processor "
                "can only be present when Dynamic Partitioning is enabled."
            )
    return None


def _a3_3_lambda_arn(s3: Request) -> str | None:
    if any("LambdaArn" not in given for given in _parameters_of(s3, "Lambda")):
        return "LambdaArn is required when Lambda processor is used."
    return None


def _a4_6_lambda_hints(s3: Request) -> str | None:
    for given in _parameters_of(s3, "Lambda"):
        if ("BufferSizeInMBs" in given) != ("BufferIntervalInSeconds" in given):
            return (
                "Both BufferSizeInMBs and BufferIntervalInSeconds are required "
                "to configure buffering for lambda processor."
            )
        if not _within(given.get("BufferSizeInMBs", "1"), float, 0.2, 3):
            return "BufferSizeInMBs for lambda processor must be between 0.2 and 3."
        if not _within(given.get("BufferIntervalInSeconds", "60"), int, 0, 900):
            return "BufferIntervalInSeconds for lambda processor must be between 0 and 900."
    return None


def _x10_lambda_retries(s3: Request) -> str | None:
    for given in _parameters_of(s3, "Lambda"):
        if not _within(given.get("NumberOfRetries", "3"), int, 0, _MOST_RETRIES):
            return "Number of retries for lambda must be between 0 and 300."
    return None


def _a5_1_no_compression_outside(s3: Request) -> str | None:
    if is_converting(s3) and s3.get("CompressionFormat", "UNCOMPRESSED") != "UNCOMPRESSED":
        return (
            "The S3 destination's compression format must be set to UNCOMPRESSED when data format conversion is enabled"
        )
    return None


def _a5_2_conversion_is_whole(s3: Request) -> str | None:
    if not is_converting(s3):
        return None
    conversion = s3["DataFormatConversionConfiguration"]
    for part in ("InputFormatConfiguration", "OutputFormatConfiguration", "SchemaConfiguration"):
        if part not in conversion:
            return f"{part} must not be null"
    for part, choice in (("InputFormatConfiguration", "Deserializer"), ("OutputFormatConfiguration", "Serializer")):
        chosen = conversion[part].get(choice) or {}
        if len(chosen) > 1:
            return f"More than one {choice.lower()} specified. Only one may be chosen."
        if not chosen:
            return f"{choice} must not be null"
    missing = (n for n in ("RoleARN", "DatabaseName", "TableName") if n not in conversion["SchemaConfiguration"])
    return next((f"SchemaConfiguration.{name} must not be null" for name in missing), None)


def _a6_2_query_is_jq(s3: Request) -> str | None:
    for given in _parameters_of(s3, "MetadataExtraction"):
        if given.get("JsonParsingEngine") != "JQ-1.6" or "MetadataExtractionQuery" not in given:
            return "MetaDataExtraction JSON Parsing Engine has to be one of JQ-1.6"
    return None


def _a6_9_sub_records(s3: Request) -> str | None:
    for given in _parameters_of(s3, "RecordDeAggregation"):
        if given.get("SubRecordType") not in ("JSON", "DELIMITED"):
            return "SubRecordType has to be one of JSON, DELIMITED"
        if given["SubRecordType"] == "DELIMITED" and "Delimiter" not in given:
            return "Delimiter should be present for DELIMITED"
    return None


def _a7_4_time_zone(s3: Request) -> str | None:
    return check_time_zone(s3.get("CustomTimeZone", ""))


def _a7_5_to_a7_8_prefixes(s3: Request) -> str | None:
    """Also A6.1 and A6.5: what dynamic partitioning asks of a prefix."""
    zone = s3.get("CustomTimeZone", "")
    own = check_prefixes(
        s3.get("Prefix", ""), s3.get("ErrorOutputPrefix", ""), partitioning=is_partitioning(s3), zone=zone
    )
    backup = _backup(s3)
    return own or check_prefixes(
        backup.get("Prefix", ""), backup.get("ErrorOutputPrefix", ""), partitioning=False, zone=zone
    )


def _a7_13_backup_has_a_place(s3: Request) -> str | None:
    if s3.get("S3BackupMode") == "Enabled" and not _backup(s3):
        return "S3 backup destination configuration is required when enabling S3 backup."
    return None


RULES: Final[Sequence[Rule]] = (
    _a2_1_hints_come_in_pairs,
    _a2_3_conversion_needs_64_mib,
    _a2_4_partitioning_needs_64_mib,
    _a2_4_partitioning_needs_an_interval,
    _a2_5_backup_interval,
    _a3_4_one_to_five_processors,
    _a3_4_each_type_once,
    _a3_5_partitioning_processors,
    _a3_3_lambda_arn,
    _a4_6_lambda_hints,
    _x10_lambda_retries,
    _a5_1_no_compression_outside,
    _a5_2_conversion_is_whole,
    _a6_2_query_is_jq,
    _a6_9_sub_records,
    _a7_4_time_zone,
    _a7_5_to_a7_8_prefixes,
    _a7_13_backup_has_a_place,
)


def first_violation(s3: Request) -> str | None:
    """AWS's message for the first rule that `s3`, an extended S3 destination, breaks; None when it breaks none."""
    return next((message for rule in RULES if (message := rule(s3))), None)


def _hints(place: Request) -> Request:
    return place.get("BufferingHints") or {}


def _backup(s3: Request) -> Request:
    return s3.get("S3BackupConfiguration") or {}


def _parameters_of(s3: Request, kind: str) -> Iterator[dict[str, str]]:
    return (parameters(processor) for processor in processors(s3) if processor["Type"] == kind)


def _within(text: str, number: Callable[[str], float], low: float, high: float) -> bool:
    try:
        return low <= number(text) <= high
    except ValueError:
        return False
