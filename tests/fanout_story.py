"""A stream read by enhanced fan-out while records are put and a shard is split: for any endpoint."""

import threading
import time
from dataclasses import dataclass, field
from typing import Any

from pipelines.kinesis.cache import CursorCache
from pipelines.kinesis.consumer import consumer_arn
from pipelines.kinesis.fanout import FanoutCursor
from pipelines.kinesis.fetch import Fetcher
from pipelines.kinesis.positions import StartingPosition
from pipelines.kinesis.put import Record, batches, put_records
from pipelines.kinesis.reader import Reader, Wait, start_of
from pipelines.kinesis.service import StreamService
from pipelines.kinesis.subscriber import Subscriber
from pipelines.runtime.clock import SystemClock

KEYS = 20


@dataclass
class Told:
    """What a reading gave: (shard, sequence number, data), in the order in which it came."""

    records: list[tuple[str, int, str]] = field(default_factory=list)
    ended: dict[str, list[str]] = field(default_factory=dict)


def put_and_split(kinesis: Any, stream: str, count: int) -> None:
    """Puts `count` records, of `KEYS` keys in turn, and splits the first shard when half of them are in."""
    clock = SystemClock()
    for half in range(2):
        indexes = range(half * count // 2, (half + 1) * count // 2)
        for index in range(indexes.start, indexes.stop, 25):
            records = [Record(str(i).encode(), f"key-{i % KEYS}") for i in range(index, min(index + 25, indexes.stop))]
            for batch in batches(records):
                put_records(kinesis, stream, batch, clock)
        if half == 0:
            kinesis.split_shard(StreamName=stream, ShardToSplit="shardId-000000000000", NewStartingHashKey=str(2**126))
            wait_until_active(kinesis, stream)


def wait_until_active(kinesis: Any, stream: str) -> None:
    while kinesis.describe_stream_summary(StreamName=stream)["StreamDescriptionSummary"]["StreamStatus"] != "ACTIVE":
        time.sleep(0.1)


def tell(make_client: Any, stream: str, count: int, end_s: float = 120) -> Told:
    """Reads `count` records that are put meanwhile, and what else comes within three seconds behind them."""
    clock, kinesis = SystemClock(), make_client()
    kinesis.create_stream(StreamName=stream, ShardCount=2)
    wait_until_active(kinesis, stream)
    fetcher = Fetcher(StreamService(stream, kinesis))
    subscriber = Subscriber(consumer_arn(kinesis, stream, "teller", clock), make_client, clock)
    cache = CursorCache(lambda shard, position: FanoutCursor(fetcher, subscriber, shard, position, clock))
    left = start_of(fetcher.service, StartingPosition.parse("TRIM_HORIZON"), clock)
    told, deadline = Told(), time.monotonic() + end_s
    putting = threading.Thread(target=put_and_split, args=(make_client(), stream, count))
    reader = Reader(cache, clock)
    while time.monotonic() < deadline:
        step = reader.poll(left)
        if len(told.records) == 0 and not putting.ident:
            putting.start()  # the subscriptions are there
        if isinstance(step, Wait):
            time.sleep(step.seconds)
            continue
        assert step.failures == ()
        left = left.after(step.claim)
        if step.page is not None:
            for number, data in zip(
                step.page["sequence_number"].to_pylist(), step.page["data"].to_pylist(), strict=True
            ):
                told.records.append((step.claim.shard_id, int(number), data.decode()))
            if len(told.records) == count:
                deadline = min(deadline, time.monotonic() + 3)
        if step.claim.ends:
            told.ended[step.claim.shard_id] = [child.shard_id for child in step.claim.children]
    reader.close(left)
    for shard in left.readable():
        cache.take(shard).close()
    putting.join(30)
    for thread in threading.enumerate():
        if thread.name.startswith("fan-out "):
            thread.join(10)
            assert not thread.is_alive()
    return told


def check(told: Told, count: int) -> None:
    """Every record once, a shard's in order, a key's in order across the split; the children were told."""
    indexes = [int(index) for _, _, index in told.records]
    assert sorted(indexes) == list(range(count))
    for shard_id in {shard_id for shard_id, _, _ in told.records}:
        numbers = [number for shard, number, _ in told.records if shard == shard_id]
        assert numbers == sorted(numbers)
    for key in range(KEYS):
        of_key = [index for index in indexes if index % KEYS == key]
        assert of_key == sorted(of_key)
    assert told.ended == {"shardId-000000000000": ["shardId-000000000002", "shardId-000000000003"]}
    assert {shard for shard, _, _ in told.records} == {f"shardId-00000000000{index}" for index in range(4)}
