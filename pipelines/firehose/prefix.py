"""S3 prefixes with expressions: `!{timestamp:...}`, `!{firehose:...}`, `!{partitionKeyFrom...:...}` (A7.2 to A7.8)."""

import random
import re
import string
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pipelines.firehose.java_time import PatternError, format_time
from pipelines.runtime.errors import ConfigurationError

ERROR_OUTPUT_TYPES: Final = frozenset({
    "processing-failed", "AmazonOpenSearchService-failed", "splunk-failed", "format-conversion-failed",
    "http-endpoint-failed", "decompression-failed", "snowflake-failed",
})  # fmt: skip
"""The values of `!{firehose:error-output-type}` (A7.6)."""

MAX_EVALUATED: Final = 512
MAX_RAW: Final = 1024

_DEFAULT_DATE: Final = "yyyy/MM/dd/HH/"  # X4
_EXPRESSION: Final = re.compile(r"!\{([^{}:]*):([^{}]*)\}")
_NAMESPACES: Final = ("timestamp", "firehose", "partitionKeyFromQuery", "partitionKeyFromLambda")
_REFUSED_ALONE: Final = frozenset("CIJPRTUVbfijloprt")
_BAD_CHARACTER: Final = "Invalid conversion character used in the value of the expression in Prefix"


