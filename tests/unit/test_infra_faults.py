"""Faults on a schedule: what is due when, what becomes of a call, and the proxy on the wire."""

import base64
import http.client
import json
import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kinesis_on_the_wire import client_of, start

from infra.embedded.target import EmbeddedTarget
from infra.environment import environment
from infra.faults import function, kinesis, s3
from infra.faults.function import FunctionFaults, LambdaFaults, spoil
from infra.faults.journal import Journal
from infra.faults.kinesis import KinesisFaults, merged
from infra.faults.proxy import Call, FaultProxy, Forward, Reply, ResetError
from infra.faults.s3 import S3Faults
from infra.faults.schedule import Schedule
from pipelines.firehose.contract import judge
from pipelines.firehose.invoke import BotoInvoker, FunctionTimedOut
from pipelines.kinesis.put import Record, batches, put_records
from pipelines.runtime.clock import ManualClock
from pipelines.runtime.errors import ThrottledError

CALM = Schedule(0, "calm", {}, calm=1)


def always(kind: str) -> Schedule:
    return Schedule(0, kind, {kind: 1}, calm=0)


# When a fault is due.

KINDS = st.dictionaries(st.sampled_from("abcd"), st.integers(1, 4), min_size=1)


@given(st.integers(), KINDS, st.integers(0, 5), st.integers(1, 4))
def test_of_so_many_decks_each_kind_comes_as_often_as_it_is_in_them(
    seed: int, kinds: dict[str, int], calm: int, decks: int
) -> None:
    schedule = Schedule(seed, "x", kinds, calm)
    dealt = Counter(schedule.next() for _ in range(decks * schedule.block))
    wanted: dict[str | None, int] = {kind: times * decks for kind, times in kinds.items()}
    assert dealt == Counter(wanted | ({None: calm * decks} if calm else {}))


@given(st.integers(), KINDS)
def test_a_seed_deals_the_same_again_and_what_is_first_comes_once(seed: int, kinds: dict[str, int]) -> None:
    one, other = (Schedule(seed, "x", kinds, 2, first={"once": 1}) for _ in range(2))
    dealt = [one.next() for _ in range(4 * one.block + 1)]
    assert dealt == [other.next() for _ in dealt]
    assert dealt.count("once") == 1
    assert "once" in dealt[: one.block + 1]


def test_another_seed_and_another_name_deal_another_order() -> None:
    orders = {
        tuple(schedule.next() for _ in range(30))
        for schedule in (Schedule(seed, name, {"a": 1, "b": 2}, 3) for seed in (1, 2) for name in ("x", "y"))
    }
    assert len(orders) == 4


def test_threads_together_are_dealt_whole_decks() -> None:
    schedule = Schedule(1, "x", {"a": 1}, 3)
    with ThreadPoolExecutor(8) as pool:
        dealt = Counter(pool.map(lambda _: schedule.next(), range(4_000)))
    assert dealt == {"a": 1_000, None: 3_000}


def test_a_schedule_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="neither a kind of fault nor a calm call"):
        Schedule(1, "empty", {}, calm=0)


# What happened.


def test_a_journal_keeps_what_was_and_what_follows(tmp_path: Path) -> None:
    journal = Journal(ManualClock(5))
    journal.note("s3", "PutObject", "reset-after", key="a")
    journal.keep(tmp_path / "journal.jsonl")
    journal.note("s3", "PutObject", None, key="b")
    journal.close()
    journal.note("s3", "PutObject", None, key="c")
    kept = [json.loads(line) for line in (tmp_path / "journal.jsonl").read_text().splitlines()]
    assert kept == journal.lines[:2]
    assert kept[0] == {"service": "s3", "operation": "PutObject", "fault": "reset-after", "at_ms": 5, "key": "a"}
    assert [line["key"] for line in journal.lines] == ["a", "b", "c"]


# Kinesis.


@given(st.data(), st.integers(1, 40))
def test_b2_answers_merge_in_the_order_of_their_entries(data: st.DataObject, entries: int) -> None:
    refused = data.draw(st.sets(st.integers(0, entries - 1)))
    passed = [place for place in range(entries) if place not in refused]
    together = merged(entries, refused, {"ErrorCode": "x"}, [{"SequenceNumber": str(place)} for place in passed])
    assert [each.get("SequenceNumber") for each in together] == [
        None if place in refused else str(place) for place in range(entries)
    ]
    assert len({id(each) for each in together}) == entries


