"""Records put by the tests of the source, and what pipelines saw of them, in files, so that any worker can write it."""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import apache_beam as beam
import pyarrow as pa
from stand_ins import KinesisStandIn

from pipelines.kinesis.put import Placed, Record


@dataclass(frozen=True)
class Seen:
    """A record as a pipeline saw it."""

    shard_id: str
    number: str
    key: str
    data: str


class Log:
    """What a pipeline saw, in order. `log.write` is the DoFn's; its instances append, on whatever thread."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "seen.jsonl"

    def pages(self) -> list[list[Seen]]:
        if not self.path.exists():
            return []
        complete = self.path.read_text(encoding="utf-8").split("\n")[:-1]
        return [[Seen(*row) for row in json.loads(line)] for line in complete]

    def records(self) -> list[Seen]:
        return [seen for page in self.pages() for seen in page]

    def numbers(self) -> list[str]:
        return [seen.number for seen in self.records()]

    def by_shard(self) -> dict[str, list[Seen]]:
        """The records of each shard, in the order in which they were seen."""
        records = sorted(self.records(), key=lambda seen: seen.shard_id)  # stable
        return {shard_id: list(group) for shard_id, group in groupby(records, key=lambda seen: seen.shard_id)}

    def by_key(self) -> dict[str, list[str]]:
        """The data of each partition key, in the order in which they were seen."""
        data: dict[str, list[str]] = {}
        for seen in self.records():
            data.setdefault(seen.key, []).append(seen.data)
        return data


class LogPages(beam.DoFn):
    """PCollection[page] -> the same: appends each to `log`."""

    def __init__(self, log: Log) -> None:
        self._path = str(log.path)

    def process(self, page: pa.RecordBatch) -> Any:
        columns = [page.column(name).to_pylist() for name in ("shard_id", "sequence_number", "partition_key", "data")]
        rows = [(*others, data.decode("latin-1")) for *others, data in zip(*columns, strict=True)]
        with open(self._path, "ab", buffering=0) as file:
            file.write(json.dumps(rows).encode() + b"\n")
        yield page


def numbered(keys: Iterable[str], begin: int, end: int) -> list[Record]:
    """For each number from `begin` on a record of each key; the data says which."""
    keys = list(keys)
    return [Record(b"%s:%d" % (key.encode(), number), key) for number in range(begin, end) for key in keys]


def each_once(log: Log, placed: Iterable[Placed], *, in_order: bool = True) -> None:
    """Asserts that exactly the records `placed` were seen, each once and from its shard, those of a shard in order."""
    wanted = sorted((place.shard_id, int(place.sequence_number)) for place in placed)
    assert sorted((seen.shard_id, int(seen.number)) for seen in log.records()) == wanted
    for records in log.by_shard().values() if in_order else ():
        numbers = [int(seen.number) for seen in records]
        assert numbers == sorted(numbers)


def ends_of(placed: Iterable[Placed]) -> dict[str, str]:
    """The last sequence number of each shard."""
    ends: dict[str, str] = {}
    for place in placed:
        ends[place.shard_id] = max(ends.get(place.shard_id, "0"), place.sequence_number, key=int)
    return ends


def key_of(kinesis: KinesisStandIn, stream: str, shard_id: str) -> str:
    """A partition key that leads to `shard_id` (B3)."""
    (shard,) = [shard for shard in kinesis.open_shards(stream) if shard["ShardId"] == shard_id]
    begin, end = (int(shard["HashKeyRange"][f"{which}HashKey"]) for which in ("Starting", "Ending"))
    keys = (f"key-{number}" for number in range(10_000))
    return next(key for key in keys if begin <= int(hashlib.md5(key.encode()).hexdigest(), 16) <= end)
