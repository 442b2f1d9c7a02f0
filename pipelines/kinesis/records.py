"""A page as single records, for whoever wants to pay for them."""

from collections.abc import Iterator
from typing import NamedTuple

import pyarrow as pa


class KinesisRecord(NamedTuple):
    """A record as it was read; the members are the columns of a page.

    Attributes:
        data: the payload.
        partition_key: its partition key.
        sequence_number: of the record, or of the aggregate that it was in (B17).
        sub_sequence_number: its place in the aggregate, 0 without one.
        shard_id: where it was.
        arrival_ms: ApproximateArrivalTimestamp, milliseconds since the epoch.
    """

    data: bytes
    partition_key: str
    sequence_number: str
    sub_sequence_number: int
    shard_id: str
    arrival_ms: int


def records(page: pa.RecordBatch) -> Iterator[KinesisRecord]:
    """The records of a page in order: `pages | beam.FlatMap(records)`. Beam pays for each of them."""
    columns = (page.column(name).to_pylist() for name in KinesisRecord._fields)
    return map(KinesisRecord._make, zip(*columns, strict=True))
