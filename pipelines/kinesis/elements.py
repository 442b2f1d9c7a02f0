"""What the sink takes: records to put, out of the elements that a pipeline has."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import pyarrow as pa

from pipelines.kinesis.put import Record
from pipelines.kinesis.records import KinesisRecord
from pipelines.runtime.errors import ConfigurationError

BY_POSITION: Final = "BY_POSITION"
"""`dedup_key` of what was read: a name is a position, "<shard id>:<sequence number>:<sub-sequence number>"."""

DedupKey = Callable[[Record], str] | str | None
"""A function of the record, BY_POSITION, or None for the names that records have already."""

_PLACE: Final = ("shard_id", "sequence_number", "sub_sequence_number")
_FIX: Final = (
    "give it pages, KinesisRecord, Record(data: bytes, partition_key: str), or tuples (partition_key: str, data: bytes)"
)


def check_dedup_key(dedup_key: DedupKey) -> DedupKey:
    """`dedup_key`, if it is one.

    Raises:
        ConfigurationError: it is not.
    """
    if dedup_key is None or dedup_key == BY_POSITION or callable(dedup_key):
        return dedup_key
    message = f"dedup_key is {dedup_key!r}"
    raise ConfigurationError(message, fix="give a function of the record, BY_POSITION, or None")


def records_of(element: Any, dedup_key: DedupKey) -> Iterator[Record]:
    """The records of one element, in order.

    Args:
        element: a page (PAGE_SCHEMA, DEDUP_PAGE_SCHEMA), a `KinesisRecord`, a `Record`, or (partition_key, data).
        dedup_key: names each.

    Raises:
        ConfigurationError: the element is none of these, or BY_POSITION is to name what was not read.
    """
    if isinstance(element, pa.RecordBatch):
        found = _rows(element, dedup_key)
    elif isinstance(element, KinesisRecord):
        place = [getattr(element, name) for name in _PLACE]
        name = _position(place) if dedup_key == BY_POSITION else None
        found = iter((Record(element.data, element.partition_key, None, name),))
    else:
        found = iter((_record(element, dedup_key),))
    if not callable(dedup_key):
        return found
    return (Record(r.data, r.partition_key, r.explicit_hash_key, dedup_key(r)) for r in found)


def _record(element: Any, dedup_key: DedupKey) -> Record:
    record = Record(element[1], element[0]) if isinstance(element, tuple) and len(element) == 2 else element
    if (
        not isinstance(record, Record)
        or not isinstance(record.data, bytes)
        or not isinstance(record.partition_key, str)
    ):
        message = f"WriteToKinesis got an element of type {type(element).__name__}: {str(element)[:80]}"
        raise ConfigurationError(message, fix=_FIX)
    if dedup_key == BY_POSITION:
        message = "BY_POSITION names records by where they were read, and WriteToKinesis got a record of elsewhere"
        raise ConfigurationError(message, fix="give a dedup_key that is a function of the record")
    return record


def _rows(page: pa.RecordBatch, dedup_key: DedupKey) -> Iterator[Record]:
    names: Sequence[str | None] = [None] * page.num_rows
    if dedup_key == BY_POSITION:
        places = (page.column(name).to_pylist() for name in _PLACE)
        names = [_position(place) for place in zip(*places, strict=True)]
    elif "dedup_key" in page.schema.names:
        names = page.column("dedup_key").to_pylist()
    columns = (page.column("data").to_pylist(), page.column("partition_key").to_pylist(), names)
    for data, partition_key, name in zip(*columns, strict=True):
        yield Record(data, partition_key, None, name)


def _position(place: Sequence[Any]) -> str:
    return ":".join(map(str, place))
