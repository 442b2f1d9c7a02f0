"""Event time downstream of ReadFromKinesis: windows close while it reads, and no page comes too late for its own."""

import json
import time

import apache_beam as beam
import pyarrow as pa
import pytest
from apache_beam.transforms.window import FixedWindows
from pages import Log, ends_of, key_of, numbered

from pipelines.kinesis import EventTime, ReadFromKinesis, Record, StopFile, timestamped_records


@pytest.fixture
def stop(tmp_path):
    return StopFile(str(tmp_path / "stop.json"))


class Closed(Log):
    """The records of each window that the watermark has closed."""

    def rows(self):
        return [json.loads(line) for line in self.path.read_text().splitlines()] if self.path.exists() else []

    def numbers(self):
        return [number for row in self.rows() for number in row]


class LogWindows(beam.DoFn):
    def __init__(self, closed: Closed) -> None:
        self._path = str(closed.path)

    def process(self, keyed):
        with open(self._path, "ab", buffering=0) as file:
            file.write(json.dumps([number for numbers in keyed[1] for number in numbers]).encode() + b"\n")


def windows_of(stream, stop, closed, start="TRIM_HORIZON"):
    """Windows of a second, each output once, when the watermark passes its end; what is later is dropped."""
    return lambda pipeline: (
        pipeline
        | ReadFromKinesis(stream, start, stop)
        | beam.Map(lambda page: (0, page["sequence_number"].to_pylist()))
        | beam.WindowInto(FixedWindows(1))
        | beam.GroupByKey()
        | beam.ParDo(LogWindows(closed))
    )


def test_b9_idle_shard_does_not_hold_the_watermark_back(kinesis, run, stop, tmp_path):
    stream, closed = kinesis.stream(4), Closed(tmp_path)
    key = key_of(kinesis, stream, kinesis.open_shards(stream)[1]["ShardId"])
    placed = []

    def tick(_):
        if stop.read() is None:
            placed.extend(kinesis.put(stream, numbered([key], 0, 1)))
            if len(closed.rows()) >= 2:  # else, never: a pipeline that has not ended passes no window's end by itself
                stop.write(ends_of(placed))

    run(windows_of(stream, stop, closed), on_tick=tick, deadline_s=20)
    assert sorted(closed.numbers()) == sorted(place.sequence_number for place in placed)


def test_b9_idle_stream_closes_the_windows_of_its_last_records(kinesis, run, stop, tmp_path):
    stream, closed = kinesis.stream(2), Closed(tmp_path)
    placed = kinesis.put(stream, numbered(["a", "b", "c", "d"], 0, 5))

    def tick(_):
        if sorted(closed.numbers()) == sorted(place.sequence_number for place in placed):
            stop.write(ends_of(placed))

    run(windows_of(stream, stop, closed), on_tick=tick, deadline_s=20)
    assert stop.read() is not None  # they were closed before it ended


def test_b9_b12_nothing_is_late_while_shards_are_split_and_merged(kinesis, run, stop, tmp_path):
    stream, closed = kinesis.stream(2), Closed(tmp_path)
    placed = []
    turns = iter(range(100))

    def tick(_):
        if stop.read() is not None:
            return
        placed.extend(kinesis.put(stream, numbered([f"key-{number}" for number in range(20)], 0, 1)))
        shards = [shard["ShardId"] for shard in kinesis.open_shards(stream)]
        match next(turns):
            case 3:
                kinesis.split(stream, shards[0])
            case 6:
                kinesis.client.merge_shards(StreamName=stream, ShardToMerge=shards[1], AdjacentShardToMerge=shards[2])
            case turn if turn > 9 and closed.rows():
                stop.write(ends_of(placed))

    run(windows_of(stream, stop, closed), on_tick=tick, deadline_s=30)
    assert sorted(closed.numbers()) == sorted(place.sequence_number for place in placed)


@pytest.mark.parametrize("splits", [1, 4])
def test_beam_31085_windows_close_while_shards_are_idle_closed_or_empty(kinesis, run, stop, tmp_path, splits):
    """apache/beam#31085: with Java's KinesisIO on Flink the watermark stood still, and no window closed."""
    stream, closed = kinesis.stream(4), Closed(tmp_path)
    first, *_ = (shard["ShardId"] for shard in kinesis.open_shards(stream))
    placed = kinesis.put(stream, numbered([key_of(kinesis, stream, first)], 0, 5))
    kinesis.split(stream, first)  # closed and, once read, empty; three shards never had a record
    key = key_of(kinesis, stream, kinesis.open_shards(stream)[0]["ShardId"])

    def tick(_):
        if stop.read() is None:
            placed.extend(kinesis.put(stream, numbered([key], 5, 6)))
            if len(closed.rows()) >= 3:
                stop.write(ends_of(placed))

    def build(pipeline):
        return (
            pipeline
            | ReadFromKinesis(stream, "TRIM_HORIZON", stop, desired_num_splits=splits)
            | beam.Map(lambda page: (0, page["sequence_number"].to_pylist()))
            | beam.WindowInto(FixedWindows(1))
            | beam.GroupByKey()
            | beam.ParDo(LogWindows(closed))
        )

    run(build, on_tick=tick, deadline_s=30)
    assert sorted(closed.numbers()) == sorted(place.sequence_number for place in placed)


