"""Results to a function by C15's contract, and to a delivery stream by PutRecordBatch (C14, A1.7, A1.8)."""

import base64
import json
import pickle
import time
import uuid

import pyarrow as pa
import pytest
from botocore.exceptions import ClientError

from pipelines.analytics import deliver
from pipelines.analytics.deliver import DeliveryStreamSink, FunctionSink, failed_ids, result_records
from pipelines.firehose.invoke import REQUEST_LIMIT_BYTES, FunctionTimedOut, InvokeResult
from pipelines.runtime.clock import ManualClock, SystemClock
from pipelines.runtime.errors import ConfigurationError, CredentialsError, NotFoundError, ThrottledError

ARN = "arn:aws:kinesisanalytics:us-east-1:000000000000:application/anomalies"


class Function:
    """A function whose answers are given: each a function of the event's records, or an error that is raised."""

    def __init__(self, *answers):
        self.events = []
        self._answers = list(answers)

    def invoke(self, payload):
        assert len(payload) <= REQUEST_LIMIT_BYTES
        event = json.loads(payload)
        self.events.append(event)
        answer = self._answers.pop(0) if self._answers else all_ok
        if isinstance(answer, Exception):
            raise answer
        said = answer(event["records"])
        return said if isinstance(said, InvokeResult) else InvokeResult(json.dumps(said).encode())


def all_ok(records):
    return {"records": [{"recordId": record["recordId"], "result": "Ok"} for record in records]}


def data_of(event):
    return [base64.b64decode(record["data"]) for record in event["records"]]


def hints(event):
    return {record["lambdaDeliveryRecordMetadata"]["retryHint"] for record in event["records"]}


def sent(function, records, clock=None):
    return FunctionSink(function, ARN, clock or ManualClock()).deliver(records)


def test_c15_the_event_has_the_members_of_the_contract():
    function = Function()
    assert sent(function, [b"one", b"two"]) == 0
    (event,) = function.events
    assert set(event) == {"invocationId", "applicationArn", "records"}
    assert event["applicationArn"] == ARN
    uuid.UUID(event["invocationId"])
    assert [set(record) for record in event["records"]] == [{"recordId", "lambdaDeliveryRecordMetadata", "data"}] * 2
    assert data_of(event) == [b"one", b"two"]
    assert hints(event) == {0}
    assert len({record["recordId"] for record in event["records"]}) == 2


def failed_first(records):
    answer = all_ok(records)
    answer["records"][0]["result"] = "DeliveryFailed"
    return answer


@pytest.mark.parametrize(
    "answer",
    [
        failed_first,
        lambda records: {"records": all_ok(records)["records"][1:]},
        lambda records: {"records": [{"recordId": "another", "result": "Ok"}, *all_ok(records)["records"][1:]]},
        lambda records: {"records": [*all_ok(records)["records"], *failed_first(records)["records"]]},
        lambda records: {"records": [{"recordId": record["recordId"]} for record in records]},
        lambda _: {"records": "Ok"},
        lambda _: {},
        lambda _: [],
        lambda _: None,
        lambda records: InvokeResult(b"no JSON"),
        lambda records: InvokeResult(json.dumps(all_ok(records)).encode(), "Unhandled"),
        FunctionTimedOut("it took too long"),
        ThrottledError("too many at a time"),
    ],
)
def test_c15_the_same_set_is_sent_again_until_every_record_is_ok(answer):
    function, clock = Function(answer, answer), ManualClock()
    assert sent(function, [b"one", b"two"], clock) == 2
    ids = [[record["recordId"] for record in event["records"]] for event in function.events]
    assert ids[0] == ids[1] == ids[2]
    assert [hints(event) for event in function.events] == [{0}, {1}, {2}]
    assert [data_of(event) for event in function.events] == [[b"one", b"two"]] * 3
    assert len({event["invocationId"] for event in function.events}) == 3
    assert len(clock.slept_s) == 2


def test_c14_it_is_tried_for_as_long_as_it_takes_with_pauses_below_ten_seconds_and_the_log_says_so(caplog):
    clock = ManualClock()
    with caplog.at_level("WARNING"):
        assert sent(Function(*[failed_first] * 100), [b"one"], clock) == 100
    assert len(caplog.messages) == 95
    assert caplog.messages[0].startswith("The function did not say Ok to 1 of 1 results. Tried 6 times")
    assert clock.slept_s[0] <= 0.2
    assert 5 <= clock.slept_s[-1] <= 10


def test_c15_records_are_split_where_lambda_takes_no_more_and_keep_their_order():
    function = Function()
    records = [bytes([65 + n]) * 1_000_000 for n in range(10)]
    sent(function, records)
    assert len(function.events) > 1
    assert [data for event in function.events for data in data_of(event)] == records


