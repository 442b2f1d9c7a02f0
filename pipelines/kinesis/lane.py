"""What waits for one shard: entries of PutRecords in lines, and how the shard has treated us lately."""

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from pipelines.kinesis.aggregate import Aggregator, aggregate
from pipelines.kinesis.put import MAX_ENTRIES, Record

_ONE_LINE: Final = ""


@dataclass(slots=True, eq=False)
class Entry:
    """One entry of PutRecords.

    Attributes:
        records: what was given to us.
        put: what is sent: the record itself, or an aggregate of all of them (B16).
        size: bytes of `put` (B1).
        attempts: calls that it was part of.
        first_s: when the first of them was made.
    """

    records: Sequence[Record]
    put: Record
    size: int
    attempts: int = 0
    first_s: float = 0.0

    @classmethod
    def of(cls, records: Sequence[Record], attempts: int = 0, first_s: float = 0.0) -> "Entry":
        """An entry for `records` of one shard. One alone goes as it is, unless it has a `dedup_key` to carry."""
        plain = len(records) == 1 and records[0].dedup_key is None
        put = records[0] if plain else aggregate(records)
        return cls(records, put, put.size, attempts, first_s)


class Lane:
    """The entries that wait for one shard.

    They stand in lines, and a request takes only from the front of a line: one entry a line when order counts, since
    a request can lose an entry and keep a later one (B2). A line is a partition key then, or the whole shard when
    records are aggregated, as an aggregate holds many keys. When order does not count, there is one line, and a
    request takes as many as fit.

    Args:
        shard_id: the shard.
        ordered: whether a request takes only one entry of a line.
        aggregation_max_bytes: the largest aggregate with its partition key; None aggregates nothing.
    """

    def __init__(self, shard_id: str, *, ordered: bool, aggregation_max_bytes: int | None) -> None:
        self.shard_id: Final = shard_id
        self.in_flight = False
        """Whether a request with entries of this shard is under way; there is never more than one."""
        self.ready_s = 0.0
        """Nothing is sent to the shard before."""
        self.failures = 0
        """Grows while the shard takes less than half of what it is sent."""
        self.failing_since_s: float | None = None
        """Since when the shard has taken nothing at all."""
        self.waiting = 0
        """Entries in the lines."""
        self.bytes = 0
        """Their size."""
        self._width = 1 if ordered else MAX_ENTRIES
        self._by_key = ordered and aggregation_max_bytes is None
        self._max_bytes = aggregation_max_bytes
        self._aggregator = Aggregator(aggregation_max_bytes or 0)
        self._lines: OrderedDict[str, list[Entry]] = OrderedDict()

    @property
    def is_empty(self) -> bool:
        return not self.waiting and not self._aggregator.size

    def add(self, record: Record) -> None:
        """`record` waits behind all that was added before."""
        if self._max_bytes is None:
            self.push(Entry.of((record,)))
        elif not self._aggregator.add(record):
            self._seal()
            if not self._aggregator.add(record):
                self.push(Entry.of((record,)))

    def push(self, entry: Entry) -> None:
        """`entry` waits behind all others of its line."""
        line_id = entry.put.partition_key if self._by_key else _ONE_LINE
        line = self._lines.get(line_id)
        if line is None:
            self._lines[line_id] = [entry]
        else:
            line.append(entry)
        self.waiting += 1
        self.bytes += entry.size

    def put_back(self, entries: Sequence[Entry]) -> None:
        """`entries` wait again, before all others, in their order."""
        for entry in reversed(entries):
            line_id = entry.put.partition_key if self._by_key else _ONE_LINE
            self._lines.setdefault(line_id, []).insert(0, entry)
            self._lines.move_to_end(line_id, last=False)
            self.waiting += 1
            self.bytes += entry.size

    def take(self, most: int, most_bytes: int) -> list[Entry]:
        """What a request with room for `most` entries and `most_bytes` carries; lines take turns."""
        if not self.waiting:
            self._seal()
        taken: list[Entry] = []
        for _ in range(len(self._lines)):
            line_id, line = self._lines.popitem(last=False)
            count = 0
            for entry in line[: min(self._width, most - len(taken))]:
                if entry.size > most_bytes:
                    break
                most_bytes -= entry.size
                count += 1
            taken += line[:count]
            del line[:count]
            if line:
                self._lines[line_id] = line
            if count == 0:
                self._lines.move_to_end(line_id, last=False)
                break
        self.waiting -= len(taken)
        self.bytes -= sum(entry.size for entry in taken)
        return taken

    def drain(self) -> Iterator[Entry]:
        """All that waits, each line in its order, and no more waits then."""
        self._seal()
        lines, self._lines = self._lines, OrderedDict()
        self.waiting = self.bytes = 0
        for line in lines.values():
            yield from line

    def _seal(self) -> None:
        """What was aggregated so far becomes an entry."""
        if self._aggregator.size:
            records, put = self._aggregator.records, self._aggregator.finish()
            if len(records) == 1:
                self.push(Entry.of(records))
            else:
                self.push(Entry(records, put, self._aggregator.size))
            self._aggregator = Aggregator(self._max_bytes or 0)