def call_of(operation: str, request: Mapping[str, Any]) -> Call:
    head = f"POST / HTTP/1.1\r\nX-Amz-Target: Kinesis_20131202.{operation}".encode()
    return Call("POST", "/", head, orjson.dumps(request))


class Stream:
    """Takes every record, and remembers it."""

    def __init__(self, refuses: Callable[[int], bool] = lambda place: False) -> None:
        self.taken: list[str] = []
        self.calls = 0
        self._refuses = refuses

    def __call__(self, body: bytes) -> Reply:
        self.calls += 1
        answers: list[dict[str, str]] = []
        for place, entry in enumerate(orjson.loads(body)["Records"]):
            if self._refuses(place):
                answers.append({"ErrorCode": "InternalFailure", "ErrorMessage": "Its own."})
            else:
                self.taken.append(entry["Data"])
                answers.append({"SequenceNumber": str(len(self.taken)), "ShardId": "s"})
        failed = sum("ErrorCode" in answer for answer in answers)
        return Reply(200, {}, orjson.dumps({"FailedRecordCount": failed, "Records": answers}))


@given(st.integers(1, 60), st.integers(0, 50), st.sampled_from([kinesis.REFUSED_IN_PART, kinesis.FAILED_IN_PART]))
def test_b2_what_is_refused_in_part_is_not_handed_on_and_the_rest_is(entries: int, seed: int, kind: str) -> None:
    stream, journal = Stream(refuses=lambda place: place == 1), Journal()
    request = {"StreamName": "x", "Records": [{"Data": str(at), "PartitionKey": "k"} for at in range(entries)]}
    reply = KinesisFaults(always(kind), CALM, journal, seed).answer(call_of("PutRecords", request), stream)
    answer = orjson.loads(reply.body)
    codes = {"refused-in-part": "ProvisionedThroughputExceededException", "failed-in-part": "InternalFailure"}
    ours = [at for at, each in enumerate(answer["Records"]) if each.get("ErrorMessage") not in (None, "Its own.")]
    assert len(answer["Records"]) == entries
    assert 1 <= len(ours) <= max(1, entries // 3)
    assert {answer["Records"][at]["ErrorCode"] for at in ours} == {codes[kind]}
    good = {at: each["SequenceNumber"] for at, each in enumerate(answer["Records"]) if "SequenceNumber" in each}
    assert [stream.taken[int(number) - 1] for number in good.values()] == [str(at) for at in good]
    assert len(stream.taken) == len(good)
    assert answer["FailedRecordCount"] == entries - len(good)
    assert stream.calls == (1 if len(ours) < entries else 0), "AWS takes no call without records"
    (line,) = journal.lines
    assert (line["entries"], line["refused"], line["taken"], line["fault"]) == (entries, len(ours), len(good), kind)


def test_b6_a_throttled_call_is_not_handed_on() -> None:
    stream, journal = Stream(), Journal()
    request = {"StreamName": "x", "Records": [{"Data": "", "PartitionKey": "k"}] * 3}
    reply = KinesisFaults(always("throttled"), CALM, journal, 0).answer(call_of("PutRecords", request), stream)
    assert (reply.status, orjson.loads(reply.body)["__type"]) == (400, "ProvisionedThroughputExceededException")
    assert stream.calls == 0
    assert (journal.lines[0]["refused"], journal.lines[0]["taken"]) == (3, 0)


def test_what_the_stream_answers_to_a_part_badly_is_handed_back() -> None:
    request = {"StreamName": "x", "Records": [{"Data": "", "PartitionKey": "k"}] * 30}
    bad = Reply(400, {}, b'{"__type":"ResourceNotFoundException"}')
    faults = KinesisFaults(always(kinesis.REFUSED_IN_PART), CALM, Journal(), 0)
    assert faults.answer(call_of("PutRecords", request), lambda _: bad) == bad


def test_b7_an_iterator_that_has_expired_stays_so_and_a_new_one_is_good() -> None:
    def forward(body: bytes) -> Reply:
        answer = {"ShardIterator": "new"} if b"ShardId" in body else {"Records": [{"SequenceNumber": "7"}]}
        return Reply(200, {}, orjson.dumps(answer))

    journal = Journal()
    faults = KinesisFaults(CALM, Schedule(0, "x", {}, calm=1, first={"expired": 1}), journal, 0)
    faults._gets._left = ["expired"]  # the order of the first deck is chance
    faults._gets._shuffled = 1
    for _ in range(2):
        reply = faults.answer(call_of("GetRecords", {"ShardIterator": "old"}), forward)
        assert orjson.loads(reply.body)["__type"] == "ExpiredIteratorException"
    faults.answer(call_of("GetShardIterator", {"StreamName": "x", "ShardId": "s-0"}), forward)
    assert faults.answer(call_of("GetRecords", {"ShardIterator": "new"}), forward).is_good
    assert [(line["operation"], line["fault"], line["shard"]) for line in journal.lines] == [
        ("GetRecords", "expired", None),
        ("GetRecords", "expired", None),
        ("GetShardIterator", None, "s-0"),
        ("GetRecords", None, "s-0"),
    ]
    assert (journal.lines[-1]["records"], journal.lines[-1]["last"]) == (1, "7")


# S3.


class Objects:
    """Stores what is put."""

    def __init__(self) -> None:
        self.stored: list[bytes] = []

    def __call__(self, body: bytes) -> Reply:
        self.stored.append(body)
        return Reply(200, {"ETag": '"1"'}, b"")


def put(target: str = "/b/k", body: bytes = b"x", headers: str = "") -> Call:
    head = f"PUT {target} HTTP/1.1\r\namz-sdk-invocation-id: one{headers}".encode()
    return Call("PUT", target, head, body)


@pytest.mark.parametrize(
    ("kind", "status", "code"),
    [("slow-down", 503, b"SlowDown"), ("internal-error", 500, b"InternalError"), ("outage", 503, b"SlowDown")],
)
def test_a7_12_a_refused_object_is_not_stored(kind: str, status: int, code: bytes) -> None:
    objects, journal = Objects(), Journal()
    reply = S3Faults(always(kind), journal).answer(put("/b/a%26b"), objects)
    assert reply.status == status
    assert b"<Code>%s</Code>" % code in reply.body
    assert b"<Resource>/a&amp;b</Resource>" in reply.body
    assert objects.stored == []
    assert (journal.lines[0]["key"], journal.lines[0]["stored"]) == ("a&b", False)


@pytest.mark.parametrize(("kind", "stored"), [("reset-before", []), ("reset-after", [b"x"])])
def test_a_connection_is_reset_before_and_after_an_object_was_stored(kind: str, stored: list[bytes]) -> None:
    objects, journal = Objects(), Journal()
    with pytest.raises(ResetError):
        S3Faults(always(kind), journal).answer(put(), objects)
    assert objects.stored == stored
    assert (journal.lines[0]["fault"], journal.lines[0]["stored"], journal.lines[0]["status"]) == (
        kind,
        bool(stored),
        0,
    )


def test_an_outage_is_longer_than_the_sdk_tries_and_only_for_its_object() -> None:
    objects, journal = Objects(), Journal()
    schedule = Schedule(0, "x", {"outage": 1}, calm=0)
    faults = S3Faults(schedule, journal)
    assert not faults.answer(put("/b/down"), objects).is_good
    schedule._left = [None] * 10
    assert faults.answer(put("/b/other"), objects).is_good
    for _ in range(s3.OUTAGE_CALLS - 1):
        assert not faults.answer(put("/b/down"), objects).is_good
    assert faults.answer(put("/b/down"), objects).is_good
    assert sum(line["fault"] == "outage" for line in journal.lines) == s3.OUTAGE_CALLS


@pytest.mark.parametrize(
    "call",
    [put("/bucket"), put("/bucket/"), put("/b/k?tagging"), put("/b/k?partNumber=1&uploadId=2"),
     put(headers="\r\nx-amz-copy-source: /a/b"), Call("GET", "/b/k", b"GET /b/k HTTP/1.1", b"")],
)  # fmt: skip
def test_only_put_object_has_faults(call: Call) -> None:
    journal = Journal()
    assert S3Faults(always("slow-down"), journal).answer(call, Objects()).is_good
    assert journal.lines[0]["fault"] is None


# The function.

IDS = tuple(f"49{at:060d}" for at in range(1, 11))
GOOD = orjson.dumps({
    "records": [
        {"recordId": id_, "result": "Dropped"} if at == 7
        else {"recordId": id_, "result": "Ok", "data": base64.b64encode(id_.encode()).decode()}
        for at, id_ in enumerate(IDS)
    ]
})  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "code", "touched"),
    [
        (function.NO_JSON, "Lambda.JsonProcessingException", IDS),
        (function.NO_RECORDS, "Lambda.MissingRecordId", IDS),
        (function.BAD_RESULT, "Lambda.FunctionError", IDS),
        (function.BAD_BASE64, "Lambda.FunctionError", IDS),
        (function.MISSING_RECORDS, "Lambda.MissingRecordId", (IDS[0], IDS[7])),
        (function.DOUBLED_RECORDS, "Lambda.DuplicatedRecordId", (IDS[0], IDS[7])),
        (function.NULL_DATA, "Lambda.InvalidReturnFormat", (IDS[0],)),
        (function.UNKNOWN_RECORD, "", ()),
    ],
)
def test_a4_9_to_a4_12_what_a_spoiled_answer_means_is_what_was_done_to_it(
    kind: str, code: str, touched: tuple[str, ...]
) -> None:
    answer, said = spoil(kind, GOOD)
    judgement = judge(answer, IDS)
    assert tuple(IDS[row] for row in judgement.problems) == touched == (IDS if said is None else said)
    assert {problem.code for problem in judgement.problems.values()} <= {code}


