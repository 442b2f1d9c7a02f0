"""Kinesis calls of the product, the same on every target: put, listed, read from any position, split and merged."""

import hashlib
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import pytest
from call_differences import Differences
from call_fixtures import read, stream_of, wait_until
from targets import Target

from pipelines.kinesis.page import PAGE_SCHEMA
from pipelines.kinesis.positions import TRIM_HORIZON, ShardPosition
from pipelines.kinesis.producer import Producer
from pipelines.kinesis.put import Record, put_records
from pipelines.kinesis.sender import Sender
from pipelines.kinesis.service import StreamService, one_attempt_client
from pipelines.runtime.aws import client
from pipelines.runtime.clock import SystemClock
from scenarios.read_back import stream_records
from scenarios.reshard.resharding import MERGE, SPLIT, Resharding, open_shards, parents

FIRST, SECOND, THIRD, FOURTH, FIFTH = (f"shardId-{number:012}" for number in range(5))
HALF: Final = 2**127
LAST: Final = 2**128 - 1


@pytest.fixture
def stream(target: Target) -> Iterator[str]:
    with stream_of(target, 2) as name:
        yield name


@pytest.fixture
def service(stream: str) -> StreamService:
    return StreamService(stream, one_attempt_client())


def test_b4_shards_are_listed_with_their_hash_keys(
    target: Target, known: Differences, stream: str, service: StreamService
) -> None:
    first, second = service.shards()
    assert (first.shard_id, second.shard_id) == (FIRST, SECOND)
    assert [(shard.parents, shard.closed) for shard in (first, second)] == [((), False)] * 2
    bound = HALF - 1 if known.on(target.name, "even-ranges") else HALF
    assert (first.hash_range, second.hash_range) == ((0, bound - 1), (bound, LAST))
    assert service.told_ms is not None
    assert abs(service.told_ms - time.time() * 1000) < 60_000
    assert not service.is_on_aws
    listed = [(shard.shard_id, shard.first, shard.last) for shard in open_shards(client("kinesis"), stream)]
    assert listed == [(FIRST, 0, bound - 1), (SECOND, bound, LAST)]


def test_b2_b3_records_come_back_as_they_were_put(stream: str, service: StreamService) -> None:
    began_ms = time.time() * 1000
    batch = [
        Record(b"one", "k", "0"),
        Record(b"two \x00\xff", "k", str(HALF + 1)),
        Record(b"", "clé ✈", "1"),
        Record(b"x" * 50_000, "p" * 256, str(LAST - 1)),
        Record(b"by its key", "carrier"),
    ]
    placed = put_records(client("kinesis"), stream, batch)
    by_key = FIRST if int(hashlib.md5(b"carrier").hexdigest(), 16) < HALF else SECOND
    assert [place.shard_id for place in placed] == [FIRST, SECOND, FIRST, SECOND, by_key]
    for shard_id in (FIRST, SECOND):
        answer = service.get(shard_id, service.iterator(shard_id, TRIM_HORIZON))
        wanted = [(r, p) for r, p in zip(batch, placed, strict=True) if p.shard_id == shard_id]
        assert answer.page is not None
        assert answer.page.schema == PAGE_SCHEMA
        assert answer.page["data"].to_pylist() == [record.data for record, _ in wanted]
        assert answer.page["partition_key"].to_pylist() == [record.partition_key for record, _ in wanted]
        assert answer.page["sequence_number"].to_pylist() == [place.sequence_number for _, place in wanted]
        assert answer.page["shard_id"].to_pylist() == [shard_id] * len(wanted)
        assert all(began_ms - 2000 < ms < time.time() * 1000 + 2000 for ms in answer.page["arrival_ms"].to_pylist())
        assert answer.reached == wanted[-1][1].sequence_number
        assert answer.data_bytes == sum(len(record.data) for record, _ in wanted)
        assert answer.caught_up
        assert answer.next_iterator is not None
    held = {(each.shard_id, each.sequence_number): each.data for each in stream_records(client("kinesis"), stream)}
    pairs = zip(placed, batch, strict=True)
    assert held == {(place.shard_id, place.sequence_number): record.data for place, record in pairs}


def test_b3_the_largest_hash_key_is_the_last_shards(target: Target, known: Differences, stream: str) -> None:
    record = [Record(b"x", "k", str(LAST))]
    if known.on(target.name, "largest-hash-key"):
        with pytest.raises(Exception, match="500"):
            target.client("kinesis").put_records(StreamName=stream, Records=[each.entry() for each in record])
    else:
        assert put_records(client("kinesis"), stream, record)[0].shard_id == SECOND


