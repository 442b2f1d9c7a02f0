"""A history while it is written: its steps, and what the stream would be after them."""

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Final

from steps import STREAM, Answered, Named, ShardThen, Step

KEYS: Final = 1 << 128
"""How many hash keys there are (B3)."""

MARGIN: Final = 1 << 16
"""How far hash keys stay away from the bounds of shards, where LocalStack is a few keys off."""

_WITHOUT_STREAM: Final = frozenset({"GetRecords", "SubscribeToShard"})
_ONLY_BY_ARN: Final = frozenset({
    "RegisterStreamConsumer", "ListStreamConsumers", "DescribeStreamConsumer", "DeregisterStreamConsumer",
})  # fmt: skip


@dataclass(eq=False)
class Shard:
    """A shard: its range, when it came and went, and what refers to its records' sequence numbers."""

    index: int
    start: int
    end: int
    created: int
    closed: int | None = None
    puts: list[Answered] = field(default_factory=list)

    @property
    def id(self) -> str:
        return shard_id(self.index)

    @property
    def is_open(self) -> bool:
        return self.closed is None


@dataclass(eq=False)
class Reader:
    """An iterator that somebody holds, and how many records are behind it."""

    shard: Shard
    position: int
    iterator: Answered


class Draft:
    """One history as far as it is written.

    Args:
        rng: makes all choices.
    """

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.steps: list[Step] = []
        self.shards: list[Shard] = []
        self.readers: list[Reader] = []
        self.pauses: list[int] = []
        self.tags: set[str] = set()
        self.consumers: dict[str, int] = {}
        self.retention_h = 24
        self.has_subscribed = False

    @property
    def open_shards(self) -> list[Shard]:
        return [shard for shard in self.shards if shard.is_open]

    def call(self, operation: str, *, records: int = 0, stream: str | None = STREAM, **request: Any) -> int:
        """Adds a step on `stream`, by its name or its ARN, and returns its number."""
        if stream is not None and operation not in _WITHOUT_STREAM:
            by_arn = operation in _ONLY_BY_ARN or (operation != "CreateStream" and self.rng.random() < 0.2)
            request = {"StreamARN" if by_arn else "StreamName": Named(stream, by_arn), **request}
        shards = tuple(ShardThen(shard.id, shard.created, shard.closed, len(shard.puts)) for shard in self.shards)
        self.steps.append(Step(operation, request, shards, records))
        return len(self.steps) - 1

    def create(self, count: int) -> None:
        """CreateStream with `count` shards, which are even (B4)."""
        number = self.call("CreateStream", ShardCount=count)
        self.shards = [
            Shard(index, KEYS * index // count, KEYS * (index + 1) // count - 1, number) for index in range(count)
        ]
        self.pause()

    def pause(self) -> None:
        """A whole second that what was made before does not reach, and what is made after does."""
        self.steps.append(Step("Pause"))
        self.pauses.append(len(self.steps) - 1)

    def iterate(self, shard: Shard, kind: str, position: int, **more: Any) -> Reader:
        """GetShardIterator; `position` is where it will stand."""
        number = self.call("GetShardIterator", ShardId=shard.id, ShardIteratorType=kind, **more)
        return Reader(shard, position, Answered(number, ("ShardIterator",)))

    def get(self, reader: Reader, limit: int | None = None) -> Reader | None:
        """GetRecords; who reads on from there, None at the end of a closed shard (B10)."""
        most = {} if limit is None else {"Limit": limit}
        there = len(reader.shard.puts)
        position = min(there, reader.position + (limit or 10_000))
        number = self.call("GetRecords", records=there - position, ShardIterator=reader.iterator, **most)
        if position == there and not reader.shard.is_open:
            return None
        return Reader(reader.shard, position, Answered(number, ("NextShardIterator",)))

    def cut(self, shard: Shard, at: int, number: int) -> None:
        """What step `number` makes of `shard` (B11)."""
        shard.closed = number
        self.shards.append(Shard(len(self.shards), shard.start, at - 1, number))
        self.shards.append(Shard(len(self.shards), at, shard.end, number))

    def join(self, one: Shard, other: Shard, number: int) -> None:
        """What step `number` makes of `one` and `other` (B11)."""
        one.closed = other.closed = number
        start, end = min(one.start, other.start), max(one.end, other.end)
        self.shards.append(Shard(len(self.shards), start, end, number))

    def neighbours(self) -> Iterator[tuple[Shard, Shard]]:
        """Adjacent open shards, the lower one first."""
        in_order = sorted(self.open_shards, key=lambda shard: shard.start)
        yield from pairwise(in_order)


def shard_id(index: int) -> str:
    """shardId-000000000000, ..."""
    return f"shardId-{index:012d}"