def event(*ids: str, invocation: str = "1") -> bytes:
    return orjson.dumps({"invocationId": invocation, "records": [{"recordId": id_, "data": ""} for id_ in ids]})


def test_a4_8_a_batch_follows_its_plan_whatever_comes_between() -> None:
    journal = Journal()
    schedule = Schedule(0, "x", {"plan": 1}, calm=0)
    faults = FunctionFaults(schedule, {"plan": (function.ERROR, None, function.THROTTLED)}, journal)
    first = [faults.begin(event("a", "b", invocation=str(at))) for at in range(2)]
    between = faults.begin(event("c"))
    last = [faults.begin(event("a", "b", invocation=str(at))) for at in (2, 3)]
    assert [attempt.fault for attempt in (*first, *last)] == [function.ERROR, None, function.THROTTLED, None]
    assert [attempt.number for attempt in (*first, *last)] == [1, 2, 3, 4]
    assert (between.fault, between.number) == (function.ERROR, 1)
    faults.call_failed(first[0])
    assert faults.answered(first[1], GOOD) == GOOD
    assert [(line["number"], line["fault"], line["records"]) for line in journal.lines] == [
        (1, function.ERROR, ["a", "b"]),
        (2, None, ["a", "b"]),
    ]


# The proxy on the wire.


