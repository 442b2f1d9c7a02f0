"""The scenario `redelivery` itself: its handler, its oracle, and that each of its checks can fail."""

import base64
import gzip
import json
import pickle
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.faults import function
from infra.faults.journal import Line
from pipelines.firehose.chunk import DeliveredObject, ShardLineage
from pipelines.firehose.config import LambdaProcessorConfig
from pipelines.firehose.invoke import FunctionTimedOut, InvokeResult
from pipelines.firehose.ledger import Entry, RecordId
from pipelines.firehose.parse import parse_create_request
from pipelines.firehose.transform import LambdaProcessor
from pipelines.kinesis.page import make_page
from pipelines.runtime.clock import ManualClock
from pipelines.runtime.errors import ConfigurationError, ThrottledError
from scenarios.flights.workload import make_workload
from scenarios.read_back import StreamRecord
from scenarios.redelivery import checks, retries
from scenarios.redelivery.disturbance import PLANS, Faults, FaultyInvoker, in_force
from scenarios.redelivery.handler import lambda_handler
from scenarios.redelivery.oracle import BY_THE_HANDLER, DELIVERED, DROPPED, FAILED, SAID, Batches, Fate, batches, fate
from scenarios.redelivery.scenario import Verdict, scenario

SHARD = "shardId-000000000000"
ARN = "arn:aws:lambda:us-east-1:000000000000:function:redelivery-transform:$LATEST"


def handled(data: bytes) -> tuple[str, bytes]:
    event = {"records": [{"recordId": "1", "data": base64.b64encode(data).decode()}]}
    (record,) = lambda_handler(event, None)["records"]
    return record["result"], base64.b64decode(record.get("data", ""))


# The oracle.


def test_a4_3_handler_and_oracle_say_the_same_of_every_record() -> None:
    outcomes = {"Ok": DELIVERED, "Dropped": DROPPED, "ProcessingFailed": FAILED}
    seen = set()
    for record in make_workload(3_000, seed=5).records():
        result, data = handled(record.data)
        must = fate(record.data, "1", Batches(attempts={"1": 2}))
        seen.add(result)
        assert outcomes[result] == must.outcome
        if must.outcome == DELIVERED:
            assert json.loads(data) == must.line
        if must.outcome == FAILED:
            assert data == record.data
            assert must.said == (*BY_THE_HANDLER, 2)
    assert seen == outcomes.keys()


def attempt(number: int, fault: str | None, touched: tuple[str, ...] = (), **changes: Any) -> Line:
    line = {
        "service": "lambda", "operation": "Invoke", "fault": fault, "batch": "b", "number": number,
        "invocation": f"i{number}", "records": ["1", "2", "3"], "touched": list(touched),
    }  # fmt: skip
    return line | changes


def test_a4_8_a_batch_that_fails_four_times_fails_with_the_last_reason() -> None:
    faults = (function.ERROR, function.THROTTLED, function.ERROR, function.TIMED_OUT)
    found = batches([attempt(at + 1, fault) for at, fault in enumerate(faults)], 3)
    assert found.problems == []
    assert found.failed == dict.fromkeys("123", (*SAID[function.TIMED_OUT], 4))


def test_a4_8_an_answer_is_final_and_only_the_records_touched_fail() -> None:
    found = batches([attempt(1, function.ERROR), attempt(2, function.MISSING_RECORDS, ("2",))], 3)
    assert found.problems == []
    assert found.failed == {"2": (*SAID[function.MISSING_RECORDS], 2)}
    assert found.attempts == dict.fromkeys("123", 2)


@pytest.mark.parametrize(
    ("calls", "said"),
    [
        ([attempt(1, function.ERROR)], "was sent 1 times"),
        ([attempt(at, function.ERROR) for at in range(1, 6)], "was sent 5 times"),
        ([attempt(1, None), attempt(2, None)], "sent again after an answer"),
        ([attempt(1, function.NULL_DATA), attempt(2, None)], "sent again after an answer"),
        ([attempt(1, function.ERROR), attempt(3, None)], "not numbered through"),
        ([attempt(1, function.ERROR), attempt(2, None, invocation="i1")], "one invocationId"),
        ([attempt(1, function.ERROR), attempt(2, None, records=["1", "2"])], "same records"),
    ],
)
def test_a4_8_calls_that_were_not_made_as_they_should_be_are_noticed(calls: list[Line], said: str) -> None:
    (problem,) = batches(calls, 3).problems
    assert said in problem


