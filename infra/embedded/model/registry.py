"""The streams of an account in a region, found by name or ARN."""

import threading
from collections.abc import Callable, Mapping
from typing import Any

from infra.embedded.model.consumer import Consumer
from infra.embedded.model.errors import in_use, invalid, not_found
from infra.embedded.model.stream import Stream
from infra.embedded.model.subscription import Subscription

Json = Mapping[str, Any]
Answer = dict[str, Any] | bytes | Subscription
"""A JSON object, or its text where building the object would cost too much; or what goes on to answer."""
Operations = Mapping[str, Callable[[Json], Answer]]
"""Handlers by AWS's name of the operation."""


class Registry:
    """Thread-safe. A stream's own lock guards what is in the stream."""

    def __init__(self, region: str, account: str) -> None:
        self.region = region
        self.account = account
        self._lock = threading.Lock()
        self._streams: dict[str, Stream] = {}

    def arn(self, name: str) -> str:
        """The ARN of the stream called `name`."""
        return f"arn:aws:kinesis:{self.region}:{self.account}:stream/{name}"

    def add(self, stream: Stream) -> None:
        """Adds `stream`.

        Raises:
            KinesisError: ResourceInUseException, when there is one of its name.
        """
        with self._lock:
            if stream.name in self._streams:
                raise in_use(f"Stream {stream.name} under account {self.account} already exists.")
            self._streams[stream.name] = stream

    def remove(self, stream: Stream) -> None:
        """Removes `stream`, if it is there."""
        with self._lock:
            if self._streams.get(stream.name) is stream:
                del self._streams[stream.name]

    def all(self) -> list[Stream]:
        """All streams, by name."""
        with self._lock:
            return sorted(self._streams.values(), key=lambda stream: stream.name)

    def named(self, name: str) -> Stream:
        """The stream called `name`.

        Raises:
            KinesisError: ResourceNotFoundException.
        """
        stream = self._streams.get(name)
        if stream is None:
            raise not_found(f"Stream {name} under account {self.account} not found.")
        return stream

    def find(self, request: Json) -> Stream:
        """The stream that `request` names by StreamName, StreamARN or both.

        Raises:
            KinesisError: ResourceNotFoundException; InvalidArgumentException, when it names none, or two.
        """
        name, arn = request.get("StreamName"), request.get("StreamARN")
        if arn is None:
            if not name:
                raise invalid("Either StreamName or StreamARN must be given.")
            return self.named(name)
        named = str(arn).rpartition("/")[2]
        if name is not None and name != named:
            raise invalid(f"StreamName {name} and StreamARN {arn} name different streams.")
        if arn != self.arn(named):
            raise not_found(f"Stream {arn} not found under account {self.account} in {self.region}.")
        return self.named(named)

    def created(self, request: Json) -> Stream:
        """The stream that `request` names; the one created at StreamCreationTimestamp, where it says so.

        Raises:
            KinesisError: as `find`; ResourceNotFoundException, when the stream was created at another time.
        """
        stream, at_s = self.find(request), request.get("StreamCreationTimestamp")
        if at_s is not None and int(at_s) != stream.created_ms // 1000:  # SDKs send full seconds
            raise not_found(f"Stream {stream.name} under account {self.account} created at {at_s} not found.")
        return stream

    def consumer(self, request: Json) -> tuple[Stream, Consumer]:
        """The consumer that `request` names by ConsumerARN, or by StreamARN and ConsumerName; and its stream.

        Raises:
            KinesisError: ResourceNotFoundException; InvalidArgumentException, when what it names does not fit together.
        """
        arn, name = request.get("ConsumerARN"), request.get("ConsumerName")
        stream_arn, _, rest = str(arn or "").partition("/consumer/")
        if arn is None and (request.get("StreamARN") is None or name is None):
            raise invalid("Either ConsumerARN, or StreamARN and ConsumerName must be given.")
        if arn is not None and request.get("StreamARN") not in {None, stream_arn}:
            raise invalid(f"StreamARN {request['StreamARN']} and ConsumerARN {arn} name different streams.")
        if arn is not None and name not in {None, rest.rpartition(":")[0]}:
            raise invalid(f"ConsumerName {name} and ConsumerARN {arn} name different consumers.")
        stream = self.find({"StreamARN": request.get("StreamARN") or stream_arn})
        found = stream.consumers.get(name or rest.rpartition(":")[0])
        if found is None or arn not in {None, found.arn}:
            raise not_found(f"Consumer {arn or name} of stream {stream.name} not found.")
        return stream, found

    def resource(self, arn: str) -> tuple[Stream, Stream | Consumer]:
        """The stream or consumer of that ARN, and the stream it belongs to.

        Raises:
            KinesisError: ResourceNotFoundException.
        """
        if "/consumer/" in arn:
            return self.consumer({"ConsumerARN": arn})
        stream = self.find({"StreamARN": arn})
        return stream, stream

    def usable(self, request: Json, now_ms: int) -> Stream:
        """The stream that `request` names, once records can be put and read.

        Raises:
            KinesisError: as `find`; ResourceNotFoundException, while it is CREATING.
        """
        stream = self.find(request)
        if now_ms < stream.active_ms and stream.status(now_ms) == "CREATING":
            raise not_found(f"Stream {stream.name} under account {self.account} not found.")
        return stream

    def settled(self, request: Json, now_ms: int) -> Stream:
        """The stream that `request` names, when it is ACTIVE.

        Raises:
            KinesisError: as `find`; ResourceInUseException, while it is anything else (B11).
        """
        stream = self.find(request)
        status = stream.status(now_ms)
        if status != "ACTIVE":
            raise in_use(f"Stream {stream.name} under account {self.account} not ACTIVE, instead in state {status}")
        return stream
