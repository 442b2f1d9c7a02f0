"""A condition on the JSON fields of records, for `hydrant trace --where`: DuckDB says which records it holds for."""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from typing import Any, Final

import duckdb
import orjson
import pyarrow as pa

from pipelines.runtime.errors import ConfigurationError

_OWN: Final = ("partition_key", "sequence_number", "shard_id", "data")
_INTEGER: Final = re.compile(r"[+-]?\d{1,18}", re.ASCII)
_MOST_TRIES: Final = 64


def matching(records: pa.Table, condition: str) -> list[int]:
    """The rows of `records` that `condition` holds for, ascending.

    Each member of a record that is a JSON object is a column, and so are partition_key, sequence_number, shard_id and
    data (the record as text). A member whose values are mostly numbers, also numbers given as text, is a number, and
    what is none in it ("NA") is null; where the condition treats it as text, it is text.

    Args:
        records: `run_folder.PUT_SCHEMA`.
        condition: a boolean expression in DuckDB's dialect, e.g. `flight = 1545 AND carrier = 'UA'`.

    Raises:
        ConfigurationError: the condition is none, or names a member that no record has.
    """
    documents = [_document(data) for data in records.column("data").to_pylist()]
    names = _names(documents)
    try:  # by itself, so that it is a condition and no more of a statement
        duckdb.SQLExpression(condition)
    except duckdb.Error as error:
        raise _unanswered(error, [*names, *_OWN]) from error
    columns = {name: [document.get(name) for document in documents] for name in names if _mentions(condition, name)}
    texts = {name: [_text(value) for value in values] for name, values in columns.items()}
    for name in _OWN:
        if name.casefold() not in {known.casefold() for known in names} and _mentions(condition, name):
            texts[name] = [_text(value) for value in records.column(name).to_pylist()]
    numbers = {name: kind for name, values in columns.items() if (kind := _number(values))}
    source = pa.table(
        [pa.array(range(records.num_rows), pa.int64()), *(pa.array(values, pa.string()) for values in texts.values())],
        names=["hydrant:row", *texts],
    )
    return _rows(source, numbers, condition, [*names, *_OWN])


def _rows(source: pa.Table, numbers: Mapping[str, str], condition: str, known: Sequence[str]) -> list[int]:
    first: duckdb.Error | None = None
    with duckdb.connect(":memory:") as connection:
        connection.execute("SET python_enable_replacements = false")
        connection.execute("SET enable_external_access = false")
        connection.register("hydrant:source", source)
        for as_text in _tries(list(numbers)):
            columns = ", ".join(
                f"TRY_CAST({_quoted(name)} AS {numbers[name]}) AS {_quoted(name)}"
                if name in numbers and name not in as_text
                else _quoted(name)
                for name in source.column_names
            )
            view = f'(SELECT {columns} FROM "hydrant:source") AS records'
            sql = f'SELECT "hydrant:row" FROM {view} WHERE (\n{condition}\n)'
            try:
                return sorted(row for (row,) in connection.execute(sql).fetchall())
            except duckdb.Error as error:  # a number that is compared with a text, or a LIKE of it
                first = first or error
    assert first is not None
    raise _unanswered(first, known) from first


def _unanswered(error: duckdb.Error, known: Sequence[str]) -> ConfigurationError:
    said = " ".join(str(error).partition("\n\nLINE ")[0].split()).rstrip(".")
    fix = f"correct the condition; it is DuckDB's dialect, and the records have {', '.join(known)}"
    return ConfigurationError(f"--where cannot be answered: {said}.", fix=fix)


def _tries(numbers: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """Which of the columns that could be numbers are texts: none, then each one, then each two, and so on."""
    count = 0
    for size in range(len(numbers) + 1):
        for chosen in combinations(numbers, size):
            yield chosen
            count += 1
            if count == _MOST_TRIES:
                return


def _document(data: bytes) -> dict[str, Any]:
    try:
        read = orjson.loads(data)
    except orjson.JSONDecodeError:
        return {}
    return read if isinstance(read, dict) else {}


def _names(documents: Sequence[Mapping[str, Any]]) -> list[str]:
    """Every member's name once; SQL does not tell upper case from lower case, so of two such the first stays."""
    found: dict[str, str] = {}
    for document in documents:
        for name in document:
            found.setdefault(name.casefold(), name)
    return list(found.values())


def _mentions(condition: str, name: str) -> bool:
    return name.casefold() in condition.casefold()


def _text(value: Any) -> str | None:
    match value:
        case None | str():
            return value
        case bytes():
            return value.decode("utf-8", "replace")
    return orjson.dumps(value).decode()


def _number(values: Sequence[Any]) -> str | None:
    """The SQL type of a column of numbers; None for another one."""
    there = [value for value in values if value is not None]
    found = [value for value in there if _is_number(value)]
    if not found or 2 * len(found) < len(there):
        return None
    return "BIGINT" if all(_INTEGER.fullmatch(str(value)) for value in found) else "DOUBLE"


def _is_number(value: Any) -> bool:
    if isinstance(value, str):
        try:
            return math.isfinite(float(value))
        except ValueError:
            return False
    return isinstance(value, int | float) and not isinstance(value, bool)


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
