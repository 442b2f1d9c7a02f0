"""What the reader saw and what was delivered, held against the sequence numbers: loss, doubles, and order by key."""

import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import apache_beam as beam
import pyarrow as pa

from pipelines.firehose.ledger import Entry

_FILE: Final = "pages.jsonl"


class SeePages(beam.DoFn):
    """pa.RecordBatch -> nothing: appends each page to a file as one line, in the order in which they come.

    Fused to the source it sees the order that `ReadFromKinesis` promises: parents before children.

    Args:
        folder: for the file.
    """

    def __init__(self, folder: Path) -> None:
        self._path = str(folder / _FILE)

    def setup(self) -> None:
        self._file = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def process(self, page: pa.RecordBatch) -> Iterator[Any]:
        names = ("shard_id", "sequence_number", "partition_key")
        rows = list(zip(*(page.column(name).to_pylist() for name in names), strict=True))
        os.write(self._file, json.dumps(rows).encode() + b"\n")
        yield from ()


@dataclass(frozen=True, slots=True)
class Row:
    """A record as it was seen."""

    shard_id: str
    sequence_number: int
    partition_key: str


def seen(folder: Path) -> list[Row]:
    """What `SeePages` left, in the order in which it came; nothing when no page came."""
    path = folder / _FILE
    if not path.exists():
        return []
    with path.open(encoding="utf-8") as lines:
        return [Row(shard, int(number), key) for line in lines for shard, number, key in json.loads(line)]


def out_of_order(rows: Sequence[Row]) -> list[str]:
    """Partition keys whose records did not come by growing sequence number (B5, B12), wherever they were put."""
    last: dict[str, int] = {}
    wrong = set()
    for row in rows:
        if row.sequence_number <= last.get(row.partition_key, -1):
            wrong.add(row.partition_key)
        last[row.partition_key] = row.sequence_number
    return sorted(wrong)


def before_their_parents(rows: Sequence[Row], parents: Mapping[str, tuple[str, ...]]) -> list[str]:
    """Shards of which a record came before the last one of a parent (B12)."""
    ends = {row.shard_id: place for place, row in enumerate(rows)}
    begins: dict[str, int] = {}
    for place, row in enumerate(rows):
        begins.setdefault(row.shard_id, place)
    return sorted(
        child
        for child, of in parents.items()
        if child in begins and any(begins[child] < ends.get(parent, -1) for parent in of)
    )


def objects_out_of_order(entries: Iterable[Entry]) -> list[str]:
    """Objects whose records of a shard do not grow from one to the next, or that reach into another one's."""
    problems = []
    ranges: dict[str, list[tuple[int, int, str]]] = {}
    for entry in entries:
        if entry.object is None or entry.object.kind != "data":
            continue
        by_shard: dict[str, list[int]] = {}
        for shard_id, number, _ in entry.records:
            by_shard.setdefault(shard_id, []).append(int(number))
        for shard_id, numbers in by_shard.items():
            if any(after <= before for before, after in pairwise(numbers)):
                problems.append(f"{entry.object.key} holds records of {shard_id} out of order")
            ranges.setdefault(shard_id, []).append((min(numbers), max(numbers), entry.object.key))
    for held in ranges.values():
        held.sort()
        problems += [f"{b[2]} begins before {a[2]} ends" for a, b in pairwise(held) if b[0] <= a[1]]
    return problems


def by_shard(rows: Iterable[Row]) -> Counter[str]:
    """How many records came from each shard."""
    return Counter(row.shard_id for row in rows)
