"""ReadFromKinesis on a runner: starts and ends of reading, each record once and in order, positions handed over."""

import time

import apache_beam as beam
import pytest
from pages import Log, LogPages, each_once, ends_of, key_of, numbered

from pipelines.kinesis import ReadFromKinesis, StartingPosition, StopFile
from pipelines.kinesis.aggregate import aggregate
from pipelines.kinesis.export import ExportPositions
from pipelines.kinesis.position_file import read_positions
from pipelines.kinesis.positions import ShardPosition
from pipelines.kinesis.put import Record

KEYS = [f"key-{number}" for number in range(40)]


@pytest.fixture
def log(tmp_path):
    return Log(tmp_path)


@pytest.fixture
def stop(tmp_path):
    return StopFile(str(tmp_path / "stop.json"))


def reading(log, stream, start="TRIM_HORIZON", until=None):
    return lambda pipeline: pipeline | ReadFromKinesis(stream, start, until) | beam.ParDo(LogPages(log))


def test_b7_trim_horizon_until_sequence_numbers_each_record_once_in_order(kinesis, run, log):
    stream = kinesis.stream(4)
    placed = kinesis.put(stream, numbered(KEYS, 0, 50))
    ends = ends_of(placed)
    kinesis.put(stream, numbered(KEYS, 50, 60))
    run(reading(log, stream, until=ends))
    each_once(log, placed)
    assert set(log.by_shard()) == set(ends)


def test_metrics_of_the_source_count_what_was_read(kinesis, run, log):
    stream = kinesis.stream()  # one shard: Prism loses counts of bundles that report a metric first at the same time
    placed = kinesis.put(stream, numbered(KEYS, 0, 50))
    metrics = run(reading(log, stream, until=ends_of(placed)))["source"]
    assert metrics["records_out"] == len(placed)
    assert metrics["bytes_out"] == sum(len(seen.data) for seen in log.records())
    assert metrics["millis_behind"] == 0


def test_until_time_reads_what_arrived_by_then_and_ends(kinesis, run, log):
    stream = kinesis.stream(2)
    placed = kinesis.put(stream, numbered(KEYS, 0, 5))
    until_ms = round(time.time() * 1000) + 5000

    def tick(_):
        if time.time() * 1000 < until_ms - 500:
            placed.extend(kinesis.put(stream, numbered(KEYS[:3], 0, 1)))

    run(reading(log, stream, until=until_ms), on_tick=tick)
    each_once(log, placed)
    assert len(placed) > 5 * len(KEYS)


def test_stop_file_ends_a_pipeline_that_is_reading(kinesis, run, log, stop):
    stream = kinesis.stream(3)
    placed = []

    def tick(_):
        if len(placed) < 600:
            placed.extend(kinesis.put(stream, numbered(KEYS, len(placed), len(placed) + 3)))
        elif len(log.numbers()) > 300:
            stop.write(ends_of(placed))

    run(reading(log, stream, until=stop), on_tick=tick)
    each_once(log, placed)


def test_b7_latest_reads_all_that_is_put_from_the_start_on(kinesis, run, log, stop):
    stream = kinesis.stream(2)
    before = kinesis.put(stream, numbered(KEYS, 0, 5))
    later = []

    def tick(_):
        if stop.read() is None:
            later.extend(kinesis.put(stream, numbered(KEYS[:5], len(later), len(later) + 1)))
            if len(log.numbers()) > 30:
                stop.write(ends_of(later))

    run(reading(log, stream, "LATEST", stop), on_tick=tick)
    # The pipeline starts at some time between two ticks: what it reads is the rest from there on, without a gap.
    wanted = sorted(int(place.sequence_number) for place in later)
    read = sorted(map(int, log.numbers()))
    assert read == wanted[-len(read) :]
    assert len(read) > 30
    assert not {place.sequence_number for place in before} & set(log.numbers())


def test_b7_at_timestamp_begins_with_the_first_record_of_then(kinesis, run, log):
    stream = kinesis.stream(2)
    kinesis.put(stream, numbered(KEYS, 0, 5))
    time.sleep(0.005)  # arrival times are milliseconds
    start_ms = round(time.time() * 1000)
    time.sleep(0.005)
    placed = kinesis.put(stream, numbered(KEYS, 5, 9))
    run(reading(log, stream, StartingPosition.at_timestamp(start_ms), ends_of(placed)))
    each_once(log, placed)


def test_b7_at_and_after_sequence_number(kinesis, run, log):
    stream = kinesis.stream(2)
    first, second = (shard["ShardId"] for shard in kinesis.open_shards(stream))
    in_first = kinesis.put(stream, numbered([key_of(kinesis, stream, first)], 0, 20))
    in_second = kinesis.put(stream, numbered([key_of(kinesis, stream, second)], 0, 5))
    ends = ends_of(in_first + in_second)
    run(reading(log, stream, StartingPosition.at({first: in_first[7].sequence_number}), ends))
    each_once(log, in_first[7:] + in_second)
    log.path.unlink()
    run(reading(log, stream, StartingPosition.after({first: in_first[7].sequence_number}), ends))
    each_once(log, in_first[8:] + in_second)