class Passing:
    """Hands every call on, and remembers it."""

    def __init__(self) -> None:
        self.calls: list[Call] = []

    def answer(self, call: Call, forward: Forward) -> Reply:
        self.calls.append(call)
        return forward(call.body)


class Resetting:
    def answer(self, call: Call, forward: Forward) -> Reply:
        raise ResetError


class Echo(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        said = {"method": self.command, "path": self.path, "body": body.decode(), "headers": dict(self.headers)}
        if self.path == "/204":
            self.send_response(204)
            self.end_headers()
            return
        payload = json.dumps(said).encode()
        self.send_response(404 if self.path == "/404" else 200)
        self.send_header("Content-Length", str(len(payload)))
        self.send_header("X-Upstream", "echo")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(payload)

    do_PUT = do_POST = do_HEAD = do_DELETE = do_GET

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def upstream() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Echo)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def connection(proxy: FaultProxy) -> http.client.HTTPConnection:
    return http.client.HTTPConnection(proxy.endpoint.removeprefix("http://"), timeout=10)


def test_a_call_comes_through_as_it_is_and_so_does_the_answer(upstream: str) -> None:
    with FaultProxy(upstream, Passing(), Journal()) as proxy:
        connected = connection(proxy)
        for _ in range(3):  # on one connection
            connected.request(
                "PUT", "/b/a%2Fb?x-id=PutObject&y", b"body", {"X-Amz-Target": "t", "Expect": "100-continue"}
            )
            answer = connected.getresponse()
            said = json.loads(answer.read())
            assert (said["method"], said["path"], said["body"]) == ("PUT", "/b/a%2Fb?x-id=PutObject&y", "body")
            assert said["headers"]["X-Amz-Target"] == "t"
            assert said["headers"]["Host"] == upstream.removeprefix("http://")
            assert "Expect" not in said["headers"]
            assert answer.headers["X-Upstream"] == "echo"
        connected.close()


