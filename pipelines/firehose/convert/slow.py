"""The slow path: one record at a time, in Python. It decides whatever the fast path leaves open."""

import json
import re
from collections.abc import Iterator
from decimal import Decimal, InvalidOperation
from typing import Any, Final

import orjson
import pyarrow as pa

from pipelines.firehose.convert.coerce import coercion
from pipelines.firehose.convert.messages import (
    empty_record,
    highly_nested,
    invalid_characters,
    malformed_json,
    not_a_json_object,
)
from pipelines.firehose.convert.rules import MAX_DEPTH, Rules
from pipelines.firehose.schema import DecimalType, TableSchema, parts

_SPACE: Final = re.compile(r"[ \t\n\r]*")
_STRUCTURE: Final = re.compile(rb'"(?:[^"\\]|\\.)*"?|[\[{]|[\]}]', re.DOTALL)
_EXACT_INTEGER_DIGITS: Final = 40


class SlowReader:
    """Records to rows by the rules of A5.3 to A5.6, A5.9 and A5.13.

    Args:
        schema: the table.
        rules: the deserializer's rules.
    """

    def __init__(self, schema: TableSchema, rules: Rules) -> None:
        self._rules = rules
        self._arrow = schema.arrow
        self._columns = [(rules.json_key(column.name), coercion(column.type, rules)) for column in schema.columns]
        self._keys = frozenset(key for key, _ in self._columns)
        # A decimal column keeps digits that a double cannot hold, so its table is parsed without doubles.
        exact = any(isinstance(part, DecimalType) for column in schema.columns for part in parts(column.type))
        self._exact = exact
        self._decoder = json.JSONDecoder(
            parse_float=_exact_number if exact else None,
            parse_int=_exact_integer if exact else _integer,
            parse_constant=_refuse_constant,
        )

    def rows(self, record: bytes) -> list[list[Any]]:
        """The rows of one record: one for each of its JSON documents (A5.3, X8), a value for each column.

        Raises:
            BadRecordError: the record, with all its documents, cannot be converted (A5.10, A5.12).
        """
        return [self._row(document) for document in self._documents(record)]

    def columns(self, rows: list[list[Any]]) -> list[pa.Array]:
        """The rows as Arrow columns of the table."""
        return [pa.array([row[i] for row in rows], field.type) for i, field in enumerate(self._arrow)]

    def _row(self, document: Any) -> list[Any]:
        if not isinstance(document, dict):
            kind = "array" if isinstance(document, list) else "scalar"
            raise not_a_json_object(kind)
        if not (self._rules.exact_keys or self._keys.issuperset(document)):
            document = {self._rules.normalise(key): value for key, value in document.items()}
        get = document.get
        return [None if (value := get(key)) is None else coerce(value) for key, coerce in self._columns]

    def _documents(self, record: bytes) -> list[Any]:
        try:
            text = record.decode()
        except UnicodeDecodeError as error:
            raise invalid_characters() from error
        if _skip_space(text, 0) == len(text):
            raise empty_record()
        if record.count(b"{") + record.count(b"[") > MAX_DEPTH and _is_deeper(record, MAX_DEPTH):
            raise highly_nested()
        if not self._exact:
            try:
                return [orjson.loads(text)]
            except orjson.JSONDecodeError:
                pass  # several documents, a number beyond a double, or malformed: the other parser tells them apart
        try:
            return list(self._each(text))
        except json.JSONDecodeError as error:
            raise malformed_json(str(error)) from error

    def _each(self, text: str) -> Iterator[Any]:
        position = _skip_space(text, 0)
        while position < len(text):
            document, end = self._decoder.raw_decode(text, position)
            if "\\u" in text:
                _refuse_lone_surrogates(document, text, position)
            yield document
            position = _skip_space(text, end)


def _skip_space(text: str, position: int) -> int:
    found = _SPACE.match(text, position)
    return found.end() if found else position


def _is_deeper(record: bytes, limit: int) -> bool:
    """Whether objects and arrays are nested deeper, brackets in strings left out; defined for malformed text too."""
    depth = 0
    for found in _STRUCTURE.finditer(record):
        first = found[0][:1]
        if first in b"[{":
            depth += 1
            if depth > limit:
                return True
        elif first in b"]}":
            depth -= 1
    return False


def _integer(text: str) -> int | float:
    # As orjson does it: what 64 bits cannot hold is a double.
    if len(text) > _EXACT_INTEGER_DIGITS:
        return float(text)
    number = int(text)
    return number if -(2**63) <= number < 2**64 else float(text)


def _exact_integer(text: str) -> int | Decimal:
    return int(text) if len(text) <= _EXACT_INTEGER_DIGITS else Decimal(text)


def _exact_number(text: str) -> Decimal | float:
    try:
        return Decimal(text)
    except InvalidOperation:  # an exponent beyond what Decimal can hold
        return float(text)


def _refuse_constant(name: str) -> float:
    message = f"Non-standard token '{name}'"
    raise json.JSONDecodeError(message, "", 0)


def _refuse_lone_surrogates(document: Any, text: str, position: int) -> None:
    try:
        json.dumps(document, ensure_ascii=False, default=str).encode()
    except UnicodeEncodeError as error:
        message = "Lone surrogate in a string"
        raise json.JSONDecodeError(message, text, position) from error
