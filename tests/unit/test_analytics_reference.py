"""Reference data (C1): every row stays, with the table's columns or nulls behind it."""

import dataclasses

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.analytics.deliver import result_records
from pipelines.analytics.reference import ReferenceData, ReferenceTable
from pipelines.runtime.errors import ConfigurationError, InvalidDataError

DESCRIBED = ReferenceData("bucket", "owners.json", "metric", prefix="ref_")
JSON = b'{"metric":"cpu","owner":"db team","limit":80}\n{"metric":"disk","owner":"storage","limit":90.5}\n'
CSV = b"metric,owner,limit\ncpu,db team,80\ndisk,storage,90.5\n"


def table(data, record_format="JSON"):
    return ReferenceTable.of(data, ReferenceData("bucket", "f", "metric", record_format, prefix="ref_"))


def batch(names):
    return pa.RecordBatch.from_arrays(
        [pa.array(names, pa.string()), pa.array(range(len(names)))], names=["series", "n"]
    )


@pytest.mark.parametrize(("data", "record_format"), [(JSON, "JSON"), (CSV, "CSV")])
def test_c1_c2_columns_of_the_table_are_behind_those_of_the_rows(data, record_format):
    assert table(data, record_format).join(batch(["disk", "net", "cpu"])).to_pylist() == [
        {"series": "disk", "n": 0, "ref_owner": "storage", "ref_limit": 90.5},
        {"series": "net", "n": 1, "ref_owner": None, "ref_limit": None},
        {"series": "cpu", "n": 2, "ref_owner": "db team", "ref_limit": 80.0},
    ]


@given(st.lists(st.sampled_from(["cpu", "disk", "net", ""])))
def test_c1_every_row_stays_in_its_place(names):
    joined = table(JSON).join(batch(names))
    assert joined.select(["series", "n"]).equals(batch(names))
    owners = {"cpu": "db team", "disk": "storage"}
    assert joined["ref_owner"].to_pylist() == [owners.get(name) for name in names]


def test_c1_keys_that_are_numbers_are_found_by_their_text():
    found = ReferenceTable.of(b'{"id":7,"name":"x"}\n', ReferenceData("b", "f", "id"))
    assert found.join(batch(["7", "8"]))["name"].to_pylist() == ["x", None]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"{", "no JSON table"),
        (b'{"other":1}\n', "no column metric; it has other"),
        (b'{"metric":"a"}\n{"metric":"a"}\n', "key 'a' more than once"),
        (b'{"metric":"a"}\n{"metric":null}\n', "a row without one"),
    ],
)
def test_c1_what_is_no_table_with_a_key_is_refused(data, message):
    with pytest.raises(InvalidDataError, match=message):
        table(data)


def test_c1_a_key_keeps_the_zeros_it_begins_with_and_a_number_is_its_digits():
    described = ReferenceData("bucket", "accounts.csv", "id", record_format="CSV")
    table = ReferenceTable.of(b"id,owner\n012345678901,one\n007,two\n7,three\n", described)
    batch = pa.RecordBatch.from_pydict({"series": ["012345678901", "007", "7", "8"]})
    assert table.join(batch)["owner"].to_pylist() == ["one", "two", "three", None]
    numbers = ReferenceTable.of(b"id,owner\n1,one\n", dataclasses.replace(described, on="n"))
    rows = pa.RecordBatch.from_pydict({"n": pa.array([1.0, 1.5], pa.float64())})
    assert numbers.join(rows)["owner"].to_pylist() == ["one", None]


def test_a_column_that_the_results_have_as_well_is_refused_until_it_has_a_prefix():
    data = b'{"metric":"cpu","value":80,"owner":"db"}\n'
    results = pa.RecordBatch.from_pydict({"series": ["cpu"], "value": [1.5]})
    plain = ReferenceTable.of(data, ReferenceData("b", "f", "metric"))
    with pytest.raises(ConfigurationError, match=r"both have value.* Fix: .*prefix"):
        plain.join(results)
    ((_, told),) = result_records(table(data).join(results))
    assert told == b'{"series":"cpu","value":1.5,"ref_value":80,"ref_owner":"db"}'
    clashes = ReferenceTable.of(data, ReferenceData("b", "f", "metric", prefix="ref_"))
    with pytest.raises(ConfigurationError, match="both have ref_owner"):
        clashes.join(results.append_column("ref_owner", pa.array(["x"])))


@pytest.mark.parametrize(
    ("data", "record_format"),
    [(b'{"id":"None","o":"x"}\n{"id":"","o":"y"}\n', "JSON"), (b"id,o\nNone,x\nnull,y\n", "CSV")],
)
def test_null_is_no_key_whatever_keys_there_are(data, record_format):
    found = ReferenceTable.of(data, ReferenceData("b", "f", "id", record_format, on="n"))
    rows = pa.RecordBatch.from_pydict({"n": pa.array([None, "None"], pa.string())})
    assert found.join(rows)["o"].to_pylist() == [None, "x"]


@pytest.mark.parametrize(
    ("data", "record_format"),
    [(b'{"id":true,"o":"x"}\n{"id":false,"o":"y"}\n', "JSON"), (b"id,o\ntrue,x\nfalse,y\n", "CSV")],
)
def test_a_truth_value_is_found_as_json_and_csv_write_it(data, record_format):
    found = ReferenceTable.of(data, ReferenceData("b", "f", "id", record_format, on="n"))
    assert found.join(pa.RecordBatch.from_pydict({"n": [True, None, False]}))["o"].to_pylist() == ["x", None, "y"]
    assert found.join(pa.RecordBatch.from_pydict({"n": ["true", "True"]}))["o"].to_pylist() == ["x", None]


def test_a_column_to_look_up_that_is_not_there_is_refused():
    found = ReferenceTable.of(JSON, dataclasses.replace(DESCRIBED, on="zzz"))
    with pytest.raises(ConfigurationError, match="no column zzz to look up; they have series, n"):
        found.join(batch(["cpu"]))


@pytest.mark.parametrize("header", [b"metric,o,o", b"metric,metric,o"])
def test_a_csv_with_a_name_twice_is_refused(header):
    with pytest.raises(ConfigurationError, match=r"more than one column (o|metric)"):
        table(header + b"\n1,2,3\n", "CSV")


@pytest.mark.parametrize("data", [b'{"metric":{"a":1},"o":"x"}\n', b'{"metric":[1],"o":"x"}\n'])
def test_a_key_of_objects_or_lists_is_refused(data):
    with pytest.raises(ConfigurationError, match="objects or lists, which are no keys"):
        table(data)


@pytest.mark.parametrize("record_format", ["PARQUET", "json", ""])
def test_a_record_format_that_there_is_not_is_refused(record_format):
    with pytest.raises(ConfigurationError, match=r"no record format .* Fix: use JSON or CSV"):
        ReferenceData("b", "f", "id", record_format)