def test_answers_without_a_body_and_bad_ones_come_through(upstream: str) -> None:
    with FaultProxy(upstream, Passing(), Journal()) as proxy:
        connected = connection(proxy)
        connected.request("HEAD", "/x")
        head = connected.getresponse()
        assert head.read() == b""
        assert int(head.headers["Content-Length"]) > 0
        connected.request("DELETE", "/204")
        empty = connected.getresponse()
        assert (empty.status, empty.read()) == (204, b"")
        connected.request("GET", "/404")
        assert connected.getresponse().status == 404
        connected.close()


def test_many_at_once_get_their_own_answers(upstream: str) -> None:
    with FaultProxy(upstream, Passing(), Journal()) as proxy:

        def ask(number: int) -> bool:
            connected = connection(proxy)
            connected.request("POST", f"/{number}", str(number).encode() * 1_000)
            said = json.loads(connected.getresponse().read())
            connected.close()
            return bool(said["path"] == f"/{number}" and said["body"] == str(number) * 1_000)

        with ThreadPoolExecutor(16) as pool:
            assert all(pool.map(ask, range(200)))


def test_a_reset_is_one_on_the_wire(upstream: str) -> None:
    with FaultProxy(upstream, Resetting(), Journal()) as proxy:
        connected = connection(proxy)
        connected.request("GET", "/")
        with pytest.raises(ConnectionResetError):
            connected.getresponse()


def test_when_nobody_answers_behind_it_the_connection_ends_and_the_journal_says_why() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    journal = Journal()
    with FaultProxy(f"http://127.0.0.1:{port}", Passing(), journal) as proxy:
        connected = connection(proxy)
        connected.request("GET", "/x")
        with pytest.raises(http.client.RemoteDisconnected):
            connected.getresponse()
    (line,) = journal.lines
    assert (line["service"], line["operation"], line["target"]) == ("proxy", "lost", "/x")
    assert "refused" in line["error"]


@pytest.mark.parametrize(
    ("sent", "status"),
    [(b"nonsense\r\n\r\n", b"400"), (b"PUT /x HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", b"411")],
)
def test_what_it_does_not_speak_is_refused(upstream: str, sent: bytes, status: bytes) -> None:
    with FaultProxy(upstream, Passing(), Journal()) as proxy:
        host, port = proxy.endpoint.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=10) as raw:
            raw.sendall(sent)
            assert raw.recv(1_000).split(b" ")[1] == status


def test_after_its_end_nobody_listens(upstream: str) -> None:
    with FaultProxy(upstream, Passing(), Journal()) as proxy:
        connected = connection(proxy)
        connected.request("GET", "/x")
        connected.getresponse().read()
    with pytest.raises((ConnectionError, http.client.RemoteDisconnected)):
        connected.request("GET", "/x")
        connected.getresponse()
    with pytest.raises(ConnectionRefusedError):
        connection(proxy).request("GET", "/x")