def first_number(page):
    """Event time: what stands in the data, milliseconds; none where it is no number."""
    data = [value.decode() for value in page.column("data").to_pylist()]
    return pa.array([int(text) if text.isdecimal() else None for text in data], pa.int64())


def test_event_time_of_a_field_opens_the_windows_and_its_watermark_closes_them(kinesis, run, stop, tmp_path):
    stream, closed = kinesis.stream(2), Closed(tmp_path)
    begin_ms = round(time.time() * 1000) - 60_000  # a minute before the records arrive
    placed = kinesis.put(stream, [Record(b"%d" % (begin_ms + 100 * n), f"key-{n}") for n in range(100)])
    placed += kinesis.put(stream, [Record(b"no time", f"key-{n}") for n in range(10)])

    def tick(_):
        if len(closed.numbers()) == len(placed):
            stop.write(ends_of(placed))

    def build(pipeline):
        return (
            pipeline
            | ReadFromKinesis(stream, "TRIM_HORIZON", stop, event_time=EventTime(first_number, slack_ms=500))
            | beam.Map(
                lambda page, at=beam.DoFn.TimestampParam: (at.micros // 1000, page["sequence_number"].to_pylist())
            )
            | beam.Filter(lambda stamped: begin_ms <= stamped[0] < begin_ms + 11_000)
            | beam.Map(lambda stamped: (0, stamped[1]))
            | beam.WindowInto(FixedWindows(1))
            | beam.GroupByKey()
            | beam.ParDo(LogWindows(closed))
        )

    run(build, on_tick=tick, deadline_s=30)
    assert sorted(closed.numbers()) == sorted(place.sequence_number for place in placed)


def test_records_of_one_page_come_into_the_windows_of_their_own_times(kinesis, run, stop, tmp_path):
    """Pages hold records of many seconds; `timestamped_records` spreads them."""
    stream, closed = kinesis.stream(1), Closed(tmp_path)
    begin_ms = (round(time.time()) - 60) * 1000
    times = [begin_ms + 100 * n for n in range(100)]
    placed = kinesis.put(stream, [Record(b"%d" % at_ms, "key") for at_ms in times])
    event_time = EventTime(first_number, slack_ms=500)

    def tick(_):
        if len(closed.numbers()) == len(placed):
            stop.write(ends_of(placed))

    def build(pipeline):
        return (
            pipeline
            | ReadFromKinesis(stream, "TRIM_HORIZON", stop, event_time=event_time)
            | beam.FlatMap(timestamped_records, event_time=event_time)
            | beam.Map(lambda record: (0, [record.sequence_number]))
            | beam.WindowInto(FixedWindows(1))
            | beam.GroupByKey()
            | beam.ParDo(LogWindows(closed))
        )

    run(build, on_tick=tick, deadline_s=30)
    numbers = [place.sequence_number for place in placed]
    assert sorted(sorted(row) for row in closed.rows()) == [numbers[n : n + 10] for n in range(0, 100, 10)]


@pytest.mark.parametrize("follows_clock", [True, False])
def test_a_replay_of_another_time_is_held_by_an_idle_shard_until_it_ends(kinesis, run, stop, tmp_path, follows_clock):
    """Records of 2014: by the clock, an idle moment closes every window of theirs, and what comes then is late."""
    stream, closed = kinesis.stream(1), Closed(tmp_path)
    times = [1_400_000_000_000 + 500 * n for n in range(20)]
    placed = kinesis.put(stream, [Record(b"%d" % at_ms, "key") for at_ms in times[:10]])
    began_s = time.monotonic()

    def tick(_):
        if time.monotonic() - began_s > 3 and len(placed) == 10:  # it has been idle for a while
            placed.extend(kinesis.put(stream, [Record(b"%d" % at_ms, "key") for at_ms in times[10:]]))
            stop.write(ends_of(placed))

    def build(pipeline):
        return (
            pipeline
            | ReadFromKinesis(
                stream,
                "TRIM_HORIZON",
                stop,
                event_time=EventTime(first_number, slack_ms=2_000, follows_clock=follows_clock),
            )
            | beam.Map(lambda page, at=beam.DoFn.TimestampParam: (at.micros // 1_000_000 < 1_500_000_000, page))
            | beam.Map(lambda keyed: (str(keyed[0]), keyed[1]["sequence_number"].to_pylist()))
            | beam.WindowInto(FixedWindows(1))
            | beam.GroupByKey()
            | beam.Map(lambda keyed: (0, keyed[1] if keyed[0] == "True" else [["too late"]]))
            | beam.ParDo(LogWindows(closed))
        )

    run(build, on_tick=tick, deadline_s=30)
    assert ("too late" in closed.numbers()) == follows_clock
    if not follows_clock:
        assert sorted(closed.numbers()) == sorted(place.sequence_number for place in placed)
