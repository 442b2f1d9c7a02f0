"""SubscribeToShard (B14): the call, its event stream, and the thread that reads it.

botocore speaks HTTP/1.1 and parses each event into Python dicts. The event `before-parse.kinesis.SubscribeToShard`
hands us the connection, botocore's own decoder cuts it into messages, and a message's payload is JSON as GetRecords
answers it: `decode_answer` makes columns of it.
"""

import struct
import threading
from binascii import crc32
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from http.client import HTTPException
from typing import Any, Final, Protocol

import orjson
from botocore.eventstream import EventStreamBuffer, EventStreamMessage, ParserError
from botocore.exceptions import ClientError
from urllib3.exceptions import HTTPError

from pipelines.kinesis.positions import ShardPosition
from pipelines.runtime.aws import aws_errors, client, error_code, translate
from pipelines.runtime.clock import Clock
from pipelines.runtime.errors import EndpointDownError, HydrantError, ThrottledError, TransientError

READ_TIMEOUT_S: Final = 30.0
"""A connection without a byte for so long is dead: events come every few seconds, empty ones where nothing is put."""
QUEUE_BYTES: Final = 2 * 1024 * 1024
"""So much of a subscription is read ahead of who takes it: what a shard gives in a second (B14)."""
WAITED_MS: Final = 50
"""An event that took so long to come was not there when the wait for it began."""

_HOOK: Final = "before-parse.kinesis.SubscribeToShard"
_STREAM: Final = "HydrantStream"
"""The member of the parsed answer that carries the connection."""
_READ_BYTES: Final = 256 * 1024
_EXPIRED: Final = frozenset({"ExpiredToken", "ExpiredTokenException", "RequestExpired"})
_FAULTS: Final = frozenset({"InternalFailureException", "InternalFailure", "InternalError", "ServiceUnavailable"})


class Events(Protocol):
    """The events of one call, each as its JSON text. Ends when the service ends it."""

    def __iter__(self) -> Iterator[bytes]:
        """Raises a `HydrantError` where the stream breaks off or carries an error."""

    def close(self) -> None:
        """Ends the stream from another thread, also one that waits for an event."""


class Subscriber:
    """Makes SubscribeToShard calls for one consumer. Thread-safe.

    Args:
        consumer_arn: of a registered consumer (`consumer_arn`).
        kinesis: a boto3 Kinesis client that does not retry by itself; see `subscription_client`.
    """

    def __init__(self, consumer_arn: str, kinesis: Any) -> None:
        self._consumer_arn = consumer_arn
        self._kinesis = kinesis
        kinesis.meta.events.register(_HOOK, _keep_stream, unique_id="hydrant-keep-stream")

    def subscribe(self, shard_id: str, position: ShardPosition) -> Events:
        """Opens a subscription, which takes over the one that the consumer may have of the shard (B14).

        Raises:
            ThrottledError: called again too soon, or the consumer is not ready.
            TransientError: the credentials have expired, the service failed, or nothing answers.
            NotFoundError: there is no such consumer or shard.
            HydrantError: any other error of AWS.
        """
        what = f"the subscription to {shard_id} of {self._consumer_arn}"
        start: dict[str, Any] = {"Type": position.type}
        if position.sequence_number:
            start["SequenceNumber"] = position.sequence_number
        if position.type == "AT_TIMESTAMP":
            start["Timestamp"] = datetime.fromtimestamp(position.timestamp_ms / 1000, UTC)
        with aws_errors(what):
            try:
                answer = self._kinesis.subscribe_to_shard(
                    ConsumerARN=self._consumer_arn, ShardId=shard_id, StartingPosition=start
                )
            except ClientError as error:
                raise _error(error, what) from error
        return _HttpEvents(answer[_STREAM], what)


def subscription_client() -> Any:
    """A Kinesis client for a `Subscriber`."""
    return client("kinesis", max_attempts=1, read_timeout_s=READ_TIMEOUT_S)


@dataclass(frozen=True, slots=True)
class Event:
    """What a subscription sent.

    Attributes:
        payload: the event's JSON text.
        received_ms: when it came.
        as_of_ms: the event was made after this, as it had not yet come when somebody began to wait for it.
    """

    payload: bytes
    received_ms: int
    as_of_ms: int


@dataclass(frozen=True, slots=True)
class End:
    """Nothing follows any more.

    Attributes:
        error: what ended the subscription; None when the service closed it in good order.
        opened_s: when the call succeeded (`monotonic_s`); None when it did not.
        lasted_s: seconds from then on to the end.
    """

    error: Exception | None
    opened_s: float | None
    lasted_s: float


