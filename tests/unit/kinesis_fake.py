"""A client of a stream in memory, for tests of the reader: shard trees, faults, small pages, no threads, no HTTP."""

import itertools
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field
from datetime import UTC, datetime

from botocore.exceptions import ClientError, EndpointConnectionError

from pipelines.runtime.clock import ManualClock


@dataclass
class Shard:
    parents: tuple[str, ...] = ()
    closed: bool = False
    records: list[tuple[int, bytes, str, int]] = field(default_factory=list)
    children: list[str] = field(default_factory=list)


def client_error(code: str, operation: str = "GetRecords", status: int = 400) -> ClientError:
    response = {"Error": {"Code": code, "Message": f"{code} here"}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(response, operation)


def connection_error() -> EndpointConnectionError:
    return EndpointConnectionError(endpoint_url="http://127.0.0.1:1")


class AtOnce(Executor):
    """Does what it is given in the caller's thread: reading ahead without a race."""

    def submit(self, fn, /, *args, **kwargs):
        future = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


class FakeKinesis:
    """Speaks list_shards, get_shard_iterator and get_records as boto3's client does.

    `faults` are raised by the next calls, one a call. `tell_children` off leaves ChildShards out.
    """

    def __init__(self, clock: ManualClock, shards: int = 1, *, page_records: int = 3, list_page: int = 2) -> None:
        self.clock = clock
        self.page_records = page_records
        self.list_page = list_page
        self.tell_children = True
        self.faults: list[Exception] = []
        self.calls: list[str] = []
        self.iterators: list[dict[str, object]] = []
        self._numbers = itertools.count(49_600_000_000_000_000_000_000_000_000_000_000_000, 7)
        self._ids = itertools.count()
        self.shards: dict[str, Shard] = {}
        for _ in range(shards):
            self._add(())

    def _add(self, parents: tuple[str, ...]) -> str:
        shard_id = f"shardId-{next(self._ids):012d}"
        self.shards[shard_id] = Shard(parents)
        for parent in parents:
            self.shards[parent].closed = True
            self.shards[parent].children.append(shard_id)
        return shard_id

    def put(self, shard_id: str, count: int = 1) -> list[str]:
        numbers = []
        for _ in range(count):
            number = next(self._numbers)
            record = (number, str(number).encode(), f"key-{number}", self.clock.now_ms())
            self.shards[shard_id].records.append(record)
            numbers.append(str(number))
        return numbers

    def split(self, shard_id: str) -> tuple[str, str]:
        return self._add((shard_id,)), self._add((shard_id,))

    def merge(self, first: str, second: str) -> str:
        return self._add((first, second))

    def open_shards(self) -> list[str]:
        return [shard_id for shard_id, shard in self.shards.items() if not shard.closed]

    def all_numbers(self) -> list[str]:
        return sorted(str(record[0]) for shard in self.shards.values() for record in shard.records)

    def _call(self, name: str) -> None:
        self.calls.append(name)
        if self.faults:
            raise self.faults.pop(0)

    def list_shards(self, StreamName=None, NextToken=None):
        self._call("list_shards")
        assert (StreamName is None) != (NextToken is None)
        begin = int(NextToken or 0)
        rows = []
        for shard_id, shard in list(self.shards.items())[begin : begin + self.list_page]:
            row = {"ShardId": shard_id, "SequenceNumberRange": {"StartingSequenceNumber": "0"}}
            if shard.closed:
                row["SequenceNumberRange"]["EndingSequenceNumber"] = "9"
            row |= dict(zip(("ParentShardId", "AdjacentParentShardId"), shard.parents, strict=False))
            rows.append(row)
        following = begin + self.list_page
        return {"Shards": rows} | ({"NextToken": str(following)} if following < len(self.shards) else {})

    def get_shard_iterator(self, **arguments):
        self._call("get_shard_iterator")
        self.iterators.append(arguments)
        records = self.shards[arguments["ShardId"]].records
        number = int(arguments.get("StartingSequenceNumber", 0))
        match arguments["ShardIteratorType"]:
            case "TRIM_HORIZON":
                index = 0
            case "AT_SEQUENCE_NUMBER":
                index = sum(record[0] < number for record in records)
            case "AFTER_SEQUENCE_NUMBER":
                index = sum(record[0] <= number for record in records)
            case "AT_TIMESTAMP":
                index = sum(record[3] < arguments["Timestamp"].timestamp() * 1000 for record in records)
        return {"ShardIterator": f"{arguments['ShardId']}|{index}"}

    def get_records(self, ShardIterator):
        self._call("get_records")
        shard_id, index = ShardIterator.split("|")
        shard, begin = self.shards[shard_id], int(index)
        taken = shard.records[begin : begin + self.page_records]
        end = begin + len(taken)
        drained = end == len(shard.records)
        answer = {
            "Records": [
                {
                    "SequenceNumber": str(number),
                    "Data": data,
                    "PartitionKey": key,
                    "ApproximateArrivalTimestamp": datetime.fromtimestamp(ms / 1000, UTC),
                }
                for number, data, key, ms in taken
            ],
            "MillisBehindLatest": 0 if drained else max(1, self.clock.now_ms() - shard.records[end][3]),
        }
        if not (drained and shard.closed):
            answer["NextShardIterator"] = f"{shard_id}|{end}"
        elif self.tell_children:
            answer["ChildShards"] = [
                {"ShardId": child, "ParentShards": list(self.shards[child].parents)} for child in shard.children
            ]
        return answer
