"""SubscribeToShard: the call and its event stream (B14).

botocore speaks HTTP/1.1 and parses each event into Python dicts. The event `before-parse.kinesis.SubscribeToShard`
hands us the connection, botocore's own decoder cuts it into messages, and a message's payload is JSON as GetRecords
answers it: `decode_body` makes columns of it.
"""

import struct
import threading
from binascii import crc32
from collections.abc import Iterator
from datetime import UTC, datetime
from http.client import HTTPException
from typing import Any, Final, Protocol

import orjson
from botocore.eventstream import EventStreamBuffer, EventStreamMessage, ParserError
from botocore.exceptions import ClientError
from urllib3.exceptions import HTTPError

from pipelines.kinesis.positions import ShardPosition
from pipelines.kinesis.service import ClientFactory
from pipelines.runtime import aws
from pipelines.runtime.aws import aws_errors, error_code, translate
from pipelines.runtime.clock import Clock
from pipelines.runtime.errors import CredentialsError, EndpointDownError, HydrantError, ThrottledError, TransientError

READ_TIMEOUT_S: Final = 30.0
"""A connection without a byte for so long is dead: events come every few seconds, empty ones where nothing is put."""

_HOOK: Final = "before-parse.kinesis.SubscribeToShard"
_STREAM: Final = "HydrantStream"
"""The member of the parsed answer that carries the connection."""
_READ_BYTES: Final = 256 * 1024
_RENEWAL_S: Final = 10.0
"""Credentials are read anew at most this often."""
_WHO: Final = "`aws sts get-caller-identity`"
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

    Credentials that AWS refuses are read anew once, as in `StreamService`.

    Args:
        consumer_arn: of a registered consumer (`consumer_arn`).
        make_client: makes a boto3 Kinesis client that does not retry by itself.
        clock: for how often credentials are read.
    """

    def __init__(self, consumer_arn: str, make_client: ClientFactory, clock: Clock) -> None:
        self._consumer_arn = consumer_arn
        self._make_client = make_client
        self._clock = clock
        self._lock = threading.Lock()
        self._kinesis = self._made()
        self._made_s = clock.monotonic_s()

    def subscribe(self, shard_id: str, position: ShardPosition) -> Events:
        """Opens a subscription, which takes over the one that the consumer may have of the shard (B14).

        Raises:
            ThrottledError: called again too soon, or the consumer is not ready.
            TransientError: the service failed, or nothing answers.
            NotFoundError: there is no such consumer or shard.
            HydrantError: any other error of AWS.
        """
        try:
            return self._call(shard_id, position)
        except CredentialsError:
            self._renew()
            return self._call(shard_id, position)

    def _call(self, shard_id: str, position: ShardPosition) -> Events:
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

    def _renew(self) -> None:
        with self._lock:
            now_s = self._clock.monotonic_s()
            if now_s - self._made_s >= _RENEWAL_S:
                aws.forget_credentials()
                self._kinesis, self._made_s = self._made(), now_s

    def _made(self) -> Any:
        kinesis = self._make_client()
        kinesis.meta.events.register(_HOOK, _keep_stream, unique_id="hydrant-keep-stream")
        return kinesis


def subscription_client() -> Any:
    """A Kinesis client for a `Subscriber`."""
    return aws.client("kinesis", max_attempts=1, read_timeout_s=READ_TIMEOUT_S)


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
                        raise self._told(_client_error(message))
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

    def _told(self, error: ClientError) -> HydrantError:
        if error_code(error) in _EXPIRED:
            # Those of the next call are others.
            return TransientError(f"The credentials of {self._what} have expired ({error}).", fix=_WHO)
        return _error(error, self._what)

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
    return translate(error, what)