@pytest.mark.parametrize("error", [NotFoundError("no such function"), CredentialsError("no")])
def test_c14_what_no_try_can_mend_is_an_error(error):
    with pytest.raises(type(error)):
        sent(Function(error), [b"one"])


def test_c15_failed_ids_of_many_records_take_no_time():
    ids = [str(n) for n in range(20_000)]
    answer = InvokeResult(json.dumps({"records": [{"recordId": each, "result": "Ok"} for each in ids[1:]]}).encode())
    began = time.monotonic()
    assert failed_ids(answer, ids) == {"0"}
    assert time.monotonic() - began < 2


class Firehose:
    """boto3's client; `refusals` says for each call which records it refuses, or what it raises."""

    def __init__(self, *refusals):
        self.calls = []
        self._refusals = list(refusals)

    def put_record_batch(self, *, DeliveryStreamName, Records):
        assert DeliveryStreamName == "anomalies"
        self.calls.append([record["Data"] for record in Records])
        refused = self._refusals.pop(0) if self._refusals else ()
        if isinstance(refused, Exception):
            raise refused
        told = [
            {"ErrorCode": "ServiceUnavailableException", "ErrorMessage": "Slow down."}
            if at in refused
            else {"RecordId": "1"}
            for at in range(len(Records))
        ]
        return {"FailedPutCount": len(refused), "RequestResponses": told}


def put(firehose, records, clock=None):
    return DeliveryStreamSink("anomalies", clock or ManualClock(), lambda: firehose).deliver(records)


def error(code):
    return ClientError({"Error": {"Code": code, "Message": "No."}}, "PutRecordBatch")


def test_c14_each_result_is_a_line_of_a_delivery_stream():
    firehose = Firehose()
    assert put(firehose, [b"{}", b"[]"]) == 0
    assert firehose.calls == [[b"{}\n", b"[]\n"]]


def test_a1_8_what_is_refused_is_put_again_alone_until_it_is_taken():
    firehose, clock = Firehose({1, 2}, {0}), ManualClock()
    assert put(firehose, [b"a", b"b", b"c"], clock) == 2
    assert firehose.calls == [[b"a\n", b"b\n", b"c\n"], [b"b\n", b"c\n"], [b"b\n"]]
    assert len(clock.slept_s) == 2


def test_c14_a_call_that_is_throttled_or_fails_is_made_again():
    firehose = Firehose(error("ThrottlingException"), error("LimitExceededException"))
    assert put(firehose, [b"a"]) == 2
    assert firehose.calls == [[b"a\n"]] * 3


def test_c14_the_log_says_what_a_delivery_stream_answers(caplog):
    with caplog.at_level("WARNING"):
        put(Firehose(*[error("ThrottlingException")] * 6), [b"a"])
    (said,) = caplog.messages
    assert said.startswith("1 results wait for delivery stream anomalies. delivery stream anomalies is throttled")


def test_c14_a_delivery_stream_that_does_not_exist_is_an_error():
    with pytest.raises(NotFoundError, match="delivery stream anomalies"):
        put(Firehose(error("ResourceNotFoundException")), [b"a"])


def test_a1_7_calls_have_500_records_and_four_mib_at_most():
    firehose = Firehose()
    put(firehose, [b"x"] * 1001)
    assert [len(call) for call in firehose.calls] == [500, 500, 1]
    firehose = Firehose()
    put(firehose, [b"x" * 900_000] * 10)
    assert [len(call) for call in firehose.calls] == [4, 4, 2]
    assert all(sum(map(len, call)) <= deliver.PUT_BYTES for call in firehose.calls)


def test_a1_7_a_result_that_firehose_never_takes_is_named():
    with pytest.raises(ConfigurationError, match="takes no more than 1,024,000"):
        put(Firehose(), [b"x" * 1024 * 1000])


def test_sinks_can_be_pickled_after_their_first_call():
    sink = DeliveryStreamSink("anomalies", SystemClock(), Firehose)
    sink.deliver([b"x"])
    assert pickle.loads(pickle.dumps(sink)).__dict__["_client"] is None


def test_results_become_json_objects_with_their_series_as_key():
    batch = pa.RecordBatch.from_pylist([{"series": "cpu", "event_ms": 5, "value": 0.5, "ANOMALY_SCORE": None}])
    assert list(result_records(batch)) == [("cpu", b'{"series":"cpu","event_ms":5,"value":0.5,"ANOMALY_SCORE":null}')]


@pytest.mark.parametrize(("series", "key"), [("a", "a"), ("", "-"), ("h" * 300, "h" * 256)])
def test_b1_the_partition_key_of_a_result_is_one_that_kinesis_takes(series, key):
    results = pa.RecordBatch.from_pydict({"series": [series], "n": [1]})
    ((found, data),) = result_records(results)
    assert found == key
    assert json.loads(data) == {"series": series, "n": 1}