def test_b7_reading_begins_where_the_iterator_says(
    target: Target, known: Differences, stream: str, service: StreamService
) -> None:
    kinesis = client("kinesis")
    numbers = []
    wait_until(lambda: time.time() % 1 < 0.3)  # so that all of them arrive within one second
    for data in (b"0", b"1", b"2", b"3"):
        numbers.append(put_records(kinesis, stream, [Record(data, "k", "0")])[0].sequence_number)
        time.sleep(0.05)
    latest = service.iterator(FIRST, ShardPosition("LATEST"))
    page = service.get(FIRST, service.iterator(FIRST, TRIM_HORIZON)).page
    assert page is not None
    arrived = page["arrival_ms"].to_pylist()
    between = ShardPosition("AT_TIMESTAMP", timestamp_ms=(arrived[1] + arrived[2]) // 2)
    long_ago = ShardPosition("AT_TIMESTAMP", timestamp_ms=arrived[0] - 3_600_000)
    for position, first in (
        (TRIM_HORIZON, 0),
        (ShardPosition.at(numbers[1]), 1),
        (ShardPosition.after(numbers[1]), 1),  # at the record itself: see StreamService.iterator
        (between, 0 if known.on(target.name, "times-in-seconds") else 2),
        (long_ago, 0),
    ):
        found = read(service, FIRST, service.iterator(FIRST, position))
        assert [number for number, _ in found] == numbers[first:], position
    assert read(service, FIRST, latest) == []
    put_records(kinesis, stream, [Record(b"4", "k", "0")])
    assert [data for _, data in read(service, FIRST, latest)] == [b"4"]


def test_b8_a_limit_cuts_an_answer_and_the_next_iterator_goes_on(stream: str, service: StreamService) -> None:
    put_records(client("kinesis"), stream, [Record(b"%d" % number, "k", "0") for number in range(5)])
    first = service.get(FIRST, service.iterator(FIRST, TRIM_HORIZON), limit=2)
    assert first.page is not None
    assert first.page["data"].to_pylist() == [b"0", b"1"]
    assert first.next_iterator is not None
    second = service.get(FIRST, first.next_iterator, limit=10)
    assert second.page is not None
    assert second.page["data"].to_pylist() == [b"2", b"3", b"4"]


def test_b2_b5_a_sender_writes_every_record_once_and_in_order(
    target: Target, known: Differences, stream: str, service: StreamService
) -> None:
    summary = target.client("kinesis").describe_stream_summary(StreamName=stream)["StreamDescriptionSummary"]
    told = None if known.on(target.name, "max-record-size") else 1024
    assert summary.get("MaxRecordSizeInKiB") == told
    producer = Producer(ordered=True, aggregation_max_bytes=None, retry_s=30)
    records = [Record(b"%d of %d" % (number // 20, number % 20), f"key {number % 20}") for number in range(600)]
    with ThreadPoolExecutor(2) as executor:
        sender = Sender(stream, one_attempt_client(), producer, SystemClock(), executor, retry_s=30)
        for record in records:
            sender.add(record)
        sender.add(Record(b"x" * 1_048_577, "too large"))
        sender.flush()
    written = producer.take_written()
    assert len(written.sequence_number) == len(records)
    assert [failed.error_code for failed in producer.take_failed()] == ["ValidationException"]
    assert len(sender.take_latencies_ms()) >= 2
    of_key: dict[bytes, list[int]] = {}
    for shard_id in (FIRST, SECOND):
        for _, data in read(service, shard_id, service.iterator(shard_id, TRIM_HORIZON)):
            count, key = data.split(b" of ")
            of_key.setdefault(key, []).append(int(count))
    assert of_key == {b"%d" % key: list(range(30)) for key in range(20)}


def test_b10_b12_a_shard_is_read_to_its_end_and_then_its_children(
    target: Target, known: Differences, stream: str, service: StreamService
) -> None:
    kinesis = client("kinesis")
    put_records(kinesis, stream, [Record(b"before", "k", "0")])
    before = service.iterator(FIRST, TRIM_HORIZON)
    resharding = Resharding(stream, (SPLIT, MERGE), seed=5)
    resharding.start()
    resharding.begin()
    resharding.wait()
    made_of = parents(kinesis, stream)
    (split,) = set(made_of[THIRD])
    assert made_of == {FIRST: (), SECOND: (), THIRD: (split,), FOURTH: (split,)}
    assert {shard.shard_id: shard.closed for shard in service.shards()} == {
        shard_id: shard_id == split for shard_id in made_of
    }
    assert [child.shard_id for child in service.children(split)] == [THIRD, FOURTH]
    lower, upper = sorted(service.children(split), key=lambda child: child.hash_range or (0, 0))
    whole = next(shard.hash_range for shard in service.shards() if shard.shard_id == split)
    assert lower.hash_range and upper.hash_range and whole
    assert (lower.hash_range[0], lower.hash_range[1] + 1, upper.hash_range[1]) == (
        whole[0], upper.hash_range[0], whole[1],
    )  # fmt: skip
    after = put_records(kinesis, stream, [Record(b"after", "k", str(lower.hash_range[0]))])[0].shard_id
    assert after == (split if known.on(target.name, "writes-to-the-closed-parent") else lower.shard_id)

    iterator: str | None = service.iterator(split, TRIM_HORIZON)
    data: list[bytes] = []
    for _ in range(5):
        assert iterator is not None
        answer = service.get(split, iterator)
        data += answer.page["data"].to_pylist() if answer.page is not None else []
        iterator = answer.next_iterator
        if iterator is None:
            break
    if known.on(target.name, "closed-shard-without-end"):
        assert iterator is not None
        assert answer.children == ()
    else:
        assert iterator is None
        assert [(child.shard_id, child.parents) for child in answer.children] == [
            (THIRD, (split,)), (FOURTH, (split,)),
        ]  # fmt: skip
        assert data == ([b"before"] if split == FIRST else [])
        assert [each for _, each in read(service, FIRST, before)] == [b"before"]

    resharding.begin()
    resharding.wait()
    resharding.join()
    assert resharding.error is None
    made_of = parents(kinesis, stream)
    assert len(made_of[FIFTH]) == 2
    assert [shard.shard_id for shard in open_shards(kinesis, stream)].count(FIFTH) == 1
    assert len(open_shards(kinesis, stream)) == 2
    for parent in made_of[FIFTH]:
        assert service.children(parent)[0].parents == made_of[FIFTH]
