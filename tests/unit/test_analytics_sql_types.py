"""SQL types: what fits, how JSON becomes a value (C4), and how times are told."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.analytics.sql.types import CoercionError, time_ms, time_text, told, type_of_text
from pipelines.runtime.errors import ConfigurationError


def of(kind):
    return type_of_text(kind, "column c")


@pytest.mark.parametrize(
    ("kind", "json", "value"),
    [
        ("VARCHAR(4)", None, None),
        ("VARCHAR(4)", "AMZN", "AMZN"),
        ("VARCHAR(4)", 12, "12"),
        ("VARCHAR(16)", {"a": [1]}, '{"a":[1]}'),
        ("INTEGER", True, 1),  # C4
        ("DOUBLE", True, 1.0),
        ("DOUBLE", 3, 3.0),
        ("DOUBLE", "2.5", 2.5),
        ("INTEGER", "12", 12),
        ("INTEGER", 2.9, 2),
        ("BIGINT", 2**62 + 1, 2**62 + 1),
        ("BIGINT", str(2**62 + 1), 2**62 + 1),
        ("TINYINT", -128, -128),
        ("DECIMAL(5, 2)", 1.239, 1.24),
        ("BOOLEAN", "TRUE", True),
        ("TIMESTAMP", "2018-08-01T11:00:00.25+02:00", 1_533_114_000_250),
        ("TIMESTAMP", "2018-08-01 11:00:00", 1_533_121_200_000),
        ("TIMESTAMP", 1_533_114_000_250, 1_533_114_000_250),
    ],
)
def test_c4_a_member_of_a_record_becomes_a_value(kind, json, value):
    found = of(kind).of_json(json)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("kind", "json"),
    [
        ("VARCHAR(4)", "AMAZON"),
        ("TINYINT", 128),
        ("SMALLINT", -32_769),
        ("INTEGER", 2**31),
        ("BIGINT", 2**63),
        ("INTEGER", "twelve"),
        ("DOUBLE", "cheap"),
        ("DOUBLE", "NaN"),
        ("DOUBLE", 10**400),
        ("DOUBLE", {"a": 1}),
        ("DECIMAL(4, 2)", 100),
        ("BOOLEAN", "maybe"),
        ("TIMESTAMP", "yesterday"),
        ("TIMESTAMP", 10**18),
    ],
)
def test_c4_what_does_not_fit_is_an_error(kind, json):
    with pytest.raises(CoercionError, match="does not fit into"):
        of(kind).of_json(json)


def test_an_unknown_type_is_named():
    with pytest.raises(ConfigurationError, match=r"The type VARBINARY\(4\) of column c"):
        of("VARBINARY(4)")
    with pytest.raises(ConfigurationError, match="is none"):
        of("no type at all")


@given(st.integers(-62_135_596_800_000, 253_402_300_799_999))
def test_a_timestamp_is_told_as_it_is_read(ms):
    assert time_ms(time_text(ms)) == ms
    assert told(ms, of("TIMESTAMP")) == time_text(ms)


@given(st.floats(allow_nan=False, allow_infinity=False), st.sampled_from(["DOUBLE", "FLOAT", "REAL"]))
def test_a_number_that_fits_stays_as_it_is(value, kind):
    assert math.copysign(1, of(kind).cast(value)) == math.copysign(1, value)
    assert of(kind).cast(value) == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("9223372036854775807", 2**63 - 1),
        ("-9223372036854775808", -(2**63)),
        ("9223372036854775806.9", 2**63 - 2),
        ("-9223372036854775808.9", -(2**63)),
        (" +9007199254740993 ", 2**53 + 1),
        ("9.007199254740993e15", 2**53 + 1),
        (".9", 0),
        ("0.99999999999999999999", 0),
        ("1e-99999999999999999999", 0),
        ("0e99999999999999999999", 0),
    ],
)
def test_c4_a_text_becomes_a_bigint_without_a_float_in_between(text, value):
    found = of("BIGINT").cast(text)
    assert (found, type(found)) == (value, int)


@given(st.integers(-(2**63), 2**63 - 1))
def test_c4_every_bigint_is_exact_from_text_and_from_json(number):
    assert of("BIGINT").cast(str(number)) == of("BIGINT").of_json(number) == number


@pytest.mark.parametrize(
    "text",
    [
        "9223372036854775808",
        "-9223372036854775809",
        "1e400",
        "1e999999999",
        "-1e400",
        "NaN",
        "inf",
        "1_000",
        "0x10",
        "",
    ],
)
def test_c7_a_text_that_is_no_bigint_does_not_fit(text):
    with pytest.raises(CoercionError, match="does not fit into BIGINT"):
        of("BIGINT").cast(text)


def test_c7_an_object_of_too_many_levels_to_be_written_does_not_fit():
    value = 1
    for _ in range(300):
        value = {"o": value}
    with pytest.raises(CoercionError, match="more than 254 levels"):
        of("VARCHAR(10000)").of_json(value)


@pytest.mark.parametrize("text", ["1e400", "inf", "NaN", "1_000.5", "1e", ".", "9" * 40_000 + "x"])
def test_c7_a_text_that_is_no_finite_number_is_no_double(text):
    with pytest.raises(CoercionError, match="does not fit into DOUBLE"):
        of("DOUBLE").cast(text)
