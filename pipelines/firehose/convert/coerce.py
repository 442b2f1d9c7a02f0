"""One JSON value to one value of a Hive type: the rules of A5.13, in Python. They are the reference of the fast path.

`coercion` compiles a type once into a function; the values it returns are what `pyarrow.array` takes for the type's
Arrow type (timestamps as nanoseconds, dates as days, maps as pairs).
"""

import decimal
import math
import re
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from typing import Any, Final

import orjson

from pipelines.firehose.convert.messages import (
    array_expected,
    bad_date,
    bad_input,
    bad_timestamp,
    incorrect_format,
    not_an_object,
    not_numeric,
    object_expected,
    scalar_for_complex,
)
from pipelines.firehose.convert.rules import Rules
from pipelines.firehose.convert.timestamps import epoch_days, epoch_ns
from pipelines.firehose.schema import ArrayType, DecimalType, HiveType, MapType, PrimitiveType, StructType, TextType

Coercion = Callable[[Any], Any]
"""A non-null JSON value (dict, list, str, bool, int, float or Decimal) to the typed value; raises `BadRecordError`."""

INTEGER_BITS: Final = {"tinyint": 8, "smallint": 16, "int": 32, "bigint": 64}
NUMBER_FORM: Final = r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?"
INTEGER_FORM: Final = r"[+-]?[0-9]{1,38}"

_FLOAT32_OVERFLOW: Final = 3.4028235677973366e38  # from here on rounding to 32 bits gives infinity
_JAVA_SPACE: Final = "".join(map(chr, range(0x21)))  # what String.trim takes away
_DECIMALS: Final = decimal.Context(prec=80, rounding=decimal.ROUND_HALF_UP)


def coercion(hive: HiveType, rules: Rules) -> Coercion:
    """The function that gives a non-null JSON value the type `hive`."""
    match hive:
        case PrimitiveType(name):
            return _primitive(name, rules)
        case TextType(_, length):
            text = _string(rules)
            return lambda value: text(value)[:length]
        case DecimalType(precision, scale):
            return _decimal(precision, scale, rules)
        case ArrayType(element):
            return _array(coercion(element, rules), rules)
        case MapType(key, value):
            return _map(key, value, rules)
        case StructType(fields):
            return _struct(tuple((name, coercion(field, rules)) for name, field in fields), rules)


def _primitive(name: str, rules: Rules) -> Coercion:
    if name in INTEGER_BITS:
        return _integer(INTEGER_BITS[name], rules)
    match name:
        case "float":
            return _floating(_FLOAT32_OVERFLOW, rules)
        case "double":
            return _floating(math.inf, rules)
        case "boolean":
            return _boolean(rules)
        case "timestamp":
            return _timestamp(rules)
        case "date":
            return _date
        case "binary":
            text = _string(rules)
            return lambda value: text(value).encode()
        case _:
            return _string(rules)


def number_text(value: float | Decimal) -> str:
    """A JSON number in a string column: integers as they are, others as the shortest text of the double."""
    return str(value) if isinstance(value, int) and -(2**63) <= value < 2**64 else repr(float(value))


def _scalar_text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict | list):
        raise incorrect_format()
    return number_text(value)


def _numeric_text(value: Any, form: "re.Pattern[str]", rules: Rules) -> str:
    """The text of a value that is no JSON number of the right kind, checked to be one written as a string."""
    text = _scalar_text(value)
    if isinstance(value, str) and not rules.lenient:
        raise not_numeric()
    trimmed = text.strip(_JAVA_SPACE)
    if not isinstance(value, str) or not form.fullmatch(trimmed):
        raise bad_input(text)
    return trimmed


def _integer(bits: int, rules: Rules) -> Coercion:
    low, high = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    form = re.compile(INTEGER_FORM)

    def coerce(value: Any) -> int:
        number = value if type(value) is int else int(_numeric_text(value, form, rules))
        if not low <= number <= high:
            raise bad_input(_scalar_text(value))
        return number

    return coerce


def _floating(overflow: float, rules: Rules) -> Coercion:
    form = re.compile(NUMBER_FORM)

    def coerce(value: Any) -> float:
        is_number = isinstance(value, int | float | Decimal) and not isinstance(value, bool)
        number = float(value if is_number else _numeric_text(value, form, rules))
        if not abs(number) < overflow:
            raise bad_input(_scalar_text(value))
        return number + 0.0  # zero has no sign: whether "-0" keeps it would depend on who parses

    return coerce


