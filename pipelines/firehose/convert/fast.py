"""The fast path: one call of Arrow's JSON reader for many records, with the table's schema.

What the reader leaves open is told to the caller, who asks the slow path. The reader remembers what worked: most
streams spell their keys and write their timestamps one way, all day long.
"""

import functools
import re
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.json as pj

from pipelines.firehose.convert.keys import KeyCheck
from pipelines.firehose.convert.lines import Flags, Positions
from pipelines.firehose.convert.rules import Rules
from pipelines.firehose.convert.vectors import (
    NUMBER,
    WIDE_NUMBER,
    Finish,
    Reading,
    any_of,
    finish_array,
    finish_struct,
    reading,
)
from pipelines.firehose.schema import ArrayType, DecimalType, HiveType, MapType, StructType, TableSchema, parts

_CHANGES_A_PAGE: Final = 3
_KIND_CHANGED: Final = re.compile(r"Column\((.*)\) changed from \w+ to (\w+) in row 0$", re.DOTALL)
_OUT_OF_RANGE: Final = re.compile(r"Failed to convert JSON to int(?:8|16|32), couldn't parse:-?\d+$")
_ROW: Final = re.compile(r" in row (\d+)$")
_VALUE: Final = re.compile(r"couldn't parse:(\S+)$|decimal256\(\d+, \d+\): (\S+) requires")


@dataclass(frozen=True)
class Read:
    """Typed columns of all lines. Rows in `open_rows` (None: none) are not decided yet, their values mean nothing."""

    columns: list[pa.Array]
    open_rows: Flags | None


@dataclass(frozen=True)
class Refused:
    """The lines cannot be read together; `row` is probably the one at fault (None: unknown)."""

    row: int | None


class FastReader:
    """Reads lines of JSON objects (see `lines`) into the columns of a table.

    Two parse modes: *strict* refuses a key that the schema does not have, which proves that no key is spelled in
    another way than the schema's. *Tolerant* drops such keys, and then all keys of the text are checked (A5.4, A5.9).

    Args:
        schema: the table.
        rules: the deserializer's rules.
    """

    def __init__(self, schema: TableSchema, rules: Rules) -> None:
        self._schema = schema
        self._keys = KeyCheck(schema, rules)
        self._readings: dict[str, Reading] = {}
        self._kinds: dict[str, str] = {}
        self._rules = rules
        self._tolerant = False
        self._wide = False
        self._changes: dict[str, int] = {}
        keys = [rules.json_key(column.name) for column in schema.columns]
        types = {type(part) for column in schema.columns for part in parts(column.type)}
        # The reader makes no map of a JSON object, gives one key to one column only, and takes a string for a decimal.
        readable = MapType not in types and (rules.lenient or DecimalType not in types)
        self.usable = readable and len(set(keys)) == len(keys) and self._keys.usable
        if self.usable:
            self._plan()

    def begin_page(self) -> None:
        """Allows the reader to change its mind again; a page cannot make it do so endlessly."""
        self._changes = {}
        if self._wide:
            self._wide = False
            self._plan()

    def read(self, text: pa.Buffer, starts: Positions) -> Read | Refused:
        """Reads the lines of `text` that begin at `starts` (see `Lines`)."""
        while True:
            tolerant, undecided = self._tolerant, None
            if tolerant:
                found = self._keys.check(text, starts)
                if found.respelled and self._may_change("spelling"):
                    self._keys.respell(found.respelled)
                    self._tolerant = False
                    self._plan()
                    continue
                undecided, self._tolerant = found.undecided, found.has_others
            try:
                rows = pj.open_json(
                    pa.BufferReader(text),
                    # One block is one batch: the reader must not cut the text where it likes.
                    pj.ReadOptions(use_threads=False, block_size=text.size + 1),
                    self._tolerant_options if tolerant else self._strict_options,
                ).read_next_batch()
            except pa.ArrowInvalid as error:
                if self._change_plan(str(error), tolerant=tolerant):
                    continue
                return Refused(_at_fault(str(error), text, starts))
            if rows.num_rows != len(starts) - 1:
                return Refused(None)
            finished = [finish(rows.column(i)) for i, finish in enumerate(self._finishes)]
            columns = [column for column, _ in finished]
            return Read(columns, any_of([undecided, *(flags for _, flags in finished)]))

    def _may_change(self, what: str) -> bool:
        self._changes[what] = self._changes.get(what, 0) + 1
        return self._changes[what] <= _CHANGES_A_PAGE

    def _change_plan(self, message: str, *, tolerant: bool) -> bool:
        """Whether the reader's message says how to read the same text with more success."""
        if message.endswith("unexpected field") and not tolerant:
            self._tolerant = True
            return True
        if _OUT_OF_RANGE.search(message) and not self._wide:
            self._wide = True
            self._plan()
            return True
        found = _KIND_CHANGED.search(message)
        if not found:
            return False
        path, kind = found.groups()
        known = self._readings.get(path)
        if known is None or kind not in known.kinds or self._kinds[path] == kind or not self._may_change(path):
            return False
        self._kinds[path] = kind
        self._plan()
        return True

    def _plan(self) -> None:
        """Compiles what to read and how to finish it, for the current spellings and kinds."""
        self._finishes: list[Finish] = []
        fields = []
        for column in self._schema.columns:
            key = self._keys.spelling(self._rules.json_key(column.name))
            arrow, finish = self._compile(column.type, f"/{key}")
            fields.append(pa.field(key, arrow))
            self._finishes.append(finish)
        schema = pa.schema(fields)
        self._strict_options = pj.ParseOptions(explicit_schema=schema, unexpected_field_behavior="error")
        self._tolerant_options = pj.ParseOptions(explicit_schema=schema, unexpected_field_behavior="ignore")

    def _compile(self, hive: HiveType, path: str) -> tuple[pa.DataType, Finish]:
        if isinstance(hive, ArrayType):
            arrow, finish = self._compile(hive.element, f"{path}/[]")
            return pa.list_(arrow), functools.partial(finish_array, child=finish)
        if isinstance(hive, StructType):
            fields, children = [], {}
            for name, field in hive.fields:
                key = self._keys.spelling(name)
                arrow, children[name] = self._compile(field, f"{path}/{key}")
                fields.append(pa.field(key, arrow))
            return pa.struct(fields), functools.partial(finish_struct, children=children)
        known = self._readings.setdefault(path, reading(hive, self._rules))
        kind = self._kinds.setdefault(path, next(iter(known.kinds)))
        if kind == NUMBER and self._wide and WIDE_NUMBER in known.kinds:
            kind = WIDE_NUMBER
        return known.kinds[kind], known.finish[kind]


def _at_fault(message: str, text: pa.Buffer, starts: Positions) -> int | None:
    """The row that the reader's message is about, or probably about: a wrong guess costs time and nothing else."""
    if row := _ROW.search(message):
        return int(row[1])
    if value := _VALUE.search(message):
        position = text.to_pybytes().find((value[1] or value[2]).encode())
        return int(np.searchsorted(starts, position, side="right")) - 1 if position >= 0 else None
    return None
