"""Expressions: SQL text becomes the expression that it was written from, and has the value that SQL gives it."""

import contextlib
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlglot import parse_one

from pipelines.analytics.sql import types
from pipelines.analytics.sql.compile import BASE, Scope, compiled
from pipelines.analytics.sql.dialect import KinesisAnalytics
from pipelines.analytics.sql.expression import (
    Aggregated,
    Call,
    Cast,
    Column,
    Constant,
    EvaluationError,
    Expression,
    Logic,
    Required,
)
from pipelines.analytics.sql.parse import Field
from pipelines.analytics.sql.types import TIMES_MS, CoercionError

SCOPE = Scope(
    (
        Field("A", types.INTEGER),
        Field("b", types.DOUBLE),
        Field("T", types.VARCHAR),
        Field("AT", types.TIMESTAMP),
        Field("OK", types.BOOLEAN),
    ),
    ("S",),
)
A, B, T, AT, OK = (Column(len(BASE) + at) for at in range(5))
ROW = (1_533_121_220_000, "key", "shard-1", "77", 7, 2.5, "AMZN", 1_533_121_265_000, True)


def expression(sql, scope=SCOPE):
    return compiled(parse_one(sql, read=KinesisAnalytics), scope)


numbers = st.recursive(
    st.sampled_from([("a", A), ('"b"', B), ("s.a", A)])
    | st.integers(0, 2**40).map(lambda value: (str(value), Constant(value)))
    | st.decimals(0, 10**6, places=2).map(lambda value: (str(value), Constant(float(value)))),
    lambda inner: (
        st.tuples(inner, st.sampled_from("+-*/"), inner).map(
            lambda parts: (f"({parts[0][0]} {parts[1]} {parts[2][0]})", Call(parts[1], (parts[0][1], parts[2][1])))
        )
        | inner.map(lambda part: (f"ABS({part[0]})", Call("ABS", (part[1],))))
    ),
    max_leaves=8,
)
comparisons = st.tuples(numbers, st.sampled_from(["=", "<>", "<", "<=", ">", ">="]), numbers).map(
    lambda parts: (f"{parts[0][0]} {parts[1]} {parts[2][0]}", Call(parts[1], (parts[0][1], parts[2][1])))
)
conditions = st.recursive(
    comparisons | st.just(("ok", OK)),
    lambda inner: (
        st.tuples(inner, st.sampled_from(["AND", "OR"]), inner).map(
            lambda parts: (f"({parts[0][0]}) {parts[1]} ({parts[2][0]})", Logic(parts[1], (parts[0][1], parts[2][1])))
        )
        | inner.map(lambda part: (f"NOT ({part[0]})", Logic("NOT", (part[1],))))
    ),
    max_leaves=6,
)


@given(numbers | conditions)
def test_text_becomes_the_expression_that_it_was_written_from(written: tuple[str, Expression]):
    text, meant = written
    assert expression(text).value == meant


@given(st.text(min_size=1).filter(lambda name: "\x00" not in name))
def test_c6_a_name_in_quotes_is_any_text(name):
    scope = Scope((Field(name, types.DOUBLE),))
    quoted = name.replace('"', '""')
    assert expression(f'"{quoted}"', scope).value == Column(len(BASE))


@given(st.from_regex(r"[a-z]{2}[a-z0-9_]{0,8}q", fullmatch=True))
def test_c6_a_name_without_quotes_is_in_capitals(name):
    assert expression(name, Scope((Field(name.upper(), types.DOUBLE),))).value == Column(len(BASE))


def test_c5_rowtime_and_what_a_source_tells_of_a_record():
    scope = Scope((Field("ticker", types.VARCHAR),), is_source=True)
    names = ("ROWTIME", "APPROXIMATE_ARRIVAL_TIME", "PARTITION_KEY", "SHARD_ID", "SEQUENCE_NUMBER")
    assert [expression(name, scope).value.of(ROW) for name in names] == [*ROW[:1], *ROW[:4]]
    assert expression("Ticker", scope).value == Column(len(BASE))  # a RecordColumn's name has no quotes


