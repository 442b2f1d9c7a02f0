"""S3 prefixes with expressions: `!{timestamp:...}`, `!{firehose:...}`, `!{partitionKeyFrom...:...}` (A7.2 to A7.8)."""

import random
import re
import string
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Final
from zoneinfo import ZoneInfo

from pipelines.firehose.java_time import PatternError, UnsupportedPatternError, format_time
from pipelines.runtime.errors import ConfigurationError

ERROR_OUTPUT_TYPES: Final = frozenset({
    "processing-failed", "AmazonOpenSearchService-failed", "splunk-failed", "format-conversion-failed",
    "http-endpoint-failed", "decompression-failed", "snowflake-failed",
})  # fmt: skip
"""The values of `!{firehose:error-output-type}` (A7.6)."""

MAX_EVALUATED: Final = 512  # characters (A7.8)
MAX_RAW: Final = 1024

_PREFIX: Final = "Prefix"
_ERROR_PREFIX: Final = "ErrorOutputPrefix"
_DEFAULT_DATE: Final = "yyyy/MM/dd/HH/"  # X4
_EXPRESSION: Final = re.compile(r"!\{([a-zA-Z]+):([^{}]*)\}")
_PARTITION_KEY: Final = "!{partitionKeyFrom"
_NAMESPACES: Final = frozenset({"timestamp", "firehose", "partitionKeyFromQuery", "partitionKeyFromLambda"})
_RANDOM_CHARACTERS: Final = 11  # A7.5
_WIDEST: Final = (datetime(2028, 9, 27, 22, 58, 59, tzinfo=UTC), datetime(2028, 1, 26, 12, 58, 59, tzinfo=UTC))
"""Moments with the longest names and the most digits, in summer and winter: a pattern that prints these prints all."""


@dataclass(frozen=True)
class Prefix:
    """A Prefix or an ErrorOutputPrefix that passed the checks.

    Attributes:
        text: as configured.
        zone: name of the time zone its timestamps are in (A7.4).
        appended: DateTimeFormatter pattern that follows it by default (A7.2), or nothing.
        error_folder: whether the error-output-type stands behind `text` by default (X6).
        member: AWS's name of it, for messages.
    """

    text: str
    zone: str = "UTC"
    appended: str = ""
    error_folder: bool = False
    member: str = _PREFIX

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
            rng: makes the random strings; seeded with what is in the object, the same object gets the same key (A7.5).
            error_output_type: one of `ERROR_OUTPUT_TYPES`, in an error prefix.
            partition_keys: values of the partitionKeyFrom namespaces.

        Raises:
            ConfigurationError: the result is longer than 512 characters, the date that follows by default not counted
                (A7.8), or a partition key has no value.
        """
        moment = datetime.fromtimestamp(oldest_arrival_ms // 1000, UTC).astimezone(self._zone)
        keys = partition_keys or {}

        def value(namespace: str, expression: str) -> str:
            if namespace == "timestamp":
                return format_time(expression, moment)
            if namespace != "firehose":
                return _value_of_key(keys, expression)
            if expression == "random-string":
                return "".join(rng.choices(string.ascii_letters + string.digits, k=_RANDOM_CHARACTERS))
            return error_output_type or ""

        evaluated = _expand(self.text, value)
        if problem := _length_problem(evaluated, self.member):
            raise ConfigurationError(problem, fix=f"shorten {self.text!r}")
        folder = f"{error_output_type}/" if self.error_folder and error_output_type else ""
        return evaluated + folder + format_time(self.appended, moment)

    @cached_property
    def _zone(self) -> ZoneInfo:
        return ZoneInfo(self.zone)


def compile_prefix(text: str, custom_time_zone: str = "UTC") -> Prefix:
    """A Prefix. Without a timestamp or a partition key in it the date follows, with no slash between (A7.2, X5).

    Raises:
        ConfigurationError: a broken expression, with AWS's message, or an unknown time zone.
    """
    zone = _compiled_zone(text, _PREFIX, custom_time_zone)
    dated = "!{timestamp:" in text or _PARTITION_KEY in text
    return Prefix(text, zone, "" if dated else _DEFAULT_DATE)


def compile_error_prefix(text: str, data_prefix: str = "", custom_time_zone: str = "UTC") -> Prefix:
    """An ErrorOutputPrefix; without one, errors go to the data prefix, the error-output-type and the date (X6).

    Raises:
        ConfigurationError: a broken expression, with AWS's message, or an unknown time zone.
    """
    zone = _compiled_zone(text, _ERROR_PREFIX, custom_time_zone)
    if "!{" in text:
        return Prefix(text, zone, member=_ERROR_PREFIX)
    return Prefix(text or data_prefix, zone, _DEFAULT_DATE, error_folder=True, member=_ERROR_PREFIX)


def check_prefixes(prefix: str, error_prefix: str, *, partitioning: bool, zone: str = "UTC") -> str | None:
    """AWS's message for the first thing wrong with the two prefixes of a destination, or None (A6.1, A6.5 to A7.8).

    Args:
        prefix: the raw Prefix.
        error_prefix: the raw ErrorOutputPrefix.
        partitioning: whether dynamic partitioning is enabled.
        zone: a known time zone.
    """
    keyed = _PARTITION_KEY in prefix
    if problem := next(_problems(prefix, _PREFIX, zone), None) or next(
        _problems(error_prefix, _ERROR_PREFIX, zone), None
    ):
        return problem
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


def check_time_zone(name: str) -> str | None:
    """AWS's message for a CustomTimeZone that it does not take, or None (A7.4); the empty name is UTC."""
    if name in ("", "UTC"):
        return None
    try:
        ZoneInfo(name)
    except (LookupError, ValueError, OSError):  # unknown, not a name, a folder of names
        known = False
    else:
        known = "/" in name
    if known:
        return None
    return (
        "Provided custom time zone is not supported. "
        "Custom time zones are limited to UTC and non-3-letter IANA time zones."
    )


