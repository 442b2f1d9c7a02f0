"""De-aggregation: the user records of KPL aggregates in a page (B16, B17)."""

from dataclasses import dataclass, field
from typing import Final

import numpy as np
import pyarrow as pa

from pipelines.kinesis.aggregation_format import MAGIC, OVERHEAD_BYTES, UserRecords, unseal
from pipelines.kinesis.page import PAGE_SCHEMA

_DEDUP_FIELD: Final = pa.field("dedup_key", pa.string())
DEDUP_PAGE_SCHEMA: Final = PAGE_SCHEMA.append(_DEDUP_FIELD)
"""Columns of a page with each record's `dedup_key`, null for a record that was put without."""


def deaggregate(
    page: pa.RecordBatch, hash_range: tuple[int, int] | None = None, *, dedup_keys: bool = False
) -> pa.RecordBatch:
    """`page` with each KPL aggregate replaced by its user records, in order.

    A user record has the aggregate's sequence number, shard and arrival time, its own partition key and data, and as
    sub-sequence number its place in the aggregate, 0 for the first (B17). Records that are not aggregates, or only
    look like it (B16), stay as they are, and user records that are aggregates themselves are not unpacked again. An
    aggregate of no records leaves nothing, as in the KCL.

    A page without an aggregate is returned as it is, for the price of a look at each record's first byte.

    **Records of other shards.** An aggregate goes to one shard, that of its first record. If the stream was resharded
    after the producer had put it together, it can hold records whose hash key belongs to another shard. The KPL
    compares the shard in the answer of PutRecords with the one that it meant, and puts again at least those records
    that do not belong into the shard where they arrived. So with `hash_range` they are dropped here and arrive there,
    and nothing is lost. That is so only with a producer that looks at the answer. One that puts records of several
    shards into an aggregate and leaves it at that, loses them with `hash_range`: read its stream with None.

    The KCL drops more: at the first record outside of the shard, the whole aggregate with the records inside. The KPL
    up to 0.15.10 put all of them again; since 0.15.11 it takes those inside for delivered, if it knows the shard, and
    a KCL consumer never sees them. Here a record inside the range always stays, so that a KPL that puts it again
    doubles it (at least once), and none loses it.

    Args:
        page: records of PAGE_SCHEMA, of one shard; may be a slice.
        hash_range: the shard's first and last hash key; user records that lie outside (by explicit hash key, else by
            the partition key's MD5) are dropped. Plain records are never dropped. None drops nothing.
        dedup_keys: whether to add the column `dedup_key`.

    Returns:
        Records of PAGE_SCHEMA, or DEDUP_PAGE_SCHEMA with `dedup_keys`; may be empty.
    """
    plain = page.append_column(_DEDUP_FIELD, pa.nulls(page.num_rows, pa.string())) if dedup_keys else page
    found = _Found()
    for row in _looking_like_aggregates(page.column(0)):
        records = unseal(page.column(0)[row].as_py())
        if records is not None:
            found.add(int(row), records, hash_range, dedup_keys)
    if not found.rows:
        return plain
    return _put_together(plain, found.rows, found.counts, found.batch(plain))


def _looking_like_aggregates(data: pa.BinaryArray) -> np.ndarray:
    """Rows of records that start with the magic number and are long enough for an aggregate."""
    _, offsets, values = data.buffers()
    if len(data) == 0 or values is None:
        return np.empty(0, np.intp)
    bounds = np.frombuffer(offsets, np.int32)[data.offset : data.offset + len(data) + 1]
    content = np.frombuffer(values, np.uint8)
    rows = np.flatnonzero(np.diff(bounds) > OVERHEAD_BYTES)
    for place, byte in enumerate(MAGIC):
        rows = rows[content[bounds[rows] + place] == byte]
    return rows


@dataclass(slots=True)
class _Found:
    """The aggregates of a page.

    Attributes:
        rows: where they are in the page.
        counts: of each, how many user records are kept.
    """

    rows: list[int] = field(default_factory=list)
    counts: list[int] = field(default_factory=list)
    _data: list[bytes] = field(default_factory=list)
    _partition_keys: list[str] = field(default_factory=list)
    _sub_sequence_numbers: list[int] = field(default_factory=list)
    _dedup_keys: list[str | None] = field(default_factory=list)

    def add(self, row: int, records: UserRecords, hash_range: tuple[int, int] | None, dedup_keys: bool) -> None:
        places: range | list[int] = range(len(records.data))
        data, partition_keys = records.data, records.partition_keys
        dedup = records.dedup_keys() if dedup_keys else []
        if hash_range is not None:
            first, last = hash_range
            places = [place for place, key in enumerate(records.hash_keys()) if first <= key <= last]
            if len(places) < len(data):
                data = [data[place] for place in places]
                partition_keys = [partition_keys[place] for place in places]
                dedup = [dedup[place] for place in places] if dedup_keys else []
        self.rows.append(row)
        self.counts.append(len(places))
        self._data += data
        self._partition_keys += partition_keys
        self._sub_sequence_numbers += places
        self._dedup_keys += dedup

    def batch(self, page: pa.RecordBatch) -> pa.RecordBatch:
        """The user records of all aggregates, in the columns of `page`."""
        sources = pa.array(np.repeat(self.rows, self.counts))
        columns = [
            pa.array(self._data, pa.binary()),
            pa.array(self._partition_keys, pa.string()),
            page.column(2).take(sources),
            pa.array(self._sub_sequence_numbers, pa.int64()),
            page.column(4).take(sources),
            page.column(5).take(sources),
        ]
        if page.num_columns > len(columns):
            columns.append(pa.array(self._dedup_keys, pa.string()))
        return pa.RecordBatch.from_arrays(columns, schema=page.schema)


def _put_together(plain: pa.RecordBatch, rows: list[int], counts: list[int], users: pa.RecordBatch) -> pa.RecordBatch:
    """`plain`, where `counts` of `users` stand for each of `rows`."""
    pieces = []
    plain_from = users_from = users_to = 0
    for row, count in zip(rows, counts, strict=True):
        if row > plain_from:  # aggregates that follow each other stay one piece
            pieces += [users.slice(users_from, users_to - users_from), plain.slice(plain_from, row - plain_from)]
            users_from = users_to
        users_to += count
        plain_from = row + 1
    return pa.concat_batches([*pieces, users.slice(users_from), plain.slice(plain_from)])
