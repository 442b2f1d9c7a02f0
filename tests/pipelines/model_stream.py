"""The model Kinesis in this process, behind what looks like boto3's client, and everything that can befall a stream."""

import base64
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from botocore.exceptions import ClientError, EndpointConnectionError

from infra.embedded.model.errors import KinesisError
from infra.embedded.model.service import Kinesis
from pipelines.kinesis.aggregate import aggregate
from pipelines.kinesis.put import Record
from pipelines.runtime.clock import ManualClock

STREAM: Final = "flights"
RETENTION_S: Final = 24 * 3600
ITERATOR_LIFE_S: Final = 5 * 60
_REFUSALS: Final = (
    ("GetRecords", "ProvisionedThroughputExceededException"),
    ("GetShardIterator", "ProvisionedThroughputExceededException"),
    ("ListShards", "LimitExceededException"),
)


@dataclass(frozen=True)
class Put:
    """A user record that was put: of an aggregate, or a record by itself (B17)."""

    number: int
    sub: int
    key: str
    arrival_ms: int
    shard_id: str


class ModelStream:
    """One stream of the model, and a boto3 Kinesis client for it.

    Args:
        clock: the model's and the reader's.
        shards: open shards at first.
        page_records: GetRecords answers no more than this at a time.
        page_shards: so does ListShards.
    """

    def __init__(self, clock: ManualClock, shards: int, page_records: int, page_shards: int) -> None:
        self.clock = clock
        self.puts: list[Put] = []
        self._model = Kinesis(clock, "us-east-1", "000000000000")
        self._page_records = page_records
        self._page_shards = page_shards
        self._faults: list[tuple[str, Exception]] = []
        self._dropped = False
        self._parents: dict[str, tuple[str, ...]] = {}
        self._call("CreateStream", {"StreamName": STREAM, "ShardCount": shards})
        self._shards()

    # What happens.

    def put(self, key: str, count: int) -> None:
        """One record; an aggregate of `count` where that is more than one (B16)."""
        records = [Record(b"x", key)] * count
        data = records[0].data if count == 1 else aggregate(records).data
        encoded = base64.b64encode(data).decode()
        answer = self._call("PutRecord", {"StreamName": STREAM, "PartitionKey": key, "Data": encoded})
        number, shard_id = int(answer["SequenceNumber"]), answer["ShardId"]
        self.puts += [Put(number, sub, key, self.clock.now_ms(), shard_id) for sub in range(count)]

    def split(self, which: int) -> str | None:
        shard = self._pick(which)
        low, high = (int(shard["HashKeyRange"][f"{end}HashKey"]) for end in ("Starting", "Ending"))
        self._call(
            "SplitShard",
            {"StreamName": STREAM, "ShardToSplit": shard["ShardId"], "NewStartingHashKey": str((low + high + 1) // 2)},
        )
        self._shards()
        return f"{shard['ShardId']} is split"

    def merge(self, which: int) -> str | None:
        shards = self._open()
        if len(shards) < 2:
            return None
        one, other = shards[which % (len(shards) - 1) :][:2]
        # In either order: the parents of a child are named as they were in the call.
        if which % 2:
            one, other = other, one
        self._call(
            "MergeShards",
            {"StreamName": STREAM, "ShardToMerge": one["ShardId"], "AdjacentShardToMerge": other["ShardId"]},
        )
        self._shards()
        return f"{one['ShardId']} and {other['ShardId']} are merged"

    def scale(self, which: int) -> str | None:
        count = len(self._open())
        targets = [target for target in range(-(-count // 2), 2 * count + 1) if target != count]
        target = targets[which % len(targets)]
        try:
            self._call(
                "UpdateShardCount",
                {"StreamName": STREAM, "TargetShardCount": target, "ScalingType": "UNIFORM_SCALING"},
            )
        except ClientError:
            return None  # ten times a day and no more
        self._shards()
        return f"{count} shards become {target}"

    def refuse(self, which: int) -> str:
        operation, code = _REFUSALS[which % len(_REFUSALS)]
        self._faults = [(operation, _error(operation, code, 400))] * (1 + which % 2)
        return f"the next calls of {operation} get {code}"

    def drop(self, which: int) -> str | None:
        """A time-out or a fault of the service; once, as they end a pipeline when there is nothing else for 30 s."""
        if self._dropped:
            return None
        self._dropped = True
        operation = ("GetRecords", "GetShardIterator")[which % 2]
        down = EndpointConnectionError(endpoint_url="http://model")
        self._faults = [(operation, down if which % 3 else _error(operation, "InternalFailure", 500))]
        return f"the next call of {operation} fails"

    def pass_by(self, seconds: float) -> str:
        self.clock.advance(seconds)
        return f"{seconds:.0f} s pass"

    # What is known of it.

    def is_expired(self, put: Put) -> bool:
        return put.arrival_ms < self.clock.now_ms() - RETENTION_S * 1000

    def is_open(self, put: Put) -> bool:
        return any(shard["ShardId"] == put.shard_id for shard in self._open())

    def ancestors(self, shard_id: str) -> set[str]:
        """Of a shard, those that have expired too."""
        found = {parent for parent in self._parents.get(shard_id, ())}
        return found.union(*map(self.ancestors, found))

    def unlisted_descendants(self, shard_id: str) -> set[str]:
        """Those that have expired."""
        listed = {shard["ShardId"] for shard in self._shards()}
        return {other for other in self._parents if other not in listed and shard_id in self.ancestors(other)}

    def _open(self) -> list[dict[str, Any]]:
        shards = [shard for shard in self._shards() if "EndingSequenceNumber" not in shard["SequenceNumberRange"]]
        return sorted(shards, key=lambda shard: int(shard["HashKeyRange"]["StartingHashKey"]))

    def _pick(self, which: int) -> dict[str, Any]:
        shards = self._open()
        return shards[which % len(shards)]

    def _shards(self) -> list[dict[str, Any]]:
        shards: list[dict[str, Any]] = self._call("ListShards", {"StreamName": STREAM})["Shards"]
        for shard in shards:
            named = (shard.get("ParentShardId"), shard.get("AdjacentParentShardId"))
            self._parents[shard["ShardId"]] = tuple(parent for parent in named if parent)
        return shards

    # boto3's client.

    def list_shards(self, **request: Any) -> dict[str, Any]:
        return self._answer("ListShards", request | {"MaxResults": self._page_shards})

    def get_shard_iterator(self, **request: Any) -> dict[str, Any]:
        if "Timestamp" in request:
            request["Timestamp"] = request["Timestamp"].timestamp()
        return self._answer("GetShardIterator", request)

    def get_records(self, **request: Any) -> dict[str, Any]:
        limit = min(self._page_records, request.get("Limit", self._page_records))
        answer = self._answer("GetRecords", request | {"Limit": limit})
        for record in answer["Records"]:
            record["Data"] = base64.b64decode(record["Data"])
            record["ApproximateArrivalTimestamp"] = datetime.fromtimestamp(record["ApproximateArrivalTimestamp"], UTC)
        return answer

    def _answer(self, operation: str, request: dict[str, Any]) -> dict[str, Any]:
        if self._faults and self._faults[0][0] == operation:
            raise self._faults.pop(0)[1]
        return self._call(operation, request)

    def _call(self, operation: str, request: dict[str, Any]) -> dict[str, Any]:
        try:
            answer = self._model.call(operation, request)
        except KinesisError as error:
            raise _error(operation, error.code, error.status, error.message) from error
        return json.loads(answer) if isinstance(answer, bytes) else dict(answer)


def _error(operation: str, code: str, status: int, message: str = "Ordered by the test.") -> ClientError:
    error = {"Error": {"Code": code, "Message": message}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(error, operation)
