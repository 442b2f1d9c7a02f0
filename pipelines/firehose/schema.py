"""Glue's Hive types, and the Arrow types of the Parquet columns they become (A5).

A Glue table spells its column types as Hive does: `array<struct<id:bigint,tags:map<string,string>>>`. They are parsed
once, into a small tree of frozen values that conversion walks.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import pyarrow as pa

from pipelines.runtime.errors import ConfigurationError

MAX_DECIMAL_PRECISION: Final = 38
MAX_LENGTH: Final = {"char": 255, "varchar": 65_535}


@dataclass(frozen=True, slots=True)
class PrimitiveType:
    """A Hive type without arguments; `name` is a key of `PRIMITIVES`."""

    name: str


@dataclass(frozen=True, slots=True)
class DecimalType:
    """`decimal(precision,scale)`; a bare `decimal` is `decimal(10,0)`."""

    precision: int = 10
    scale: int = 0


@dataclass(frozen=True, slots=True)
class TextType:
    """`char(length)` or `varchar(length)`: text cut after `length` code points (X7)."""

    name: str
    length: int


@dataclass(frozen=True, slots=True)
class ArrayType:
    """`array<element>`."""

    element: "HiveType"


@dataclass(frozen=True, slots=True)
class MapType:
    """`map<key,value>`; Hive allows primitive keys only."""

    key: "HiveType"
    value: "HiveType"


@dataclass(frozen=True, slots=True)
class StructType:
    """`struct<name:type,...>`; names are in lower case."""

    fields: tuple[tuple[str, "HiveType"], ...]


HiveType = PrimitiveType | DecimalType | TextType | ArrayType | MapType | StructType

PRIMITIVES: Final[dict[str, pa.DataType]] = {
    "boolean": pa.bool_(),
    "tinyint": pa.int8(),
    "smallint": pa.int16(),
    "int": pa.int32(),
    "bigint": pa.int64(),
    "float": pa.float32(),
    "double": pa.float64(),
    "string": pa.string(),
    "binary": pa.binary(),
    "timestamp": pa.timestamp("ns"),
    "date": pa.date32(),
}
"""Timestamps are nanoseconds: readers of INT96 give them too, and OpenX reads nine fraction digits (A5.5)."""

_ALIASES: Final = {"integer": "int", "real": "float"}


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table; `name` is in lower case, as Hive keeps it."""

    name: str
    type: HiveType


@dataclass(frozen=True)
class TableSchema:
    """The columns of a delivered file, in the table's order. Partition keys are no part of it."""

    columns: tuple[Column, ...]

    @cached_property
    def arrow(self) -> pa.Schema:
        """The Arrow schema; every column may be null (A5.9)."""
        return pa.schema([pa.field(column.name, arrow_type(column.type)) for column in self.columns])


def table_schema(glue_table: Mapping[str, Any]) -> TableSchema:
    """The schema of a Glue table.

    Args:
        glue_table: `Table` of a Glue GetTable response, or a TableInput.

    Raises:
        ConfigurationError: no columns, two columns of one name, or a type that Parquet conversion does not know.
    """
    table = glue_table.get("Name", "?")
    columns = []
    for column in glue_table.get("StorageDescriptor", {}).get("Columns") or ():
        name = str(column["Name"]).lower()
        try:
            columns.append(Column(name, parse_hive_type(column.get("Type", ""))))
        except ConfigurationError as error:
            message = f"Column {name} of table {table}: {error.message}"
            raise ConfigurationError(message, fix=error.fix) from error
    if not columns:
        message = f"Table {table} has no columns to convert to."
        raise ConfigurationError(message, fix="Give the Glue table its columns (StorageDescriptor.Columns).")
    twice = {column.name for column in columns if [other.name for other in columns].count(column.name) > 1}
    if twice:
        message = f"Table {table} has more than one column named {', '.join(sorted(twice))}."
        raise ConfigurationError(message, fix="Rename the columns of the Glue table; case does not count.")
    return TableSchema(tuple(columns))


def parse_hive_type(text: str) -> HiveType:
    """The type that `text` spells; case and spaces do not matter.

    Raises:
        ConfigurationError: not a Hive type, or `uniontype`, which Parquet conversion does not support.
    """
    return _Parser(text).parse()


def arrow_type(hive: HiveType) -> pa.DataType:
    """The Arrow type of a Hive type; nested values may be null, map keys may not."""
    match hive:
        case PrimitiveType(name):
            return PRIMITIVES[name]
        case DecimalType(precision, scale):
            return pa.decimal128(precision, scale)
        case TextType():
            return pa.string()
        case ArrayType(element):
            return pa.list_(pa.field("element", arrow_type(element)))
        case MapType(key, value):
            return pa.map_(arrow_type(key), arrow_type(value))
        case StructType(fields):
            return pa.struct([pa.field(name, arrow_type(field)) for name, field in fields])


def parts(hive: HiveType) -> Iterator[HiveType]:
    """The type itself and every type within it."""
    yield hive
    match hive:
        case ArrayType(element):
            yield from parts(element)
        case MapType(key, value):
            yield from parts(key)
            yield from parts(value)
        case StructType(fields):
            for _, field in fields:
                yield from parts(field)


