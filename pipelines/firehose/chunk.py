"""What waits in a buffer and what comes out of it: chunks, sealed buffers, delivered objects.

A page becomes a *chunk* before it is buffered: its payload columns plus four lineage columns, encoded once as Arrow
IPC with lz4. State, checkpoints and the runner's channels carry the encoded bytes as they are; only the flush decodes.
"""

import builtins
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.kinesis.page import decode_batch, encode_batch

LINEAGE_PREFIX: Final = "hydrant:"
"""No Glue column can be called so: a Hive column name has no colon."""

DATA_COLUMN: Final = LINEAGE_PREFIX + "data"
"""The one payload column (binary) of a chunk that is delivered as it came: text, backup and error objects."""

LINEAGE_COLUMNS: Final = {
    LINEAGE_PREFIX + "shard_id": "shard_id",
    LINEAGE_PREFIX + "sequence_number": "sequence_number",
    LINEAGE_PREFIX + "sub_sequence_number": "sub_sequence_number",
    LINEAGE_PREFIX + "arrival_ms": "arrival_ms",
}
"""Lineage column of a chunk -> column of the page it comes from."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """The records of (part of) one page, ready to be buffered.

    Attributes:
        raw_bytes: bytes of the records before conversion and compression: what buffering hints count (A2.2).
        records: rows.
        oldest_arrival_ms: the smallest arrival time in it, ms since the epoch (A7.3).
        ipc: the rows as Arrow IPC: payload columns, then `LINEAGE_COLUMNS`.
    """

    raw_bytes: int
    records: int
    oldest_arrival_ms: int
    ipc: bytes

    @classmethod
    def of(cls, rows: pa.RecordBatch, raw_bytes: int) -> "Chunk":
        """The chunk of `rows`, which hold payload and lineage columns and at least one row."""
        oldest = pc.min(rows.column(LINEAGE_PREFIX + "arrival_ms")).as_py()
        return cls(raw_bytes, rows.num_rows, oldest, encode_batch(rows))

    @classmethod
    def of_page(cls, page: pa.RecordBatch) -> "Chunk":
        """The chunk that delivers a page's data as it came."""
        names = [DATA_COLUMN, *LINEAGE_COLUMNS]
        columns = [page.column("data"), *(page.column(name) for name in LINEAGE_COLUMNS.values())]
        return cls.of(pa.RecordBatch.from_arrays(columns, names=names), data_bytes(page))

    @classmethod
    def of_whole_page(cls, page: pa.RecordBatch) -> "Chunk":
        """The chunk of a page with every column, for a buffer in front of the transform."""
        oldest = pc.min(page.column("arrival_ms")).as_py()
        return cls(data_bytes(page), page.num_rows, oldest, encode_batch(page))

    def rows(self) -> pa.RecordBatch:
        """The rows, decoded."""
        return decode_batch(self.ipc)


@dataclass(frozen=True, slots=True)
class Sealed:
    """A buffer that is due: everything that goes into one object.

    Attributes:
        key: the buffer's key (shard id, or error type and shard id).
        chunks: at least one, in the order in which they were buffered.
        reason: "size", "interval" or "end" (the input ended): which condition came first (A2.2).
        opened_ms: when its first chunk came, ms since the epoch.
        flushed_ms: when it was due and left the buffer, ms since the epoch. No object depends on either.
    """

    key: str
    chunks: tuple[Chunk, ...]
    reason: str
    opened_ms: int = 0
    flushed_ms: int = 0

    @property
    def oldest_arrival_ms(self) -> int:
        return min(chunk.oldest_arrival_ms for chunk in self.chunks)

    @property
    def raw_bytes(self) -> int:
        return sum(chunk.raw_bytes for chunk in self.chunks)


@dataclass(frozen=True, slots=True)
class ShardLineage:
    """Which records of one shard an object holds: first and last sequence number, and how many records."""

    shard_id: str
    first: str
    last: str
    count: int


