"""The timestamp and date forms of the two deserializers, one value at a time (A5.5, A5.6).

Values are nanoseconds since 1970-01-01 UTC in 64 bits (years 1677 to 2262): what the INT96 of a Parquet file reads back
as. A timestamp outside of them fails its record; AWS's writer would let it wrap around.
"""

import math
import re
from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Final

from pipelines.firehose.convert.messages import bad_date, bad_timestamp
from pipelines.runtime.errors import ConfigurationError

ISO_FORM: Final = r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(?:\.\d{1,9})?Z"
"""The strict form with `T` and `Z`; an offset is refused (A5.5)."""
SPACE_FORM: Final = r"\d{4}-\d{2}-\d{2} \d{2}:\d{2}:\d{2}(?:\.\d{1,9})?"
"""The form with a space, as most producers write it. One-digit fields are accepted too (A5.5)."""
MILLISECONDS_FROM: Final = 1e12
"""An epoch number below it counts seconds, others milliseconds (A5.5)."""
MAX_EPOCH_MS: Final = (2**63 - 1) // 1_000_000

_ISO: Final = re.compile(ISO_FORM)
_FIELDS: Final = re.compile(r"(\d{4})-(\d{1,2})-(\d{1,2})[T ](\d{1,2}):(\d{1,2}):(\d{1,2})(?:\.(\d{1,9}))?Z?")
_LENIENT: Final = re.compile(r"\d{4}-\d{1,2}-\d{1,2} \d{1,2}:\d{1,2}:\d{1,2}(?:\.\d{1,9})?")
_DATE: Final = re.compile(r"(\d{4})-(\d{1,2})-(\d{1,2})")
_NUMBER: Final = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?")
_EPOCH_ORDINAL: Final = date(1970, 1, 1).toordinal()

TimestampParser = Callable[[str], int]
"""Text to nanoseconds since the epoch; raises `BadRecordError`."""


def openx_timestamp(text: str) -> int:
    """OpenX: both text forms, and epoch numbers written as strings (A5.5)."""
    if _ISO.fullmatch(text) or _LENIENT.fullmatch(text):
        return _fields_ns(text)
    if _NUMBER.fullmatch(text.strip()) and text.isascii():
        return epoch_ns(float(text))
    raise bad_timestamp(text)


def sql_timestamp(text: str) -> int:
    """Hive's default, `java.sql.Timestamp.valueOf`: the form with a space (A5.6)."""
    if _LENIENT.fullmatch(text):
        return _fields_ns(text)
    raise bad_timestamp(text)


def epoch_ns(epoch: float) -> int:
    """An epoch number, seconds or milliseconds by its size, rounded to milliseconds (A5.5)."""
    if not math.isfinite(epoch):
        raise bad_timestamp(str(epoch))
    millis = math.floor(epoch * 1000 + 0.5) if abs(epoch) < MILLISECONDS_FROM else math.floor(epoch + 0.5)
    if abs(millis) > MAX_EPOCH_MS:
        raise bad_timestamp(str(epoch))
    return millis * 1_000_000


def epoch_days(text: str) -> int:
    """A date, `yyyy-[m]m-[d]d`, as days since 1970-01-01."""
    found = _DATE.fullmatch(text)
    if not found or not text.isascii():
        raise bad_date()
    try:
        return date(int(found[1]), int(found[2]), int(found[3])).toordinal() - _EPOCH_ORDINAL
    except ValueError as error:
        raise bad_date() from error


def timestamp_formats(patterns: tuple[str, ...]) -> TimestampParser:
    """The parser of HiveJsonSerDe's `TimestampFormats`: the first pattern that matches counts (A5.6).

    Args:
        patterns: Joda-Time patterns, or `millis`.

    Raises:
        ConfigurationError: a pattern with a letter that is not supported.
    """
    parsers = [_millis if pattern == "millis" else _joda(pattern) for pattern in patterns]

    def parse(text: str) -> int:
        for parser in parsers:
            if (found := parser(text)) is not None:
                return found
        raise bad_timestamp(text)

    return parse


