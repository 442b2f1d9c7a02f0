"""Whatever a transform function does, every record ends in exactly one of ok, dropped and failures (A4)."""

import base64
import json
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.firehose.config import LambdaProcessorConfig
from pipelines.firehose.invoke import REQUEST_LIMIT_BYTES, FunctionTimedOut, InvokeResult
from pipelines.firehose.transform import LambdaProcessor, Transformed, plan_invocations
from pipelines.kinesis.page import PAGE_SCHEMA, make_page
from pipelines.runtime.clock import ManualClock
from pipelines.runtime.errors import HydrantError, ThrottledError

RECORD_BEHAVIOURS = {
    "ok": "Ok",
    "echo": "Ok",
    "drop": "Dropped",
    "drop with data": "Dropped",
    "fail": "Lambda.ProcessingFailedStatus",
    "fail without data": "Lambda.ProcessingFailedStatus",
    "missing": "Lambda.MissingRecordId",
    "duplicate": "Lambda.DuplicatedRecordId",
    "contradict": "Lambda.DuplicatedRecordId",
    "unknown": "Lambda.MissingRecordId",
    "null": "Lambda.InvalidReturnFormat",
}
"""What a function may do with a record -> what becomes of it."""

BATCH_BEHAVIOURS: dict[str, tuple[InvokeResult | HydrantError, str]] = {
    "exception": (InvokeResult(b'{"errorMessage":"x","errorType":"E"}', "Unhandled"), "Lambda.FunctionError"),
    "time-out": (FunctionTimedOut("x"), "Lambda.FunctionTimedOut"),
    "throttle": (ThrottledError("x"), "Lambda.InvokeLimitExceeded"),
    "garbage": (InvokeResult(b"\xff\x00"), "Lambda.JsonProcessingException"),
    "no records": (InvokeResult(b"{}"), "Lambda.MissingRecordId"),
    "bad result": (InvokeResult(b'{"records":[{"recordId":"x","result":"ok","data":""}]}'), "Lambda.FunctionError"),
    "bad base64": (InvokeResult(b'{"records":[{"recordId":"x","result":"Ok","data":"*"}]}'), "Lambda.FunctionError"),
}


@dataclass
class Scripted:
    """Does with each record what the script says for it, or with a batch what `batch` says at its call."""

    script: dict[str, str]
    batch: list[str | None]
    calls: int = 0

    def invoke(self, payload: bytes) -> InvokeResult:
        behaviour = self.batch[self.calls] if self.calls < len(self.batch) else None
        self.calls += 1
        if behaviour is not None:
            answer = BATCH_BEHAVIOURS[behaviour][0]
            if isinstance(answer, HydrantError):
                raise answer
            return answer
        entries: list[dict[str, Any]] = []
        for record in json.loads(payload)["records"]:
            entries += entries_of(self.script[record["recordId"]], record)
        return InvokeResult(json.dumps({"records": entries[::-1]}).encode())


def entries_of(behaviour: str, record: dict[str, Any]) -> list[dict[str, Any]]:
    new = base64.b64encode(b"new:" + base64.b64decode(record["data"])).decode()
    entry = {"recordId": record["recordId"], "result": "Ok", "data": new}
    bare = {"recordId": record["recordId"]}
    return {
        "ok": [entry],
        "echo": [{**entry, "data": record["data"]}],
        "drop": [{**bare, "result": "Dropped"}],
        "drop with data": [{**entry, "result": "Dropped"}],
        "fail": [{**entry, "result": "ProcessingFailed"}],
        "fail without data": [{**bare, "result": "ProcessingFailed"}],
        "missing": [],
        "duplicate": [entry, entry],
        "contradict": [entry, {**entry, "result": "Dropped"}],
        "unknown": [{**entry, "recordId": record["recordId"] + "0"}],
        "null": [{**entry, "data": None}],
    }[behaviour]


pages = st.lists(st.tuples(st.binary(max_size=40), st.text(max_size=5), st.integers(0, 2)), max_size=12).map(
    lambda records: make_page(
        "shardId-000000000007",
        [data for data, _, _ in records],
        [key for _, key, _ in records],
        [str(10**55 + row) for row in range(len(records))],
        [1_700_000_000_000 + row for row in range(len(records))],
        [sub for _, _, sub in records],
    )
)


def ids_of(page: pa.RecordBatch) -> list[str]:
    return [f"{row['sequence_number']}{row['sub_sequence_number']:06d}" for row in page.to_pylist()]


def run(page: pa.RecordBatch, invoker: Any, *, retries: int = 2, size_mib: float = 1.0) -> Transformed:
    config = LambdaProcessorConfig(lambda_arn="arn:f", number_of_retries=retries, size_mib=size_mib, interval_s=60)
    return LambdaProcessor(config, "arn:d", "us-east-1", "arn:s", invoker, ManualClock()).process(page)


def assert_accounted(page: pa.RecordBatch, result: Transformed) -> None:
    """Every record in exactly one place, in order, with its own lineage; what failed or was dropped is unchanged."""
    rows = {row["sequence_number"]: row for row in page.to_pylist()}
    order = list(rows)
    kept = [
        result.ok.column("sequence_number").to_pylist(),
        result.dropped.column("sequence_number").to_pylist(),
        [failure.sequence_number for failure in result.failures],
    ]
    assert sorted(kept[0] + kept[1] + kept[2], key=order.index) == order
    for numbers in kept:
        assert numbers == sorted(numbers, key=order.index)
    assert result.ok.schema == result.dropped.schema == PAGE_SCHEMA
    for row in result.ok.to_pylist():
        assert {**row, "data": b""} == {**rows[row["sequence_number"]], "data": b""}
    for row in result.dropped.to_pylist():
        assert row == rows[row["sequence_number"]]
    for failure in result.failures:
        source = rows[failure.sequence_number]
        assert failure.raw_data == source["data"]
        assert failure.arrival_ms == source["arrival_ms"]
        assert failure.sub_sequence_number == source["sub_sequence_number"]
        assert failure.shard_id == source["shard_id"]