class Subscription:
    """One subscription, read by a thread of its own, which does nothing but read: a slow taker slows it down.

    Args:
        subscribe: makes the call.
        clock: says when events came.
        name: of the thread.
    """

    def __init__(self, subscribe: Callable[[], Events], clock: Clock, name: str) -> None:
        self._subscribe = subscribe
        self._clock = clock
        self._changed = threading.Condition()
        self._events: deque[Event] = deque()
        self._size = 0
        self._stream: Events | None = None
        self._opened_s: float | None = None
        self._end: End | None = None
        self._closed = False
        # A daemon, so that a process can end while a read waits for the service.
        threading.Thread(target=self._read, name=name, daemon=True).start()

    @property
    def opened_s(self) -> float | None:
        """When the call succeeded (`monotonic_s`); None before, and when it fails."""
        return self._opened_s

    def take(self) -> Event | End | None:
        """The next event, the end behind the last one, or None when nothing has come yet. Does not wait."""
        with self._changed:
            if not self._events:
                return self._end
            event = self._events.popleft()
            self._size -= len(event.payload)
            self._changed.notify_all()
            return event

    def close(self) -> None:
        """Ends the subscription and with it the thread; what was read is lost. Does not wait."""
        with self._changed:
            self._closed = True
            self._events.clear()
            self._changed.notify_all()
            stream = self._stream
        if stream is not None:
            stream.close()

    def _read(self) -> None:
        error: Exception | None = None
        as_of_ms = waits_since_ms = self._clock.now_ms()
        try:
            stream = self._subscribe()
            self._open(stream)
            for payload in stream:
                now_ms = self._clock.now_ms()
                if now_ms - waits_since_ms >= WAITED_MS:
                    as_of_ms = waits_since_ms
                if not self._put(Event(payload, now_ms, as_of_ms)):
                    return
                waits_since_ms = self._clock.now_ms()
        except Exception as caught:  # whatever it is, it is raised where events are taken
            error = caught
        finally:
            if self._stream is not None:
                self._stream.close()
            with self._changed:
                opened_s = self._opened_s
                self._end = End(error, opened_s, self._clock.monotonic_s() - opened_s if opened_s is not None else 0.0)

    def _open(self, stream: Events) -> None:
        with self._changed:
            self._stream = stream
            self._opened_s = self._clock.monotonic_s()
            closed = self._closed
        if closed:
            stream.close()

    def _put(self, event: Event) -> bool:
        with self._changed:
            while self._events and self._size + len(event.payload) > QUEUE_BYTES and not self._closed:
                self._changed.wait()
            if self._closed:
                return False
            self._events.append(event)
            self._size += len(event.payload)
            return True


class _HttpEvents:
    """Events from a connection, which is closed at the end: never left to a later call with events still in it."""

    def __init__(self, raw: Any, what: str) -> None:
        self._raw = raw
        self._what = what

    def __iter__(self) -> Iterator[bytes]:
        buffer = EventStreamBuffer()
        try:
            for chunk in self._chunks():
                buffer.add_data(chunk)
                for message in buffer:
                    if message.headers.get(":message-type") in ("exception", "error"):
                        raise _error(_client_error(message), self._what)
                    if message.headers.get(":event-type") == "SubscribeToShardEvent":
                        yield message.payload
        except ParserError as error:
            raise self._broken(error) from error
        finally:
            self._raw.close()

    def close(self) -> None:
        try:
            self._raw.shutdown()  # wakes up the thread that reads; to close the connection would not
        except (OSError, ValueError, RuntimeError, TypeError):
            return  # that thread has just come to the end

    def _chunks(self) -> Iterator[bytes]:
        while True:
            try:
                chunk = self._raw.read1(_READ_BYTES)  # what is there; `stream` would wait for a full buffer
            except (HTTPError, HTTPException, OSError, ValueError) as error:
                raise self._broken(error) from error
            if not chunk:
                return
            yield chunk

    def _broken(self, error: Exception) -> EndpointDownError:
        message = f"The connection of {self._what} broke off: {error!r}."
        return EndpointDownError(message, fix="check the network and AWS_ENDPOINT_URL")


def _frame(headers: bytes) -> bytes:
    """A message of an event stream without payload: lengths and their CRC, headers, CRC."""
    lengths = struct.pack("!II", 16 + len(headers), len(headers))
    checked = lengths + struct.pack("!I", crc32(lengths)) + headers
    return checked + struct.pack("!I", crc32(checked))


class _InitialResponse:
    """The message that botocore wants to read before it returns from the call; the connection stays unread."""

    _MESSAGE: Final = _frame(b"\x0b:event-type\x07" + struct.pack("!H", 16) + b"initial-response")

    def stream(self) -> Iterator[bytes]:
        yield self._MESSAGE


def _keep_stream(response_dict: dict[str, Any], customized_response_dict: dict[str, Any], **_: Any) -> None:
    """Handler of `_HOOK`. Error answers are left to botocore."""
    if response_dict["status_code"] < 300:
        customized_response_dict[_STREAM] = response_dict["body"]
        response_dict["body"] = _InitialResponse()


def _client_error(message: EventStreamMessage) -> ClientError:
    """An error within a stream as one of a call."""
    headers = message.headers
    text = headers.get(":error-message", "")
    if not text and message.payload:
        members = orjson.loads(message.payload)
        text = members.get("message") or members.get("Message") or ""
    code = headers.get(":exception-type") or headers.get(":error-code", "")
    response = {"Error": {"Code": code, "Message": text}, "ResponseMetadata": {"HTTPStatusCode": 400}}
    return ClientError(response, "SubscribeToShard")


def _error(error: ClientError, what: str) -> HydrantError:
    """The error of ours, where SubscribeToShard's codes mean something of their own."""
    code = error_code(error)
    if code == "ResourceInUseException":
        message = f"{what} is refused: another one was made within 5 s, or has taken over ({error})."
        return ThrottledError(message, fix="give each pipeline a consumer of its own")
    if code in _FAULTS:
        error.response.setdefault("ResponseMetadata", {})["HTTPStatusCode"] = 500
    if code in _EXPIRED:
        # The SDK looks for new credentials before each call.
        return TransientError(f"The credentials for {what} have expired ({code}).", fix="`aws sts get-caller-identity`")
    return translate(error, what)