@pytest.mark.parametrize(
    ("sql", "value"),
    [
        ("a / 2", 3),
        ("-a / 2", -3),
        ("MOD(-a, 4)", -3),
        ("a / 2.0", 3.5),
        ("a BETWEEN 1 AND 7", True),
        ("a NOT BETWEEN 1 AND 7", False),
        ("a IN (1, 7)", True),
        ("a NOT IN (1, 7)", False),
        ("t LIKE 'A_Z%'", True),
        ("t NOT LIKE 'a%'", True),
        ("t || '-' || LOWER(t)", "AMZN-amzn"),
        ("CHAR_LENGTH(TRIM('  x '))", 1),
        ("NULL IS NULL", True),
        ("a IS NOT NULL", True),
        ("COALESCE(NULL, a)", 7),
        ("CASE WHEN a > 9 THEN 'high' WHEN a > 5 THEN 'some' ELSE 'low' END", "some"),
        ("CASE WHEN a > 9 THEN 1 END", None),
        ("NULL > 3 OR ok", True),
        ("NULL > 3 AND ok", None),
        ("NULL > 3 AND NOT ok", False),
        ("CAST(a AS VARCHAR(3))", "7"),
        ("CAST('2.5' AS DOUBLE) + a", 9.5),
        ("CAST(ROWTIME AS VARCHAR(40))", "2018-08-01 11:00:20.000"),
        ("CAST(FLOOR(at TO MINUTE) AS VARCHAR(23))", "2018-08-01 11:01:00.000"),
        ("CAST(CAST('2018-08-01 11:01:05.5' AS TIMESTAMP) AS VARCHAR)", "2018-08-01 11:01:05.500"),
        ("CAST(CAST(NULL AS TIMESTAMP) AS VARCHAR)", None),
        ("FLOOR(at TO MINUTE) = TIMESTAMP '2018-08-01 11:01:00'", True),
        ("FLOOR(at TO MONTH) = TIMESTAMP '2018-08-01 00:00:00'", True),
        ("FLOOR(at TO YEAR) = TIMESTAMP '2018-01-01 00:00:00'", True),
        ("STEP(at BY INTERVAL '40' SECOND) = TIMESTAMP '2018-08-01 11:00:40'", True),
        ("at > ROWTIME", True),
    ],
)
def test_what_an_expression_gives(sql, value):
    found = expression(sql).value.of(ROW)
    assert found == value
    assert type(found) is type(value)


def test_c7_a_time_does_not_fit_into_a_text_that_is_too_short():
    with pytest.raises(types.CoercionError, match=r"'2018-08-01 11:00:20.000' does not fit into VARCHAR\(22\)"):
        expression("CAST(ROWTIME AS VARCHAR(22))").value.of(ROW)


@pytest.mark.parametrize("sql", ["a / 0", '"b" / 0', "MOD(a, 0)"])
def test_c7_a_division_by_zero_has_no_value(sql):
    with pytest.raises(EvaluationError, match="division by zero"):
        expression(sql).value.of(ROW)


@pytest.mark.parametrize("sql", ["9223372036854775807 + 1", "a * 9223372036854775807", "-9223372036854775807 - 2"])
def test_c7_a_whole_number_beyond_bigint_is_an_error_and_ends_nothing(sql):
    with pytest.raises(EvaluationError, match="beyond BIGINT"):
        expression(sql).value.of(ROW)
    with pytest.raises(EvaluationError, match="beyond BIGINT"):
        Aggregated(Constant(1e19), Constant(1), whole=True).of(())


@pytest.mark.parametrize("sql", ['MOD("b" * "b", 2)', 'MOD(-("b" * "b"), a)'])
def test_c7_infinity_is_an_error_where_it_has_no_value(sql):
    row = (*ROW[:5], 1e200, *ROW[6:])
    with pytest.raises(EvaluationError, match=r"MOD has no value for -?inf"):
        expression(sql).value.of(row)


def test_c7_infinity_that_has_a_value_keeps_it():
    row = (*ROW[:5], 1e200, *ROW[6:])
    assert expression('MOD(2.5, "b" * "b")').value.of(row) == 2.5
    assert expression('"b" * "b" > a').value.of(row) is True


REALS = st.floats() | st.sampled_from([math.inf, -math.inf, 0.0, -0.0, 5e-324, 1.7e308])


@given(st.integers(-(2**63), 2**63 - 1), REALS, st.sampled_from("+-*/%"), st.booleans())
def test_c7_arithmetic_has_a_value_or_is_an_error_of_the_row(whole, real, sign, turned):
    name = "MOD" if sign == "%" else sign
    for left, right in ((real, whole), (real, real), (whole, whole)):
        values = (right, left) if turned else (left, right)
        call = Call(name, tuple(map(Constant, values)))
        with contextlib.suppress(EvaluationError):
            assert isinstance(call.of(()), int | float)
        with contextlib.suppress(EvaluationError, CoercionError):
            assert isinstance(Cast(call, types.INTEGER).of(()), int)


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan])
def test_c7_an_aggregate_of_whole_numbers_that_is_infinite_is_an_error(value):
    with pytest.raises(EvaluationError, match="no finite number"):
        Aggregated(Constant(value), Constant(1), whole=True).of(())


@pytest.mark.parametrize("sql", ["STEP(at BY INTERVAL '900' DAY)", "FLOOR(at TO HOUR)"])
def test_c7_no_time_is_before_the_year_1(sql):
    at = TIMES_MS[0]
    row = (*ROW[:7], at, True)
    if "FLOOR" in sql:
        assert expression(sql).value.of(row) == at
        return
    with pytest.raises(EvaluationError, match="before the year 1"):
        expression(sql).value.of(row)


@pytest.mark.parametrize("value", [None, float("inf"), float("nan")])
def test_c13_what_is_no_finite_number_is_no_point(value):
    with pytest.raises(EvaluationError, match="needs"):
        Required(Constant(value), "HOTSPOTS needs it").of(())
    assert Required(Constant(3), "").of(()) == 3.0
