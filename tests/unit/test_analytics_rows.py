"""Records become rows, or are told of with the reason: none is lost between."""

import json

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.analytics.rows import RowFormat, by_series, parse_page
from pipelines.kinesis.page import make_page
from pipelines.runtime.errors import ConfigurationError

LAYOUT = RowFormat(("name",), "at", ("value",))
NOON_MS = 1_396_353_600_000
"""2014-04-01 12:00:00 UTC."""


def page(*data):
    size = len(data)
    numbers = [str(10**20 + n) for n in range(size)]
    return make_page("shard", data, ["key"] * size, numbers, [7] * size, list(range(size)))


def parsed(record, layout=LAYOUT):
    """The one row of the record, or why it is none."""
    data = record if isinstance(record, bytes) else json.dumps(record).encode()
    rows, bad = parse_page(page(data), layout)
    assert rows.num_rows + bad.num_rows == 1
    return rows.to_pylist()[0] if rows.num_rows else bad.to_pylist()[0]["message"]


def test_a_record_becomes_a_row_with_its_place():
    assert parsed({"name": "cpu", "at": "2014-04-01 12:00:00", "value": 1.5}) == {
        "series": "cpu",
        "event_ms": NOON_MS,
        "shard_id": "shard",
        "sequence_number": str(10**20),
        "sub_sequence_number": 0,
        "value": 1.5,
    }


@pytest.mark.parametrize(
    "text",
    [
        "2014-04-01T12:00:00Z",
        "2014-04-01T14:00:00+02:00",
        "2014-04-01 12:00",
        NOON_MS,
        float(NOON_MS),
        "2014-04-01T12:00:00.000999",
    ],
)
def test_event_times_are_iso_texts_or_milliseconds(text):
    assert parsed({"name": "a", "at": text, "value": 0})["event_ms"] == NOON_MS


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (b"{", "no JSON"),
        (b"[1]", "a JSON list, not an object"),
        ({"at": 1, "value": 1}, "no member name"),
        ({"name": {}, "at": 1, "value": 1}, "names no series"),
        ({"name": "a", "value": 1}, "no member at"),
        ({"name": "a", "at": "noon", "value": 1}, "no ISO 8601 time"),
        ({"name": "a", "at": None, "value": 1}, "no time"),
        ({"name": "a", "at": True, "value": 1}, "no time"),
        ({"name": "a", "at": -1, "value": 1}, "not between the years"),
        ({"name": "a", "at": "1969-12-31", "value": 1}, "not between the years"),
        ({"name": "a", "at": 1e18, "value": 1}, "not between the years"),
        ({"name": "a", "at": 1}, "no member value"),
        ({"name": "a", "at": 1, "value": None}, "no finite number"),
        ({"name": "a", "at": 1, "value": "1"}, "no finite number"),
        (b'{"name": "a", "at": 1, "value": NaN}', "no JSON"),
        (b'{"name": "a", "at": 1, "value": 1e999}', "no"),
    ],
)
def test_what_is_no_row_says_why(record, reason):
    found = parsed(record)
    assert isinstance(found, str)
    assert reason in found


def test_c4_true_is_one():
    assert parsed({"name": "a", "at": 1, "value": True})["value"] == 1.0


def test_members_are_found_in_objects_and_series_joined():
    layout = RowFormat(("host.name", "host.disk"), "at", ("detail.used",))
    found = parsed({"host": {"name": "db", "disk": 2}, "at": 5, "detail": {"used": 3}}, layout)
    assert (found["series"], found["detail.used"]) == ("db/2", 3.0)


parts = st.text(st.sampled_from("ab/%25F"), max_size=4)


@given(st.tuples(parts, parts), st.tuples(parts, parts))
def test_records_that_differ_in_a_member_are_of_different_series(first, second):
    layout = RowFormat(("host", "disk"), "at", ("value",))
    names = [parsed({"host": one, "disk": two, "at": 5, "value": 3}, layout)["series"] for one, two in (first, second)]
    assert (names[0] == names[1]) == (first == second)


def test_a_member_that_alone_names_the_series_stays_as_it_is():
    assert parsed({"name": "a/b%", "at": 5, "value": 3})["series"] == "a/b%"


def test_without_members_all_records_are_one_series():
    assert parsed({"at": 5, "value": 3}, RowFormat((), "at", ("value",)))["series"] == ""


@given(st.lists(st.tuples(st.sampled_from("abc"), st.booleans()), max_size=20))
def test_each_record_is_a_row_or_bad_in_its_order(described):
    data = [
        json.dumps({"name": name, "at": n, "value": n}).encode() if good else b"?"
        for n, (name, good) in enumerate(described)
    ]
    rows, bad = parse_page(page(*data), LAYOUT)
    assert rows["event_ms"].to_pylist() == [n for n, (_, good) in enumerate(described) if good]
    assert bad["sub_sequence_number"].to_pylist() == [n for n, (_, good) in enumerate(described) if not good]
    assert bad["data"].to_pylist() == [b"?"] * bad.num_rows
    parts = dict(by_series(rows))
    assert {name: part["event_ms"].to_pylist() for name, part in parts.items()} == {
        name: [n for n, (other, good) in enumerate(described) if good and other == name]
        for name in dict.fromkeys(other for other, good in described if good)
    }


def test_the_watermark_has_the_event_times_of_a_page_and_none_where_there_is_none():
    times = LAYOUT.source_time(500)
    assert times.slack_ms == 500
    found = page(b'{"at": 5}', b"?", b'{"at": "x"}')
    assert times.of(found).equals(pa.array([5, None, None], pa.int64()))


@pytest.mark.parametrize("values", [(), ("a", "a"), ("series",), ("shard_id",)])
def test_values_need_names_of_their_own(values):
    with pytest.raises(ConfigurationError, match="RowFormat"):
        RowFormat((), "at", values)