def _fields_ns(text: str) -> int:
    found = _FIELDS.fullmatch(text)
    if not found or not text.isascii():
        raise bad_timestamp(text)
    year, month, day, hour, minute, second = (int(found[i]) for i in range(1, 7))
    try:
        whole = datetime(year, month, day, hour, minute, second, tzinfo=UTC)
    except ValueError as error:
        raise bad_timestamp(text) from error
    return _checked_ns(whole, int((found[7] or "").ljust(9, "0")), text)


def _checked_ns(whole: datetime, fraction_ns: int, text: str, offset_s: int = 0) -> int:
    days = whole.toordinal() - _EPOCH_ORDINAL
    seconds = days * 86_400 + whole.hour * 3_600 + whole.minute * 60 + whole.second - offset_s
    total = seconds * 1_000_000_000 + fraction_ns
    if not -(2**63) < total < 2**63:
        raise bad_timestamp(text)
    return total


def _millis(text: str) -> int | None:
    if not re.fullmatch(r"-?\d{1,13}", text, re.ASCII) or abs(int(text)) > MAX_EPOCH_MS:
        return None
    return int(text) * 1_000_000


_JODA: Final = {
    "y": ("year", r"\d{4}"),
    "M": ("month", r"\d{1,2}"),
    "d": ("day", r"\d{1,2}"),
    "H": ("hour", r"\d{1,2}"),
    "m": ("minute", r"\d{1,2}"),
    "s": ("second", r"\d{1,2}"),
    "S": ("fraction", r"\d{1,9}"),
    "Z": ("offset", r"(?:Z|[+-]\d{2}:?\d{2})"),
}
_JODA_TOKEN: Final = re.compile(r"'((?:[^']|'')*)'|([A-Za-z])\2*|([^A-Za-z']+)")


def _joda(pattern: str) -> Callable[[str], int | None]:
    """The parser of one Joda-Time pattern of numeric fields; a field left out counts as its first value."""
    expression, seen, position = "", set(), 0
    while position < len(pattern):
        token = _JODA_TOKEN.match(pattern, position)
        name, digits = _JODA.get(token[2] or "", ("", "")) if token else ("", "")
        # A month by name needs a locale and a two-digit year needs the clock.
        named = token is not None and (token[0].startswith("MMM") or token[0] == "yy")
        if token is None or (token[2] and (not name or name in seen or named)):
            message = f"The timestamp format {pattern!r} has a part that is not supported at {pattern[position:]!r}."
            raise ConfigurationError(message, fix="Use yyyy MM dd HH mm ss SSS Z, quoted literals, or millis.")
        if name:
            seen.add(name)
            expression += f"(?P<{name}>{digits})"
        else:
            literal = "'" if token[0] == "''" else (token[1] or token[3] or "").replace("''", "'")
            expression += re.escape(literal)
        position = token.end()
    compiled = re.compile(expression, re.ASCII)

    def parse(text: str) -> int | None:
        found = compiled.fullmatch(text)
        return _from_groups(found.groupdict(), text) if found else None

    return parse


def _from_groups(groups: dict[str, str], text: str) -> int | None:
    first = {"year": 1970, "month": 1, "day": 1, "hour": 0, "minute": 0, "second": 0}
    try:
        year, month, day, hour, minute, second = (int(groups.get(name, default)) for name, default in first.items())
        whole = datetime(year, month, day, hour, minute, second, tzinfo=UTC)
    except ValueError:
        return None
    offset = groups.get("offset", "Z").replace(":", "")
    offset_s = 0 if offset == "Z" else int(offset[0] + "1") * (int(offset[1:3]) * 3_600 + int(offset[3:5]) * 60)
    return _checked_ns(whole, int(groups.get("fraction", "").ljust(9, "0")), text, offset_s)
