"""The sink's calls: shards listed, records put, failures told apart; the calls past botocore's serializer."""

import io
import json
from base64 import b64decode

import boto3
import pytest
from botocore.awsrequest import AWSResponse
from botocore.exceptions import ClientError, NoCredentialsError
from kinesis_fake import AtOnce, client_error, connection_error

from pipelines.kinesis import sender as senders
from pipelines.kinesis.producer import Producer
from pipelines.kinesis.put import Placed, Record, Refusal
from pipelines.kinesis.put_call import PutRecordsCall
from pipelines.kinesis.sender import Sender
from pipelines.runtime.clock import ManualClock
from pipelines.runtime.errors import (
    CredentialsError,
    EndpointDownError,
    NotFoundError,
    ServiceFaultError,
    ThrottledError,
)

LAST = 2**128 - 1
THROTTLED = "ProvisionedThroughputExceededException"


def shard(number, first, last, *, closed=False):
    numbers = {"StartingSequenceNumber": "0"} | ({"EndingSequenceNumber": "9"} if closed else {})
    return {
        "ShardId": f"shardId-{number}",
        "HashKeyRange": {"StartingHashKey": str(first), "EndingHashKey": str(last)},
        "SequenceNumberRange": numbers,
    }


class Client:
    """A stream of two open shards and a closed one, listed in two pages. `faults` are raised by the next calls of a
    name; `refuses(entry)` is an error code or None.
    """

    def __init__(self, refuses=lambda entry: None, max_record_kib=1024, **faults) -> None:
        self.refuses, self.faults, self.max_record_kib = refuses, faults, max_record_kib
        self.calls, self.stored = [], []

    def _call(self, name, arguments):
        self.calls.append((name, arguments))
        if self.faults.get(name):
            raise self.faults[name].pop(0)

    def names(self):
        return [name for name, _ in self.calls]

    def list_shards(self, **arguments):
        self._call("list_shards", arguments)
        if arguments == {"NextToken": "more"}:
            return {"Shards": [shard(2, LAST // 2 + 1, LAST)]}
        return {"Shards": [shard(0, 0, LAST, closed=True), shard(1, 0, LAST // 2)], "NextToken": "more"}

    def describe_stream_summary(self, **arguments):
        self._call("describe_stream_summary", arguments)
        return {"StreamDescriptionSummary": {"MaxRecordSizeInKiB": self.max_record_kib} if self.max_record_kib else {}}

    def put_records(self, **arguments):
        self._call("put_records", arguments)
        results = []
        for entry in arguments["Records"]:
            code = self.refuses(entry)
            if code:
                results.append({"ErrorCode": code, "ErrorMessage": "slow down"})
            else:
                self.stored.append(entry["Data"])
                results.append({"ShardId": "shardId-1", "SequenceNumber": str(len(self.stored))})
        return {"Records": results}


class Sink:
    def __init__(self, client, stream="flights", retry_s=60.0, renew=None) -> None:
        self.clock = ManualClock()
        self.producer = Producer(ordered=True, aggregation_max_bytes=None, retry_s=retry_s, jitter=lambda limit: limit)
        self.sender = Sender(stream, client, self.producer, self.clock, AtOnce(), retry_s=retry_s, renew=renew)

    def put(self, *records):
        for record in records:
            self.sender.add(record)
        self.sender.flush()
        return self.producer.take_failed()


def test_b4_shards_are_listed_to_the_last_page_and_closed_ones_take_nothing():
    client = Client()
    sink = Sink(client)
    assert sink.put(Record(b"low", "k", "0"), Record(b"high", "k", str(LAST))) == []
    assert client.calls[:3] == [
        ("list_shards", {"StreamName": "flights"}),
        ("list_shards", {"NextToken": "more"}),
        ("describe_stream_summary", {"StreamName": "flights"}),
    ]
    (entries,) = [arguments["Records"] for name, arguments in client.calls if name == "put_records"]
    assert sorted(entry["ExplicitHashKey"] for entry in entries) == ["0", str(LAST)]
    assert sink.sender.take_latencies_ms() == [0]


def test_an_arn_names_the_stream_in_every_call():
    arn = "arn:aws:kinesis:us-east-1:000000000000:stream/flights"
    client = Client()
    Sink(client, arn).put(Record(b"", "k"))
    named = [arguments for _, arguments in client.calls if "NextToken" not in arguments]
    assert {arguments["StreamARN"] for arguments in named} == {arn}
    assert not any("StreamName" in arguments for _, arguments in client.calls)


@pytest.mark.parametrize(("max_record_kib", "most"), [(2048, 2048), (None, 1024)])
def test_b1_largest_record_is_the_streams(max_record_kib, most):
    sink = Sink(Client(max_record_kib=max_record_kib))
    fits, too_large = Record(bytes(most * 1024 - 1), "k"), Record(bytes(most * 1024), "k")
    assert [failure.record for failure in sink.put(fits, too_large)] == [too_large]
    assert sink.sender._kinesis.stored == [fits.data]


def test_b2_refused_entries_are_sent_again_after_a_pause():
    refused = iter([THROTTLED, None, "InternalFailure", None])
    client = Client(lambda entry: next(refused))
    sink = Sink(client)
    assert sink.put(Record(b"1", "a"), Record(b"2", "b")) == []
    assert client.stored == [b"2", b"1"]
    assert sink.clock.slept_s == pytest.approx([0.1, 0.2])
    assert sink.producer.take_retries() == 2


@pytest.mark.parametrize(
    "error",
    [
        client_error(THROTTLED, "PutRecords"),
        client_error("KMSThrottlingException", "PutRecords"),
        client_error("InternalFailure", "PutRecords", 500),
        client_error("ServiceUnavailable", "PutRecords", 503),
        connection_error(),
    ],
)
def test_calls_that_fail_for_a_while_are_made_again(error):
    client = Client(put_records=[error] * 3)
    assert Sink(client).put(Record(b"1", "a")) == []
    assert client.names().count("put_records") == 4
    assert client.stored == [b"1"]


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (client_error(THROTTLED, "PutRecords"), THROTTLED),
        (client_error("InternalFailure", "PutRecords", 500), "InternalFailure"),
    ],
)
def test_records_whose_calls_fail_for_the_whole_retry_budget_fail_with_awss_code(error, code):
    client = Client(put_records=[error] * 1000)
    sink = Sink(client, retry_s=20.0)
    (failure,) = sink.put(Record(b"1", "a"))
    assert (failure.error_code, failure.attempts) == (code, client.names().count("put_records"))
    assert f"{code} here" in failure.error_message
    assert 20 <= sum(sink.clock.slept_s) < 25


def test_an_endpoint_that_does_not_answer_ends_it_after_the_retry_budget():
    sink = Sink(Client(put_records=[connection_error() for _ in range(1000)]), retry_s=20.0)
    with pytest.raises(EndpointDownError, match="No PutRecords was answered for 20 s") as raised:
        sink.put(Record(b"1", "a"))
    assert "`hydrant up`" in raised.value.fix
    assert 20 <= sum(sink.clock.slept_s) < 25


def test_any_answer_shows_that_the_endpoint_is_there():
    client = Client(put_records=[connection_error() for _ in range(6)])  # 6 s of silence, each time
    sink = Sink(client, retry_s=10.0)
    for number in range(4):
        assert sink.put(Record(b"%d" % number, "a")) == []
        client.faults["put_records"] = [connection_error() for _ in range(6)]
    silence = [connection_error() for _ in range(4)]  # 1.5 s at first, 5 s a call later
    faults = [*silence, client_error(THROTTLED, "PutRecords"), *silence, client_error("X", "PutRecords", 500), *silence]
    client = Client(put_records=faults)
    sink = Sink(client, retry_s=30.0)
    sink.producer._retry_s = 1000.0  # the records may wait
    assert sink.put(Record(b"1", "a")) == []
    assert sum(sink.clock.slept_s) > 40


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (client_error("ResourceNotFoundException", "PutRecords"), NotFoundError),
        (client_error("AccessDeniedException", "PutRecords"), CredentialsError),
        (NoCredentialsError(), CredentialsError),
    ],
)
@pytest.mark.parametrize("call", ["put_records", "list_shards", "describe_stream_summary"])
def test_what_trying_again_does_not_mend_ends_it_at_once(call, error, kind):
    client = Client(**{call: [error]})
    sink = Sink(client)
    with pytest.raises(kind, match="Kinesis stream flights"):
        sink.put(Record(b"1", "a"))
    assert client.names().count(call) == 1
    assert sink.clock.slept_s == []


def test_credentials_that_expire_are_read_anew_and_asked_for_no_more_than_once_in_ten_seconds():
    expired = [client_error("ExpiredTokenException", "PutRecords")]
    first, second, third = Client(put_records=expired * 9), Client(), Client()
    renewed = [second, third]
    sink = Sink(first, renew=lambda: renewed.pop(0))
    assert sink.put(Record(b"1", "a")) == []
    assert (first.names().count("put_records"), second.stored) == (1, [b"1"])
    sink.clock.advance(9.5)
    second.faults["put_records"] = expired * 9
    with pytest.raises(CredentialsError):
        sink.put(Record(b"2", "a"))
    assert renewed == [third]
    with pytest.raises(RuntimeError, match="has failed before"):
        sink.sender.flush()


def test_credentials_may_expire_again_and_again():
    expired = [client_error("ExpiredTokenException", "PutRecords")]
    clients = [Client(put_records=list(expired)), *(Client() for _ in range(3))]
    renewed = iter(clients[1:])
    sink = Sink(clients[0], renew=lambda: next(renewed))
    for number in range(3):
        assert sink.put(Record(b"%d" % number, "a")) == []
        sink.clock.advance(10)
        clients[number + 1].faults["put_records"] = list(expired)
    assert [client.stored for client in clients] == [[], [b"0"], [b"1"], [b"2"]]


@pytest.mark.parametrize("call", ["list_shards", "describe_stream_summary"])
def test_credentials_that_have_expired_before_the_first_call_are_read_anew(call):
    expired = [client_error("ExpiredTokenException", call)]
    first, second = Client(**{call: expired * 9}), Client()
    sink = Sink(first, renew=lambda: second)
    assert sink.put(Record(b"1", "a")) == []
    assert (first.names().count(call), first.stored, second.stored) == (1, [], [b"1"])
    with pytest.raises(CredentialsError):
        Sink(Client(**{call: expired * 9})).put(Record(b"1", "a"))  # nobody has others


@pytest.mark.parametrize("retry_s", [tenths / 10 for tenths in range(1, 80)])
def test_b2_what_was_given_up_does_not_count_against_what_is_put_much_later(retry_s):
    """The first record is given up in calls of its own, of which the shard took nothing; it had waited longer."""
    code = "ProvisionedThroughputExceededException"
    client = Client(refuses=lambda entry: code if entry["Data"] == b"bad" else None)
    sink = Sink(client, retry_s=retry_s)
    (failed,) = sink.put(Record(b"bad", "a", "0"), Record(b"good", "b", "1"))
    assert failed.record.data == b"bad"
    sink.clock.advance(600)
    tries = iter([code])
    client.refuses = lambda entry: next(tries, None)
    assert sink.put(*(Record(b"%d" % number, "a", "0") for number in range(3))) == []
    assert client.stored == [b"good", b"0", b"1", b"2"]


def test_silence_before_a_flush_does_not_count_against_what_comes_after_it():
    """The last call for a record that is given up gets no answer; an hour later one for another does not, either."""
    throttled = client_error(THROTTLED, "PutRecords")
    client = Client(put_records=[*[throttled] * 9, connection_error()])
    sink = Sink(client, retry_s=20.0)
    assert [failure.error_code for failure in sink.put(Record(b"1", "a"))] == ["NoAnswer"]
    assert client.faults["put_records"] == []
    sink.clock.advance(3600)
    client.faults["put_records"] = [connection_error()]
    assert sink.put(Record(b"2", "a")) == []
    assert client.stored == [b"2"]


def test_listing_shards_is_tried_again_for_the_retry_budget(monkeypatch):
    monkeypatch.setattr(senders.random, "uniform", lambda low, high: high)
    throttle = client_error("LimitExceededException", "ListShards")
    client = Client(list_shards=[throttle] * 3, describe_stream_summary=[client_error("X", "ListShards", 500)])
    sink = Sink(client)
    assert sink.put(Record(b"1", "a")) == []
    assert sink.clock.slept_s == pytest.approx([0.2, 0.4, 0.8, 0.2])
    for name, error, kind in [
        ("list_shards", throttle, ThrottledError),
        ("describe_stream_summary", client_error("X", "ListShards", 500), ServiceFaultError),
    ]:
        sink = Sink(Client(**{name: [error] * 1000}), retry_s=5.0)
        with pytest.raises(kind):
            sink.put(Record(b"1", "a"))
        assert 5 <= sum(sink.clock.slept_s) < 20


def test_a_stream_without_an_open_shard_is_named():
    client = Client()
    client.list_shards = lambda **_: {"Shards": [shard(0, 0, LAST, closed=True)]}
    with pytest.raises(NotFoundError, match="Kinesis stream flights has no open shard"):
        Sink(client).put(Record(b"1", "a"))


def test_memory_is_bounded_while_records_are_added(monkeypatch):
    monkeypatch.setattr(senders, "MAX_HELD_BYTES", 100_000)
    client = Client()
    sink = Sink(client)
    for number in range(3000):
        sink.sender.add(Record(bytes(100), f"key-{number % 3}"))  # three go at a time
        assert sink.producer.held_bytes <= 100_000 + 700
    assert len(client.stored) >= 2800
    sink.sender.flush()
    assert len(client.stored) == 3000


def aws_client(monkeypatch, answer):
    """A real client, whose PutRecords requests go to `answer(body, headers)`: status and JSON."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "a")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "b")
    client = boto3.client("kinesis", region_name="us-east-1", endpoint_url="http://localhost:1")

    def send(request, **_):
        status, told = answer(json.loads(request.body), request.headers)
        raw = io.BytesIO(json.dumps(told).encode())
        raw.stream = lambda *_, **__: iter([raw.getvalue()])
        return AWSResponse(request.url, status, {"x-amzn-RequestId": "1"}, raw)

    client.meta.events.register("before-send.kinesis.PutRecords", send)
    return client


RECORDS = [Record(b"\x00\xff", "a"), Record(b"", "\u2603"), Record("ü".encode(), "c", str(LAST))]
ANSWER = {
    "FailedRecordCount": 1,
    "Records": [
        {"ShardId": "shardId-1", "SequenceNumber": "7"},
        {"ErrorCode": THROTTLED, "ErrorMessage": "Rate exceeded"},
        {"ShardId": "shardId-2", "SequenceNumber": "8", "ErrorCode": None, "ErrorMessage": None},
    ],
}
PLACED = [Placed("shardId-1", "7"), Refusal(THROTTLED, "Rate exceeded"), Placed("shardId-2", "8")]


def test_b2_body_on_the_wire_is_what_botocore_sends_and_the_answer_what_it_reads(monkeypatch):
    bodies, heads = [], []

    def answer(body, headers):
        bodies.append(body)
        heads.append((str(headers["X-Amz-Target"]), "Signature=" in str(headers["Authorization"])))
        return 200, ANSWER

    ours = PutRecordsCall("flights", aws_client(monkeypatch, answer))
    assert ours(RECORDS) == PLACED
    theirs = aws_client(monkeypatch, answer)
    told = theirs.put_records(StreamName="flights", Records=[record.entry() for record in RECORDS])
    assert bodies[0] == bodies[1]
    assert heads[0] == heads[1]
    assert heads[0][1]
    assert [result.get("SequenceNumber") for result in told["Records"]] == ["7", None, "8"]
    assert b64decode(bodies[0]["Records"][0]["Data"]) == b"\x00\xff"


def test_a_client_may_be_shared_and_errors_are_botocores(monkeypatch):
    answers = [(200, ANSWER), (400, {"__type": "ResourceNotFoundException", "message": "gone"}), (200, ANSWER)]
    bodies = []
    client = aws_client(monkeypatch, lambda body, _: bodies.append(body) or answers[len(bodies) - 1])
    first, second = PutRecordsCall("one", client), PutRecordsCall("two", client)
    assert first(RECORDS) == PLACED
    with pytest.raises(ClientError, match="gone"):
        second(RECORDS)
    assert second(RECORDS) == PLACED
    assert [body["StreamName"] for body in bodies] == ["one", "two", "two"]
    assert [len(body["Records"]) for body in bodies] == [3, 3, 3]
    answers.append((200, ANSWER))
    told = client.put_records(StreamName="another", Records=[{"Data": b"", "PartitionKey": "k"}])
    assert told["FailedRecordCount"] == 1
    assert bodies[-1]["StreamName"] == "another"
    assert len(bodies[-1]["Records"]) == 1


def test_another_client_is_called_in_the_ordinary_way():
    client = Client(lambda entry: THROTTLED if entry["Data"] == b"" else None)
    results = PutRecordsCall("flights", client)(RECORDS)
    assert results == [Placed("shardId-1", "1"), Refusal(THROTTLED, "slow down"), Placed("shardId-1", "2")]
    assert client.calls[0][1]["Records"][2] == {"Data": "ü".encode(), "PartitionKey": "c", "ExplicitHashKey": str(LAST)}
