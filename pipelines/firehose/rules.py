"""What AWS checks of a CreateDeliveryStream request beyond its shape, with AWS's messages.

`RULES` is the table: each rule is a function named after the row it implements, from the extended S3 destination (as
AWS's JSON has it) to the message AWS answers with, or None. The first that speaks is the answer.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any, Final

from pipelines.firehose.prefix import check_prefixes

Request = Mapping[str, Any]
Rule = Callable[[Request], str | None]

_ONCE: Final = {
    "Lambda": "Cannot have more than 1 Lambda processor.",
    "MetadataExtraction": "Cannot have more than 1 MetadataExtraction processor.",
    "RecordDeAggregation": "Cannot have more than 1 RecordDeAggregation processor.",
    "AppendDelimiterToRecord": "Cannot have more than 1 AppendDelimiterToRecord processor.",
}


def processors(s3: Request) -> list[Request]:
    """The declared processors, where processing is enabled (A1.16: disabled unless it says so)."""
    processing = s3.get("ProcessingConfiguration") or {}
    return list(processing.get("Processors") or []) if processing.get("Enabled") else []


def parameters(processor: Request) -> dict[str, str]:
    """A processor's parameters by name."""
    return {p["ParameterName"]: p["ParameterValue"] for p in processor.get("Parameters") or []}


def is_converting(s3: Request) -> bool:
    """Whether format conversion is on (A1.16: it is unless it says otherwise)."""
    conversion = s3.get("DataFormatConversionConfiguration")
    return conversion is not None and bool(conversion) and conversion.get("Enabled", True) is not False


def is_partitioning(s3: Request) -> bool:
    """Whether dynamic partitioning is on (A6.1)."""
    return bool((s3.get("DynamicPartitioningConfiguration") or {}).get("Enabled"))


def _a2_1(s3: Request) -> str | None:
    for hints, what in _hints(s3):
        if ("SizeInMBs" in hints) != ("IntervalInSeconds" in hints):
            return f"Both BufferSizeInMBs and BufferIntervalInSeconds are required to configure buffering for {what}."
    return None


def _a2_1_ranges(s3: Request) -> str | None:
    for hints, what in _hints(s3):
        if not 1 <= hints.get("SizeInMBs", 1) <= 128:
            return f"BufferingHints.SizeInMBs for {what} must be between 1 and 128."
        if not 0 <= hints.get("IntervalInSeconds", 0) <= 900:
            return f"BufferingHints.IntervalInSeconds for {what} must be between 0 and 900."
    return None


def _a2_3(s3: Request) -> str | None:
    if is_converting(s3) and (s3.get("BufferingHints") or {}).get("SizeInMBs", 128) < 64:
        return "BufferingHints.SizeInMBs must be at least 64 when data format conversion is enabled."
    return None


def _a2_4(s3: Request) -> str | None:
    hints = s3.get("BufferingHints") or {}
    if is_partitioning(s3) and hints.get("SizeInMBs", 64) < 64:
        return "BufferingHints.SizeInMBs must be at least 64 when Dynamic Partitioning is enabled."
    if is_partitioning(s3) and hints.get("IntervalInSeconds", 300) == 0:
        return "BufferingHints.IntervalInSeconds cannot be 0 when Dynamic Partitioning is enabled."
    return None


def _a2_5(s3: Request) -> str | None:
    backup = s3.get("S3BackupConfiguration") or {}
    if not 60 <= (backup.get("BufferingHints") or {}).get("IntervalInSeconds", 300) <= 900:
        return "BufferingHints.IntervalInSeconds for S3 backup must be between 60 and 900."
    return None


def _a3_4(s3: Request) -> str | None:
    if (s3.get("ProcessingConfiguration") or {}).get("Enabled") and not 1 <= len(processors(s3)) <= 5:
        return "A maximum of 5 and a minimum of 1 processor needs to be supplied when processing is enabled."
    return None


def _a3_4_once(s3: Request) -> str | None:
    kinds = sorted(processor["Type"] for processor in processors(s3))
    return next((_ONCE[kind] for kind, again in pairwise(kinds) if kind == again and kind in _ONCE), None)


def _a3_5(s3: Request) -> str | None:
    for processor in processors(s3):
        if processor["Type"] in {"MetadataExtraction", "RecordDeAggregation"} and not is_partitioning(s3):
            return f"{processor['Type']} processor can only be present when Dynamic Partitioning is enabled."
    return None


def _a4_6(s3: Request) -> str | None:
    given = next((parameters(p) for p in processors(s3) if p["Type"] == "Lambda"), None)
    if given is None:
        return None
    size, interval = given.get("BufferSizeInMBs"), given.get("BufferIntervalInSeconds")
    if (size is None) != (interval is None):
        return (
            "Both BufferSizeInMBs and BufferIntervalInSeconds are required to configure buffering for lambda processor."
        )
    if not _within(size, 0.2, 3):
        return "BufferSizeInMBs for lambda processor must be between 0.2 and 3."
    if not _within(interval, 0, 900):
        return "BufferIntervalInSeconds for lambda processor must be between 0 and 900."
    return None


