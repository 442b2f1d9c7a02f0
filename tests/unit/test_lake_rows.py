"""Rows as JSON and as text."""

import json
from datetime import date
from decimal import Decimal
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest

from pipelines.lake.rows import cells, json_rows, json_value, readable


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        (True, True),
        (2**70, 2**70),
        (0.5, 0.5),
        (float("nan"), "nan"),
        (float("-inf"), "-inf"),
        (Decimal("45"), 45),
        (Decimal("1.50"), "1.50"),
        (date(2013, 1, 2), "2013-01-02"),
        (pd.Timestamp("2013-01-02 03:04:05.123456789"), "2013-01-02T03:04:05.123456789"),
        (b"\x00\xff", "AP8="),
        ({"a": [Decimal("1.0")]}, {"a": ["1.0"]}),
        ([("k", b"v")], [["k", "dg=="]]),
    ],
)
def test_every_value_has_a_json_form(value: Any, expected: Any) -> None:
    assert json_value(value) == expected
    assert json.loads(json.dumps(json_value(value), allow_nan=False)) == expected


def test_columns_of_one_name_are_all_there() -> None:
    table = pa.table([[1], [2], [3], [4]], names=["a", "a", "a_1", "a"])
    assert json_rows(table) == [{"a": 1, "a_2": 2, "a_1": 3, "a_3": 4}]


def test_a_table_without_rows_gives_none() -> None:
    table = pa.table({"a": pa.array([], pa.int32())})
    assert json_rows(table) == []
    assert cells(table) == []


def test_cells_are_text_for_people() -> None:
    table = pa.table({"a": [None, 1], "b": [b"caf\xc3\xa9", b"\xff"], "c": [[1], None]})
    assert cells(table) == [["", "café", "[1]"], ["1", "base64:/w==", ""]]


def test_readable_says_when_it_is_base64() -> None:
    assert (readable(b"x\n"), readable(b"\xfe")) == ("x\n", "base64:/g==")
