"""The Lambda transform, row by row of the contract (A4)."""

import base64
import json
import pickle
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from pipelines.firehose import contract
from pipelines.firehose.chunk import Sealed
from pipelines.firehose.config import LambdaProcessorConfig
from pipelines.firehose.errors import parse_line, render
from pipelines.firehose.invocation import Invocation
from pipelines.firehose.invoke import (
    REQUEST_LIMIT_BYTES,
    FunctionTimedOut,
    InProcessInvoker,
    Invoker,
    InvokeResult,
)
from pipelines.firehose.transform import LambdaProcessor, Transformed, plan_invocations
from pipelines.kinesis.page import PAGE_SCHEMA, decode_batch, make_page
from pipelines.runtime.clock import ManualClock, SystemClock
from pipelines.runtime.errors import (
    ConfigurationError,
    CredentialsError,
    EndpointDownError,
    HydrantError,
    NotFoundError,
    ServiceFaultError,
    ThrottledError,
)

EVENTS = Path(__file__).parents[1] / "events"
FUNCTION_ARN = "arn:aws:lambda:us-east-1:000000000000:function:flights-transform:$LATEST"
STREAM_ARN = "arn:aws:firehose:us-east-1:000000000000:deliverystream/flights"
SOURCE_ARN = "arn:aws:kinesis:us-east-1:000000000000:stream/flights"
SHARD = "shardId-000000000000"
FIRST = 49606071918085754084961748518444464546381847279259615234

Json = dict[str, Any]


class Function:
    """An invoker that keeps its events and answers each with the next of `answers`, the last one for ever.

    An answer is a function of the event, a payload, or an exception to raise.
    """

    def __init__(self, *answers: Callable[[Json], Any] | bytes | InvokeResult | HydrantError) -> None:
        self.answers = answers
        self.payloads: list[bytes] = []

    @property
    def events(self) -> list[Json]:
        return [json.loads(payload) for payload in self.payloads]

    def invoke(self, payload: bytes) -> InvokeResult:
        answer = self.answers[min(len(self.payloads), len(self.answers) - 1)]
        self.payloads.append(payload)
        if isinstance(answer, HydrantError):
            raise answer
        if isinstance(answer, InvokeResult):
            return answer
        if isinstance(answer, bytes):
            return InvokeResult(answer)
        return InvokeResult(json.dumps(answer(json.loads(payload))).encode())


def page_of(
    data: Sequence[bytes], *, keys: Sequence[str] | None = None, subs: Sequence[int] | None = None
) -> pa.RecordBatch:
    count = len(data)
    return make_page(
        SHARD,
        data,
        keys or [f"key-{row}" for row in range(count)],
        [str(FIRST + row) for row in range(count)],
        [1_613_022_603_017 + row for row in range(count)],
        subs,
    )


def processor(
    invoker: Invoker,
    clock: ManualClock | None = None,
    *,
    retries: int = 3,
    size_mib: float = 1.0,
    source: str | None = SOURCE_ARN,
) -> LambdaProcessor:
    config = LambdaProcessorConfig(lambda_arn=FUNCTION_ARN, number_of_retries=retries, size_mib=size_mib, interval_s=60)
    return LambdaProcessor(config, STREAM_ARN, "us-east-1", source, invoker, clock or ManualClock())


def ok(record: Json, data: bytes | None = None) -> Json:
    encoded = record["data"] if data is None else base64.b64encode(data).decode()
    return {"recordId": record["recordId"], "result": "Ok", "data": encoded}


def all_ok(event: Json) -> Json:
    return {"records": [ok(record) for record in event["records"]]}


def codes(result: Transformed) -> list[str]:
    return [failure.error_code for failure in result.failures]


def values(page: pa.RecordBatch, column: str = "data") -> list[Any]:
    return list(page.column(column).to_pylist())


# --- A4.1, A4.2: the event


def fixture_page() -> pa.RecordBatch:
    records = json.loads((EVENTS / "firehose_transform_event_kinesis_source.json").read_text())["records"]
    lineage = [record["kinesisRecordMetadata"] for record in records]
    return make_page(
        SHARD,
        [base64.b64decode(record["data"]) for record in records],
        [entry["partitionKey"] for entry in lineage],
        [entry["sequenceNumber"] for entry in lineage],
        [entry["approximateArrivalTimestamp"] for entry in lineage],
        [entry["subsequenceNumber"] for entry in lineage],
    )


