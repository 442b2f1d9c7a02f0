"""What is fetched ahead holds a bounded amount of memory, however many shards lag."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
from kinesis_fake import AtOnce, FakeKinesis

from pipelines.kinesis.ahead import AHEAD_BYTES, ANSWER_BYTES, Ahead
from pipelines.kinesis.cache import CursorCache
from pipelines.kinesis.cursor import Cursor
from pipelines.kinesis.fetch import Fetcher
from pipelines.kinesis.positions import StartingPosition
from pipelines.kinesis.reader import Offer, Reader, Wait, start_of
from pipelines.kinesis.service import StreamService
from pipelines.runtime.clock import ManualClock

MIB = 1024 * 1024


def lagging(shards: int, records: int, data: bytes) -> FakeKinesis:
    stream = FakeKinesis(ManualClock(), shards, page_records=10)
    for shard_id in list(stream.shards):
        stream.put(shard_id, records, data)
        stream.close(shard_id)
    stream.clock.advance(60)
    return stream


def reader_of(stream, executor, limit_bytes: int) -> tuple[Reader, Ahead]:
    ahead = Ahead(limit_bytes)
    fetcher = Fetcher(StreamService("flights", stream, clock=stream.clock))
    cache = CursorCache(lambda shard, at: Cursor(fetcher, shard, at, stream.clock, executor, ahead=ahead), ahead)
    return Reader(cache, stream.clock), ahead


def held(ahead: Ahead) -> int:
    return sum(holder.held_bytes for holder in ahead._holders)


@pytest.mark.parametrize("executor", [AtOnce(), ThreadPoolExecutor(4)], ids=["at once", "threads"])
def test_60_lagging_shards_hold_no_more_than_the_limit(executor):
    """Each answer is 10 MiB, as large as one can be (B8): at most the limit is held, and everything is read."""
    stream = lagging(60, 20, bytes(MIB))
    limit = 64 * MIB
    reader, ahead = reader_of(stream, executor, limit)
    left = start_of(StreamService("flights", stream), StartingPosition.parse("TRIM_HORIZON"), stream.clock)
    count, most = 0, 0
    while not left.done:
        step = reader.poll(left)
        most = max(most, held(ahead))
        if isinstance(step, Wait):
            stream.clock.sleep(step.seconds + 0.001)
            continue
        assert isinstance(step, Offer)
        left = left.after(step.claim)
        count += step.page.num_rows if step.page is not None else 0
    assert count == 60 * 20
    assert 3 * ANSWER_BYTES < most <= limit + ANSWER_BYTES  # some ahead; and what cannot be waited for


@pytest.mark.parametrize("executor", [AtOnce(), ThreadPoolExecutor(4)], ids=["at once", "threads"])
@pytest.mark.parametrize("limit_mib", [64, 4_096], ids=["short of room", "room enough"])
@pytest.mark.parametrize("processes", [False, True], ids=["one reader", "a reader a page"])
def test_no_shard_waits_for_another_to_be_read_to_its_tip(executor, limit_mib, processes):
    """A shard that is left behind holds the watermark, and retention overtakes it."""
    stream = lagging(30, 100, bytes(100_000))
    for shard in stream.shards.values():
        shard.closed = False
    stream.page_records = 10
    reader, ahead = reader_of(stream, executor, limit_mib * MIB)
    cache = reader._cache
    left = start_of(StreamService("flights", stream), StartingPosition.parse("TRIM_HORIZON"), stream.clock)
    pages: Counter[str] = Counter()
    while pages.total() < 150:  # half of all
        step = reader.poll(left)
        if isinstance(step, Wait):
            stream.clock.sleep(step.seconds + 0.001)
            continue
        left = left.after(step.claim)
        pages[step.claim.shard_id] += 1
        if processes:
            reader.close(left)
            reader = Reader(cache, stream.clock)
    assert len(pages) == 30
    assert min(pages.values()) >= 2
    assert ahead.has_room or limit_mib == 64


def test_a_limit_smaller_than_an_answer_lets_one_through_at_a_time():
    stream = lagging(3, 20, bytes(MIB))
    reader, ahead = reader_of(stream, AtOnce(), 1)
    left = start_of(StreamService("flights", stream), StartingPosition.parse("TRIM_HORIZON"), stream.clock)
    count = 0
    while not left.done:
        step = reader.poll(left)
        assert held(ahead) <= 11 * MIB
        if isinstance(step, Offer):
            left = left.after(step.claim)
            count += step.page.num_rows if step.page is not None else 0
        else:
            stream.clock.sleep(step.seconds + 0.001)
    assert count == 60


def test_what_nobody_reads_any_more_holds_nothing():
    stream = lagging(30, 20, bytes(MIB))
    reader, ahead = reader_of(stream, AtOnce(), AHEAD_BYTES)
    left = start_of(StreamService("flights", stream), StartingPosition.parse("TRIM_HORIZON"), stream.clock)
    for _ in range(40):
        step = reader.poll(left)
        if isinstance(step, Offer):
            left = left.after(step.claim)
    assert held(ahead) > 10 * ANSWER_BYTES
    reader.close(left.only(set()))
    del reader
    assert held(ahead) == 0
    assert ahead.has_room
