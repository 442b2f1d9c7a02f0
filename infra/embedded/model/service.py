"""Kinesis Data Streams as one object: AWS's JSON in, AWS's JSON out (spec section B)."""

from typing import Final

import orjson

from infra.embedded.model import shapes
from infra.embedded.model.consumer_operations import ConsumerOperations
from infra.embedded.model.errors import KinesisError
from infra.embedded.model.faults import Faults
from infra.embedded.model.record_operations import RecordOperations, shard_of
from infra.embedded.model.registry import Answer, Json, Operations, Registry
from infra.embedded.model.shard_operations import ShardOperations
from infra.embedded.model.shifted_clock import ShiftedClock
from infra.embedded.model.stream_operations import StreamOperations
from pipelines.runtime.clock import Clock

_CHECKS_ITSELF: Final = "PutRecords"
"""Walking 500 entries by the service model would cost more than storing them."""


class Kinesis:
    """The service. Thread-safe: one lock a stream.

    Args:
        clock: where all times come from, until the attribute `clock` is advanced.
        region: in ARNs.
        account: in ARNs and messages, 12 digits.
        limited: whether shards have AWS's throughput limits (B6 to B8).
        settle_ms: how long a stream is CREATING or UPDATING.
    """

    def __init__(self, clock: Clock, region: str, account: str, *, limited: bool = False, settle_ms: int = 0) -> None:
        self.clock = ShiftedClock(clock)
        self.faults = Faults(self.clock)
        streams = Registry(region, account)
        self._operations: Operations = {
            **StreamOperations(streams, self.clock, limited=limited, settle_ms=settle_ms).operations(),
            **ConsumerOperations(streams, self.clock).operations(),
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
        answer = handler(request)
        if not self.faults.garbles:
            return answer
        body = answer if isinstance(answer, bytes) else orjson.dumps(answer)
        return self.faults.spoiled(operation, shard_of(request), body)
