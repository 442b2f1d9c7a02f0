"""What is missing from a stream, and what comes spoiled: each is said once, and what is there is read.

The stand-in of these tests is their own: the clock of a service is all its streams'.
"""

import json
import urllib.request

import apache_beam as beam
import pytest
from pages import Log, LogPages, each_once, ends_of, numbered
from stand_ins import KinesisStandIn

from pipelines.kinesis import ReadFromKinesis, StartingPosition, StopFile
from pipelines.runtime.processes import Child, module

KEYS = [f"key-{number}" for number in range(20)]
DAY_S = 24 * 3600
THROTTLED = {"code": "ProvisionedThroughputExceededException", "times": 1_000_000}


class OwnKinesis(KinesisStandIn):
    def advance(self, seconds: float) -> None:
        body = json.dumps({"advance_s": seconds}).encode()
        urllib.request.urlopen(urllib.request.Request(f"{self.endpoint}/_clock", body, method="POST")).close()


@pytest.fixture
def own(aws_environment):
    child = Child("a Kinesis with a clock of its own", module("infra.embedded.kinesis_server", "--port", "0"))
    endpoint = child.ready()["endpoint"]
    aws_environment.setenv("AWS_ENDPOINT_URL_KINESIS", endpoint)
    yield OwnKinesis(endpoint)
    child.stop()


@pytest.fixture
def log(tmp_path):
    return Log(tmp_path)


@pytest.fixture
def stop(tmp_path):
    return StopFile(str(tmp_path / "stop.json"))


class LogFailures(beam.DoFn):
    """PCollection[ReadFailure] -> nothing: appends each to a file."""

    def __init__(self, folder) -> None:
        self.path = str(folder / "failures.jsonl")

    def process(self, failure):
        row = [failure.kind, failure.shard_id, failure.after, failure.up_to, failure.body.decode("latin-1")]
        with open(self.path, "ab", buffering=0) as file:
            file.write(json.dumps([failure.stream, *row]).encode() + b"\n")

    def rows(self):
        try:
            with open(self.path, encoding="utf-8") as file:
                return [json.loads(line) for line in file]
        except FileNotFoundError:
            return []


@pytest.fixture
def failures(tmp_path):
    return LogFailures(tmp_path)


def reading(log, failures, stream, start="TRIM_HORIZON", until=None, splits=1):
    def build(pipeline):
        read = ReadFromKinesis(stream, start, until, desired_num_splits=splits)
        pages, failed = pipeline | read.with_exception_handling()
        failed | beam.ParDo(failures)
        return pages | beam.ParDo(LogPages(log))

    return build


def test_b13_records_trimmed_since_the_position_are_a_gap_that_is_told(own, run, log, failures):
    stream = own.stream(2)
    placed = own.put(stream, numbered(KEYS, 0, 3))
    position = {shard: number for shard, number in ends_of(placed[:20]).items()}
    own.advance(DAY_S + 60)
    later = own.put(stream, numbered(KEYS, 3, 6))
    run(reading(log, failures, stream, StartingPosition.after(position), ends_of(later)))
    each_once(log, later)
    first = {place.shard_id: place.sequence_number for place in reversed(later)}
    assert sorted(failures.rows()) == sorted(
        [stream, "TRIMMED", shard, number, first[shard], ""] for shard, number in position.items()
    )


def test_b13_position_whose_record_is_still_there_is_no_gap(own, run, log, failures):
    stream = own.stream(2)
    placed = own.put(stream, numbered(KEYS, 0, 3))
    own.advance(DAY_S - 60)
    later = own.put(stream, numbered(KEYS, 3, 6))
    run(reading(log, failures, stream, StartingPosition.after(ends_of(placed)), ends_of(later)))
    each_once(log, later)
    assert failures.rows() == []


