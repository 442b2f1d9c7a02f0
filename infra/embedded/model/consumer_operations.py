"""Operations on registered consumers (B14); SubscribeToShard is not among them."""

from typing import Any, Final

from infra.embedded.model.errors import in_use, limit, not_found
from infra.embedded.model.registry import Answer, Json, Operations, Registry
from infra.embedded.model.stream import Stream
from pipelines.runtime.clock import Clock

_MAX_CONSUMERS: Final = 20


class ConsumerOperations:
    """Args are those of `Kinesis`."""

    def __init__(self, streams: Registry, clock: Clock) -> None:
        self._streams = streams
        self._clock = clock

    def operations(self) -> Operations:
        """Handlers by AWS's name."""
        return {
            "RegisterStreamConsumer": self._register,
            "ListStreamConsumers": self._list,
            "DescribeStreamConsumer": self._describe,
            "DeregisterStreamConsumer": self._deregister,
        }

    def _register(self, request: Json) -> Answer:
        now = self._clock.now_ms()
        stream, name = self._streams.settled(request, now), request["ConsumerName"]
        consumer: dict[str, Any] = {
            "ConsumerName": name,
            "ConsumerARN": f"{stream.arn}/consumer/{name}:{now // 1000}",
            "ConsumerStatus": "ACTIVE",
            "ConsumerCreationTimestamp": now / 1000,
        }
        with stream.lock:
            if name in stream.consumers:
                raise in_use(f"Consumer {name} of stream {stream.name} already exists.")
            if len(stream.consumers) >= _MAX_CONSUMERS:
                raise limit(f"Stream {stream.name} has {_MAX_CONSUMERS} consumers, the most it can have.")
            stream.consumers[name] = consumer
        return {"Consumer": consumer}

    def _list(self, request: Json) -> Answer:
        stream = self._streams.find(request)
        with stream.lock:
            return {"Consumers": list(stream.consumers.values())}

    def _describe(self, request: Json) -> Answer:
        stream, name = self._find(request)
        return {"ConsumerDescription": stream.consumers[name] | {"StreamARN": stream.arn}}

    def _deregister(self, request: Json) -> Answer:
        stream, name = self._find(request)
        stream.consumers.pop(name, None)
        return {}

    def _find(self, request: Json) -> tuple[Stream, str]:
        arn = str(request.get("ConsumerARN", ""))
        stream_arn, _, rest = arn.partition("/consumer/")
        stream = self._streams.find({"StreamARN": request.get("StreamARN") or stream_arn})
        name = request.get("ConsumerName") or rest.rpartition(":")[0]
        if name not in stream.consumers or (arn and stream.consumers[name]["ConsumerARN"] != arn):
            raise not_found(f"Consumer {name or arn} of stream {stream.name} not found.")
        return stream, name