@dataclass(frozen=True)
class Prefix:
    """A prefix that passed the checks.

    Attributes:
        text: as configured.
        zone: name of the time zone its timestamps are in (A7.4).
        appended: DateTimeFormatter pattern that follows it by default (A7.2), or nothing.
        error_folder: whether the error-output-type stands behind `text` by default (X6).
    """

    text: str
    zone: str = "UTC"
    appended: str = ""
    error_folder: bool = False

    def evaluate(
        self,
        oldest_arrival_ms: int,
        *,
        rng: random.Random,
        error_output_type: str | None = None,
        partition_keys: Mapping[str, str] | None = None,
    ) -> str:
        """The prefix of one object.

        Args:
            oldest_arrival_ms: arrival of the object's oldest record, ms since the epoch: the instant of every
                timestamp in it, with second precision (A7.3).
            rng: makes the random strings (A7.5).
            error_output_type: one of `ERROR_OUTPUT_TYPES`, in an error prefix.
            partition_keys: values of the partitionKeyFrom namespaces.

        Raises:
            ConfigurationError: the result is longer than 512 characters (A7.8).
        """
        moment = datetime.fromtimestamp(oldest_arrival_ms // 1000, UTC).astimezone(self._zone)

        def value(match: re.Match[str]) -> str:
            namespace, expression = match.groups()
            if namespace == "timestamp":
                return format_time(expression, moment)
            if namespace == "firehose":
                if expression == "random-string":
                    return "".join(rng.choices(string.ascii_letters + string.digits, k=11))
                return error_output_type or ""
            return (partition_keys or {})[expression]

        evaluated = _EXPRESSION.sub(value, self.text)
        if len(evaluated) > MAX_EVALUATED:
            message = "Length of evaluated prefix/ErrorOutputPrefix cannot be greater than 512"
            raise ConfigurationError(message, fix=f"shorten {self.text!r}")
        if self.error_folder and error_output_type:
            evaluated += f"{error_output_type}/"
        return evaluated + (format_time(self.appended, moment) if self.appended else "")

    @cached_property
    def _zone(self) -> ZoneInfo:
        return ZoneInfo(self.zone or "UTC")


def compile_prefix(text: str, custom_time_zone: str = "UTC") -> Prefix:
    """A Prefix. Without a timestamp or a partition key in it the date follows, with no slash between (A7.2, X5).

    Raises:
        ConfigurationError: a broken expression, with AWS's message, or an unknown time zone.
    """
    _raise_for(next(_problems(text, is_error_prefix=False), None))
    dated = "!{timestamp:" in text or "!{partitionKeyFrom" in text
    return Prefix(text, _known_zone(custom_time_zone), "" if dated else _DEFAULT_DATE)


def compile_error_prefix(text: str, data_prefix: str = "", custom_time_zone: str = "UTC") -> Prefix:
    """An ErrorOutputPrefix; without one, errors go to the data prefix, the error-output-type and the date (X6).

    Raises:
        ConfigurationError: a broken expression, with AWS's message, or an unknown time zone.
    """
    _raise_for(next(_problems(text, is_error_prefix=True), None))
    zone = _known_zone(custom_time_zone)
    if not text:
        return Prefix(data_prefix, zone, _DEFAULT_DATE, error_folder=True)
    if "!{" not in text:
        return Prefix(text, zone, _DEFAULT_DATE, error_folder=True)
    return Prefix(text, zone)


def check_prefixes(prefix: str, error_prefix: str, *, partitioning: bool) -> str | None:
    """AWS's message for the first thing wrong with the two prefixes of a destination, or None (A6.5, A7.6 to A7.8)."""
    problem = next(_problems(prefix, is_error_prefix=False), None) or next(
        _problems(error_prefix, is_error_prefix=True), None
    )
    if problem:
        return problem
    keyed = "!{partitionKeyFrom" in prefix
    if keyed and not partitioning:
        return (
            "Dynamic Partitioning Namespaces can only be part of a prefix expression "
            "when Dynamic Partitioning is enabled."
        )
    if partitioning and not keyed:
        return "S3 Prefix should contain Dynamic Partitioning namespaces when Dynamic Partitioning is enabled"
    if "!{" in prefix and not error_prefix:
        return "ErrorOutputPrefix cannot be null or empty when Prefix contains expressions"
    return None


def hive_partitions(folders: str) -> dict[str, str]:
    """The `name=value/` folders of an evaluated prefix, in order: what names a Glue partition."""
    parts = (folder.partition("=") for folder in folders.split("/"))
    return {name: value for name, equals, value in parts if name and equals}


def _problems(text: str, *, is_error_prefix: bool) -> Iterator[str]:
    if len(text) > MAX_RAW:
        yield "Length of Prefix/ErrorOutputPrefix cannot be greater than 1024"
    for namespace, expression in _EXPRESSION.findall(text):
        if namespace not in _NAMESPACES:
            yield f"Namespace to the left of colon ({namespace}) is an invalid keyword!"
        elif namespace == "timestamp":
            yield from _pattern_problems(expression)
        elif namespace == "firehose":
            if expression == "error-output-type" and not is_error_prefix:
                yield "Prefix must not contain any occurrence of !{firehose:error-output-type}"
            elif expression not in ("error-output-type", "random-string"):
                yield f"Expression {expression} of the namespace firehose is invalid"
        elif is_error_prefix:
            yield "Dynamic Partitioning Namespaces can't be part of an error prefix expression."
        elif not expression:
            yield "Invalid expression usage"
    if "!{" in _EXPRESSION.sub("", text):
        yield "Invalid expression usage"
    if is_error_prefix and "!{" in text and "!{firehose:error-output-type}" not in text:
        yield "ErrorOutputPrefix must contain at least one instance of !{firehose:error-output-type}"


def _pattern_problems(pattern: str) -> Iterator[str]:
    try:
        if pattern in _REFUSED_ALONE:
            yield _BAD_CHARACTER
        else:
            format_time(pattern, datetime(2013, 1, 1, tzinfo=UTC))
    except PatternError:
        yield _BAD_CHARACTER


def _known_zone(name: str) -> str:
    try:
        ZoneInfo(name or "UTC")
    except (ZoneInfoNotFoundError, ValueError) as error:
        message = f"CustomTimeZone {name!r} is not a known time zone."
        raise ConfigurationError(message, fix="use a name of the tz database, e.g. America/New_York") from error
    return name or "UTC"


def _raise_for(problem: str | None) -> None:
    if problem:
        raise ConfigurationError(problem)
