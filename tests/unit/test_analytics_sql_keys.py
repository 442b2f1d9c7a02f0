"""What a row is to a window: the series it is parted into, the numbers of it, and what neither can hold."""

import json

import pytest

from pipelines.analytics.sql.parse import Field
from pipelines.analytics.sql.plan import plan
from pipelines.analytics.sql.source import RecordFormat, SourceColumn
from pipelines.analytics.sql.types import type_of_text
from pipelines.kinesis.page import make_page

COLUMNS = {"A": "DOUBLE", "B": "DOUBLE", "N": "BIGINT", "I": "INTEGER"}
SOURCE = 'FROM "SOURCE_SQL_STREAM_001"'
MINUTE = "STEP(ROWTIME BY INTERVAL '60' SECOND)"


def before_the_window(select, records):
    """(rows, errors) of the step before a window."""
    columns = tuple(SourceColumn(name, type_of_text(kind, name), (name,)) for name, kind in COLUMNS.items())
    code = "CREATE STREAM o (x DOUBLE); CREATE PUMP p AS INSERT INTO o SELECT STREAM "
    stage = plan(code + select, [Field(each.name, each.type) for each in columns]).pumps[0].stages[0]
    data = [json.dumps(record).encode() for record in records]
    numbers = [str(number) for number in range(len(data))]
    page = make_page("shard", data, ["key"] * len(data), numbers, [1_533_121_200_000] * len(data))
    rows, bad = RecordFormat(columns).parse(page)
    assert not bad
    batch, errors = stage.apply(rows)
    return batch.to_pylist(), [(error.name, error.message) for error in errors]


WINDOWS = {
    "tumbling": f"COUNT(*) {SOURCE} GROUP BY {{0}}, {MINUTE}",
    "stagger": f"COUNT(*) {SOURCE} WINDOWED BY STAGGER (PARTITION BY {{0}} RANGE INTERVAL '60' SECOND)",
    "sliding": f"COUNT(*) OVER (PARTITION BY {{0}} ROWS 2 PRECEDING) {SOURCE}",
}
each_window = pytest.mark.parametrize("select", WINDOWS.values(), ids=WINDOWS)


@each_window
def test_zero_is_one_key_whatever_its_sign(select):
    rows, errors = before_the_window(select.format("a"), [{"A": 0.0}, {"A": -0.0}, {"A": 0}, {"A": 1.5}, {}])
    assert [row["series"] for row in rows] == ["[0.0]", "[0.0]", "[0.0]", "[1.5]", "[null]"]
    assert errors == []


@each_window
def test_a_whole_number_and_the_same_double_are_one_key(select):
    rows, _ = before_the_window(select.format("COALESCE(n, 1.0)"), [{"N": 1}, {"N": None}])
    assert len({row["series"] for row in rows}) == 1


@each_window
def test_c7_infinity_is_not_the_key_null_but_a_row_of_the_error_stream(select):
    rows, errors = before_the_window(select.format("a * b"), [{"A": 1e200, "B": 1e200}, {"A": None, "B": 1}])
    assert [row["series"] for row in rows] == ["[null]"]
    assert errors == [("COERCION", "'inf' does not fit into DOUBLE")]


@each_window
def test_a_large_whole_number_is_a_key_of_its_own(select):
    rows, _ = before_the_window(select.format("n"), [{"N": 2**53}, {"N": 2**53 + 1}])
    assert [row["series"] for row in rows] == [f"[{2**53}]", f"[{2**53 + 1}]"]


@pytest.mark.parametrize("function", ["MIN", "MAX", "FIRST_VALUE", "LAST_VALUE"])
@pytest.mark.parametrize("window", [f"{SOURCE} GROUP BY {MINUTE}", f"OVER (ROWS 2 PRECEDING) {SOURCE}"])
def test_c7_a_bigint_that_a_window_would_round_is_a_row_of_the_error_stream(function, window):
    records = [{"N": 2**53 + 1}, {"N": 2**53}, {"N": -(2**53)}, {"N": -(2**53) - 1}, {}]
    rows, errors = before_the_window(f"{function}(n) {window}", records)
    assert len(rows) == 3
    said = "is a BIGINT beyond 2^53, which a window does not hold exactly"
    assert errors == [("COERCION", f"{2**53 + 1} {said}"), ("COERCION", f"{-(2**53) - 1} {said}")]


def test_a_double_of_any_size_is_taken_by_a_window():
    rows, errors = before_the_window(f"MAX(a) {SOURCE} GROUP BY {MINUTE}", [{"A": 1e300}])
    assert (len(rows), errors) == (1, [])