@dataclass(frozen=True, slots=True)
class DeliveredObject:
    """The receipt of one object on S3.

    Attributes:
        kind: "data", "backup" or the error-output-type ("processing-failed", "format-conversion-failed").
        bucket: S3 bucket.
        key: S3 key.
        bytes: the object's size.
        records: records in it; a record can be several rows (A5.3).
        raw_bytes: bytes of its records before conversion and compression.
        reason: why the buffer was flushed, see `Sealed`.
        shards: lineage, by shard id.
        sequence_numbers: of each row of the object, in their order, the record it is of, encoded by `encode_batch`
            (columns shard_id, sequence_number, sub_sequence_number).
        opened_ms: when its buffer was opened, see `Sealed`.
        flushed_ms: when its buffer was flushed.
        oldest_arrival_ms: the smallest arrival time of its records.
    """

    kind: str
    bucket: str
    key: str
    bytes: int
    records: int
    raw_bytes: int
    reason: str
    shards: tuple[ShardLineage, ...]
    sequence_numbers: builtins.bytes = field(default=b"", repr=False)
    opened_ms: int = 0
    flushed_ms: int = 0
    oldest_arrival_ms: int = 0

    def to_json(self) -> dict[str, Any]:
        """All but the sequence numbers, as JSON holds it."""
        shards = {s.shard_id: {"first": s.first, "last": s.last, "count": s.count} for s in self.shards}
        return {name: getattr(self, name) for name in _JSON_NAMES} | {"shards": shards}

    @classmethod
    def from_json(cls, described: Mapping[str, Any]) -> "DeliveredObject":
        """The inverse of `to_json`."""
        shards = tuple(ShardLineage(shard_id, **shard) for shard_id, shard in described["shards"].items())
        return cls(**{name: described[name] for name in _JSON_NAMES if name in described}, shards=shards)


_JSON_NAMES: Final = (
    "kind", "bucket", "key", "bytes", "records", "raw_bytes", "reason", "opened_ms", "flushed_ms", "oldest_arrival_ms",
)  # fmt: skip


def lineage(batches: Sequence[pa.RecordBatch]) -> tuple[ShardLineage, ...]:
    """First and last sequence number and number of records of each shard in `batches` (chunk rows), by shard id.

    Sequence numbers are compared as the integers they are (B5). The rows of a record that holds several JSON documents
    (A5.3, X8) stand together and count as one.
    """
    found: dict[str, ShardLineage] = {}
    for batch in batches:
        for shard_id, numbers, count in _by_shard(batch):
            first, last = _extremes(numbers)
            if known := found.get(shard_id):
                first, last = min(known.first, first, key=int), max(known.last, last, key=int)
            found[shard_id] = ShardLineage(shard_id, first, last, count + (known.count if known else 0))
    return tuple(found[shard_id] for shard_id in sorted(found))


def sequence_columns(batches: Iterable[pa.RecordBatch]) -> bytes:
    """The lineage of every row of `batches`, encoded: shard_id, sequence_number, sub_sequence_number."""
    names = list(LINEAGE_COLUMNS)[:3]
    table = pa.Table.from_batches([batch.select(names) for batch in batches]).combine_chunks()
    return encode_batch(table.rename_columns([LINEAGE_COLUMNS[name] for name in names]).to_batches()[0])


def data_bytes(page: pa.RecordBatch) -> int:
    """The bytes of a page's `data`, without the offsets around them."""
    return binary_size(page.column("data"))


def binary_size(column: pa.Array) -> int:
    """The bytes of all values of a binary array."""
    if len(column) == 0:
        return 0
    return pc.sum(pc.binary_length(column)).as_py() or 0


def joined(column: pa.Array) -> bytes:
    """All values of a binary array one after the other, with nothing between them (A7.11)."""
    return b"".join(column.to_pylist())


def _by_shard(batch: pa.RecordBatch) -> Iterator[tuple[str, pa.Array, int]]:
    """For each shard its sequence numbers, row by row, and how many records the rows are of."""
    lineage_rows = batch.select(list(LINEAGE_COLUMNS)[:3])
    unique = pc.unique(lineage_rows.column(0))
    for shard_id in unique:  # nearly always one: a page holds one shard
        rows = lineage_rows if len(unique) == 1 else lineage_rows.filter(pc.equal(lineage_rows.column(0), shard_id))
        numbers, subs = rows.column(1), rows.column(2)
        begins = pc.or_(pc.not_equal(numbers[1:], numbers[:-1]), pc.not_equal(subs[1:], subs[:-1]))
        yield shard_id.as_py(), numbers, 1 + (pc.sum(begins).as_py() or 0)


def _extremes(numbers: pa.Array) -> tuple[str, str]:
    if pc.count_distinct(pc.binary_length(numbers)).as_py() > 1:
        ordered = sorted(numbers.to_pylist(), key=int)
        return ordered[0], ordered[-1]
    found = pc.min_max(numbers).as_py()  # of one length, as AWS's are, text order is number order
    return found["min"], found["max"]