def _x10(s3: Request) -> str | None:
    for processor in processors(s3):
        if not _within(parameters(processor).get("NumberOfRetries"), 0, 300, whole=True):
            return "NumberOfRetries for lambda processor must be between 0 and 300."
    return None


def _lambda_arn(s3: Request) -> str | None:
    for processor in processors(s3):
        if processor["Type"] == "Lambda" and not parameters(processor).get("LambdaArn"):
            return "LambdaArn should be present for Lambda processor."
    return None


def _a5_1(s3: Request) -> str | None:
    if is_converting(s3) and s3.get("CompressionFormat", "UNCOMPRESSED") != "UNCOMPRESSED":
        return (
            "The S3 destination's compression format must be set to UNCOMPRESSED when data format conversion is enabled"
        )
    return None


def _a5_2(s3: Request) -> str | None:
    if not is_converting(s3):
        return None
    conversion = s3["DataFormatConversionConfiguration"]
    deserializer = (conversion.get("InputFormatConfiguration") or {}).get("Deserializer") or {}
    serializer = (conversion.get("OutputFormatConfiguration") or {}).get("Serializer") or {}
    for what, chosen in (("deserializer", deserializer), ("serializer", serializer)):
        if len(chosen) > 1:
            return f"More than one {what} specified. Only one may be chosen."
        if not chosen:
            return f"No {what} specified. One must be chosen."
    schema = conversion.get("SchemaConfiguration") or {}
    missing = [name for name in ("RoleARN", "DatabaseName", "TableName") if not schema.get(name)]
    if missing:
        return f"SchemaConfiguration.{missing[0]} is required when data format conversion is enabled."
    return None


def _a5_7(s3: Request) -> str | None:
    if not is_converting(s3):
        return None
    serializer = s3["DataFormatConversionConfiguration"]["OutputFormatConfiguration"]["Serializer"]
    parquet = serializer.get("ParquetSerDe") or {}
    if parquet.get("BlockSizeBytes", 1 << 28) < 64 << 20:
        return "ParquetSerDe.BlockSizeBytes must be at least 67108864."
    if parquet.get("PageSizeBytes", 1 << 20) < 64 << 10:
        return "ParquetSerDe.PageSizeBytes must be at least 65536."
    return None


def _a7_4(s3: Request) -> str | None:
    if not re.fullmatch(r"|[a-zA-Z/_]+", s3.get("CustomTimeZone", "")):
        return "CustomTimeZone must be empty or consist of letters, slashes and underscores."
    return None


def _a7_10(s3: Request) -> str | None:
    if not re.fullmatch(r"|\.[0-9a-z!\-_.*'()]+", s3.get("FileExtension", "")):
        return "FileExtension must begin with a period and hold only 0-9 a-z ! - _ . * ' ( )."
    return None


def _a7_13(s3: Request) -> str | None:
    if s3.get("S3BackupMode") == "Enabled" and not s3.get("S3BackupConfiguration"):
        return "S3 backup destination configuration is required when enabling S3 backup."
    return None


def _a7_6_to_a7_8(s3: Request) -> str | None:
    for place in (s3, s3.get("S3BackupConfiguration") or {}):
        message = check_prefixes(
            place.get("Prefix", ""),
            place.get("ErrorOutputPrefix", ""),
            partitioning=is_partitioning(s3) and place is s3,
        )
        if message:
            return message
    return None


RULES: Final[Sequence[Rule]] = (
    _a2_1, _a2_1_ranges, _a2_3, _a2_4, _a2_5, _a3_4, _a3_4_once, _a3_5, _lambda_arn, _a4_6, _x10,
    _a5_1, _a5_2, _a5_7, _a7_4, _a7_10, _a7_13, _a7_6_to_a7_8,
)  # fmt: skip


def first_violation(s3: Request) -> str | None:
    """AWS's message for the first rule that `s3`, an extended S3 destination, breaks; None when it breaks none."""
    return next((message for rule in RULES if (message := rule(s3))), None)


def _hints(s3: Request) -> Iterator[tuple[Request, str]]:
    yield s3.get("BufferingHints") or {}, "the S3 destination"
    yield (s3.get("S3BackupConfiguration") or {}).get("BufferingHints") or {}, "S3 backup"


def _within(text: str | None, low: float, high: float, *, whole: bool = False) -> bool:
    if text is None:
        return True
    try:
        return low <= (int(text) if whole else float(text)) <= high
    except ValueError:
        return False