@given(data=st.data(), page=pages)
def test_a4_each_record_ends_where_its_answer_says(data: st.DataObject, page: pa.RecordBatch) -> None:
    ids = ids_of(page)
    behaviours = [data.draw(st.sampled_from(sorted(RECORD_BEHAVIOURS))) for _ in ids]
    result = run(page, Scripted(dict(zip(ids, behaviours, strict=True)), []))
    assert_accounted(page, result)
    expected = [RECORD_BEHAVIOURS[behaviour] for behaviour in behaviours]
    sources = page.column("data").to_pylist()
    assert result.ok.column("data").to_pylist() == [
        source if behaviour == "echo" else b"new:" + source
        for source, behaviour, end in zip(sources, behaviours, expected, strict=True)
        if end == "Ok"
    ]
    assert result.dropped.num_rows == expected.count("Dropped")
    assert [failure.error_code for failure in result.failures] == [end for end in expected if end.startswith("Lambda.")]
    assert {failure.attempts_made for failure in result.failures} <= {1}


@given(
    page=pages.filter(lambda page: page.num_rows > 0),
    calls=st.lists(st.sampled_from([*sorted(BATCH_BEHAVIOURS)]), max_size=4),
)
def test_a4_8_calls_that_fail_are_retried_and_answers_are_final(page: pa.RecordBatch, calls: list[str]) -> None:
    invoker = Scripted(dict.fromkeys(ids_of(page), "ok"), [*calls])
    result = run(page, invoker, retries=2)
    assert_accounted(page, result)
    retried = ("exception", "time-out", "throttle")
    final = next((at for at, call in enumerate(calls) if call not in retried), len(calls))
    attempts = min(final + 1, 3)
    assert (result.invocations, result.retries, invoker.calls) == (attempts, attempts - 1, attempts)
    if attempts <= len(calls):
        assert {failure.error_code for failure in result.failures} == {BATCH_BEHAVIOURS[calls[attempts - 1]][1]}
        assert {failure.attempts_made for failure in result.failures} == {attempts}
        assert len(result.failures) == page.num_rows
    else:
        assert result.ok.num_rows == page.num_rows


@given(data=st.data(), page=pages, size_mib=st.sampled_from([0.00001, 0.00003, 1.0]))
def test_a4_several_batches_of_a_page_are_accounted_together(
    data: st.DataObject, page: pa.RecordBatch, size_mib: float
) -> None:
    ids = ids_of(page)
    behaviours = {id_: data.draw(st.sampled_from(sorted(RECORD_BEHAVIOURS))) for id_ in ids}
    batch = data.draw(st.lists(st.none() | st.sampled_from(sorted(BATCH_BEHAVIOURS)), max_size=20))
    invoker = Scripted(behaviours, batch)
    result = run(page, invoker, size_mib=size_mib)
    assert_accounted(page, result)
    assert result.invocations == invoker.calls
    assert result.invocations - result.retries == len(plan_invocations(page, size_mib))


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(max_size=4)
    | st.sampled_from(["Ok", "Dropped", "YQ==", f"{10**55}000000"]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["records", "recordId", "result", "data", "metadata", "partitionKeys"]), inner, max_size=5
        )
    ),
    max_leaves=12,
)


@given(page=pages, response=json_values, wrapped=st.booleans())
def test_a4_any_json_response_accounts_for_every_record(page: pa.RecordBatch, response: object, wrapped: bool) -> None:
    answer = {"records": response} if wrapped else response
    assert_accounted(page, run(page, lambda_that_returns(json.dumps(answer).encode())))


@given(page=pages, response=st.binary(max_size=60))
def test_a4_any_bytes_response_accounts_for_every_record(page: pa.RecordBatch, response: bytes) -> None:
    assert_accounted(page, run(page, lambda_that_returns(response)))


def lambda_that_returns(response: bytes) -> Any:
    class Answers:
        def invoke(self, payload: bytes) -> InvokeResult:
            assert len(payload) <= REQUEST_LIMIT_BYTES
            return InvokeResult(response)

    return Answers()


@settings(max_examples=100)
@given(sizes=st.lists(st.integers(0, 3_000), max_size=60), size_mib=st.sampled_from([0.0005, 0.001, 0.002, 0.2]))
def test_a4_6_batches_cover_the_page_in_order_and_keep_the_hint(sizes: list[int], size_mib: float) -> None:
    page = make_page(
        "shardId-000000000000", [bytes(size) for size in sizes], [""] * len(sizes), ["1"] * len(sizes), [0] * len(sizes)
    )
    batches = plan_invocations(page, size_mib)
    assert [row for rows in batches for row in range(rows.start, rows.stop)] == list(range(len(sizes)))
    limit = int(size_mib * 1024 * 1024)
    for rows, following in zip_longest(batches, batches[1:]):
        raw = sum(sizes[rows])
        assert raw <= limit or rows.stop - rows.start == 1
        if following is not None:  # as few batches as can be: the next record would not have fitted
            assert raw + sizes[following.start] > limit