def test_b1_largest_empty_and_binary_records_arrive_as_they_are(kinesis, run, log):
    stream = kinesis.stream()
    data = [b"", bytes(range(256)), b"\xff\xfe{", b"[1]", b"x" * (2**20 - 1), b"last"]
    placed = kinesis.put(stream, [Record(value, "k") for value in data])

    def build(pipeline):
        pages = pipeline | ReadFromKinesis(stream, until=ends_of(placed))
        return pages | beam.Reshuffle() | beam.ParDo(LogPages(log))  # through the coder

    run(build)
    assert [seen.data.encode("latin-1") for seen in log.records()] == data


def test_b16_b17_aggregates_come_as_user_records_also_from_the_middle_of_one(kinesis, run, log):
    stream = kinesis.stream()
    users = [Record(b"%d" % number, f"key-{number}") for number in range(12)]
    aggregates = [aggregate(users[begin : begin + 4]) for begin in range(0, 12, 4)]
    placed = [place for one in aggregates for place in kinesis.put(stream, [one, Record(b"plain", "p")])]
    ends = ends_of(placed)
    every = [data for n in range(3) for data in [*(str(n * 4 + i) for i in range(4)), "plain"]]
    run(reading(log, stream, until=ends))
    assert [seen.data for seen in log.records()] == every
    log.path.unlink()
    (shard,) = ends
    start = StartingPosition.after({shard: (placed[2].sequence_number, 1)})
    run(reading(log, stream, start, ends))
    assert [seen.data for seen in log.records()] == every[7:]
    log.path.unlink()
    start = StartingPosition.at({shard: (placed[2].sequence_number, 1)})
    run(reading(log, stream, start, ends))
    assert [seen.data for seen in log.records()] == every[6:]


def test_b16_aggregates_stay_as_they_are_when_told_so(kinesis, run, log):
    stream = kinesis.stream()
    one = aggregate([Record(b"a", "a"), Record(b"b", "b")])
    placed = kinesis.put(stream, [one])

    def build(pipeline):
        return pipeline | ReadFromKinesis(stream, until=ends_of(placed), deaggregate=False) | beam.ParDo(LogPages(log))

    run(build)
    assert [seen.data.encode("latin-1") for seen in log.records()] == [one.data]


@pytest.mark.parametrize("splits", [(8, 1), (1, 8), (8, 3)])
def test_beam_25975_another_number_of_splits_after_a_restart_loses_nothing(kinesis, run, log, stop, tmp_path, splits):
    """apache/beam#25975: Java's KinesisIO on Flink loses splits that a savepoint had when it is restored with fewer."""
    stream = kinesis.stream(8)
    placed = kinesis.put(stream, numbered(KEYS, 0, 5))

    def build(splits, start, until):
        def built(pipeline):
            pages = pipeline | ReadFromKinesis(stream, start, until, desired_num_splits=splits)
            return pages | beam.ParDo(LogPages(log)) | ExportPositions(tmp_path)

        return built

    def tick(_):
        if len(log.numbers()) >= 100:
            stop.write({})

    run(build(splits[0], "TRIM_HORIZON", stop), on_tick=tick)
    assert len(log.numbers()) >= 100
    placed += kinesis.put(stream, numbered(KEYS, 5, 8))
    run(build(splits[1], read_positions(tmp_path).start, ends_of(placed)))
    each_once(log, placed, in_order=False)


def test_drained_pipeline_hands_its_positions_to_the_next(kinesis, run, log, stop, tmp_path):
    stream = kinesis.stream(2)
    placed = kinesis.put(stream, numbered(KEYS, 0, 20))

    def build(pipeline):
        pages = pipeline | ReadFromKinesis(stream, until=stop) | beam.ParDo(LogPages(log))
        return pages | ExportPositions(tmp_path)

    def tick(_):
        if len(log.numbers()) >= 400:
            stop.write({})  # at once, wherever the shards stand
        else:
            placed.extend(kinesis.put(stream, numbered(KEYS, 0, 2)))

    run(build, on_tick=tick)
    reached = read_positions(tmp_path)
    by_shard = log.by_shard()
    assert reached.shards == {
        shard_id: ShardPosition.after(records[-1].number, 0) for shard_id, records in by_shard.items()
    }
    for shard in kinesis.open_shards(stream):
        kinesis.split(stream, shard["ShardId"])
    placed.extend(kinesis.put(stream, numbered(KEYS, 0, 5)))
    run(reading(log, stream, reached.start, ends_of(placed)))
    each_once(log, placed)
