"""The checks of an application's destinations notice what is lost, doubled or another, in each of them."""

import base64
import json
import pickle
from pathlib import Path
from typing import Any

import boto3
import pyarrow as pa
import pytest
from moto import mock_aws

from pipelines.firehose.invoke import InvokeResult
from scenarios import destinations
from scenarios.destinations import TOLD, Witnessed, ask_table, function_problems, rows_where, stream_problems
from scenarios.observed import kept

RESULTS = [{"series": "a", "event_ms": n, "SCORE": n / 3, "anomaly": n == 2} for n in range(4)]


class Function:
    """Answers as it is told; can be pickled."""

    def __init__(self, *said: str | None, **answer: Any) -> None:
        self.said, self.answer = said, answer

    def invoke(self, payload: bytes) -> InvokeResult:
        if self.answer:
            return InvokeResult(**self.answer)
        records = zip(json.loads(payload)["records"], self.said, strict=True)
        answered = [{"recordId": each["recordId"], "result": said} for each, said in records if said is not None]
        return InvokeResult(json.dumps({"records": answered}).encode())


def event(rows: list[dict[str, Any]]) -> bytes:
    records = [
        {"recordId": str(n), "data": base64.b64encode(json.dumps(row).encode()).decode()} for n, row in enumerate(rows)
    ]
    return json.dumps({"records": records}).encode()


def test_c15_what_the_function_says_ok_to_is_kept_and_nothing_else(tmp_path: Path) -> None:
    witnessed = pickle.loads(pickle.dumps(Witnessed(Function("Ok", "DeliveryFailed", None, "Ok"), tmp_path)))
    answer = witnessed.invoke(event(RESULTS))
    assert len(json.loads(answer.payload)["records"]) == 3
    assert sorted(row["event_ms"] for row in kept(tmp_path, TOLD)) == [0, 3]


@pytest.mark.parametrize(
    "answer",
    [{"payload": b"{}", "function_error": "Unhandled"}, {"payload": b"no JSON"}, {"payload": b'{"records": 1}'}],
)
def test_c15_an_answer_that_is_none_is_no_ok(tmp_path: Path, answer: dict[str, Any]) -> None:
    assert Witnessed(Function(**answer), tmp_path).invoke(event(RESULTS)).payload == answer["payload"]
    assert kept(tmp_path, TOLD) == []


def test_c15_the_function_is_told_of_each_once_and_of_nothing_else(tmp_path: Path) -> None:
    Witnessed(Function("Ok", "Ok"), tmp_path).invoke(event(RESULTS[:2]))
    assert function_problems(tmp_path, RESULTS[1::-1]) == []
    for expected, said in ((RESULTS, "lacks 2 results, and has 0"), (RESULTS[:1], "lacks 0 results, and has 1")):
        (problem,) = function_problems(tmp_path, expected)
        assert said in problem
    Witnessed(Function("Ok"), tmp_path).invoke(event(RESULTS[:1]))
    (problem,) = function_problems(tmp_path, RESULTS[:2])
    assert problem == "what the function said Ok to lacks 0 results, and has 1 too many"


def test_c14_each_result_is_in_the_stream_once(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_KINESIS", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    with mock_aws():
        kinesis = boto3.client("kinesis", region_name="us-east-1")
        kinesis.create_stream(StreamName="found", ShardCount=2)

        def put(row: dict[str, Any]) -> None:
            kinesis.put_record(StreamName="found", PartitionKey=str(row), Data=json.dumps(row).encode())

        for row in RESULTS:
            put(row)
        assert stream_problems("found", RESULTS[::-1]) == []
        put(RESULTS[0])
        (problem,) = stream_problems("found", RESULTS)
        assert problem == "the stream found lacks 0 results, and has 1 too many"
        (problem,) = stream_problems("found", [*RESULTS, RESULTS[0], RESULTS[3] | {"SCORE": None}])
        assert "lacks 1 results, and has 0 too many" in problem


@pytest.mark.parametrize(
    ("change", "equal"),
    [
        (lambda rows: rows[::-1], True),
        (lambda rows: rows[1:], False),
        (lambda rows: [*rows, rows[0]], False),
        (lambda rows: [*rows[:3], rows[3] | {"score": 1.0000001}], False),
        (lambda rows: [*rows[:3], rows[3] | {"anomaly": None}], False),
    ],
)
def test_the_table_holds_the_results_value_for_value(monkeypatch: pytest.MonkeyPatch, change: Any, equal: bool) -> None:
    class Queried:
        def __init__(self, sql: str) -> None:
            assert sql == "SELECT event_ms, score, anomaly FROM lake.found"
            rows = [{name.lower(): value for name, value in row.items()} for row in RESULTS]
            self.table, self.data_scanned_bytes = pa.Table.from_pylist(change(rows)), 7

    monkeypatch.setattr(destinations, "query", Queried)
    answer = ask_table("lake.found", ("event_ms", "SCORE", "anomaly"), RESULTS)
    assert (answer.equal, answer.scanned_bytes) == (equal, 7)
    assert ("NOT EQUAL" in answer.text) is not equal


def test_rows_where_a_column_is_true() -> None:
    batch = pa.RecordBatch.from_pylist(RESULTS)
    (found,) = rows_where(batch, "anomaly")
    assert found.to_pylist() == RESULTS[2:3]
    assert rows_where(batch.slice(0, 2), "anomaly") == []