@pytest.mark.parametrize(
    ("fixture", "source"),
    [("firehose_transform_event_kinesis_source.json", SOURCE_ARN), ("firehose_transform_event_direct_put.json", None)],
)
def test_a4_1_the_event_has_awss_shape(fixture: str, source: str | None) -> None:
    expected = json.loads((EVENTS / fixture).read_text())
    function = Function(all_ok)
    processor(function, source=source).process(fixture_page())
    (event,) = function.events
    assert list(event) == list(expected)
    expected["invocationId"] = event["invocationId"]
    assert event == expected
    assert [list(record) for record in event["records"]] == [list(record) for record in expected["records"]]


def test_a4_1_times_are_integers_and_empty_data_is_an_empty_text() -> None:
    function = Function(all_ok)
    result = processor(function).process(page_of([b""]))
    (record,) = function.events[0]["records"]
    assert record["data"] == ""
    assert type(record["approximateArrivalTimestamp"]) is int
    assert record["approximateArrivalTimestamp"] == 1_613_022_603_017
    assert values(result.ok) == [b""]


def test_a4_2_record_id_is_sequence_number_and_counter_of_six_digits() -> None:
    page = page_of([b"a", b"b"], subs=[0, 123_456])
    assert contract.record_ids(page) == [f"{FIRST}000000", f"{FIRST + 1}123456"]


def test_a4_2_a_record_keeps_its_id_in_another_batch() -> None:
    page = page_of([b"a", b"b", b"c"], subs=[0, 1, 2])
    assert contract.record_ids(page.slice(1)) == contract.record_ids(page)[1:]


# --- A4.3, A4.4: the response


def test_a4_3_the_response_fixture_is_understood() -> None:
    payload = (EVENTS / "firehose_transform_response.json").read_bytes()
    result = processor(Function(payload)).process(fixture_page())
    assert values(result.ok) == [b'{"carrier":"UA","delay":2}\n']
    assert result.partition_keys == [{"carrier": "UA", "month": "1"}]
    assert values(result.dropped, "sub_sequence_number") == [3]
    assert result.failures == []


def test_a4_3_returned_data_replaces_the_record_and_its_lineage_stays() -> None:
    page = page_of([b"a", b"b"], subs=[0, 7])
    result = processor(
        Function(
            lambda event: {
                "records": [ok(record, b"new " + base64.b64decode(record["data"])) for record in event["records"]]
            }
        )
    ).process(page)
    assert result.ok.schema == PAGE_SCHEMA
    assert values(result.ok) == [b"new a", b"new b"]
    for column in PAGE_SCHEMA.names[1:]:
        assert values(result.ok, column) == values(page, column)
    assert (result.invocations, result.retries) == (1, 0)


def test_a4_3_order_is_the_pages_whatever_order_the_function_returns() -> None:
    result = processor(Function(lambda event: {"records": [ok(r) for r in reversed(event["records"])]})).process(
        page_of([b"a", b"b", b"c"])
    )
    assert values(result.ok) == [b"a", b"b", b"c"]


def test_a4_3_partition_keys_are_handed_on_as_text_beside_their_rows() -> None:
    keys = [{"customer": "c1", "hour": 7, "vip": True}, None, {"customer": None}, {"customer": ""}]

    def answer(event: Json) -> Json:
        records = [ok(record) for record in event["records"]]
        for record, wanted in zip(records, keys, strict=True):
            record["metadata"] = {"partitionKeys": wanted}
        records[1]["result"] = "Dropped"
        return {"records": records}

    result = processor(Function(answer)).process(page_of([b"a", b"b", b"c", b"d"]))
    assert values(result.ok) == [b"a", b"c", b"d"]
    assert result.partition_keys == [{"customer": "c1", "hour": "7", "vip": "true"}, {"customer": ""}, {"customer": ""}]


@pytest.mark.parametrize("metadata", [None, "text", [], {}, {"partitionKeys": "text"}, {"partitionKeys": {}}])
def test_a4_3_metadata_without_keys_changes_nothing(metadata: object) -> None:
    result = processor(
        Function(lambda event: {"records": [{**ok(r), "metadata": metadata} for r in event["records"]]})
    ).process(page_of([b"a"]))
    assert values(result.ok) == [b"a"]
    assert result.partition_keys is None