def test_every_fault_of_the_function_but_the_harmless_one_has_a_code_and_a_plan() -> None:
    assert SAID.keys() == {*function.CALL_FAULTS, *function.ANSWER_FAULTS} - {function.UNKNOWN_RECORD}
    assert {fault for faults in PLANS.values() for fault in faults} == {*function.CALL_FAULTS, *function.ANSWER_FAULTS}


# The invoker and the pipeline's own transform, against the oracle.


@dataclass(frozen=True)
class Handler:
    """Calls the scenario's handler, as Lambda would."""

    def invoke(self, payload: bytes) -> InvokeResult:
        return InvokeResult(json.dumps(lambda_handler(json.loads(payload), None)).encode())


@pytest.fixture
def endpoints(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")


@pytest.mark.usefixtures("endpoints")
@pytest.mark.parametrize("seed", [1, 2])
def test_a4_8_to_a4_12_the_transform_does_with_every_plan_what_the_oracle_says(seed: int) -> None:
    records = list(make_workload(720, seed).records())
    config = LambdaProcessorConfig(ARN, 3, 1.0, 0)
    faults = Faults.of(seed)
    clock = ManualClock()
    invoker = pickle.loads(pickle.dumps(FaultyInvoker(Handler())))
    processor = LambdaProcessor(config, "arn:stream", "us-east-1", "arn:source", invoker, clock)
    ends: dict[str, tuple[str, Any]] = {}
    with in_force(faults):
        for start in range(0, len(records), 15):
            chosen = range(start, min(start + 15, len(records)))
            page = make_page(
                SHARD,
                [records[at].data for at in chosen],
                ["k"] * len(chosen),
                [str(100_000 + at) for at in chosen],
                [clock.now_ms()] * len(chosen),
            )
            done = processor.process(page)
            ends |= {row["sequence_number"]: (DELIVERED, json.loads(row["data"])) for row in done.ok.to_pylist()}
            ends |= {number: (DROPPED, None) for number in done.dropped.column("sequence_number").to_pylist()}
            ends |= {
                failure.sequence_number: (FAILED, (failure.error_code, failure.error_message, failure.attempts_made))
                for failure in done.failures
            }
    met = batches(faults.journal.lines, 3)
    assert met.problems == []
    assert len(ends) == len(records)
    for number, (outcome, detail) in ends.items():
        must = fate(records[int(number) - 100_000].data, f"{number}000000", met)
        assert (outcome, detail) == (must.outcome, must.line or must.said)
    counted = retries.tallies(faults.journal.lines, retries.FULL)
    assert not [said for said in retries.too_few(counted) if "Invoke" in said]


@pytest.mark.usefixtures("endpoints")
def test_an_invoker_fails_as_lambda_does_only_while_faults_are_in_force() -> None:
    faults = Faults.of(1)
    object.__setattr__(
        faults.function, "_named", {plan: (function.TIMED_OUT, function.THROTTLED, function.ERROR) for plan in PLANS}
    )
    faults.function._plans._deck = ["errors"]
    event = json.dumps({"invocationId": "1", "records": [{"recordId": "1", "data": ""}]}).encode()
    invoker = FaultyInvoker(Handler())
    with in_force(faults):
        with pytest.raises(FunctionTimedOut):
            invoker.invoke(event)
        with pytest.raises(ThrottledError):
            invoker.invoke(event)
        assert invoker.invoke(event).function_error == "Unhandled"
        assert invoker.invoke(event).function_error is None
    assert len(faults.journal.lines) == 4
    assert invoker.invoke(event).function_error is None
    assert len(faults.journal.lines) == 4


@pytest.mark.usefixtures("endpoints")
def test_clients_made_while_faults_are_in_force_go_through_the_proxies_and_others_do_not() -> None:
    from pipelines.runtime.aws import client

    def endpoints() -> set[str]:
        return {client(service).meta.endpoint_url for service in ("kinesis", "s3", "lambda")}

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_REGION", "us-east-1")
        with in_force(Faults.of(1)):
            assert len(endpoints()) == 3
            assert "http://127.0.0.1:9" not in endpoints()
        assert endpoints() == {"http://127.0.0.1:9"}


def test_aws_itself_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_KINESIS"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(ConfigurationError, match="--target embedded or localstack"), in_force(Faults.of(1)):
        pass


# What the checks notice.


def numbers(first: int, count: int) -> tuple[RecordId, ...]:
    return tuple((SHARD, str(number), 0) for number in range(first, first + count))


class Bucket:
    """As much of a boto3 S3 client as the checks need."""

    def __init__(self, objects: Mapping[str, bytes]) -> None:
        self._objects = objects

    def get_object(self, Bucket: str, Key: str) -> dict[str, Any]:
        return {"Body": SimpleNamespace(read=lambda: self._objects[Key])}


def entry(outcome: str, kind: str, key: str, records: tuple[RecordId, ...]) -> Entry:
    shards = (ShardLineage(SHARD, records[0][1], records[-1][1], len(records)),)
    return Entry(outcome, records, DeliveredObject(kind, "b", key, 1, len(records), 1, "end", shards))


SAID_ONE = (*SAID[function.ERROR], 4)
FATES = {
    numbers(10, 1)[0]: Fate(DELIVERED, line={"flight": "UA1"}),
    numbers(11, 1)[0]: Fate(DELIVERED, line={"flight": "UA2"}),
    numbers(12, 1)[0]: Fate(DROPPED),
    numbers(13, 1)[0]: Fate(FAILED, said=SAID_ONE),
}
HELD = [StreamRecord(SHARD, str(number), b"data %d\n" % number) for number in range(10, 14)]
ENTRIES = [
    entry("delivered", "data", "d.gz", numbers(10, 2)),
    Entry("dropped", numbers(12, 1)),
    entry("failed", "processing-failed", "e", numbers(13, 1)),
    entry("backed_up", "backup", "b.gz", numbers(10, 4)),
]


def test_a_stream_that_holds_too_little_or_too_much_is_noticed() -> None:
    put = [record.data for record in HELD]
    assert list(checks.stream(HELD, put)) == []
    for held in (HELD[1:], [*HELD, HELD[0]], [*HELD[1:], HELD[1]]):
        assert len(list(checks.stream(held, put))) == 1


def test_records_that_end_elsewhere_are_noticed() -> None:
    assert list(checks.outcomes(ENTRIES, FATES)) == []
    assert len(list(checks.outcomes(ENTRIES[1:], FATES))) == 1
    moved = [Entry("delivered", numbers(12, 1)), *ENTRIES[:1], *ENTRIES[2:]]
    assert len(list(checks.outcomes(moved, FATES))) == 2


@pytest.mark.parametrize(
    ("text", "right"),
    [
        (b'{"flight":"UA1"}\n{"flight":"UA2"}\n', True),
        (b'{"flight":"UA2"}\n{"flight":"UA1"}\n', False),
        (b'{"flight":"UA1"}\n', False),
        (b'{"flight":"UA1"}\n{"flight":"UA2"}\n{"flight":"UA2"}\n', False),
    ],
)
def test_lines_that_are_not_their_records_are_noticed(text: bytes, right: bool) -> None:
    said = list(checks.lines(Bucket({"d.gz": gzip.compress(text)}), ENTRIES, FATES))
    assert bool(said) is not right


def error_object(**changes: Any) -> list[str]:
    code, message, attempts = SAID_ONE
    line = {
        "attemptsMade": attempts, "errorCode": code, "errorMessage": message, "lambdaArn": ARN,
        "arrivalTimestamp": 5, "attemptEndingTimestamp": 6, "rawData": base64.b64encode(HELD[3].data).decode(),
    } | changes  # fmt: skip
    data = {record.id: record.data for record in HELD}
    text = (json.dumps(line) + "\n").encode()
    return list(checks.error_objects(Bucket({"e": text}), ENTRIES, FATES, data, ARN))


def test_a4_8_to_a4_12_an_error_object_that_says_otherwise_is_noticed() -> None:
    assert error_object() == []
    for changes in (
        {"attemptsMade": 3},
        {"errorCode": "Lambda.FunctionTimedOut"},
        {"errorMessage": "x"},
        {"rawData": ""},
        {"lambdaArn": "x"},
        {"attemptEndingTimestamp": 4},
    ):
        assert len(error_object(**changes)) == 1, changes
    two = Bucket({"e": b"{}\n{}\n"})
    assert len(list(checks.error_objects(two, ENTRIES, FATES, {}, ARN))) == 1


def test_a7_13_a_backup_that_is_not_the_stream_is_noticed() -> None:
    whole = b"".join(record.data for record in HELD)
    assert list(checks.backup(Bucket({"b.gz": gzip.compress(whole)}), ENTRIES, HELD)) == []
    assert len(list(checks.backup(Bucket({"b.gz": gzip.compress(whole[:-1])}), ENTRIES, HELD))) == 1
    twice = [*ENTRIES, entry("backed_up", "backup", "b.gz", numbers(10, 4))]
    assert len(list(checks.backup(Bucket({"b.gz": gzip.compress(whole)}), twice, HELD))) == 2


def put_call(entries: int, refused: int, taken: int) -> Line:
    return {"operation": "PutRecords", "fault": None, "entries": entries, "refused": refused, "taken": taken}


def test_b2_records_put_again_too_seldom_or_too_often_are_noticed() -> None:
    calls = [put_call(5, 2, 3), put_call(2, 2, 0), put_call(2, 0, 1), put_call(1, 0, 1)]
    assert list(retries.put_records(calls, 5)) == []
    assert len(list(retries.put_records(calls[:-1], 5))) == 1
    assert len(list(retries.put_records([*calls, put_call(1, 0, 1)], 5))) == 1
    assert len(list(retries.put_records([put_call(5, 2, 5)], 5))) == 1


def put_object(status: int, body: str = "x", invocation: str = "1") -> Line:
    return {"operation": "PutObject", "key": "k", "status": status, "sha256": body, "invocation": invocation}


@pytest.mark.parametrize(
    ("calls", "said"),
    [
        ([put_object(503), put_object(0), put_object(200)], ""),
        ([put_object(503)] * 5 + [put_object(200, invocation="2")], ""),
        ([put_object(503)] * 6 + [put_object(200)], "in 1 calls of the SDK"),
        ([put_object(503), put_object(200, invocation="2")], "in 2 calls of the SDK"),
        ([put_object(503), put_object(503)], "of which 0 came through"),
        ([put_object(200), put_object(200)], "of which 2 came through"),
        ([put_object(503), put_object(200, body="y")], "with another body"),
    ],
)
def test_a7_12_objects_put_again_otherwise_are_noticed(calls: list[Line], said: str) -> None:
    problems = list(retries.put_objects(calls))
    assert bool(problems) == bool(said)
    assert said in " ".join(problems)


def get(fault: str | None, last: str | None = None) -> Line:
    return {"operation": "GetRecords", "shard": SHARD, "fault": fault, "last": last}


ITERATOR: Line = {"operation": "GetShardIterator", "shard": SHARD, "fault": None}


@pytest.mark.parametrize(
    ("calls", "said"),
    [
        ([ITERATOR, get(None), get("failed"), get(None, "9")], ""),
        ([ITERATOR, get("expired"), ITERATOR, get("reset"), get(None, "9")], ""),
        ([ITERATOR, get(None, "9"), get("failed")], ""),  # asked for ahead
        ([ITERATOR, get(None), get("failed")], "not read any more"),
        ([ITERATOR, get("expired"), get(None, "9")], "none was asked for"),
    ],
)
def test_b7_shards_that_are_not_read_on_are_noticed(calls: list[Line], said: str) -> None:
    problems = list(retries.get_records(calls, {SHARD: "9"}))
    assert bool(problems) == bool(said)
    assert said in " ".join(problems)


@given(st.data())
def test_a_run_with_too_few_faults_of_any_kind_fails(data: st.DataObject) -> None:
    enough = [replace(tally, injected=tally.required) for tally in retries.tallies([], retries.FULL)]
    assert Verdict(enough, {}).equal
    at = data.draw(st.integers(0, len(enough) - 1))
    less = [replace(tally, injected=tally.injected - (place == at)) for place, tally in enumerate(enough)]
    assert not Verdict(less, {}).equal
    (said,) = retries.too_few(less)
    assert "are needed to show anything" in said
    assert {tally.required for tally in retries.tallies([], 300)} == {0}


def test_a_verdict_names_every_kind() -> None:
    journal: list[Line] = [{"operation": "PutObject", "fault": "reset-after"}]
    verdict = Verdict(retries.tallies(journal, 336_776), {"PutObject": 3})
    assert verdict.table().row_count == len(retries.REQUIRED)
    described = verdict.to_json()
    assert {"operation": "PutObject", "kind": "reset-after", "injected": 1} in described["faults"]
    assert described["equal"] is False


def test_a3_1_the_delivery_stream_is_one_that_aws_would_take(tmp_path: Path) -> None:
    request = json.loads((scenario.folder / "aws" / "60-firehose.create_delivery_stream.json").read_text())
    config = parse_create_request(request, region="us-east-1", account="000000000000")
    assert config.destination.lambda_processor is not None
    assert config.destination.lambda_processor.number_of_retries == 3
    assert scenario._processor() == (3, ARN)
