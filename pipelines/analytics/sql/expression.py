"""Expressions: what is computed of a row, as values that can be compared and pickled. Pure."""

import calendar
import math
import operator
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Protocol

import orjson

from pipelines.analytics.sql.types import TIMES_MS, Kind, SqlType

Row = Sequence[Any]


class EvaluationError(ArithmeticError):
    """An expression has no value for a row: a row of the error stream (C7)."""


class DivisionByZeroError(EvaluationError):
    """A division by zero (C7)."""


class Expression(Protocol):
    """Something that has a value for a row; None is NULL."""

    def of(self, row: Row) -> Any:
        """Its value.

        Raises:
            EvaluationError: there is none.
            CoercionError: a value does not fit into a type.
        """


@dataclass(frozen=True, slots=True)
class Column:
    """The row's value number `at`."""

    at: int

    def of(self, row: Row) -> Any:
        return row[self.at]


@dataclass(frozen=True, slots=True)
class Constant:
    """The same for every row."""

    value: Any

    def of(self, row: Row) -> Any:
        return self.value


@dataclass(frozen=True, slots=True)
class Cast:
    """A value as one of another type; `given` is the kind that it has."""

    value: Expression
    into: SqlType
    given: Kind | None = None

    def of(self, row: Row) -> Any:
        return self.into.cast(self.value.of(row), self.given)


@dataclass(frozen=True, slots=True)
class Call:
    """A function of values, NULL where one of them is (`FUNCTIONS`)."""

    name: str
    arguments: tuple[Expression, ...]

    def of(self, row: Row) -> Any:
        values = [argument.of(row) for argument in self.arguments]
        if None in values:
            return None
        try:
            return _bounded(FUNCTIONS[self.name](*values))
        except (ValueError, OverflowError):  # infinity, which the product of two columns can be, is in few domains
            message = f"{self.name} has no value for {', '.join(str(value)[:40] for value in values)}"
            raise EvaluationError(message) from None


@dataclass(frozen=True, slots=True)
class Logic:
    """AND, OR, NOT of three-valued logic, IS NULL, COALESCE and CASE: what is not NULL because an argument is."""

    name: str
    arguments: tuple[Expression, ...]

    def of(self, row: Row) -> Any:
        match self.name:
            case "AND" | "OR":
                settles = self.name == "OR"
                values = [argument.of(row) for argument in self.arguments]
                return settles if settles in values else None if None in values else not settles
            case "NOT":
                value = self.arguments[0].of(row)
                return None if value is None else not value
            case "IS NULL":
                return self.arguments[0].of(row) is None
            case "COALESCE":
                return next((found for each in self.arguments if (found := each.of(row)) is not None), None)
            case "CASE":  # condition, value, condition, value, ..., the rest
                for condition, value in zip(self.arguments[:-1:2], self.arguments[1::2], strict=True):
                    if condition.of(row):
                        return value.of(row)
                return self.arguments[-1].of(row)
        raise AssertionError(self.name)


@dataclass(frozen=True, slots=True)
class Renamed:
    """A JSON object's text with other names for its members, in their order: ANOMALY_EXPLANATION (C12)."""

    value: Expression
    names: tuple[str, ...]

    def of(self, row: Row) -> Any:
        text = self.value.of(row)
        if text is None:
            return None
        return orjson.dumps(dict(zip(self.names, orjson.loads(text).values(), strict=True))).decode()


@dataclass(frozen=True, slots=True)
class Number:
    """A value as a float64 that is never NULL, for windows: `otherwise` stands for NULL."""

    value: Expression
    otherwise: float

    def of(self, row: Row) -> float:
        value = self.value.of(row)
        return self.otherwise if value is None else float(value)


@dataclass(frozen=True, slots=True)
class Exact:
    """A whole number that a float64 has: another is an error, since a window would give it back rounded."""

    value: Expression

    def of(self, row: Row) -> Any:
        value = self.value.of(row)
        if value is not None and abs(value) > 1 << 53:
            message = f"{value} is a BIGINT beyond 2^53, which a window does not hold exactly"
            raise EvaluationError(message)
        return value


