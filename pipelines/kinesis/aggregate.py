"""Aggregation: many records put as one, in the KPL's format (B16)."""

import sys
from collections.abc import Iterable
from typing import Final

from pipelines.kinesis.aggregation_format import DEDUP_TAG, OVERHEAD_BYTES, AggregatedRecord, seal
from pipelines.kinesis.put import Record, refusal
from pipelines.runtime.errors import ConfigurationError

KPL_MAX_BYTES: Final = 51_200
"""The KPL's own limit of an aggregate (AggregationMaxSize)."""


class Aggregator:
    """Collects records of one shard until they fill one Kinesis record.

    A producer has one for each shard: an aggregate arrives in one shard, and readers drop what does not belong there.

    Args:
        max_bytes: the most that the aggregate's data and partition key may have together. The default is the KPL's;
            Kinesis takes 1 MiB, unless the stream is set otherwise (B1).
    """

    def __init__(self, max_bytes: int = KPL_MAX_BYTES) -> None:
        self._max_bytes = max_bytes
        self._message = AggregatedRecord()
        self._records: list[Record] = []
        self._size = 0
        self._partition_keys: dict[str, int] = {}
        self._explicit_hash_keys: dict[str, int] = {}

    @property
    def records(self) -> tuple[Record, ...]:
        """What was added."""
        return tuple(self._records)

    @property
    def size(self) -> int:
        """Bytes of the aggregate, its partition key included, as Kinesis counts them (B1); 0 while it is empty."""
        return self._size

    def add(self, record: Record) -> bool:
        """Takes `record`, if it fits.

        Returns:
            False when the aggregate would exceed `max_bytes`; nothing has changed then. A record that does not fit
            into an empty aggregator fits into none and is to be put as it is.

        Raises:
            ConfigurationError: Kinesis would refuse the record by itself (B3), which it cannot see in an aggregate.
        """
        refused = refusal(record, sys.maxsize)
        if refused is not None:
            raise ConfigurationError(refused.message, fix="give it a key that Kinesis takes")
        # Protobuf messages are merged by putting one behind the other, so their sizes add up.
        addition = AggregatedRecord()
        entry = addition.records.add(
            partition_key_index=self._partition_keys.get(record.partition_key, len(self._partition_keys)),
            data=record.data,
        )
        if record.partition_key not in self._partition_keys:
            addition.partition_key_table.append(record.partition_key.encode())
        explicit = record.explicit_hash_key
        if explicit is not None:
            entry.explicit_hash_key_index = self._explicit_hash_keys.get(explicit, len(self._explicit_hash_keys))
            if explicit not in self._explicit_hash_keys:
                addition.explicit_hash_key_table.append(explicit.encode())
        if record.dedup_key is not None:
            entry.tags.add(key=DEDUP_TAG, value=record.dedup_key.encode())
        empty_size = OVERHEAD_BYTES + len(record.partition_key.encode())
        size = (self._size or empty_size) + addition.ByteSize()
        if size > self._max_bytes:
            return False
        self._message.MergeFrom(addition)
        self._records.append(record)
        self._size = size
        self._partition_keys.setdefault(record.partition_key, len(self._partition_keys))
        if explicit is not None:
            self._explicit_hash_keys.setdefault(explicit, len(self._explicit_hash_keys))
        return True

    def finish(self, *, explicit_hash_key: str | None = None) -> Record:
        """All that was added as one record to put. The aggregator is left as it is; begin the next with a new one.

        The record has the partition key and explicit hash key of the first record, so it arrives in the shard of its
        records as long as they belong to one. If the stream is resharded in between, it arrives in the shard of the
        first, and readers drop those that belong to another: the producer compares the shard in the answer, and
        aggregates anew and puts again the `records` that lie outside of it.

        Args:
            explicit_hash_key: takes the place of the first record's, such as the first hash key of the shard meant.
                The records keep their own: those that do not belong into that shard are dropped by readers.

        Raises:
            ValueError: nothing was added.
        """
        if not self._records:
            message = "no records to aggregate"
            raise ValueError(message)
        first = self._records[0]
        explicit = first.explicit_hash_key if explicit_hash_key is None else explicit_hash_key
        return Record(seal(self._message), first.partition_key, explicit)


def aggregate(records: Iterable[Record], *, explicit_hash_key: str | None = None) -> Record:
    """One record that carries all of `records`, which belong to one shard; of any size.

    Args:
        records: at least one; their `dedup_key` travels as a tag.
        explicit_hash_key: see `Aggregator.finish`.

    Raises:
        ValueError: there are none.
        ConfigurationError: see `Aggregator.add`.
    """
    aggregator = Aggregator(max_bytes=sys.maxsize)
    for record in records:
        aggregator.add(record)
    return aggregator.finish(explicit_hash_key=explicit_hash_key)