def hive_type(arrow: pa.DataType) -> str:
    """The Hive type that a Glue table declares for a column of this Arrow type.

    Raises:
        ConfigurationError: Hive has no such type.
    """
    is_ = pa.types
    checks: tuple[tuple[Callable[[Any], bool], Callable[[Any], str]], ...] = (
        (is_.is_boolean, lambda _: "boolean"),
        (is_.is_int8, lambda _: "tinyint"),
        (lambda a: is_.is_int16(a) or is_.is_uint8(a), lambda _: "smallint"),
        (lambda a: is_.is_int32(a) or is_.is_uint16(a), lambda _: "int"),
        (lambda a: is_.is_int64(a) or is_.is_uint32(a), lambda _: "bigint"),
        (lambda a: is_.is_float16(a) or is_.is_float32(a), lambda _: "float"),
        (is_.is_float64, lambda _: "double"),
        (lambda a: is_.is_string(a) or is_.is_large_string(a) or is_.is_string_view(a), lambda _: "string"),
        (lambda a: is_.is_binary(a) or is_.is_large_binary(a) or is_.is_fixed_size_binary(a), lambda _: "binary"),
        (is_.is_timestamp, lambda _: "timestamp"),
        (is_.is_date, lambda _: "date"),
        (is_.is_decimal, lambda a: f"decimal({a.precision},{a.scale})"),
        (is_.is_dictionary, lambda a: hive_type(a.value_type)),
        (lambda a: is_.is_list(a) or is_.is_large_list(a), lambda a: f"array<{hive_type(a.value_type)}>"),
        (is_.is_map, lambda a: f"map<{hive_type(a.key_type)},{hive_type(a.item_type)}>"),
        (is_.is_struct, lambda a: f"struct<{','.join(f'{f.name.lower()}:{hive_type(f.type)}' for f in a)}>"),
    )
    for matches, spell in checks:
        if matches(arrow):
            return spell(arrow)
    message = f"Hive has no type for Arrow's {arrow}."
    raise ConfigurationError(message, fix="Cast the column to a type that a Glue table can declare.")


_TOKEN: Final = re.compile(r"\s*(`(?:[^`]|``)+`|[^\s<>(),:`]+|[<>(),:])")


class _Parser:
    """Recursive descent over the tokens of one type: a comma belongs to the innermost open bracket."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = list(_tokens(text))
        self._next = 0

    def parse(self) -> HiveType:
        found = self._type()
        if self._next < len(self._tokens):
            raise self._error()
        return found

    def _type(self) -> HiveType:
        word = self._word().lower()
        if word == "array":
            self._expect("<")
            element = self._type()
            self._expect(">")
            return ArrayType(element)
        if word == "map":
            return self._map()
        if word == "struct":
            return self._struct()
        if word in {"decimal", "numeric", "dec"}:
            return self._decimal()
        if word in MAX_LENGTH:
            (length,) = self._numbers(1)
            if not 1 <= length <= MAX_LENGTH[word]:
                raise self._error()
            return TextType(word, length)
        if word == "double" and self._peek().lower() == "precision":
            self._next += 1
        name = _ALIASES.get(word, word)
        if name not in PRIMITIVES:
            raise self._error()
        return PrimitiveType(name)

    def _map(self) -> MapType:
        self._expect("<")
        key = self._type()
        if not isinstance(key, PrimitiveType | DecimalType | TextType):
            raise self._error()
        self._expect(",")
        value = self._type()
        self._expect(">")
        return MapType(key, value)

    def _struct(self) -> StructType:
        self._expect("<")
        fields: dict[str, HiveType] = {}
        while True:
            name = self._word().strip("`").replace("``", "`").lower()
            self._expect(":")
            if name in fields:
                raise self._error()
            fields[name] = self._type()
            if self._peek() != ",":
                break
            self._next += 1
        self._expect(">")
        return StructType(tuple(fields.items()))

    def _decimal(self) -> DecimalType:
        if self._peek() != "(":
            return DecimalType()
        numbers = self._numbers(1, 2)
        found = DecimalType(*numbers)
        if not (1 <= found.precision <= MAX_DECIMAL_PRECISION and 0 <= found.scale <= found.precision):
            raise self._error()
        return found

    def _numbers(self, *counts: int) -> list[int]:
        self._expect("(")
        numbers = []
        while True:
            word = self._word()
            if not (word.isascii() and word.isdigit()):
                raise self._error()
            numbers.append(int(word))
            if self._peek() != ",":
                break
            self._next += 1
        self._expect(")")
        if len(numbers) not in counts:
            raise self._error()
        return numbers

    def _peek(self) -> str:
        return self._tokens[self._next] if self._next < len(self._tokens) else ""

    def _word(self) -> str:
        word = self._peek()
        if not word or word in "<>(),:":
            raise self._error()
        self._next += 1
        return word

    def _expect(self, token: str) -> None:
        if self._peek() != token:
            raise self._error()
        self._next += 1

    def _error(self) -> ConfigurationError:
        message = f"{self._text!r} is not a Hive type that Parquet conversion supports."
        return ConfigurationError(message, fix="Use the types of the Hive DDL; uniontype is not supported.")


def _tokens(text: str) -> Iterator[str]:
    position = 0
    while position < len(text):
        found = _TOKEN.match(text, position)
        if not found:
            break
        yield found[1]
        position = found.end()
    if text[position:].strip():
        yield text[position:]