@dataclass(frozen=True, slots=True)
class Required:
    """A value as a float64; NULL and infinity are errors, whose message is `otherwise`."""

    value: Expression
    otherwise: str

    def of(self, row: Row) -> float:
        value = self.value.of(row)
        if value is None or not math.isfinite(value):
            raise EvaluationError(self.otherwise)
        return float(value)


@dataclass(frozen=True, slots=True)
class Present:
    """1 where a value is not NULL, else 0."""

    value: Expression

    def of(self, row: Row) -> float:
        return 0.0 if self.value.of(row) is None else 1.0


@dataclass(frozen=True, slots=True)
class Aggregated:
    """An aggregate from what a window gave: NULL where `present`, how many values there were, is 0.

    Attributes:
        value: the window's number.
        present: how many values were not NULL.
        whole: whether it is a whole number.
        mean: whether it is to be divided by `present`.
    """

    value: Expression
    present: Expression
    whole: bool
    mean: bool = False

    def of(self, row: Row) -> Any:
        count = self.present.of(row)
        if not count:
            return None
        value = self.value.of(row)
        if self.mean or not self.whole:
            return value / count if self.mean else value
        if not math.isfinite(value):
            message = "an aggregate of whole numbers is no finite number"
            raise EvaluationError(message)
        return _bounded(round(value))


def _bounded(value: Any) -> Any:
    """`value`, if it is no whole number, or a BIGINT."""
    if isinstance(value, int) and not -(1 << 63) <= value < 1 << 63:
        message = "a whole number is beyond BIGINT"
        raise EvaluationError(message)
    return value


def _divide(left: Any, right: Any) -> Any:
    if right == 0:
        message = "division by zero"
        raise DivisionByZeroError(message)
    if isinstance(left, int) and isinstance(right, int):  # towards zero, as SQL divides whole numbers
        return abs(left) // abs(right) * (1 if (left < 0) == (right < 0) else -1)
    return left / right


def _modulo(left: Any, right: Any) -> Any:
    if isinstance(left, float) or isinstance(right, float):
        return math.fmod(left, right) if right else _divide(left, right)
    return left - right * _divide(left, right)


def _like(text: str, pattern: str) -> bool:
    parts = (".*" if sign == "%" else "." if sign == "_" else re.escape(sign) for sign in pattern)
    return re.fullmatch("".join(parts), text, re.DOTALL) is not None


def floor_time(ms: int, unit: str) -> int:
    """A time, rounded down to a calendar unit.

    Raises:
        EvaluationError: it would be before the year 1.
    """
    if unit in UNITS_MS:
        return step_time(ms, UNITS_MS[unit])
    at = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=ms)
    month = 1 if unit == "YEAR" else at.month
    return calendar.timegm((at.year, month, 1, 0, 0, 0)) * 1000


def step_time(ms: int, size_ms: int) -> int:
    """A time, rounded down to a multiple of `size_ms`.

    Raises:
        EvaluationError: it would be before the year 1, where no TIMESTAMP is.
    """
    found = ms // size_ms * size_ms
    if found < TIMES_MS[0]:
        message = "a time that is rounded down is before the year 1"
        raise EvaluationError(message)
    return found


UNITS_MS: Final = {"SECOND": 1_000, "MINUTE": 60_000, "HOUR": 3_600_000, "DAY": 86_400_000}
CALENDAR: Final = (*UNITS_MS, "MONTH", "YEAR")

FUNCTIONS: Final[dict[str, Callable[..., Any]]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": _divide,
    "MOD": _modulo,
    "=": operator.eq,
    "<>": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "||": operator.add,
    "LIKE": _like,
    "NEGATIVE": operator.neg,
    "ABS": abs,
    "UPPER": str.upper,
    "LOWER": str.lower,
    "TRIM": str.strip,
    "CHAR_LENGTH": len,
    "FLOOR": floor_time,
    "STEP": step_time,
}
