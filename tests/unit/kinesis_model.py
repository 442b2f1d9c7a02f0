"""The model Kinesis as an object, without HTTP, on a clock moved by hand."""

import base64
from typing import Any

import orjson
import pytest
from botocore.loaders import Loader
from botocore.model import ServiceModel

from infra.embedded.model.errors import KinesisError
from infra.embedded.model.service import Kinesis
from pipelines.runtime.clock import ManualClock

TOP = 2**128 - 1
HOUR_S = 3600


MODEL = ServiceModel(Loader().load_service_model("kinesis", "service-2"), "kinesis")


def must_fit(shape: Any, value: Any, where: str) -> None:
    """Checks that an answer has the shape that AWS publishes: what is required, and nothing that is not known."""
    if shape is None:
        assert value == {}, where
    elif shape.type_name == "structure":
        assert set(shape.required_members) <= set(value) <= set(shape.members), (where, value)
        for name, member in value.items():
            must_fit(shape.members[name], member, f"{where}.{name}")
    elif shape.type_name == "list":
        for item in value:
            must_fit(shape.member, item, where)
    elif shape.type_name == "string":
        assert isinstance(value, str), where
        assert value in shape.metadata.get("enum", [value]), (where, value)
    elif shape.type_name in {"integer", "long"}:
        assert type(value) is int, (where, value)


class Service:
    """A `Kinesis` with one stream called s, and answers as objects; each of them has the shape that AWS publishes."""

    def __init__(self, shards: int = 1, **options: Any) -> None:
        self.clock = ManualClock()
        self.kinesis = Kinesis(self.clock, "us-east-1", "123456789012", **options)
        self("CreateStream", ShardCount=shards)
        self.clock.advance(options.get("settle_ms", 0) / 1000)

    def __call__(self, operation: str, **request: Any) -> Any:
        if not {"StreamName", "StreamARN", "NextToken", "ShardIterator"} & set(request):
            request["StreamName"] = "s"
        answer = self.kinesis.call(operation, request)
        answer = orjson.loads(answer) if isinstance(answer, bytes) else answer
        must_fit(MODEL.operation_model(operation).output_shape, answer, operation)
        return answer

    def put(self, data: bytes = b"x", key: str = "k", **more: Any) -> Any:
        return self("PutRecord", Data=base64.b64encode(data).decode(), PartitionKey=key, **more)

    def shards(self, **request: Any) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self("ListShards", **request)["Shards"]
        return found

    def open_shards(self) -> list[dict[str, Any]]:
        return sorted(self.shards(ShardFilter={"Type": "AT_LATEST"}), key=start_of)

    def iterator(self, shard: str = "shardId-000000000000", kind: str = "TRIM_HORIZON", **more: Any) -> str:
        iterator: str = self("GetShardIterator", ShardId=shard, ShardIteratorType=kind, **more)["ShardIterator"]
        return iterator

    def drain(self, shard: str, limit: int = 3, kind: str = "TRIM_HORIZON", **more: Any) -> list[dict[str, Any]]:
        iterator, records = self.iterator(shard, kind, **more), []
        while True:
            answer = self("GetRecords", ShardIterator=iterator, Limit=limit)
            records += answer["Records"]
            assert len(answer["Records"]) <= limit
            if "NextShardIterator" not in answer:
                assert {shard} <= {parent for child in answer["ChildShards"] for parent in child["ParentShards"]}
                return records
            if answer["MillisBehindLatest"] == 0:
                return records
            iterator = answer["NextShardIterator"]


def start_of(shard: dict[str, Any]) -> int:
    return int(shard["HashKeyRange"]["StartingHashKey"])


def end_of(shard: dict[str, Any]) -> int:
    return int(shard["HashKeyRange"]["EndingHashKey"])


def code_of(error: pytest.ExceptionInfo[KinesisError]) -> str:
    return error.value.code
