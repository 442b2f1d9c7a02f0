"""Enhanced fan-out on the model Kinesis: what a subscription meets in its life (B14)."""

import json
import time
import urllib.request

import apache_beam as beam
import pytest
from fanout_story import check, tell
from pages import Log, LogPages, each_once, ends_of, numbered
from stand_ins import fresh

from pipelines.kinesis import ReadFromKinesis, StopFile
from pipelines.kinesis.consumer import consumer_arn
from pipelines.kinesis.decode import Answer
from pipelines.kinesis.fanout import FanoutCursor
from pipelines.kinesis.fetch import Fetcher, Shard
from pipelines.kinesis.positions import TRIM_HORIZON
from pipelines.kinesis.put import Record
from pipelines.kinesis.service import StreamService
from pipelines.kinesis.subscriber import Subscriber, subscription_client
from pipelines.runtime.clock import SystemClock
from pipelines.runtime.errors import NotFoundError
from pipelines.runtime.processes import Child, module

SHARD = "shardId-000000000000"
RECORDS = 1000
ARN = "arn:aws:kinesis:us-east-1:000000000000:stream"


class Subscribed:
    """A stream of one shard, a consumer, and cursors of it."""

    def __init__(self, kinesis) -> None:
        self.kinesis = kinesis
        self.stream = kinesis.stream()
        self.arn = consumer_arn(kinesis.client, self.stream, "teller", SystemClock())
        self.fetcher = Fetcher(StreamService(self.stream, kinesis.client))
        self.cursors: list[FanoutCursor] = []

    def cursor(self) -> FanoutCursor:
        subscriber = Subscriber(self.arn, subscription_client, SystemClock())
        self.cursors.append(FanoutCursor(self.fetcher, subscriber, Shard(SHARD), TRIM_HORIZON, SystemClock()))
        return self.cursors[-1]

    def put(self, *texts: str) -> None:
        self.kinesis.put(self.stream, [Record(text.encode(), "key") for text in texts])

    def advance(self, seconds: float) -> None:
        body = json.dumps({"advance_s": seconds}).encode()
        urllib.request.urlopen(f"{self.kinesis.endpoint}/_clock", body, timeout=5).close()


def arrived(cursor: FanoutCursor, within_s: float = 20) -> Answer:
    """The next answer with records."""
    end_s = time.monotonic() + within_s
    while time.monotonic() < end_s:
        answer = cursor.peek()
        if answer is not None and answer.reached:
            return answer
        time.sleep(0.005)
    raise AssertionError(f"no records within {within_s} s")


def read(cursor: FanoutCursor, count: int) -> list[str]:
    """Claims pages until `count` records have come."""
    texts: list[str] = []
    while len(texts) < count:
        answer = arrived(cursor)
        assert answer.failures == ()
        texts += [data.decode() for data in answer.page["data"].to_pylist()]
        cursor.move_to(answer.end)
    return texts


@pytest.fixture(scope="module")
def kinesis_process():
    """A process of its own: these tests move its clock."""
    child = Child("the embedded Kinesis", module("infra.embedded.kinesis_server", "--port", "0"))
    yield child.ready()["endpoint"]
    child.stop()


@pytest.fixture
def subscribed(kinesis):
    made = Subscribed(kinesis)
    yield made
    for cursor in made.cursors:
        cursor.close()


def test_b14_records_put_while_subscribed_arrive_once_in_order_across_a_split(kinesis):
    check(tell(subscription_client, fresh("stream"), RECORDS), RECORDS)


def test_b14_a_pipeline_reads_by_fan_out_across_a_split_until_a_stop_file(kinesis, run, tmp_path):
    stream, log, stop = kinesis.stream(2), Log(tmp_path), StopFile(str(tmp_path / "stop.json"))
    keys, placed, split = [f"key-{number}" for number in range(20)], [], []

    def tick(_):
        if len(placed) < RECORDS:
            placed.extend(kinesis.put(stream, numbered(keys, len(placed), len(placed) + 5)))
        if len(placed) > RECORDS / 2 and not split:
            split.append(kinesis.split(stream, SHARD))
        if len(placed) >= RECORDS and len(log.numbers()) > RECORDS / 2:
            # The shards that have records to theirs, and whatever else there is until nothing is left in it.
            stop.write(ends_of(placed))

    read = ReadFromKinesis(stream, until=stop, consumer="teller")
    run(lambda pipeline: pipeline | read | beam.ParDo(LogPages(log)), on_tick=tick)
    each_once(log, placed)
    assert len(log.by_shard()) == 4
    consumers = kinesis.client.list_stream_consumers(StreamARN=f"{ARN}/{stream}")["Consumers"]
    assert [consumer["ConsumerName"] for consumer in consumers] == ["teller"]


def test_b14_a_pipeline_that_reads_by_fan_out_ends_when_nothing_is_left(kinesis, run, tmp_path):
    stream, log, stop = kinesis.stream(), Log(tmp_path), StopFile(str(tmp_path / "stop.json"))
    placed = kinesis.put(stream, numbered(["key"], 0, 50))
    later = []

    def tick(_):
        if log.numbers() and not later:
            later.extend(kinesis.put(stream, numbered(["key"], 50, 60)))
            stop.write({SHARD: None})

    read = ReadFromKinesis(stream, until=stop, consumer="teller")
    run(lambda pipeline: pipeline | read | beam.ParDo(LogPages(log)), on_tick=tick)
    each_once(log, placed + later)


def test_b14_a_subscription_that_has_run_its_five_minutes_is_renewed(subscribed):
    cursor = subscribed.cursor()
    subscribed.put("a", "b")
    assert read(cursor, 2) == ["a", "b"]
    subscribed.advance(301)
    subscribed.put("c")
    assert read(cursor, 1) == ["c"]


def test_b14_a_subscription_that_another_takes_over_begins_again_where_it_was(subscribed):
    one = subscribed.cursor()
    subscribed.put("a", "b")
    assert read(one, 2) == ["a", "b"]
    subscribed.advance(6)
    other = subscribed.cursor()
    assert read(other, 2) == ["a", "b"]
    subscribed.put("c")
    assert read(other, 1) == ["c"]
    subscribed.advance(6)
    assert read(one, 1) == ["c"]
    assert one.retries > 0


def test_b14_a_consumer_that_is_deregistered_ends_reading(subscribed):
    cursor = subscribed.cursor()
    subscribed.put("a")
    assert read(cursor, 1) == ["a"]
    subscribed.kinesis.client.deregister_stream_consumer(ConsumerARN=subscribed.arn)
    with pytest.raises(NotFoundError, match="teller"):
        read(cursor, 1)


def test_b13_records_trimmed_while_nobody_read_are_a_gap(subscribed):
    first, later = subscribed.cursor(), subscribed.cursor()
    subscribed.put("a")
    later.move_to(arrived(first).end)
    first.close()
    subscribed.put("lost")
    subscribed.advance(25 * 3600)
    subscribed.put("b")
    answer = arrived(later)
    assert answer.page["data"].to_pylist() == [b"b"]
    assert [failure.kind for failure in answer.failures] == ["TRIMMED"]
