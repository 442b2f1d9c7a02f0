"""A stream split and merged while a pipeline reads it (B11, B12), also a slow one, whose bundles a runner may split."""

import time

import apache_beam as beam
import pytest
from pages import Log, LogPages, each_once, ends_of, key_of, numbered

from pipelines.kinesis import EventTime, ReadFromKinesis, StopFile

KEYS = [f"key-{number}" for number in range(24)]


@pytest.fixture
def log(tmp_path):
    return Log(tmp_path)


@pytest.fixture
def stop(tmp_path):
    return StopFile(str(tmp_path / "stop.json"))


class Story:
    """Puts records at each tick, and acts on the stream once enough of what was put has been read."""

    def __init__(self, kinesis, stream, log, stop, *acts) -> None:
        self.kinesis, self.stream, self.log, self.stop = kinesis, stream, log, stop
        self.acts = list(acts)
        self.placed = []
        self._turn = 0
        self._read_at_act = 0

    def put(self) -> None:
        self.placed += self.kinesis.put(self.stream, numbered(KEYS, self._turn, self._turn + 5))
        self._turn += 5

    def tick(self, _) -> None:
        if self.stop.read() is not None:
            return
        self.put()
        read = len(self.log.numbers())
        if read <= self._read_at_act:
            return
        if self.acts:
            self.acts.pop(0)(self)
            self.put()
            self._read_at_act = read
        else:
            self.stop.write(ends_of(self.placed))

    def open(self) -> list[str]:
        return [shard["ShardId"] for shard in self.kinesis.open_shards(self.stream)]


def split(index):
    return lambda story: story.kinesis.split(story.stream, story.open()[index])


def merge(index):
    def act(story):
        one, other = story.open()[index : index + 2]
        story.kinesis.client.merge_shards(StreamName=story.stream, ShardToMerge=one, AdjacentShardToMerge=other)

    return act


def scale(shards):
    return lambda story: story.kinesis.client.update_shard_count(
        StreamName=story.stream, TargetShardCount=shards, ScalingType="UNIFORM_SCALING"
    )


def reading(log, stream, stop, splits=1):
    return lambda pipeline: (
        pipeline | ReadFromKinesis(stream, until=stop, desired_num_splits=splits) | beam.ParDo(LogPages(log))
    )


def parents_first(kinesis, stream, log):
    seen_at = {}
    for index, seen in enumerate(log.records()):
        seen_at.setdefault(seen.shard_id, []).append(index)
    for shard in kinesis.client.list_shards(StreamName=stream)["Shards"]:
        for parent in (shard.get("ParentShardId"), shard.get("AdjacentParentShardId")):
            if parent in seen_at and shard["ShardId"] in seen_at:
                assert seen_at[parent][-1] < seen_at[shard["ShardId"]][0]


def test_b12_split_and_merge_while_reading_keeps_each_keys_order(kinesis, run, log, stop):
    stream = kinesis.stream()
    story = Story(kinesis, stream, log, stop, split(0), split(1), merge(0), merge(0), split(0))
    run(reading(log, stream, stop), on_tick=story.tick)
    each_once(log, story.placed)
    assert len(log.by_shard()) == 1 + 2 + 2 + 1 + 1 + 2
    parents_first(kinesis, stream, log)
    for key, data in log.by_key().items():
        assert data == [f"{key}:{number}" for number in range(len(data))]


def slow_where_many(page):
    """Event times, given slowly for pages with many records, so that the restriction that has them is behind."""
    if page.num_rows > 1000:
        time.sleep(0.6)
    return page.column("arrival_ms")


def test_b12_merges_child_waits_in_the_gate_for_the_parent_that_another_restriction_still_reads(
    kinesis, run, log, stop
):
    stream = kinesis.stream(2)
    near, far = (shard["ShardId"] for shard in kinesis.open_shards(stream))
    key = key_of(kinesis, stream, far)
    placed = kinesis.put(stream, numbered([key], 0, 40_000))

    def tick(_):
        if stop.read() is None and log.path.exists():
            kinesis.client.merge_shards(StreamName=stream, ShardToMerge=near, AdjacentShardToMerge=far)
            placed.extend(kinesis.put(stream, numbered([key], 40_000, 40_100)))
            stop.write(ends_of(placed))

    def build(pipeline):
        pages = pipeline | ReadFromKinesis(
            stream, until=stop, desired_num_splits=2, event_time=EventTime(slow_where_many)
        )
        return pages | beam.ParDo(LogPages(log))

    run(build, on_tick=tick)
    each_once(log, placed)  # pages so far apart come in order on any runner
    assert [page[0].shard_id for page in log.pages()] == [far] * (len(log.pages()) - 1) + [
        shard["ShardId"] for shard in kinesis.open_shards(stream)
    ]


@pytest.mark.parametrize("splits", [2, 8])
def test_b12_merges_across_restrictions_lose_and_double_nothing(kinesis, run, log, stop, splits):
    stream = kinesis.stream(4)
    story = Story(kinesis, stream, log, stop, merge(1), split(0), merge(1), scale(2), merge(0), split(0), merge(0))
    run(reading(log, stream, stop, splits), on_tick=story.tick)
    each_once(log, story.placed, in_order=False)  # Prism flattens between stages, and keeps no order there


def test_b12_resharded_before_the_start_is_read_parents_first(kinesis, run, log, stop):
    stream = kinesis.stream(2)
    story = Story(kinesis, stream, log, stop)
    for act in (split(0), merge(1), split(1)):
        story.put()
        act(story)
    story.put()
    stop.write(ends_of(story.placed))
    run(reading(log, stream, stop))
    each_once(log, story.placed)
    parents_first(kinesis, stream, log)
    for key, data in log.by_key().items():
        assert data == [f"{key}:{number}" for number in range(len(data))]


class Slow(beam.DoFn):
    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def process(self, page):
        time.sleep(self._seconds)
        yield page


@pytest.mark.parametrize("splits", [False, True], ids=["whole", "may-split"])  # it need not
def test_slow_pipeline_reads_each_record_once_while_resharded(kinesis, run, log, stop, splits):
    stream = kinesis.stream(2)
    story = Story(kinesis, stream, log, stop, split(0), split(2), merge(0))

    def build(pipeline):
        pages = pipeline | ReadFromKinesis(stream, until=stop)
        return pages | beam.ParDo(Slow(0.25)) | beam.ParDo(LogPages(log))

    story.put()
    run(build, on_tick=story.tick, splits=splits)
    each_once(log, story.placed)
    for key, data in log.by_key().items():
        assert data == [f"{key}:{number}" for number in range(len(data))]
