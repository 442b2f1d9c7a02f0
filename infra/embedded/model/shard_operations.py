"""Operations on the shard tree: listing it (B15) and growing it (B11, B12)."""

from typing import Any, Final

from infra.embedded.model.errors import KinesisError, invalid, malformed
from infra.embedded.model.registry import Answer, Json, Operations, Registry
from infra.embedded.model.shard import Shard
from infra.embedded.model.stream import Stream
from infra.embedded.model.tokens import seal, unseal
from pipelines.runtime.clock import Clock

_PAGE: Final = 1000
_TOKEN_LIFE_MS: Final = 300_000
_TOKEN: Final = "NextToken"


class ShardOperations:
    """Args are those of `Kinesis`."""

    def __init__(self, streams: Registry, clock: Clock, *, settle_ms: int) -> None:
        self._streams = streams
        self._clock = clock
        self._settle_ms = settle_ms

    def operations(self) -> Operations:
        """Handlers by AWS's name."""
        return {
            "ListShards": self._list,
            "SplitShard": self._split,
            "MergeShards": self._merge,
            "UpdateShardCount": self._scale,
        }

    def _list(self, request: Json) -> Answer:
        now = self._clock.now_ms()
        token = request.get(_TOKEN)
        if token is None:
            stream, after = self._streams.created(request), request.get("ExclusiveStartShardId", "")
            wanted = request.get("ShardFilter") or {}
        else:
            if any(request.get(name) for name in ("StreamName", "ExclusiveStartShardId", "StreamCreationTimestamp")):
                raise invalid("NextToken and StreamName cannot be provided together.")
            name, created_ms, after, wanted, issued_ms = unseal(token, _TOKEN)
            if now - issued_ms > _TOKEN_LIFE_MS:
                raise KinesisError("ExpiredNextTokenException", f"{_TOKEN} has expired.")
            stream = self._streams.named(name)
            if stream.created_ms != created_ms:
                raise invalid(f"{_TOKEN} belongs to a stream that was deleted.")
        with stream.lock:
            shards = [shard for shard in _filtered(stream, wanted, now) if shard.id > after]
            most = min(request.get("MaxResults", _PAGE), _PAGE)
            answer: dict[str, Any] = {"Shards": [shard.describe() for shard in shards[:most]]}
        if len(shards) > most:
            answer[_TOKEN] = seal([stream.name, stream.created_ms, shards[most - 1].id, wanted, now], _TOKEN)
        return answer

    def _split(self, request: Json) -> Answer:
        now = self._clock.now_ms()
        stream = self._reshardable(request, now)
        with stream.lock:
            stream.split(stream.shard(request["ShardToSplit"], now), int(request["NewStartingHashKey"]), now)
            stream.update_until(now + self._settle_ms)
        return {}

    def _merge(self, request: Json) -> Answer:
        now = self._clock.now_ms()
        stream = self._reshardable(request, now)
        with stream.lock:
            one = stream.shard(request["ShardToMerge"], now)
            stream.merge(one, stream.shard(request["AdjacentShardToMerge"], now), now)
            stream.update_until(now + self._settle_ms)
        return {}

    def _scale(self, request: Json) -> Answer:
        now, target = self._clock.now_ms(), request["TargetShardCount"]
        stream = self._reshardable(request, now)
        with stream.lock:
            current = len(stream.open_shards)
            stream.scale(target, now)
            stream.update_until(now + self._settle_ms)
        return {
            "StreamName": stream.name,
            "StreamARN": stream.arn,
            "CurrentShardCount": current,
            "TargetShardCount": target,
        }

    def _reshardable(self, request: Json, now_ms: int) -> Stream:
        """The stream that `request` names, ACTIVE and in PROVISIONED mode (B11)."""
        stream = self._streams.settled(request, now_ms)
        if stream.mode != "PROVISIONED":
            raise malformed(f"Stream {stream.name} must be in PROVISIONED mode to be resharded.")
        return stream


def _filtered(stream: Stream, wanted: Json, now_ms: int) -> list[Shard]:
    """The shards that ShardFilter `wanted` lets through (B15); all that are not expired without one."""
    kind = wanted.get("Type", "FROM_TRIM_HORIZON")
    shards = stream.visible(now_ms)
    if kind == "AT_LATEST":
        return [shard for shard in shards if shard.is_open]
    if kind == "AFTER_SHARD_ID":
        if "ShardId" not in wanted:
            raise invalid("ShardFilter AFTER_SHARD_ID needs a ShardId.")
        return [shard for shard in shards if shard.id > wanted["ShardId"]]
    horizon = max(stream.created_ms, stream.horizon_ms(now_ms))
    if kind == "AT_TRIM_HORIZON":
        return [shard for shard in shards if shard.created_ms <= horizon and _outlives(shard, horizon + 1)]
    if kind == "FROM_TRIM_HORIZON":
        return shards
    if "Timestamp" not in wanted:
        raise invalid(f"ShardFilter {kind} needs a Timestamp.")
    at = max(horizon, round(wanted["Timestamp"] * 1000))
    return [shard for shard in shards if _outlives(shard, at) and (kind == "FROM_TIMESTAMP" or shard.created_ms <= at)]


def _outlives(shard: Shard, ms: int) -> bool:
    return shard.closed_ms is None or shard.closed_ms >= ms
