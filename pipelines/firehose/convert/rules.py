"""What the configured deserializer does with keys and with values of the wrong shape (A5.4, A5.6, A5.13)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from pipelines.firehose.config import HiveJsonSerDe, OpenXJsonSerDe
from pipelines.firehose.convert.timestamps import (
    ISO_FORM,
    SPACE_FORM,
    TimestampParser,
    openx_timestamp,
    sql_timestamp,
    timestamp_formats,
)
from pipelines.firehose.schema import StructType, TableSchema, parts

MAX_DEPTH: Final = 250
"""Objects and arrays within each other. AWS refuses "highly nested" JSON and does not say where that begins; orjson
writes no deeper text."""


@dataclass(frozen=True)
class Rules:
    """A deserializer's rules.

    Attributes:
        lenient: OpenX: a string in a numeric column is parsed, a scalar in an array column becomes its one element, an
            array fills a struct by position, a nested value in a string column becomes JSON text. Hive's refuses all.
        case_insensitive: keys match columns and struct fields in any case.
        lowercase_keys: keys that are data (of a map, of JSON text in a string column) are stored in lower case.
        dots_to_underscores: `a.b` matches `a_b`.
        json_keys: column name -> the JSON key that holds it, where they differ.
        parse_timestamp: text to nanoseconds.
        epoch_numbers: a JSON number in a timestamp column is an epoch number.
        timestamp_forms: regular expressions of the text forms that Arrow can cast in one call.
    """

    lenient: bool
    case_insensitive: bool
    lowercase_keys: bool
    dots_to_underscores: bool
    json_keys: Mapping[str, str]
    parse_timestamp: TimestampParser
    epoch_numbers: bool
    timestamp_forms: tuple[str, ...]

    @property
    def exact_keys(self) -> bool:
        """Whether a key matches only when it is spelled as the schema spells it."""
        return not (self.case_insensitive or self.dots_to_underscores)

    def normalise(self, key: str) -> str:
        """The key as it is compared with names of the schema."""
        if self.dots_to_underscores:
            key = key.replace(".", "_")
        return key.lower() if self.case_insensitive else key

    def json_key(self, column: str) -> str:
        """The normalised JSON key of a table column; a mapped column is found under its mapped key only."""
        return self.normalise(self.json_keys.get(column, column))


def rules_of(deserializer: OpenXJsonSerDe | HiveJsonSerDe) -> Rules:
    """The rules of a deserializer as a delivery stream configures it.

    Raises:
        ConfigurationError: a timestamp format that is not supported.
    """
    if isinstance(deserializer, OpenXJsonSerDe):
        return Rules(
            lenient=True,
            case_insensitive=deserializer.case_insensitive,
            lowercase_keys=deserializer.case_insensitive,
            dots_to_underscores=deserializer.convert_dots_in_json_keys_to_underscores,
            json_keys={column.lower(): key for column, key in deserializer.column_to_json_key_mappings},
            parse_timestamp=openx_timestamp,
            epoch_numbers=True,
            timestamp_forms=(ISO_FORM, SPACE_FORM),
        )
    formats = deserializer.timestamp_formats
    return Rules(
        lenient=False,
        case_insensitive=True,
        lowercase_keys=False,
        dots_to_underscores=False,
        json_keys={},
        parse_timestamp=timestamp_formats(formats) if formats else sql_timestamp,
        epoch_numbers=False,
        timestamp_forms=() if formats else (SPACE_FORM,),
    )


def names(schema: TableSchema, rules: Rules) -> frozenset[str]:
    """Every normalised key that means something at some level of the schema."""
    found = {rules.json_key(column.name) for column in schema.columns}
    for column in schema.columns:
        for part in parts(column.type):
            if isinstance(part, StructType):
                found.update(name for name, _ in part.fields)
    return frozenset(found)
