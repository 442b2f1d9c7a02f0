"""How often an operation may be called, where AWS's limits are on."""

import threading
from typing import Any, Final

from infra.embedded.model.errors import limit
from infra.embedded.model.limits import TokenBucket
from infra.embedded.model.registry import Json
from infra.embedded.model.tokens import unseal

_AN_ACCOUNT: Final = {
    "AddTagsToStream": 5, "CreateStream": 5, "DeleteStream": 5, "DescribeAccountSettings": 5, "DescribeLimits": 1,
    "DescribeStream": 10, "DescribeStreamSummary": 20, "ListStreams": 5, "ListTagsForStream": 5, "MergeShards": 5,
    "RegisterStreamConsumer": 5, "RemoveTagsFromStream": 5, "SplitShard": 5, "UpdateAccountSettings": 5,
    "UpdateShardCount": 10, "UpdateStreamWarmThroughput": 5,
}  # fmt: skip
_A_STREAM: Final = {
    "DeregisterStreamConsumer": 5, "DescribeStreamConsumer": 20, "ListShards": 1000, "ListStreamConsumers": 5,
}  # fmt: skip
"""Calls a second, as the API's documentation has them. Those of a shard are in `ShardLimits`."""


class CallLimits:
    """Counts calls. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._buckets: dict[tuple[str, str], TokenBucket] = {}

    def check(self, operation: str, request: Json, now_ms: int) -> None:
        """Counts a call of `operation`; `request` fits its shape.

        Raises:
            KinesisError: LimitExceededException, when it is one too many.
        """
        stream = ""
        rate = _AN_ACCOUNT.get(operation)
        if rate is None:
            rate = _A_STREAM.get(operation)
            if rate is None:
                return
            stream = _stream_name(request)
        with self._lock:
            bucket = self._buckets.setdefault((operation, stream), TokenBucket(rate, rate, now_ms))
            if not bucket.take(1, now_ms):
                whose = f"stream {stream}" if stream else "the account"
                raise limit(f"Rate exceeded: {operation} of {whose} may be called {rate} times a second.")


def _stream_name(request: Json) -> str:
    """The name of the stream that `request` is about, however it says so."""
    if request.get("StreamName"):
        return str(request["StreamName"])
    if request.get("StreamARN") or request.get("ConsumerARN"):
        arn = str(request.get("StreamARN") or request["ConsumerARN"])
        return arn.partition(":stream/")[2].partition("/")[0]
    members: list[Any] = unseal(request["NextToken"], "NextToken") if request.get("NextToken") else [""]
    return str(members[0])