@pytest.mark.parametrize("splits", [1, 4])
def test_b12_beam_20563_heirs_are_read_when_a_shard_has_expired_with_all_its_children(
    own, run, log, failures, stop, splits
):
    """apache/beam#20563: Java's KinesisIO looks for a shard's own children alone, and reads nothing any more."""
    stream = own.stream(2)
    placed = own.put(stream, numbered(KEYS, 0, 3))
    first, second = (shard["ShardId"] for shard in own.open_shards(stream))
    later = []

    def tick(_):
        if stop.read() is not None or len(log.numbers()) < len(placed):
            return
        if not later:
            own.order({"fail": [{"operation": name, **THROTTLED} for name in ("GetRecords", "GetShardIterator")]})
            own.split(stream, first)  # while nothing can be read: its children and theirs come and go
            for shard in own.open_shards(stream)[:2]:
                own.split(stream, shard["ShardId"])
            own.advance(2 * DAY_S)
            low, high = (shard["ShardId"] for shard in own.open_shards(stream)[1:3])
            own.client.merge_shards(StreamName=stream, ShardToMerge=low, AdjacentShardToMerge=high)
            own.advance(2 * DAY_S)
            later.extend(own.put(stream, numbered(KEYS, 3, 6)))
            own.order({})
            stop.write(ends_of(later))

    run(reading(log, failures, stream, until=stop, splits=splits), on_tick=tick)
    each_once(log, placed + later, in_order=splits == 1)
    assert {row[2]: row[1] for row in failures.rows()} == {first: "EXPIRED", second: "TRIMMED"}
    listed = own.client.list_shards(StreamName=stream)["Shards"]
    assert not {first, *(shard.get("ParentShardId") for shard in listed)} & {shard["ShardId"] for shard in listed}


def test_b12_named_shard_that_has_expired_is_a_gap_and_what_is_left_is_read(own, run, log, failures):
    stream = own.stream(1)
    placed = own.put(stream, numbered(KEYS, 0, 1))
    (shard,) = own.open_shards(stream)
    own.split(stream, shard["ShardId"])
    own.advance(2 * DAY_S)
    later = own.put(stream, numbered(KEYS, 1, 3))
    run(reading(log, failures, stream, StartingPosition.after(ends_of(placed)), ends_of(later)))
    each_once(log, later)
    assert [row[1:3] for row in failures.rows()] == [["EXPIRED", shard["ShardId"]]]


@pytest.mark.parametrize("how", ["bad_base64", "missing_member", "not_json"])
def test_poison_goes_to_the_failures_whole_and_reading_goes_on(own, run, log, failures, stop, how):
    stream = own.stream(1)
    before = own.put(stream, numbered(KEYS, 0, 2))
    spoiled, after = [], []

    def tick(_):
        if stop.read() is not None or len(log.numbers()) < len(before):
            return
        if not spoiled:
            own.order({"garble": [{"operation": "GetRecords", "how": how, "times": 1000}]})
            spoiled.extend(own.put(stream, numbered(KEYS, 2, 3)))
        elif failures.rows() and not after:
            own.order({})
            after.extend(own.put(stream, numbered(KEYS, 3, 5)))
            stop.write(ends_of(after))

    run(reading(log, failures, stream, until=stop), on_tick=tick)
    rows = failures.rows()
    assert {row[1] for row in rows} == {"UNDECODABLE"}
    in_bodies = {place.sequence_number for place in spoiled if any(place.sequence_number in row[5] for row in rows)}
    seen = set(log.numbers())
    every = {place.sequence_number for place in before + spoiled + after}
    assert seen | in_bodies == every
    assert seen & in_bodies == set() or how == "not_json"  # what was cut off behind the last whole number is read
    assert len(log.numbers()) == len(seen)


def test_poison_that_is_gone_at_the_next_try_is_no_failure(own, run, log, failures):
    stream = own.stream(1)
    placed = own.put(stream, numbered(KEYS, 0, 2))
    own.order({"garble": [{"operation": "GetRecords", "how": "not_json", "times": 2}]})
    run(reading(log, failures, stream, until=ends_of(placed)))
    each_once(log, placed)
    assert failures.rows() == []


def test_poison_without_handling_fails_the_pipeline_and_names_the_fix(own, run, log):
    stream = own.stream(1)
    placed = own.put(stream, numbered(KEYS, 0, 2))
    own.order({"garble": [{"operation": "GetRecords", "how": "bad_base64", "times": 1000}]})
    with pytest.raises(Exception, match=r"cannot be decoded.*with_exception_handling"):
        run(lambda pipeline: pipeline | ReadFromKinesis(stream, until=ends_of(placed)) | beam.ParDo(LogPages(log)))
    assert log.numbers() == []
