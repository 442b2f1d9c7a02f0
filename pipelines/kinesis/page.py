"""The page: what travels. One GetRecords answer as an Arrow record batch, and its Beam coder.

A page holds records of one shard in sequence order. Moving 500 records as one element costs Beam what moving one
would, and a column is decoded, hashed or cast in one call.
"""

from collections.abc import Sequence
from typing import Final

import apache_beam as beam
import pyarrow as pa

PAGE_SCHEMA: Final = pa.schema([
    pa.field("data", pa.binary(), nullable=False),
    pa.field("partition_key", pa.string(), nullable=False),
    pa.field("sequence_number", pa.string(), nullable=False),
    pa.field("sub_sequence_number", pa.int64(), nullable=False),
    pa.field("shard_id", pa.string(), nullable=False),
    pa.field("arrival_ms", pa.int64(), nullable=False),
])  # fmt: skip
"""Columns of a page; `arrival_ms` is ApproximateArrivalTimestamp in milliseconds (B9), `sub_sequence_number` is 0
for a record that was not aggregated (B17)."""

_IPC_OPTIONS: Final = pa.ipc.IpcWriteOptions(compression="lz4")


def make_page(
    shard_id: str,
    data: Sequence[bytes],
    partition_key: Sequence[str],
    sequence_number: Sequence[str],
    arrival_ms: Sequence[int],
    sub_sequence_number: Sequence[int] | None = None,
) -> pa.RecordBatch:
    """A page of `len(data)` records of `shard_id`; all sequences have one length."""
    size = len(data)
    subs = pa.array([0] * size if sub_sequence_number is None else sub_sequence_number, pa.int64())
    return pa.RecordBatch.from_arrays(
        [
            pa.array(data, pa.binary()),
            pa.array(partition_key, pa.string()),
            pa.array(sequence_number, pa.string()),
            subs,
            pa.repeat(pa.scalar(shard_id, pa.string()), size),
            pa.array(arrival_ms, pa.int64()),
        ],
        schema=PAGE_SCHEMA,
    )


def encode_batch(batch: pa.RecordBatch) -> bytes:
    """`batch` as an Arrow IPC stream with lz4. Only the batch's own rows are written, also when it is a slice."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema, options=_IPC_OPTIONS) as writer:
        writer.write_batch(batch)
    return sink.getvalue().to_pybytes()


def decode_batch(encoded: bytes) -> pa.RecordBatch:
    """The inverse of `encode_batch`."""
    with pa.ipc.open_stream(encoded) as reader:
        return reader.read_next_batch()


class ArrowBatchCoder(beam.coders.Coder):
    """Beam coder of `pyarrow.RecordBatch` (any schema): Arrow IPC stream with lz4.

    Pickle, Beam's default, would write the whole parent buffer of a sliced batch.
    """

    def encode(self, value: pa.RecordBatch) -> bytes:
        return encode_batch(value)

    def decode(self, encoded: bytes) -> pa.RecordBatch:
        return decode_batch(encoded)

    def is_deterministic(self) -> bool:
        return False

    def to_type_hint(self) -> type[pa.RecordBatch]:
        return pa.RecordBatch


beam.coders.registry.register_coder(pa.RecordBatch, ArrowBatchCoder)
