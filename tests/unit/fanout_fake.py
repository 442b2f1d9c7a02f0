"""Subscriptions without AWS: streams that a test writes into, and a shard that is served in events of any cut."""

import base64
import json
import queue
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from pipelines.kinesis.decode import Answer
from pipelines.kinesis.positions import ShardPosition
from pipelines.kinesis.restriction import ShardInfo
from pipelines.runtime.clock import ManualClock

SHARD = "shardId-000000000000"
CHILDREN = ("shardId-000000000001", "shardId-000000000002")
BEGIN = 49_600_000_000_000_000_000_000_000_000_000_000_000


def number(index: int) -> str:
    """The sequence number of the record of this index; there is room between two for continuation numbers."""
    return str(BEGIN + 10 * index)


def event(indexes, continuation: str | None = "", behind_ms: int = 0, children=(), data=None) -> bytes:
    """An event as AWS writes it. The continuation is the last record's number unless told; None leaves it out."""
    indexes = list(indexes)
    records = [
        {
            "SequenceNumber": number(index),
            "ApproximateArrivalTimestamp": 1_700_000_000 + index / 1000,
            "Data": base64.b64encode(data or str(index).encode()).decode(),
            "PartitionKey": f'key-{index}"ContinuationSequenceNumber":"7"',
        }
        for index in indexes
    ]
    members = {"Records": records, "MillisBehindLatest": behind_ms}
    if continuation == "" and indexes:
        continuation = number(indexes[-1])
    if continuation is not None:
        members["ContinuationSequenceNumber"] = continuation
    if children:
        members["ChildShards"] = [
            {"ShardId": child, "ParentShards": [SHARD], "HashKeyRange": {"StartingHashKey": "0", "EndingHashKey": "9"}}
            for child in children
        ]
    return json.dumps(members, separators=(",", ":")).encode()


@dataclass
class Stream:
    """What one call opened. `send` takes an event, or an error, which ends it; None ends it in good order."""

    position: ShardPosition
    _items: "queue.SimpleQueue[bytes | Exception | None]" = field(default_factory=queue.SimpleQueue)
    closed: threading.Event = field(default_factory=threading.Event)
    waits: threading.Event = field(default_factory=threading.Event)
    taken: int = 0

    def send(self, *items) -> None:
        for item in items:
            self._items.put(item)

    def __iter__(self) -> Iterator[bytes]:
        while True:
            self.waits.set()
            item = self._items.get()
            self.waits.clear()
            if item is None or self.closed.is_set():
                return
            if isinstance(item, Exception):
                raise item
            self.taken += 1
            yield item

    def close(self) -> None:
        self.closed.set()
        self._items.put(None)


class Streams:
    """A subscriber whose calls a test answers: each opens a `Stream`, or raises what `refusals` holds first."""

    def __init__(self) -> None:
        self.opened: list[Stream] = []
        self.calls: list[ShardPosition] = []
        self.refusals: list[Exception] = []

    def subscribe(self, shard_id: str, position: ShardPosition) -> Stream:
        assert shard_id == SHARD
        self.calls.append(position)
        if self.refusals:
            raise self.refusals.pop(0)
        self.opened.append(Stream(position))
        return self.opened[-1]

    @property
    def last(self) -> Stream:
        return self.opened[-1]


class Polled:
    """What a cursor needs of `StreamService`: GetRecords where subscriptions break, ListShards."""

    stream = "flights"

    def __init__(self, answer: Answer | None = None) -> None:
        self.answer = answer or Answer(None, 0, 0, "next")
        self.answer_behind = Answer(None, 0, 0, "next")
        self.faults: list[Exception] = []
        self.asked: list[ShardPosition] = []
        self.listed = tuple(ShardInfo(child, (SHARD,)) for child in CHILDREN)

    def iterator(self, shard_id: str, position: ShardPosition, *, behind: bool = False) -> str:
        self.asked.append(position)
        return "behind" if behind else "iterator"

    def get(self, shard_id: str, iterator: str) -> Answer:
        self._fail()
        return self.answer_behind if iterator == "behind" else self.answer

    def shards(self) -> tuple[ShardInfo, ...]:
        return self.listed

    def children(self, shard_id: str) -> tuple[ShardInfo, ...]:
        self._fail()
        return tuple(shard for shard in self.listed if shard_id in shard.parents)

    def _fail(self) -> None:
        if self.faults:
            raise self.faults.pop(0)


def eventually(found: Callable[[], object], what: str = "it") -> object:
    """What `found` returns once that is true; threads need a moment, and no clock of ours moves them."""
    end_s = time.monotonic() + 20
    while time.monotonic() < end_s:
        value = found()
        if value:
            return value
        time.sleep(0.0005)
    raise AssertionError(f"{what} did not happen within 20 s")


@dataclass(frozen=True)
class Plan:
    """How one subscription goes: what it sends before what ends it.

    `again` records before its start are sent a second time; `cuts` are the sizes of its events, 0 for an empty one;
    `ends` is None for the end after five minutes, or an error.
    """

    cuts: tuple[int, ...]
    ends: Exception | None
    again: int = 0


class ShardServer:
    """Serves `count` records of a closed shard by subscriptions that go as planned, and then to the end."""

    def __init__(self, count: int, plans: list[Plan], clock: ManualClock) -> None:
        self.count = count
        self.plans = list(plans)
        self.clock = clock
        self.positions: list[ShardPosition] = []

    def subscribe(self, shard_id: str, position: ShardPosition) -> "_Served":
        self.positions.append(position)
        plan = self.plans.pop(0) if self.plans else Plan((7,) * self.count, None)
        return _Served(self, self._index(position), plan)

    def _index(self, position: ShardPosition) -> int:
        if position.type == "TRIM_HORIZON":
            return 0
        steps, rest = divmod(int(position.sequence_number) - BEGIN, 10)
        # A number between two records is a continuation; it and a record's own number are behind that record.
        assert (position.type, rest) in {("AT_SEQUENCE_NUMBER", 0), ("AFTER_SEQUENCE_NUMBER", 3)}
        return steps + (position.type == "AFTER_SEQUENCE_NUMBER")


@dataclass
class _Served:
    server: ShardServer
    index: int
    plan: Plan
    closed: bool = False

    def __iter__(self) -> Iterator[bytes]:
        index, again, count = self.index, self.plan.again, self.server.count
        for cut in self.plan.cuts:
            if self.closed:
                return
            end = min(count, index + cut)
            begin = max(0, index - again) if cut else index
            again = 0 if cut else again
            if end == count:
                yield event(range(begin, end), None, 0, CHILDREN)
                return
            # Progress without records is numbered too: between the last record and the next.
            continuation = str(BEGIN + 10 * (end - 1) + (0 if cut else 3)) if end else "0"
            yield event(range(begin, end), continuation, behind_ms=count - end)
            index = end
        if self.plan.ends is not None:
            raise self.plan.ends
        self.server.clock.advance(300)

    def close(self) -> None:
        self.closed = True