def _decimal(precision: int, scale: int, rules: Rules) -> Coercion:
    form, unit = re.compile(NUMBER_FORM), Decimal(1).scaleb(-scale)

    def coerce(value: Any) -> Decimal:
        is_number = isinstance(value, int | float | Decimal) and not isinstance(value, bool)
        try:
            number = Decimal(str(value) if is_number else _numeric_text(value, form, rules))
            # The exponent is compared before any digit is written out: 1e1000000000 is a short text.
            if number and number.adjusted() >= precision - scale:
                raise bad_input(_scalar_text(value))
            rounded = number.quantize(unit, context=_DECIMALS)
        except decimal.InvalidOperation as error:
            raise bad_input(_scalar_text(value)) from error
        if rounded and rounded.adjusted() >= precision - scale:
            raise bad_input(_scalar_text(value))
        return rounded

    return coerce


def _boolean(rules: Rules) -> Coercion:
    def coerce(value: Any) -> bool:
        if isinstance(value, bool):
            return value
        text = _scalar_text(value)
        if not (isinstance(value, str) and rules.lenient and text.lower() in {"true", "false"}):
            raise bad_input(text)
        return text.lower() == "true"

    return coerce


def _timestamp(rules: Rules) -> Coercion:
    def coerce(value: Any) -> int:
        if isinstance(value, bool):
            raise bad_timestamp(_scalar_text(value))
        if rules.epoch_numbers and isinstance(value, int | float | Decimal):
            return epoch_ns(float(value))
        return rules.parse_timestamp(_scalar_text(value))

    return coerce


def _date(value: Any) -> int:
    text = _scalar_text(value)
    if not isinstance(value, str):
        raise bad_date()
    return epoch_days(text)


def _string(rules: Rules) -> Coercion:
    def coerce(value: Any) -> str:
        if not isinstance(value, dict | list):
            return _scalar_text(value)
        if not rules.lenient:
            raise incorrect_format()
        return orjson.dumps(_plain(value, lowercase=rules.lowercase_keys)).decode()

    return coerce


def _plain(value: Any, *, lowercase: bool) -> Any:
    """A JSON value as orjson can write it: no Decimal, no integer beyond 64 bits; keys lowered when asked."""
    if isinstance(value, dict):
        return {key.lower() if lowercase else key: _plain(item, lowercase=lowercase) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item, lowercase=lowercase) for item in value]
    if isinstance(value, Decimal) or (isinstance(value, int) and not -(2**63) <= value < 2**64):
        return float(value)
    return value


def _array(element: Coercion, rules: Rules) -> Coercion:
    def coerce(value: Any) -> list[Any]:
        if isinstance(value, list):
            return [None if item is None else element(item) for item in value]
        if not rules.lenient:
            raise array_expected()
        return [element(value)]

    return coerce


def _struct(fields: tuple[tuple[str, Coercion], ...], rules: Rules) -> Coercion:
    names = frozenset(name for name, _ in fields)

    def coerce(value: Any) -> dict[str, Any]:
        if isinstance(value, dict):
            exact = rules.exact_keys or names.issuperset(value)
            members = value if exact else {rules.normalise(key): item for key, item in value.items()}
        elif not rules.lenient:
            raise object_expected()
        elif isinstance(value, list):
            members = {name: item for (name, _), item in zip(fields, value, strict=False)}
        else:
            raise not_an_object(value)
        get = members.get
        return {name: None if (item := get(name)) is None else field(item) for name, field in fields}

    return coerce


def _map(key_type: HiveType, value_type: HiveType, rules: Rules) -> Coercion:
    key = coercion(key_type, replace(rules, lenient=True))  # a JSON key is a string whatever it stands for
    item = coercion(value_type, rules)

    def coerce(value: Any) -> list[tuple[Any, Any]]:
        if not isinstance(value, dict):
            if not rules.lenient:
                raise object_expected()
            raise incorrect_format() if isinstance(value, list) else scalar_for_complex()
        entries = {key(k.lower() if rules.lowercase_keys else k): v for k, v in value.items()}
        return [(k, None if v is None else item(v)) for k, v in entries.items()]

    return coerce
