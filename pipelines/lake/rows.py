"""Rows of a query or an object as JSON and as text, without loss: what JSON has no word for becomes text."""

import base64
import math
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any

import pyarrow as pa


def json_rows(table: pa.Table) -> list[dict[str, Any]]:
    """The rows, one object each: nothing in them is more than JSON holds.

    Decimals with a fraction, NaN and infinities become text; dates and times ISO 8601 text with all their digits; bytes
    base64; a map an array of [key, value], for its keys need not be texts. A column that has the name of one before it
    is called NAME_1, NAME_2 and so on.
    """
    names = _distinct(table.column_names)
    columns = ([json_value(value) for value in column.to_pylist()] for column in table.columns)
    return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]


def json_value(value: Any) -> Any:
    """One value of a row, see `json_rows`."""
    match value:
        case None | bool() | int() | str():
            return value
        case float():
            return value if math.isfinite(value) else str(value)
        case Decimal():
            return int(value) if value.as_tuple().exponent == 0 else str(value)
        case datetime() | date() | time():
            return value.isoformat()
        case bytes():
            return base64.b64encode(value).decode("ascii")
        case dict():
            return {name: json_value(member) for name, member in value.items()}
        case list() | tuple():
            return [json_value(member) for member in value]
    return str(value)


def cells(table: pa.Table) -> list[list[str]]:
    """The rows as a person reads them: null is empty, bytes that are UTF-8 are text, and others base64."""
    columns = ([_cell(value) for value in column.to_pylist()] for column in table.columns)
    return [list(row) for row in zip(*columns, strict=True)]


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bytes):
        return readable(value)
    return str(json_value(value)) if isinstance(value, dict | list) else str(value)


def readable(data: bytes) -> str:
    """`data` as text if it is UTF-8, else in base64 with that said."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return f"base64:{base64.b64encode(data).decode('ascii')}"


def _distinct(names: list[str]) -> list[str]:
    taken, found = set(names), list[str]()
    for name in names:
        distinct, count = name, 0
        while distinct in found:
            count += 1
            distinct = f"{name}_{count}" if f"{name}_{count}" not in taken else distinct
        found.append(distinct)
    return found
