"""SQL types: what a value of each is here, how JSON becomes one, and how one is told (C2, C4). Pure.

A TIMESTAMP is milliseconds since the epoch, UTC. A DECIMAL is a float64 that is rounded to its scale.
"""

import math
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Any, Final

import orjson
import pyarrow as pa
from sqlglot import exp
from sqlglot.errors import SqlglotError

from pipelines.analytics.rows import LATEST_MS
from pipelines.analytics.sql.dialect import KinesisAnalytics
from pipelines.runtime.errors import ConfigurationError

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class CoercionError(ValueError):
    """A value that does not fit its column: a row of the error stream (C7)."""


class Kind(StrEnum):
    """What a value is to Python and Arrow."""

    TEXT = "text"
    WHOLE = "whole number"
    REAL = "number"
    TIME = "time"
    TRUTH = "truth value"

    @property
    def is_numeric(self) -> bool:
        """Whether one can calculate with it."""
        return self in (Kind.WHOLE, Kind.REAL)


_ARROW: Final = {
    Kind.TEXT: pa.string(),
    Kind.WHOLE: pa.int64(),
    Kind.REAL: pa.float64(),
    Kind.TIME: pa.int64(),
    Kind.TRUTH: pa.bool_(),
}
TIMES_MS: Final = (-62_135_596_800_000, LATEST_MS)
"""The years 1 to 9999."""
_NUMBER: Final = re.compile(r"\s*[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?\s*", re.ASCII)
_SIZE_DIGITS: Final = 9
_BITS: Final = {"TINYINT": 8, "SMALLINT": 16, "INTEGER": 32, "BIGINT": 64}


@dataclass(frozen=True, slots=True)
class SqlType:
    """A type of SQL.

    Attributes:
        name: as KDA calls it.
        kind: what its values are.
        length: characters at most, or the digits of a DECIMAL; None for no limit.
        scale: digits of a DECIMAL behind the point.
    """

    name: str
    kind: Kind
    length: int | None = None
    scale: int = 0

    @property
    def arrow(self) -> Any:
        """The Arrow type of a column."""
        return _ARROW[self.kind]

    def cast(self, value: Any, given: Kind | None = None) -> Any:
        """`value`, of any of the types, as one of this: CAST, and what INSERT does.

        Args:
            value: it; None is NULL.
            given: its kind, where the value does not tell it: a TIMESTAMP is a number here, and another text.

        Raises:
            CoercionError: it does not fit (C4, C7).
        """
        if value is None:
            return None
        if given is Kind.TIME and self.kind is Kind.TEXT:
            value = time_text(value)
        try:
            return self._cast(value)
        except (ValueError, KeyError, OverflowError) as error:
            if isinstance(error, CoercionError):
                raise
            raise _no_fit(value, self) from None

    def _cast(self, value: Any) -> Any:
        match self.kind:
            case Kind.TEXT:
                text = value if isinstance(value, str) else _text(value)
                if self.length is not None and len(text) > self.length:
                    raise _no_fit(value, self)
                return text
            case Kind.WHOLE:
                whole = _whole_of_text(value) if isinstance(value, str) else math.trunc(value)
                limit = 1 << (_BITS[self.name] - 1)
                if not -limit <= whole < limit:
                    raise _no_fit(value, self)
                return whole
            case Kind.REAL:
                real = number_of_text(value) if isinstance(value, str) else float(value)
                if not math.isfinite(real):
                    raise _no_fit(value, self)
                if self.name == "DECIMAL":
                    real = round(real, self.scale)
                    if self.length is not None and abs(real) >= 10.0 ** (self.length - self.scale):
                        raise _no_fit(value, self)
                return real
            case Kind.TIME:
                ms = time_ms(value) if isinstance(value, str) else int(value)
                if not TIMES_MS[0] <= ms <= TIMES_MS[1]:
                    raise _no_fit(value, self)
                return ms
            case Kind.TRUTH:
                return _truth(value)

    def of_json(self, value: Any) -> Any:
        """A member of a JSON record as a value: null is NULL, true is 1, an object is its text (C4).

        Raises:
            CoercionError: it does not fit.
        """
        if isinstance(value, dict | list):
            if self.kind is not Kind.TEXT:
                raise _no_fit(value, self)
            try:
                value = orjson.dumps(value).decode()
            except orjson.JSONEncodeError:  # it writes fewer levels than it reads
                message = f"an object of more than 254 levels does not fit into {self.name}"
                raise CoercionError(message) from None
        return self.cast(value)


BIGINT: Final = SqlType("BIGINT", Kind.WHOLE)
INTEGER: Final = SqlType("INTEGER", Kind.WHOLE)
DOUBLE: Final = SqlType("DOUBLE", Kind.REAL)
VARCHAR: Final = SqlType("VARCHAR", Kind.TEXT)
TIMESTAMP: Final = SqlType("TIMESTAMP", Kind.TIME)
BOOLEAN: Final = SqlType("BOOLEAN", Kind.TRUTH)

