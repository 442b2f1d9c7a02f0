"""ReadFromKinesis by enhanced fan-out on a runner (B14): the model pushes, each record comes once and in order."""

import apache_beam as beam
import pytest
from pages import Log, LogPages, each_once, ends_of, numbered

from pipelines.kinesis import ReadFromKinesis, StopFile

KEYS = [f"key-{number}" for number in range(24)]


@pytest.fixture
def log(tmp_path):
    return Log(tmp_path)


def test_b14_subscribed_while_put_and_resharded_each_record_once(kinesis, run, log, tmp_path):
    stream = kinesis.stream(2)
    stop = StopFile(str(tmp_path / "stop.json"))
    placed = kinesis.put(stream, numbered(KEYS, 0, 20))
    acts = [
        lambda: kinesis.split(stream, kinesis.open_shards(stream)[0]["ShardId"]),
        lambda: merge(kinesis, stream),
        lambda: stop.write(ends_of(placed)),
    ]
    read_at_act = 0

    def tick(_):
        nonlocal read_at_act
        if stop.read() is None:
            placed.extend(kinesis.put(stream, numbered(KEYS, 20, 22)))
            if len(log.numbers()) > read_at_act:
                read_at_act = len(log.numbers())
                acts.pop(0)()

    def build(pipeline):
        return pipeline | ReadFromKinesis(stream, until=stop, consumer="reader") | beam.ParDo(LogPages(log))

    run(build, on_tick=tick)
    each_once(log, placed)
    described = kinesis.client.describe_stream_summary(StreamName=stream)["StreamDescriptionSummary"]
    assert described["ConsumerCount"] == 1


def merge(kinesis, stream):
    one, other = (shard["ShardId"] for shard in kinesis.open_shards(stream)[1:3])
    kinesis.client.merge_shards(StreamName=stream, ShardToMerge=one, AdjacentShardToMerge=other)


def test_b14_consumer_of_another_stream_is_refused_with_its_fix(kinesis, run, log):
    stream, other = kinesis.stream(), kinesis.stream()
    arn = kinesis.client.describe_stream_summary(StreamName=other)["StreamDescriptionSummary"]["StreamARN"]
    consumer = kinesis.client.register_stream_consumer(StreamARN=arn, ConsumerName="theirs")["Consumer"]
    with pytest.raises(Exception, match=r"theirs.*stream") as raised:
        run(lambda pipeline: pipeline | ReadFromKinesis(stream, until=0, consumer=consumer["ConsumerARN"]))
    assert "Fix: " in str(raised.value)
