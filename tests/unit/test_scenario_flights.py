"""The scenario `flights` itself: what it puts, what its handler answers, and what its oracle notices."""

import base64
import json
from collections import Counter
from typing import Any

import orjson
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.firehose.parse import parse_create_request
from scenarios.flights.checks import expected_answer, same_answer, same_rows
from scenarios.flights.handler import INTEGERS, TEXTS, lambda_handler
from scenarios.flights.scenario import Verdict, scenario
from scenarios.flights.workload import KINDS, Workload, make_workload

FLIGHT = {name: "1" for name in INTEGERS} | {name: "x" for name in TEXTS}


@pytest.fixture(scope="module")
def workload() -> Workload:
    return make_workload(3_000, seed=7)


def is_flight(data: bytes) -> bool:
    try:
        return isinstance(orjson.loads(data), dict)
    except orjson.JSONDecodeError:
        return False


def answer(data: bytes) -> dict[str, Any]:
    event = {"records": [{"recordId": "49", "data": base64.b64encode(data).decode()}]}
    (record,) = lambda_handler(event, None)["records"]
    assert record["recordId"] == "49"
    return record


def delivered(workload: Workload) -> pd.DataFrame:
    """The flights that left as the table gives them back."""
    return workload.left.assign(time_hour=pd.to_datetime(workload.left["time_hour"]).dt.tz_localize(None))


def test_as_many_records_as_it_says_each_flight_once_with_its_aircraft_as_key(workload: Workload) -> None:
    records = list(workload.records())
    assert len(records) == len(workload) == 3_000 + workload.malformed
    good = [record for record in records if answer(record.data)["result"] != "ProcessingFailed"]
    keys = [record.partition_key for record in good if b'"2013-02-31' not in record.data]
    flights = workload.flights
    assert Counter(keys) == Counter(flights["carrier"] + "-" + flights["tailnum"].fillna("NA"))


def test_malformed_records_are_of_every_kind_and_none_is_a_flight(workload: Workload) -> None:
    results = Counter(answer(record.data)["result"] for record in workload.records())
    impossible = sum(b'"2013-02-31' in record.data for record in workload.records())
    assert workload.malformed >= len(KINDS)
    assert results["ProcessingFailed"] + impossible == workload.malformed
    assert results["Dropped"] == len(workload.flights) - len(workload.left)
    assert impossible >= 1


@given(count=st.integers(1, 400), seed=st.integers(0, 5))
@settings(max_examples=20, deadline=None)
def test_the_same_seed_puts_the_same_records(count: int, seed: int) -> None:
    one, other = make_workload(count, seed), make_workload(count, seed)
    assert list(one.records()) == list(other.records())
    assert len(one.flights) == count


def test_another_seed_puts_other_flights() -> None:
    assert list(make_workload(50, 1).records()) != list(make_workload(50, 2).records())


def test_all_is_the_whole_year() -> None:
    assert len(make_workload(None, 1).flights) == 336_776


def test_a4_3_the_handler_types_a_flight() -> None:
    record = answer(orjson.dumps(FLIGHT | {"dep_delay": "-4", "arr_time": "NA", "tailnum": "NA"}) + b"\n")
    assert record["result"] == "Ok"
    typed = json.loads(base64.b64decode(record["data"]))
    assert (typed["dep_delay"], typed["arr_time"], typed["tailnum"], typed["carrier"]) == (-4, None, None, "x")
    assert base64.b64decode(record["data"]).endswith(b"\n")


def test_a4_4_the_handler_drops_a_cancelled_flight() -> None:
    assert answer(orjson.dumps(FLIGHT | {"dep_time": "NA"})) == {"recordId": "49", "result": "Dropped"}


@pytest.mark.parametrize("data", [b"", b"{", b"[1]", b"5", b"\xff", orjson.dumps(FLIGHT | {"distance": "far"}), b"{}"])
def test_a4_4_the_handler_fails_what_is_no_flight_and_returns_it_as_it_came(data: bytes) -> None:
    record = answer(data)
    assert record["result"] == "ProcessingFailed"
    assert base64.b64decode(record["data"]) == data


def test_the_oracle_accepts_the_flights_in_any_order(workload: Workload) -> None:
    assert same_rows(delivered(workload).sample(frac=1, random_state=1), workload)
    assert same_answer(expected_answer(workload), expected_answer(workload))


@pytest.mark.parametrize("column", ["dep_delay", "tailnum", "time_hour", "arr_time"])
def test_the_oracle_notices_one_value(workload: Workload, column: str) -> None:
    rows = delivered(workload)
    place = rows.columns.get_loc(column)
    other = next(value for value in rows[column] if pd.notna(value) and value != rows.iloc[5, place])
    rows.iloc[5, place] = other
    assert not same_rows(rows, workload)


def test_the_oracle_notices_a_flight_lost_and_one_doubled(workload: Workload) -> None:
    rows = delivered(workload)
    assert not same_rows(rows.iloc[1:], workload)
    assert not same_rows(pd.concat([rows, rows.iloc[:1]]), workload)
    assert not same_rows(pd.concat([rows.iloc[1:], rows.iloc[1:2]]), workload)


def test_the_oracle_notices_a_wrong_mean_or_count(workload: Workload) -> None:
    right = expected_answer(workload)
    for column, change in (("mean_dep_delay", 1e-6), ("flights", 1)):
        wrong = right.copy()
        wrong.loc[3, column] += change
        assert not same_answer(wrong, right)
    assert not same_answer(right.iloc[1:], right)


def test_a3_1_the_delivery_stream_is_one_that_aws_would_take() -> None:
    request = json.loads((scenario.folder / "aws" / "60-firehose.create_delivery_stream.json").read_text())
    config = parse_create_request(request, region="us-east-1", account="000000000000")
    assert config.destination.lambda_processor is not None
    assert config.destination.conversion is not None
    assert config.destination.backup is not None


def test_an_answer_of_no_rows_has_a_table_too() -> None:
    """Every chosen flight may have been cancelled."""
    nothing = expected_answer(make_workload(1, seed=8))
    assert len(nothing) == 0
    assert Verdict(nothing, nothing, equal=True, scanned_bytes=0).table().row_count == 0