def test_a4_4_dropped_leaves_neither_output_nor_failure() -> None:
    result = processor(
        Function(
            lambda event: {"records": [{"recordId": r["recordId"], "result": "Dropped"} for r in event["records"]]}
        )
    ).process(page_of([b"a", b"b"]))
    assert result.ok.num_rows == 0
    assert result.ok.schema == PAGE_SCHEMA
    assert values(result.dropped, "sequence_number") == [str(FIRST), str(FIRST + 1)]
    assert result.failures == []


# --- A4.5, A4.6: the cuts


def test_a4_6_a_batch_holds_at_most_the_size_hint() -> None:
    page = page_of([bytes(400 * 1024)] * 5)
    assert plan_invocations(page, 1.0) == [slice(0, 2), slice(2, 4), slice(4, 5)]
    assert plan_invocations(page, 0.2) == [slice(row, row + 1) for row in range(5)]
    assert plan_invocations(page, 3) == [slice(0, 5)]


def test_a4_6_the_hint_is_met_exactly() -> None:
    page = page_of([bytes(512 * 1024), bytes(512 * 1024), b"x"])
    assert plan_invocations(page, 1.0) == [slice(0, 2), slice(2, 3)]


def test_a4_6_no_records_need_no_invocation() -> None:
    function = Function(all_ok)
    result = processor(function).process(page_of([]))
    assert function.payloads == []
    assert (result.ok.num_rows, result.dropped.num_rows, result.failures) == (0, 0, [])


@pytest.mark.parametrize(
    "key", ["k", "\x01" * 256, '"' * 256, "\u2708" * 256], ids=["short", "control", "quotes", "wide"]
)
def test_a4_5_many_small_records_are_cut_at_six_mib_of_json(key: str) -> None:
    count = 24_000 if key == "k" else 9_000
    page = page_of([b"x"] * count, keys=[key] * count)
    function = Function(all_ok)
    result = processor(function, size_mib=3).process(page)
    assert max(map(len, function.payloads)) <= REQUEST_LIMIT_BYTES
    assert len(function.payloads) >= 2
    assert values(result.ok, "sequence_number") == values(page, "sequence_number")


def test_a4_5_a_record_of_one_mib_is_transformed() -> None:
    data = bytes(range(256)) * 4096
    result = processor(Function(all_ok)).process(page_of([b"before", data, b"after"]))
    assert values(result.ok) == [b"before", data, b"after"]
    assert result.invocations == 3


def test_a4_5_a_record_too_large_for_the_payload_fails_alone_and_uncalled() -> None:
    huge = bytes(5 * 1024 * 1024)
    function = Function(all_ok)
    result = processor(function, size_mib=3).process(page_of([b"before", huge, b"after"]))
    assert values(result.ok) == [b"before", b"after"]
    (failure,) = result.failures
    assert (failure.error_code, failure.attempts_made) == ("Lambda.FunctionError", 0)
    assert failure.raw_data == huge
    assert result.invocations == len(function.payloads) == 2


def test_a4_5_an_oversized_response_is_a_function_error(tmp_path: Path) -> None:
    handler = tmp_path / "handler.py"
    handler.write_text("def grow(event, context):\n    return {'records': [], 'padding': 'x' * 6_291_600}\n")
    result = processor(InProcessInvoker(handler, "handler.grow", FUNCTION_ARN)).process(page_of([b"a"]))
    (failure,) = result.failures
    assert failure.error_code == "Lambda.FunctionError"
    assert failure.error_message == "The Lambda function was successfully invoked but it returned an error result."
    assert failure.attempts_made == 4


# --- A4.8: retries


FUNCTION_FAILED = InvokeResult(b'{"errorMessage":"no","errorType":"ValueError"}', "Unhandled")
CALLS_THAT_FAIL = [
    pytest.param(FUNCTION_FAILED, "Lambda.FunctionError", id="function error"),
    pytest.param(FunctionTimedOut("late"), "Lambda.FunctionTimedOut", id="time-out"),
    pytest.param(ThrottledError("busy"), "Lambda.InvokeLimitExceeded", id="throttle"),
    pytest.param(CredentialsError("denied"), "Lambda.InvokeAccessDenied", id="denied"),
    pytest.param(NotFoundError("gone"), "Lambda.ResourceNotFound", id="missing"),
]


