"""A client of a stream in memory, for tests of the reader: shard trees, faults, small pages, no threads, no HTTP."""

import base64
import itertools
import json
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field
from datetime import UTC, datetime

from botocore.exceptions import ClientError, EndpointConnectionError

from pipelines.kinesis.decode import BODY
from pipelines.runtime.clock import ManualClock

HASH_KEYS = 2**128


@dataclass
class Shard:
    """Records are (sequence number, data, partition key, arrival in ms); `trimmed` ones came before and are gone."""

    hash_range: tuple[int, int]
    parents: tuple[str, ...] = ()
    closed: bool = False
    records: list[tuple[int, bytes, str, int]] = field(default_factory=list)
    children: list[str] = field(default_factory=list)
    trimmed: int = 0
    expired: bool = False


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

    `faults` are raised by the next calls, one a call. The next `spoiled` answers of get_records come as a body that
    cannot be decoded, and so does any with a record of `poison`; the next `unplaced` ones are spoiled so that no record
    is named in them. The next `endless` ones lose what says where reading goes on. `tell_children` off leaves
    ChildShards out. The next `cut` ones end within their second record, the next `emptied` ones have no records and do
    not say how far they are. `empty_before_the_end` has a closed shard give an empty answer before its last.
    `reads` are the times of get_records in seconds, and the bytes of data that each call gave.
    """

    def __init__(self, clock: ManualClock, shards: int = 1, *, page_records: int = 3, list_page: int = 2) -> None:
        self.clock = clock
        self.page_records = page_records
        self.list_page = list_page
        self.tell_children = True
        self.faults: list[Exception] = []
        self.spoiled = 0
        self.unplaced = 0
        self.endless = 0
        self.cut = 0
        self.emptied = 0
        self.empty_before_the_end = False
        self.poison: set[str] = set()
        self.calls: list[str] = []
        self.iterators: list[dict[str, object]] = []
        self.reads: list[tuple[float, int]] = []
        self._numbers = itertools.count(49_600_000_000_000_000_000_000_000_000_000_000_000, 7)
        self._ids = itertools.count()
        self.shards: dict[str, Shard] = {}
        for index in range(shards):  # B4
            self._add((), (HASH_KEYS * index // shards, HASH_KEYS * (index + 1) // shards - 1))

    def _add(self, parents: tuple[str, ...], hash_range: tuple[int, int]) -> str:
        shard_id = f"shardId-{next(self._ids):012d}"
        self.shards[shard_id] = Shard(hash_range, parents)
        for parent in parents:
            self.shards[parent].closed = True
            self.shards[parent].children.append(shard_id)
        return shard_id

    # What happens to the stream.

    def put(self, shard_id: str, count: int = 1, data: bytes | None = None) -> list[str]:
        """Records whose data is `data`, or their sequence number."""
        assert not self.shards[shard_id].closed
        numbers = []
        for _ in range(count):
            number = next(self._numbers)
            record = (number, str(number).encode() if data is None else data, f"key-{number}", self.clock.now_ms())
            self.shards[shard_id].records.append(record)
            numbers.append(str(number))
        return numbers

    def split(self, shard_id: str) -> tuple[str, str]:
        assert not self.shards[shard_id].closed
        low, high = self.shards[shard_id].hash_range
        middle = (low + high) // 2
        return self._add((shard_id,), (low, middle)), self._add((shard_id,), (middle + 1, high))

    def merge(self, first: str, second: str) -> str:
        """Of neighbours, in either order (B11)."""
        (low, end), (begin, high) = sorted(self.shards[shard_id].hash_range for shard_id in (first, second))
        assert end + 1 == begin
        assert not self.shards[first].closed
        assert not self.shards[second].closed
        return self._add((first, second), (low, high))

    def close(self, shard_id: str) -> None:
        """No record follows, and no shard: so reading comes to an end."""
        self.shards[shard_id].closed = True

    def trim(self, shard_id: str, count: int) -> None:
        """The oldest records of a shard leave it (B13)."""
        shard = self.shards[shard_id]
        assert count <= len(shard.records)
        del shard.records[:count]
        shard.trimmed += count

    def expire(self, shard_id: str) -> None:
        """A closed shard leaves the stream (B12)."""
        assert self.shards[shard_id].closed
        self.shards[shard_id].expired = True

    # What is known of it.

    def open_shards(self) -> list[str]:
        """In the order of their hash keys: neighbours stand beside each other."""
        found = [shard_id for shard_id, shard in self.shards.items() if not shard.closed]
        return sorted(found, key=lambda shard_id: self.shards[shard_id].hash_range)

    def all_numbers(self) -> list[str]:
        """Of what is still to be had."""
        found = (shard for shard in self.shards.values() if not shard.expired)
        return sorted(str(record[0]) for shard in found for record in shard.records)

    # boto3's client.

    def _call(self, name: str) -> None:
        self.calls.append(name)
        if self.faults:
            raise self.faults.pop(0)

    def _shard(self, shard_id: str, operation: str) -> Shard:
        if shard_id not in self.shards or self.shards[shard_id].expired:
            raise client_error("ResourceNotFoundException", operation)
        return self.shards[shard_id]

    def list_shards(self, StreamName=None, NextToken=None):
        self._call("list_shards")
        assert (StreamName is None) != (NextToken is None)
        begin = int(NextToken or 0)
        rows = []
        listed = [(shard_id, shard) for shard_id, shard in self.shards.items() if not shard.expired]
        for shard_id, shard in listed[begin : begin + self.list_page]:
            row = {
                "ShardId": shard_id,
                "HashKeyRange": _hash_key_range(shard),
                "SequenceNumberRange": {"StartingSequenceNumber": "0"},
            }
            if shard.closed:
                row["SequenceNumberRange"]["EndingSequenceNumber"] = "9"
            row |= dict(zip(("ParentShardId", "AdjacentParentShardId"), shard.parents, strict=False))
            rows.append(row)
        following = begin + self.list_page
        return {"Shards": rows} | ({"NextToken": str(following)} if following < len(listed) else {})

    def get_shard_iterator(self, **arguments):
        self._call("get_shard_iterator")
        self.iterators.append(arguments)
        shard = self._shard(arguments["ShardId"], "GetShardIterator")
        records = shard.records
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
        return {"ShardIterator": f"{arguments['ShardId']}|{shard.trimmed + index}"}

    def get_records(self, ShardIterator, Limit=10_000):
        self.reads.append((self.clock.monotonic_s(), 0))
        self._call("get_records")
        shard_id, index, *_ = ShardIterator.split("|")
        shard = self._shard(shard_id, "GetRecords")
        begin = max(int(index) - shard.trimmed, 0)
        taken = shard.records[begin : begin + min(Limit, self.page_records)]
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
        if self.emptied:
            self.emptied -= 1
            return {"Records": [], "NextShardIterator": ShardIterator}
        if self.empty_before_the_end and drained and shard.closed and not ShardIterator.endswith("|last"):
            answer["NextShardIterator"] = f"{shard_id}|{shard.trimmed + end}|last"
        elif not (drained and shard.closed):
            answer["NextShardIterator"] = f"{shard_id}|{shard.trimmed + end}"
        elif self.tell_children:
            answer["ChildShards"] = [
                {
                    "ShardId": child,
                    "ParentShards": list(self.shards[child].parents),
                    "HashKeyRange": _hash_key_range(self.shards[child]),
                }
                for child in shard.children
            ]
        self.reads[-1] = (self.clock.monotonic_s(), sum(len(record[1]) for record in taken))
        if self.endless:
            self.endless -= 1
            answer.pop("NextShardIterator", None)
            answer.pop("ChildShards", None)
        if self.cut:
            self.cut -= 1
            iterator = json.dumps(answer.pop("NextShardIterator"))
            first = spoil(answer).split(b'"SequenceNumber"')[1]
            return {BODY: b'{"NextShardIterator": ' + iterator.encode() + b', "Records": [{"SequenceNumber"' + first}
        if self.unplaced:
            self.unplaced -= 1
            return {BODY: spoil(answer).replace(b'"SequenceNumber"', b'"Number"')}
        if self.spoiled:
            self.spoiled -= 1
            return {BODY: spoil(answer)}
        if any(record["SequenceNumber"] in self.poison for record in answer["Records"]):
            return {BODY: spoil(answer)}
        return answer


def spoil(answer) -> bytes:
    """An answer as a body whose data is no base64."""
    records = [
        record
        | {
            "Data": base64.b64encode(record["Data"]).decode() + "*",
            "ApproximateArrivalTimestamp": record["ApproximateArrivalTimestamp"].timestamp(),
        }
        for record in answer["Records"]
    ]
    return json.dumps(answer | {"Records": records}).encode() + (b"" if records else b"*")


def _hash_key_range(shard: Shard) -> dict[str, str]:
    return {"StartingHashKey": str(shard.hash_range[0]), "EndingHashKey": str(shard.hash_range[1])}