FUNCTION_TYPES: Final = ("DOUBLE", "INTEGER", "FLOAT", "TINYINT", "SMALLINT", "REAL", "BIGINT")
"""What RANDOM_CUT_FOREST and HOTSPOTS take; no DECIMAL (C11)."""

_NAMES: Final = {
    exp.DType.VARCHAR: ("VARCHAR", Kind.TEXT),
    exp.DType.CHAR: ("CHAR", Kind.TEXT),
    exp.DType.TINYINT: ("TINYINT", Kind.WHOLE),
    exp.DType.SMALLINT: ("SMALLINT", Kind.WHOLE),
    exp.DType.INT: ("INTEGER", Kind.WHOLE),
    exp.DType.BIGINT: ("BIGINT", Kind.WHOLE),
    exp.DType.FLOAT: ("FLOAT", Kind.REAL),
    exp.DType.DOUBLE: ("DOUBLE", Kind.REAL),
    exp.DType.DECIMAL: ("DECIMAL", Kind.REAL),
    exp.DType.TIMESTAMP: ("TIMESTAMP", Kind.TIME),
    exp.DType.BOOLEAN: ("BOOLEAN", Kind.TRUTH),
}


def sql_type(described: exp.DataType, where: str) -> SqlType:
    """The type that a parsed one names.

    Args:
        described: as sqlglot has it.
        where: for the message: which column, on which line.

    Raises:
        ConfigurationError: there is no such type here.
    """
    found = _NAMES.get(described.this)
    if found is None:
        message = f"The type {described.sql()} of {where} is not supported."
        names = ", ".join(dict.fromkeys(name for name, _ in _NAMES.values()))
        raise ConfigurationError(message, fix=f"use {names}")
    name, kind = found
    written = [parameter.name for parameter in described.expressions]
    if not all(size.isdecimal() and len(size) <= _SIZE_DIGITS for size in written):
        message = f"The size of {described.sql()} of {where} is no number of nine digits or fewer."
        raise ConfigurationError(message, fix=f"write {name}(n)")
    sizes = [int(size) for size in written]
    if name == "CHAR" and not sizes:
        sizes = [1]
    if kind is Kind.TEXT or name == "DECIMAL":
        return SqlType(name, kind, sizes[0] if sizes else None, sizes[1] if len(sizes) > 1 else 0)
    return SqlType(name, kind)


def type_of_text(text: str, where: str) -> SqlType:
    """The type that a text such as VARCHAR(4) names, as the SqlType of a RecordColumn (C2).

    Raises:
        ConfigurationError: there is no such type here.
    """
    try:
        described = exp.DataType.build(text, dialect=KinesisAnalytics)
    except SqlglotError:
        message = f"{text!r}, the type of {where}, is none."
        raise ConfigurationError(message, fix="write it as in SQL, e.g. VARCHAR(16) or DOUBLE") from None
    return sql_type(described, where)


def number_of_text(text: str) -> float:
    """The number that a text is, with blanks around it or not; infinite where it is too large.

    Raises:
        ValueError: it is none, as SQL writes numbers: NaN, Infinity and 1_000 are none.
    """
    if _NUMBER.fullmatch(text) is None:
        message = f"{text[:80]!r} is no number"
        raise ValueError(message)
    return float(text)


def _whole_of_text(text: str) -> int:
    """As `number_of_text`, without what stands behind the point; exact, since a float64 has 53 bits."""
    real = number_of_text(text)
    if math.isinf(real):  # int would write it out, digit by digit
        message = f"{text[:80]!r} is too large"
        raise ValueError(message)
    return int(Decimal(text)) if abs(real) >= 1 else 0  # Decimal takes not every exponent below 0


def time_ms(text: str) -> int:
    """Milliseconds since the epoch of a time in ISO 8601, with a blank in place of the T or not; UTC without an offset.

    Raises:
        ValueError: it is none.
    """
    at = datetime.fromisoformat(text.strip())
    since = (at if at.tzinfo else at.replace(tzinfo=UTC)) - _EPOCH
    return since // timedelta(milliseconds=1)


def time_text(ms: int) -> str:
    """A TIMESTAMP as KDA prints it: 2016-02-15 11:01:00.000."""
    at = (_EPOCH + timedelta(milliseconds=ms)).replace(tzinfo=None)
    return at.isoformat(sep=" ", timespec="milliseconds")


def told(value: Any, of: SqlType) -> Any:
    """A value as JSON output has it: a TIMESTAMP as text, everything else as it is."""
    return time_text(value) if of.kind is Kind.TIME and value is not None else value


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _truth(value: Any) -> bool:
    if isinstance(value, str):
        return {"true": True, "false": False}[value.lower()]
    return bool(value)


def _no_fit(value: Any, into: SqlType) -> CoercionError:
    size = f"({into.length})" if into.length is not None else ""
    return CoercionError(f"{str(value)[:80]!r} does not fit into {into.name}{size}")