@pytest.mark.parametrize(("answer", "code"), CALLS_THAT_FAIL)
def test_a4_8_a_failed_call_is_made_four_times_then_fails_the_batch(answer: Any, code: str) -> None:
    function, clock = Function(answer), ManualClock()
    result = processor(function, clock).process(page_of([b"a", b"b"]))
    assert len(function.payloads) == result.invocations == 4
    assert result.retries == 3
    assert codes(result) == [code, code]
    assert [failure.attempts_made for failure in result.failures] == [4, 4]
    assert [failure.raw_data for failure in result.failures] == [b"a", b"b"]
    assert {failure.attempt_ending_ms for failure in result.failures} == {clock.now_ms()}


def test_a4_8_each_attempt_has_a_fresh_id_and_the_same_records() -> None:
    function = Function(FUNCTION_FAILED)
    processor(function).process(page_of([b"a", b"b"]))
    assert len({event["invocationId"] for event in function.events}) == 4
    records = {payload.partition(b'"records":')[2] for payload in function.payloads}
    assert len(records) == 1


@pytest.mark.parametrize(("answer", "code"), CALLS_THAT_FAIL)
def test_a4_8_an_attempt_that_succeeds_delivers(answer: Any, code: str) -> None:
    result = processor(Function(answer, answer, all_ok)).process(page_of([b"a"]))
    assert values(result.ok) == [b"a"]
    assert (result.invocations, result.retries, codes(result)) == (3, 2, [])


def test_a4_8_number_of_retries_zero_is_one_attempt() -> None:
    result = processor(Function(FUNCTION_FAILED), retries=0).process(page_of([b"a"]))
    assert (result.invocations, result.retries, result.failures[0].attempts_made) == (1, 0, 1)


def test_a4_8_the_pause_between_attempts_grows_up_to_a_bound() -> None:
    clock = ManualClock()
    processor(Function(FUNCTION_FAILED), clock, retries=40).process(page_of([b"a"]))
    assert len(clock.slept_s) == 40
    for attempt, slept_s in enumerate(clock.slept_s):
        longest = min(10.0, 0.2 * 2**attempt)
        assert longest / 2 <= slept_s <= longest
    assert len(set(clock.slept_s[-10:])) > 1  # jitter


def test_a4_8_a_malformed_response_is_final() -> None:
    function = Function(b"[]")
    result = processor(function).process(page_of([b"a"]))
    assert result.failures[0].attempts_made == 1
    assert (result.invocations, result.retries) == (1, 0)


def test_a4_8_one_batch_that_fails_leaves_the_others_alone() -> None:
    page = page_of([bytes(700 * 1024), b"bad" + bytes(700 * 1024), bytes(700 * 1024)])

    def answer(event: Json) -> Any:
        return all_ok(event) if not event["records"][0]["data"].startswith("YmFk") else None

    result = processor(Function(answer)).process(page)
    assert values(result.ok, "sequence_number") == [str(FIRST), str(FIRST + 2)]
    assert [failure.sequence_number for failure in result.failures] == [str(FIRST + 1)]


@pytest.mark.parametrize("error", [EndpointDownError("no answer", fix="start it"), ServiceFaultError("503")])
def test_a4_8_an_endpoint_that_stays_down_stops_the_pipeline_after_the_retries(error: HydrantError) -> None:
    function = Function(error)
    with pytest.raises(type(error)):
        processor(function).process(page_of([b"a"]))
    assert len(function.payloads) == 4
    assert values(processor(Function(error, all_ok)).process(page_of([b"a"])).ok) == [b"a"]


def test_a4_8_a_call_that_is_refused_stops_the_pipeline_at_once() -> None:
    function = Function(ConfigurationError("no"))
    with pytest.raises(ConfigurationError):
        processor(function).process(page_of([b"a"]))
    assert len(function.payloads) == 1


# --- A4.9: failures of one record


