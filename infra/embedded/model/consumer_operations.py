"""Operations on registered consumers, enhanced fan-out (B14)."""

from typing import Final

from infra.embedded.model.account import Account
from infra.embedded.model.consumer import Consumer
from infra.embedded.model.errors import KinesisError, in_use, invalid, limit
from infra.embedded.model.limits import TokenBucket
from infra.embedded.model.registry import Answer, Json, Operations, Registry
from infra.embedded.model.start import Start
from infra.embedded.model.subscription import Subscription
from infra.embedded.model.tags import add_tags
from infra.embedded.model.tokens import seal, unseal
from pipelines.runtime.clock import Clock

MAX_CONSUMERS: Final = 20
MAX_CONSUMERS_ADVANTAGE: Final = 50
"""Of an on-demand stream of an account that committed itself to a minimum throughput."""

MAX_CREATING: Final = 5
TAKEOVER_MS: Final = 5_000
"""How long a subscription cannot be taken over."""

PUSH_BYTES_A_SECOND: Final = 2 << 20
_PAGE: Final = 100
_TOKEN: Final = "NextToken"
_TOKEN_LIFE_MS: Final = 300_000


class ConsumerOperations:
    """Args are those of `Kinesis`; `account` says how many consumers there may be."""

    def __init__(self, streams: Registry, clock: Clock, account: Account, *, settle_ms: int) -> None:
        self._streams = streams
        self._clock = clock
        self._account = account
        self._settle_ms = settle_ms

    def operations(self) -> Operations:
        """Handlers by AWS's name."""
        return {
            "RegisterStreamConsumer": self._register,
            "ListStreamConsumers": self._list,
            "DescribeStreamConsumer": self._describe,
            "DeregisterStreamConsumer": self._deregister,
            "SubscribeToShard": self._subscribe,
        }

    def _register(self, request: Json) -> Answer:
        now = self._clock.now_ms()
        stream, name = self._streams.settled(request, now), request["ConsumerName"]
        advantage = stream.mode == "ON_DEMAND" and self._account.has_commitment(now)
        most = MAX_CONSUMERS_ADVANTAGE if advantage else MAX_CONSUMERS
        creating = sum(
            c.status(now) == "CREATING" for each in self._streams.all() for c in list(each.consumers.values())
        )
        consumer = Consumer(name, f"{stream.arn}/consumer/{name}:{now // 1000}", now, now + self._settle_ms)
        add_tags(consumer.tags, request.get("Tags") or {})
        with stream.lock:
            if name in stream.consumers:
                raise in_use(f"Consumer {name} of stream {stream.name} already exists.")
            if len(stream.consumers) >= most:
                raise limit(f"Stream {stream.name} has {most} consumers, the most it can have.")
            if creating >= MAX_CREATING:
                raise limit(f"{creating} consumers are CREATING, the most that can be at a time.")
            stream.consumers[name] = consumer
        return {"Consumer": consumer.describe("CREATING")}

    def _list(self, request: Json) -> Answer:
        now = self._clock.now_ms()
        stream, after = self._streams.created(request), ""
        if request.get(_TOKEN) is not None:
            if request.get("StreamCreationTimestamp") is not None:
                raise invalid(f"{_TOKEN} and StreamCreationTimestamp cannot be provided together.")
            name, created_ms, after, issued_ms = unseal(request[_TOKEN], f"{_TOKEN} of consumers")
            if now - issued_ms > _TOKEN_LIFE_MS:
                raise KinesisError("ExpiredNextTokenException", f"{_TOKEN} has expired.")
            if (name, created_ms) != (stream.name, stream.created_ms):
                raise invalid(f"{_TOKEN} belongs to another stream.")
        most = min(request.get("MaxResults", _PAGE), _PAGE)
        with stream.lock:
            found = sorted((c for c in stream.consumers.values() if c.name > after), key=lambda consumer: consumer.name)
        answer: dict[str, object] = {"Consumers": [each.describe(each.status(now)) for each in found[:most]]}
        if len(found) > most:
            token = [stream.name, stream.created_ms, found[most - 1].name, now]
            answer[_TOKEN] = seal(token, f"{_TOKEN} of consumers")
        return answer

    def _describe(self, request: Json) -> Answer:
        stream, consumer = self._streams.consumer(request)
        described = consumer.describe(consumer.status(self._clock.now_ms()))
        return {"ConsumerDescription": described | {"StreamARN": stream.arn}}

    def _deregister(self, request: Json) -> Answer:
        stream, consumer = self._streams.consumer(request)
        with stream.lock:
            stream.consumers.pop(consumer.name, None)
            consumer.is_registered = False
            stream.wake()
        return {}

    def _subscribe(self, request: Json) -> Answer:
        now = self._clock.now_ms()
        stream, consumer = self._streams.consumer(request)
        self._streams.usable({"StreamARN": stream.arn}, now)
        asked = request["StartingPosition"]
        with stream.lock:
            if consumer.status(now) != "ACTIVE":
                raise in_use(f"Consumer {consumer.arn} is not ACTIVE, instead in state {consumer.status(now)}.")
            shard = stream.shard(request["ShardId"], now)
            shard.trim(stream.horizon_ms(now))
            start = Start(asked["Type"], asked.get("SequenceNumber"), asked.get("Timestamp"), "SubscribeToShard")
            position = start.position(stream, shard, now)
            before = consumer.subscriptions.get(shard.id)
            if before is not None and now - before.began_ms < TAKEOVER_MS:
                raise in_use(
                    f"Consumer {consumer.arn} subscribed to shard {shard.id} less than {TAKEOVER_MS} milliseconds ago."
                )
            if request.get("DryRun"):
                raise KinesisError("DryRunOperationException", "The request would have succeeded, but DryRun was set.")
            if stream.limited:
                full = TokenBucket(PUSH_BYTES_A_SECOND, PUSH_BYTES_A_SECOND, now)
                consumer.buckets.setdefault(shard.id, full)
            subscription = Subscription(stream, shard, consumer, position, now)
            consumer.subscriptions[shard.id] = subscription
            shard.wake()
        return subscription