def test_b2_a_producer_of_ours_gets_every_record_in_once_whatever_is_refused() -> None:
    """Through boto3, in front of the model Kinesis."""
    process, line = start()
    journal = Journal()
    puts = Schedule(3, "PutRecords", {"throttled": 1, "refused-in-part": 2, "failed-in-part": 1}, calm=1)
    try:
        with FaultProxy(line["endpoint"], KinesisFaults(puts, CALM, journal, 3), journal) as proxy:
            direct, through = client_of(line), client_of({"endpoint": proxy.endpoint})
            direct.create_stream(StreamName="x", ShardCount=2)
            records = [Record(str(at).encode(), str(at)) for at in range(3_000)]
            placed = [
                place for batch in batches(records) for place in put_records(through, "x", batch, clock=ManualClock())
            ]
            held: dict[tuple[str, str], bytes] = {}
            for shard in direct.list_shards(StreamName="x")["Shards"]:
                iterator = direct.get_shard_iterator(
                    StreamName="x", ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON"
                )["ShardIterator"]
                for record in direct.get_records(ShardIterator=iterator)["Records"]:
                    held[shard["ShardId"], record["SequenceNumber"]] = record["Data"]
    finally:
        process.terminate()
        process.communicate()
    assert len(held) == len(records)
    assert [held[place.shard_id, place.sequence_number] for place in placed] == [record.data for record in records]
    calls = [noted for noted in journal.lines if noted["operation"] == "PutRecords"]
    assert sum(noted["taken"] for noted in calls) == 3_000
    assert sum(noted["entries"] for noted in calls) == 3_000 + sum(noted["refused"] for noted in calls)
    assert {noted["fault"] for noted in calls} == {None, *kinesis.PUT_FAULTS}


class Function(BaseHTTPRequestHandler):
    """Lambda's API with one function, which answers `GOOD`."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", str(len(GOOD)))
        self.end_headers()
        self.wfile.write(GOOD)

    def log_message(self, *args: object) -> None:
        pass


def test_a4_10_where_lambda_is_an_endpoint_the_proxy_fails_its_calls() -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Function)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    journal = Journal()
    plan = (function.ERROR, function.TIMED_OUT, function.THROTTLED, function.MISSING_RECORDS)
    faults = FunctionFaults(Schedule(0, "x", {"plan": 1}, calm=0), {"plan": plan}, journal)
    settings = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_REGION": "us-east-1"}
    with ExitStack() as stack:
        upstream = f"http://127.0.0.1:{server.server_port}"
        proxy = stack.enter_context(FaultProxy(upstream, LambdaFaults(faults), journal))
        with environment(settings | {"AWS_ENDPOINT_URL_LAMBDA": proxy.endpoint}):
            invoker = BotoInvoker("arn:aws:lambda:us-east-1:000000000000:function:f:$LATEST")
            assert invoker.invoke(event(*IDS)).function_error == "Unhandled"
            with pytest.raises(FunctionTimedOut):
                invoker.invoke(event(*IDS))
            with pytest.raises(ThrottledError):
                invoker.invoke(event(*IDS))
            spoiled = invoker.invoke(event(*IDS))
            assert spoiled.function_error is None
            assert len(json.loads(spoiled.payload)["records"]) == len(IDS) - 2
            assert invoker.invoke(event(*IDS)).payload == GOOD
    server.shutdown()
    server.server_close()
    assert [noted["fault"] for noted in journal.lines] == [*plan, None]


def test_s3_of_the_embedded_target_survives_all_of_it() -> None:
    """Through boto3 with the SDK's own retries, in front of moto."""
    from pipelines.runtime.aws import client

    journal = Journal()
    kinds = dict.fromkeys(("slow-down", "internal-error", "reset-before", "reset-after"), 1)
    with EmbeddedTarget().started() as target:
        direct = client("s3")
        direct.create_bucket(Bucket="bucket")
        faults = S3Faults(Schedule(1, "PutObject", kinds, calm=3), journal)
        with ExitStack() as stack:
            proxy = stack.enter_context(FaultProxy(target.env["AWS_ENDPOINT_URL"], faults, journal))
            stack.enter_context(environment({"AWS_ENDPOINT_URL_S3": proxy.endpoint}))
            through = client("s3")
            for at in range(8):
                through.put_object(Bucket="bucket", Key=f"a b/{at}", Body=b"%d" % at * 5_000)
            assert through.get_object(Bucket="bucket", Key="a b/3")["Body"].read() == b"3" * 5_000
        stored = {each["Key"] for each in direct.list_objects_v2(Bucket="bucket")["Contents"]}
    assert stored == {f"a b/{at}" for at in range(8)}
    puts = [line for line in journal.lines if line["operation"] == "PutObject"]
    assert {line["fault"] for line in puts} == {None, *kinds}
    for at in range(8):
        of_key = [line for line in puts if line["key"] == f"a b/{at}"]
        assert [line["status"] == 200 for line in of_key] == [False] * (len(of_key) - 1) + [True]
        assert len({(line["invocation"], line["sha256"]) for line in of_key}) == 1