def _expand(text: str, value: Callable[[str, str], str]) -> str:
    """`text` with each expression replaced by `value(namespace, expression)`."""
    return _EXPRESSION.sub(lambda match: value(match[1], match[2]), text)


def _value_of_key(keys: Mapping[str, str], name: str) -> str:
    if name in keys:
        return keys[name]
    message = f"The partition key {name} of the prefix has no value."
    raise ConfigurationError(message, fix="yield it from the query or the function, or take it out of the Prefix")


def _problems(text: str, member: str, zone: str) -> Iterator[str]:
    """AWS's messages for what is wrong with one prefix by itself."""
    if len(text) > MAX_RAW:
        yield f"Length of {member} cannot be greater than {MAX_RAW}"
    if "!{" in _EXPRESSION.sub("", text):
        yield "Invalid expression usage"
    for namespace, expression in _EXPRESSION.findall(text):
        if namespace not in _NAMESPACES:
            yield f"Namespace to the left of colon ({namespace}) is an invalid keyword!"
        elif namespace == "timestamp":
            yield from _pattern_problems(expression, member, zone)
        elif namespace == "firehose":
            if expression == "error-output-type" and member == _PREFIX:
                yield "Prefix must not contain any occurrence of !{firehose:error-output-type}"
            elif expression not in ("error-output-type", "random-string"):
                yield _bad_value(member)
        elif member == _ERROR_PREFIX:
            yield "Dynamic Partitioning Namespaces can't be part of an error prefix expression"
        elif not expression:
            yield "Invalid expression usage"
    if member == _ERROR_PREFIX and "!{" in text and "!{firehose:error-output-type}" not in text:
        yield "ErrorOutputPrefix must contain at least one occurrence of !{firehose:error-output-type}"
    if problem := _length_problem(_expand(text, _shortest_value), member):
        yield problem


def _pattern_problems(pattern: str, member: str, zone: str) -> Iterator[str]:
    try:
        for moment in _WIDEST:
            format_time(pattern, moment.replace(tzinfo=ZoneInfo(zone or "UTC")))
    except UnsupportedPatternError as error:
        yield f"!{{timestamp:{pattern}}} is not supported yet: {error}."
    except PatternError:
        yield _bad_value(member)


def _bad_value(member: str) -> str:
    return f"Invalid conversion character used in the value of the expression in {member}"


def _shortest_value(namespace: str, expression: str) -> str:
    """What an expression gives at the least: a prefix that is too long with these is always too long."""
    if namespace == "timestamp":
        return ""
    if namespace == "firehose":
        return "-" * _RANDOM_CHARACTERS if expression == "random-string" else min(ERROR_OUTPUT_TYPES, key=len)
    return "-"


def _length_problem(evaluated: str, member: str) -> str | None:
    if len(evaluated) <= MAX_EVALUATED:
        return None
    name = "prefix" if member == _PREFIX else member
    return f"Length of evaluated {name} cannot be greater than {MAX_EVALUATED}"


def _compiled_zone(text: str, member: str, zone: str) -> str:
    """The name of the time zone, once it and `text` are known to be good."""
    if problem := check_time_zone(zone) or next(_problems(text, member, zone), None):
        raise ConfigurationError(problem)
    return zone or "UTC"
