"""SubscribeToShard on the wire (B14): calls, event streams however they are cut, errors, connections."""

import threading
import time

import pytest
from event_stream_server import INITIAL, Reply, event_message, exception_message, kinesis_client, message, serving
from fanout_fake import CHILDREN, SHARD, event, eventually, number
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.kinesis.fanout import FanoutCursor
from pipelines.kinesis.fetch import Fetcher, Shard
from pipelines.kinesis.positions import TRIM_HORIZON, ShardPosition
from pipelines.kinesis.service import StreamService
from pipelines.kinesis.subscriber import Subscriber
from pipelines.runtime.clock import ManualClock, SystemClock
from pipelines.runtime.errors import (
    ConfigurationError,
    CredentialsError,
    EndpointDownError,
    HydrantError,
    NotFoundError,
    ServiceFaultError,
    TerminalError,
    ThrottledError,
    TransientError,
)

ARN = "arn:aws:kinesis:us-east-1:000000000000:stream/flights/consumer/hydrant:1764000000"
EVENTS = [event(range(3)), event([], number(2)), event([3])]
BYTES = INITIAL + b"".join(map(event_message, EVENTS))


def subscribe(server, position=TRIM_HORIZON, read_timeout_s: float = 5):
    return Subscriber(ARN, lambda: kinesis_client(server.url, read_timeout_s), SystemClock()).subscribe(SHARD, position)


@pytest.mark.parametrize("chunked", [True, False])
@settings(max_examples=20, deadline=None)
@given(cuts=st.lists(st.integers(1, len(BYTES) - 1), unique=True, max_size=8).map(sorted))
def test_b14_events_are_read_however_their_bytes_are_cut(chunked, cuts):
    parts = [BYTES[begin:end] for begin, end in zip([0, *cuts], [*cuts, len(BYTES)], strict=True)]
    with serving(Reply(parts, chunked=chunked)) as server:
        assert list(subscribe(server)) == EVENTS


@pytest.mark.parametrize(
    ("position", "told"),
    [
        (TRIM_HORIZON, {"Type": "TRIM_HORIZON"}),
        (
            ShardPosition("AT_TIMESTAMP", timestamp_ms=1_764_000_000_123),
            {"Type": "AT_TIMESTAMP", "Timestamp": 1_764_000_000.123},
        ),
        (ShardPosition("AT_SEQUENCE_NUMBER", "7"), {"Type": "AT_SEQUENCE_NUMBER", "SequenceNumber": "7"}),
        (ShardPosition.after("7"), {"Type": "AFTER_SEQUENCE_NUMBER", "SequenceNumber": "7"}),
    ],
)
def test_b14_the_call_names_consumer_shard_and_position(position, told):
    with serving(Reply()) as server:
        assert list(subscribe(server, position)) == []
        assert server.requests == [(1, {"ConsumerARN": ARN, "ShardId": SHARD, "StartingPosition": told})]


def test_an_event_is_there_as_soon_as_its_bytes_are():
    hold = threading.Event()
    with serving(Reply([INITIAL, event_message(EVENTS[0])], chunked=False, hold=hold)) as server:
        events = iter(subscribe(server))
        begun_s = time.monotonic()
        assert next(events) == EVENTS[0]
        assert time.monotonic() - begun_s < 4  # the answer has not ended: only its first bytes are there
        hold.set()
        assert list(events) == []


REFUSALS = [
    ("ResourceInUseException", ThrottledError),
    ("LimitExceededException", ThrottledError),
    ("ThrottlingException", ThrottledError),
    ("KMSThrottlingException", ThrottledError),
    ("InternalFailureException", ServiceFaultError),
    ("ExpiredTokenException", CredentialsError),
    ("ResourceNotFoundException", NotFoundError),
    ("AccessDeniedException", CredentialsError),
    ("InvalidArgumentException", ConfigurationError),
    ("KMSDisabledException", ConfigurationError),
]


@pytest.mark.parametrize(("code", "kind"), REFUSALS)
def test_b14_a_refused_call_is_an_error_of_ours(code, kind):
    body = b'{"__type": "%s", "message": "because of this"}' % code.encode()
    with (
        serving(*[Reply([body], status="400 Bad Request")] * 2) as server,
        pytest.raises(HydrantError, match=code) as raised,
    ):
        subscribe(server)
    assert type(raised.value) is kind
    assert SHARD in str(raised.value)


@pytest.mark.parametrize(("code", "kind"), REFUSALS)
def test_b14_an_error_in_the_stream_is_the_same_as_one_of_the_call(code, kind):
    parts = [INITIAL, event_message(EVENTS[0]), exception_message(code, "because of this")]
    with serving(Reply(parts)) as server:
        events = iter(subscribe(server))
        assert next(events) == EVENTS[0]
        with pytest.raises(HydrantError, match=code) as raised:
            next(events)
    # Those of the next call are others.
    assert type(raised.value) is (TransientError if code == "ExpiredTokenException" else kind)
    assert isinstance(raised.value, TransientError) != isinstance(raised.value, TerminalError)