def answer_first(change: Callable[[Json], list[Any]]) -> Function:
    """A function that returns `change(first record's Ok)` in place of it, and Ok for the others."""

    def answer(event: Json) -> Json:
        first, *others = [ok(record) for record in event["records"]]
        return {"records": [*change(first), *others]}

    return Function(answer)


@pytest.mark.parametrize(
    ("change", "code", "message"),
    [
        pytest.param(
            lambda _: [],
            "Lambda.MissingRecordId",
            "One or more record Ids were not returned. Ensure that the Lambda function returns all received record"
            " Ids.",
            id="missing",
        ),
        pytest.param(
            lambda first: [first, first],
            "Lambda.DuplicatedRecordId",
            "Multiple records were returned with the same record ID. Ensure that the Lambda function returns unique"
            " record IDs for each record.",
            id="duplicated",
        ),
        pytest.param(
            lambda first: [{**first, "result": "ProcessingFailed"}],
            "Lambda.ProcessingFailedStatus",
            "ProcessingFailed status set for record",
            id="ProcessingFailed",
        ),
        pytest.param(
            lambda first: [{**first, "data": None}],
            "Lambda.InvalidReturnFormat",
            "The data field cannot be null when the SourceType is DirectPut or KinesisStreamAsSource and processing"
            " result is Ok. The value field cannot be null when the SourceType is MSKAsSource and processing result is"
            " Ok.",
            id="null data",
        ),
        pytest.param(
            lambda first: [{"recordId": first["recordId"], "result": "Ok"}],
            "Lambda.InvalidReturnFormat",
            contract.NULL_DATA.message,
            id="no data",
        ),
    ],
)
def test_a4_9_one_record_fails_and_its_neighbours_are_delivered(
    change: Callable[[Json], list[Any]], code: str, message: str
) -> None:
    result = processor(answer_first(change)).process(page_of([b"a", b"b", b"c"], subs=[4, 0, 0]))
    assert values(result.ok) == [b"b", b"c"]
    assert result.dropped.num_rows == 0
    (failure,) = result.failures
    assert (failure.error_code, failure.error_message, failure.attempts_made) == (code, message, 1)
    assert failure.error_output_type == "processing-failed"
    assert (failure.raw_data, failure.arrival_ms) == (b"a", 1_613_022_603_017)
    assert (failure.shard_id, failure.sequence_number, failure.sub_sequence_number) == (SHARD, str(FIRST), 4)
    assert parse_line(render(failure))["lambdaArn"] == FUNCTION_ARN


def test_x18_a_duplicate_with_contradicting_results_fails_once() -> None:
    result = processor(answer_first(lambda first: [first, {**first, "result": "Dropped"}])).process(
        page_of([b"a", b"b"])
    )
    assert codes(result) == ["Lambda.DuplicatedRecordId"]
    assert values(result.ok) == [b"b"]
    assert result.dropped.num_rows == 0


# --- A4.10, A4.11, A4.12: failures of the batch


@pytest.mark.parametrize(
    "response",
    [
        b"",
        b"<html>",
        b"null",
        b"[]",
        b'"text"',
        b"1",
        b'{"records":{}}',
        b'{"records":"x"}',
        b'{"records":[1]}',
        b'{"records":[null]}',
    ],
)
def test_a4_10_a_response_that_cannot_be_read_fails_the_batch(response: bytes) -> None:
    result = processor(Function(response)).process(page_of([b"a", b"b"]))
    assert codes(result) == ["Lambda.JsonProcessingException"] * 2
    assert [failure.attempts_made for failure in result.failures] == [1, 1]


@pytest.mark.parametrize(
    "spoiled",
    [
        pytest.param({"result": "OK"}, id="wrong case"),
        pytest.param({"result": None}, id="null result"),
        pytest.param({"result": ["Ok"]}, id="list result"),
        pytest.param({"data": "not base64!"}, id="not base64"),
        pytest.param({"data": "YQ"}, id="no padding"),
        pytest.param({"data": "é"}, id="not ascii"),
        pytest.param({"data": 1}, id="a number"),
        pytest.param({"data": {"a": 1}}, id="an object"),
    ],
)
def test_a4_11_an_invalid_result_or_bad_base64_fails_the_batch(spoiled: Json) -> None:
    result = processor(answer_first(lambda first: [{**first, **spoiled}])).process(page_of([b"a", b"b"]))
    assert codes(result) == ["Lambda.FunctionError"] * 2
    assert result.failures[0].error_message.startswith(
        "Check your function and make sure the output is in required format."
    )
    assert result.failures[0].attempts_made == 1


