"""Kinesis Data Streams as one object: AWS's JSON in, AWS's JSON out (spec section B)."""

from typing import Final

import orjson

from infra.embedded.model import shapes
from infra.embedded.model.account import Account
from infra.embedded.model.account_operations import AccountOperations
from infra.embedded.model.call_limits import CallLimits
from infra.embedded.model.consumer_operations import ConsumerOperations
from infra.embedded.model.errors import KinesisError
from infra.embedded.model.faults import Faults
from infra.embedded.model.record_operations import RecordOperations, shard_of
from infra.embedded.model.registry import Answer, Json, Operations, Registry
from infra.embedded.model.resource_operations import ResourceOperations
from infra.embedded.model.setting_operations import SettingOperations
from infra.embedded.model.shard_operations import ShardOperations
from infra.embedded.model.shifted_clock import ShiftedClock
from infra.embedded.model.stream_operations import StreamOperations
from infra.embedded.model.subscription import Pause, Subscription
from pipelines.runtime.clock import Clock

_CHECKS_ITSELF: Final = "PutRecords"
"""Walking 500 entries by the service model would cost more than storing them."""

EVENT: Final = "SubscribeToShardEvent"
"""What a subscription sends; faults can be ordered for it as for an operation."""


class Kinesis:
    """The service. Thread-safe: one lock a stream.

    Args:
        clock: where all times come from, plus what `advance` adds.
        region: in ARNs.
        account: in ARNs and messages, 12 digits.
        limited: whether AWS's limits are on: of a shard's throughput (B6 to B8, B14), and of calls a second.
        settle_ms: how long a stream is CREATING or UPDATING, and a consumer CREATING.
    """

    def __init__(self, clock: Clock, region: str, account: str, *, limited: bool = False, settle_ms: int = 0) -> None:
        self.clock = ShiftedClock(clock)
        self.faults = Faults(self.clock)
        self._streams = streams = Registry(region, account)
        self._call_limits = CallLimits() if limited else None
        settings = Account()
        self._operations: Operations = {
            **StreamOperations(streams, self.clock, settings, limited=limited, settle_ms=settle_ms).operations(),
            **SettingOperations(streams, self.clock, settings, settle_ms=settle_ms).operations(),
            **AccountOperations(streams, self.clock, settings).operations(),
            **ResourceOperations(streams).operations(),
            **ConsumerOperations(streams, self.clock, settings, settle_ms=settle_ms).operations(),
            **ShardOperations(streams, self.clock, settle_ms=settle_ms).operations(),
            **RecordOperations(streams, self.clock, self.faults).operations(),
        }

    def call(self, operation: str, request: Json) -> Answer:
        """Answers one call.

        Raises:
            KinesisError: AWS's error for it.
            DropConnectionError: ordered by `faults`.
        """
        handler = self._operations.get(operation)
        if handler is None:
            message = f"{operation} is not part of this model of Kinesis."
            raise KinesisError("UnknownOperationException", message)
        self.faults.before(operation)
        if operation != _CHECKS_ITSELF:
            shapes.check(operation, request)
        if self._call_limits is not None:
            self._call_limits.check(operation, request, self.clock.now_ms())
        answer = handler(request)
        if not self.faults.garbles or isinstance(answer, Subscription):
            return answer
        body = answer if isinstance(answer, bytes) else orjson.dumps(answer)
        return self.faults.spoiled(operation, shard_of(request), body)

    def next_event(self, subscription: Subscription) -> bytes | Pause | None:
        """What `subscription` has to send now, see `Subscription.next`.

        Raises:
            KinesisError: the exception that it ends with.
            DropConnectionError: ordered by `faults`.
        """
        event = subscription.next(self.clock.now_ms())
        if isinstance(event, bytes):
            self.faults.before(EVENT)
            event = self.faults.spoiled(EVENT, subscription.shard_id, event)
        return event

    def advance(self, seconds: float) -> int:
        """Moves the service's clock; subscriptions notice at once. Returns its time in milliseconds."""
        self.clock.advance(seconds)
        for stream in self._streams.all():
            with stream.lock:
                stream.wake()
        return self.clock.now_ms()
