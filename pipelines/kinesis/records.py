"""A page as single records, for whoever wants to pay for them."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import apache_beam as beam
import pyarrow as pa
from apache_beam.transforms.window import TimestampedValue
from apache_beam.utils.timestamp import Timestamp

from pipelines.kinesis.watermark import ARRIVAL_TIME, EventTime


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


def timestamped_records(
    page: pa.RecordBatch, page_time: Any = beam.DoFn.TimestampParam, event_time: EventTime = ARRIVAL_TIME
) -> Iterator[TimestampedValue]:
    """The records of a page, each at its own event time: `pages | beam.FlatMap(timestamped_records)`.

    `records` gives all of them the page's timestamp, its earliest time. A record that comes behind the watermark keeps
    the page's, which is not before it.

    Args:
        page: of `ReadFromKinesis`.
        page_time: Beam gives it.
        event_time: as `ReadFromKinesis` was given it: `beam.FlatMap(timestamped_records, event_time=...)`.
    """
    for record, time_ms in zip(records(page), event_time.times_ms(page).to_pylist(), strict=True):
        own = page_time if time_ms is None else Timestamp(micros=time_ms * 1000)
        yield TimestampedValue(record, max(page_time, own))