@pytest.mark.parametrize("record_id", ["unknown", "", None, 7, ["x"], {"x": 1}])
def test_a4_12_unknown_ids_are_ignored(record_id: object) -> None:
    stranger = {"recordId": record_id, "result": "Ok", "data": "eA=="}
    result = processor(answer_first(lambda first: [stranger, stranger, first])).process(page_of([b"a", b"b"]))
    assert values(result.ok) == [b"a", b"b"]
    assert result.failures == []


@pytest.mark.parametrize("response", [b"{}", b'{"records":null}', b'{"records":[]}', b'{"Records":[]}'])
def test_a4_12_without_records_every_record_is_missing(response: bytes) -> None:
    result = processor(Function(response)).process(page_of([b"a", b"b"]))
    assert codes(result) == ["Lambda.MissingRecordId"] * 2
    assert [failure.attempts_made for failure in result.failures] == [1, 1]


# --- and whole


def test_a4_a_processor_can_be_pickled(tmp_path: Path) -> None:
    handler = tmp_path / "handler.py"
    handler.write_text(
        "def handle(event, context):\n"
        "    return {'records': [{**record, 'result': 'Ok'} for record in event['records']]}\n"
    )
    config = LambdaProcessorConfig(lambda_arn=FUNCTION_ARN)
    whole = LambdaProcessor(
        config,
        STREAM_ARN,
        "us-east-1",
        SOURCE_ARN,
        InProcessInvoker(handler, "handler.handle", FUNCTION_ARN),
        SystemClock(),
    )
    assert values(pickle.loads(pickle.dumps(whole)).process(page_of([b"a"])).ok) == [b"a"]


def test_a4_a_slice_of_a_page_is_transformed_as_itself() -> None:
    page = page_of([b"a", b"b", b"c", b"d"]).slice(1, 2)
    result = processor(answer_first(lambda _: [])).process(page)
    assert values(result.ok) == [b"c"]
    assert [failure.raw_data for failure in result.failures] == [b"b"]


# --- what is told of the calls


def test_the_calls_are_told_with_their_attempts_times_and_results() -> None:
    clock = ManualClock()
    invoker = Function(ThrottledError("too many"), lambda event: {"records": [
        ok(event["records"][0]),
        {"recordId": event["records"][1]["recordId"], "result": "Dropped"},
        {"recordId": event["records"][2]["recordId"], "result": "ProcessingFailed"},
    ]})  # fmt: skip
    page = page_of([b"a", b"bb", b"ccc"])
    result = processor(invoker, clock).process(page)
    (batch,) = result.batches
    told = Invocation.of(FUNCTION_ARN, Sealed(SHARD, (), "size", 5, 9), page, batch)
    assert told.invocation_ids == tuple(json.loads(payload)["invocationId"] for payload in invoker.payloads)
    assert told.ended_ms > told.started_ms  # the pause between the attempts
    assert (told.records, told.raw_bytes, told.ok, told.dropped) == (3, 6, 1, 1)
    assert told.failed == {"Lambda.ProcessingFailedStatus": (2,)}
    assert (told.reason, told.opened_ms, told.flushed_ms) == ("size", 5, 9)
    assert values(decode_batch(told.sequence_numbers), "sequence_number") == values(page, "sequence_number")
    assert Invocation.from_json(json.loads(json.dumps(told.to_json()))) == replace(told, sequence_numbers=b"")


def test_each_of_a_pages_calls_is_told_with_its_own_records() -> None:
    page = page_of([b"x" * 1024 * 1024] * 2 + [b"y"])
    result = processor(Function(lambda event: {"records": []})).process(page)
    told = [Invocation.of(FUNCTION_ARN, Sealed(SHARD, (), "end"), page, batch) for batch in result.batches]
    assert [each.records for each in told] == [1, 1, 1]
    assert [each.failed for each in told] == [{"Lambda.MissingRecordId": (0,)}] * 3
    numbers = [value for each in told for value in values(decode_batch(each.sequence_numbers), "sequence_number")]
    assert numbers == values(page, "sequence_number")