def test_b14_an_error_message_in_headers():
    headers = {":message-type": "error", ":error-code": "InternalFailureException", ":error-message": "what it says"}
    with (
        serving(Reply([message(headers)])) as server,
        pytest.raises(ServiceFaultError, match=r"InternalFailureException.*what it says"),
    ):
        list(subscribe(server))


def broken(at: int) -> bytes:
    damaged = bytearray(BYTES)
    damaged[at] ^= 1
    return bytes(damaged)


@pytest.mark.parametrize(
    "reply",
    [
        Reply([BYTES[:-1]], cut=True),
        Reply([BYTES], cut=True),
        Reply([broken(len(INITIAL) + 9)]),
        Reply([broken(len(BYTES) - 40)]),
    ],
    ids=["cut within a message", "cut between messages", "prelude damaged", "payload damaged"],
)
def test_a_stream_that_breaks_is_a_broken_connection(reply):
    read = []
    with serving(reply) as server, pytest.raises(EndpointDownError, match="broke off"):
        read.extend(subscribe(server))
    assert read == EVENTS[: len(read)]


def test_a_stream_that_is_silent_for_too_long_is_a_broken_connection():
    hold = threading.Event()
    with serving(Reply([BYTES], hold=hold)) as server:
        events = iter(subscribe(server, read_timeout_s=0.2))
        assert [next(events) for _ in EVENTS] == EVENTS
        with pytest.raises(EndpointDownError, match="timed out"):
            next(events)
        hold.set()


def test_nothing_listens():
    with serving() as server:
        pass
    with pytest.raises(EndpointDownError):
        subscribe(server)


def test_close_wakes_up_a_thread_that_reads():
    hold = threading.Event()
    with serving(Reply([BYTES], hold=hold)) as server:
        stream = subscribe(server)
        read = []

        def reads():
            try:
                read.extend(stream)
            except EndpointDownError:
                read.append(b"")

        thread = threading.Thread(target=reads)
        thread.start()
        thread.join(0.3)
        assert thread.is_alive()
        begun_s = time.monotonic()
        stream.close()
        thread.join(10)
        assert time.monotonic() - begun_s < 3  # and not when the read times out
        assert server.left.wait(10)
        stream.close()
        hold.set()


def test_a_connection_whose_stream_was_left_is_not_used_again():
    """The next call on it would read the old subscription's events."""
    subscriber_replies = [Reply([BYTES], hold=threading.Event()), Reply([INITIAL, event_message(EVENTS[2])])]
    with serving(*subscriber_replies) as server:
        subscriber = Subscriber(ARN, lambda: kinesis_client(server.url), SystemClock())
        stream = subscriber.subscribe(SHARD, TRIM_HORIZON)
        events = iter(stream)
        assert next(events) == EVENTS[0]
        events.close()  # and `stream` is still there
        assert server.left.wait(10)
        assert list(subscriber.subscribe(SHARD, TRIM_HORIZON)) == EVENTS[2:]
        assert [connection for connection, _ in server.requests] == [1, 2]


def test_credentials_that_are_refused_are_read_anew_once(monkeypatch):
    forgotten, clients, clock = [], [], ManualClock()
    monkeypatch.setattr("pipelines.runtime.aws.forget_credentials", lambda: forgotten.append(True))
    refused = Reply([b'{"__type": "ExpiredTokenException", "message": "expired"}'], status="400 Bad Request")
    with serving(refused, Reply([BYTES]), refused, refused, refused, refused) as server:

        def make_client():
            clients.append(kinesis_client(server.url))
            return clients[-1]

        subscriber = Subscriber(ARN, make_client, clock)
        clock.advance(3600)
        assert list(subscriber.subscribe(SHARD, TRIM_HORIZON)) == EVENTS
        assert (len(forgotten), len(clients)) == (1, 2)
        for made in (2, 3):
            with pytest.raises(CredentialsError, match="ExpiredTokenException"):
                subscriber.subscribe(SHARD, TRIM_HORIZON)
            assert (len(forgotten), len(clients)) == (made - 1, made)
            clock.advance(60)


def test_b14_a_cursor_reads_over_http_and_renews(monkeypatch):
    monkeypatch.setattr("pipelines.kinesis.fanout.RESUBSCRIBE_S", 0.1)
    with serving(
        Reply([INITIAL, event_message(event([0, 1]))], cut=True),
        Reply([b'{"ShardIterator": "i"}']),
        Reply([b'{"NextShardIterator": "n", "Records": [], "MillisBehindLatest": 0}']),
        Reply([INITIAL, event_message(event([1, 2], None, children=CHILDREN))]),
    ) as server:
        kinesis = kinesis_client(server.url)
        fetcher = Fetcher(StreamService("flights", kinesis))
        subscriber = Subscriber(ARN, lambda: kinesis, SystemClock())
        cursor = FanoutCursor(fetcher, subscriber, Shard(SHARD), TRIM_HORIZON, SystemClock())
        read = []
        while True:
            answer = eventually(lambda: (peeked := cursor.peek()) and peeked.page and peeked)
            read += answer.page["sequence_number"].to_pylist()
            if answer.next_iterator is None:
                break
            cursor.move_to(answer.end)
        assert read == [number(0), number(1), number(2)]
        assert server.requests[-1][1]["StartingPosition"]["SequenceNumber"] == number(1)
        assert cursor.retries == 1
