"""What ReadFromKinesis survives, and the one sentence that it says about what it cannot."""

import time

import apache_beam as beam
import pytest
from pages import Log, LogPages, each_once, ends_of, numbered
from stand_ins import KinesisStandIn

from pipelines.kinesis import ReadFromKinesis, Record, StopFile, backoff
from pipelines.runtime.errors import CredentialsError, EndpointDownError, NotFoundError
from pipelines.runtime.processes import Child, free_port, module

KEYS = [f"key-{number}" for number in range(20)]


@pytest.fixture
def log(tmp_path):
    return Log(tmp_path)


@pytest.fixture
def stop(tmp_path):
    return StopFile(str(tmp_path / "stop.json"))


def reading(log, stream, until=None):
    return lambda pipeline: pipeline | ReadFromKinesis(stream, until=until) | beam.ParDo(LogPages(log))


def fail(code, times, status=400, operation="GetRecords"):
    return {"operation": operation, "code": code, "status": status, "times": times}


THROTTLED = "ProvisionedThroughputExceededException"


@pytest.mark.parametrize(
    "faults",
    [
        {"fail": [fail(THROTTLED, 4)]},
        # A renewed iterator is a call of its own, which can be throttled or fail as well.
        {"fail": [fail("ExpiredIteratorException", 4), fail(THROTTLED, 1, operation="GetShardIterator")]},
        {"fail": [fail("InternalFailure", 3, 500), fail("ServiceUnavailable", 2, 503)]},
        {"drop": [{"operation": "GetRecords", "times": 4}]},
    ],
    ids=["throttled", "expired", "failing", "dropped"],
)
def test_b6_b7_faults_while_reading_lose_and_double_nothing(kinesis, run, log, stop, faults):
    stream = kinesis.stream(2)
    placed = kinesis.put(stream, numbered(KEYS, 0, 5))
    behind_the_faults = []

    def tick(metrics):
        if stop.read() is not None:
            return
        placed.extend(kinesis.put(stream, numbered(KEYS, 0, 2)))
        numbers = set(log.numbers())
        if not behind_the_faults and numbers:
            kinesis.order(faults)
            behind_the_faults.extend(kinesis.put(stream, numbered(KEYS, 2, 3)))
            placed.extend(behind_the_faults)
        elif (
            behind_the_faults
            and {place.sequence_number for place in behind_the_faults} <= numbers
            # Prism loses counts of bundles that report a metric first at the same time: how many is not asserted.
            and metrics.get("source", {}).get("retries")
        ):
            stop.write(ends_of(placed))

    run(reading(log, stream, stop), on_tick=tick)
    each_once(log, placed)


def test_b10_faults_at_the_end_of_a_shard_lose_and_double_nothing(kinesis, run, log, stop):
    stream = kinesis.stream()
    placed = kinesis.put(stream, numbered(KEYS, 0, 5))
    kinesis.split(stream, kinesis.open_shards(stream)[0]["ShardId"])
    placed += kinesis.put(stream, numbered(KEYS, 5, 9))
    kinesis.order({"fail": [fail("LimitExceededException", 1, operation="ListShards")]})  # the start
    ordered = []

    def tick(_):
        if log.numbers() and not ordered:
            ordered.append(True)  # the end of each child asks for what follows
            kinesis.order({"fail": [fail("LimitExceededException", 3, operation="ListShards")]})
        if ordered:
            stop.write(ends_of(placed))

    run(reading(log, stream, stop), on_tick=tick)
    each_once(log, placed)


def test_limits_of_a_shard_slow_reading_down_and_nothing_else(aws_environment, run, log):
    child = Child("a limited Kinesis", module("infra.embedded.kinesis_server", "--port", "0", "--limits", "aws"))
    try:
        aws_environment.setenv("AWS_ENDPOINT_URL_KINESIS", child.ready()["endpoint"])
        kinesis = KinesisStandIn(child.ready()["endpoint"])
        stream = kinesis.stream(2)
        placed = kinesis.put(stream, numbered(KEYS, 0, 200))  # twice what a shard takes a second: retried
        run(reading(log, stream, ends_of(placed)))
        each_once(log, placed)
    finally:
        child.stop()


def failing(run, log, stream, **more):
    """The error that ends the pipeline, and how long that took."""
    begin = time.monotonic()
    with pytest.raises(Exception) as raised:
        run(reading(log, stream), **more)
    return raised.value, time.monotonic() - begin


def one_sentence(error):
    text = str(error)
    assert "\n" not in text
    assert "Traceback" not in text
    assert "while running" not in text
    return text


def test_missing_stream_is_named_with_the_command_that_lists_streams(kinesis, run, log):
    error, seconds = failing(run, log, "no-such-stream")
    assert type(error) is NotFoundError
    assert one_sentence(error).startswith("Kinesis stream no-such-stream does not exist (ResourceNotFoundException)")
    assert "`aws kinesis list-streams`" in error.fix
    assert seconds < 15


def test_stream_deleted_while_it_is_read_is_named(kinesis, run, log):
    stream = kinesis.stream()
    kinesis.put(stream, numbered(KEYS, 0, 1))

    def tick(_):
        if log.numbers() and stream in kinesis.client.list_streams()["StreamNames"]:
            kinesis.client.delete_stream(StreamName=stream)

    error, _ = failing(run, log, stream, on_tick=tick)
    assert type(error) is NotFoundError
    assert stream in one_sentence(error)


def test_no_credentials_says_how_to_get_some(kinesis, run, log, aws_environment):
    stream = kinesis.stream()
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        aws_environment.delenv(name)
    error, seconds = failing(run, log, stream)
    assert type(error) is CredentialsError
    assert one_sentence(error).startswith(f"No AWS credentials for Kinesis stream {stream}.")
    assert "`aws configure`" in error.fix
    assert seconds < 15


def test_endpoint_that_is_down_is_named_with_the_command_that_starts_one(kinesis, run, log, aws_environment):
    endpoint = f"http://127.0.0.1:{free_port()}"
    aws_environment.setenv("AWS_ENDPOINT_URL_KINESIS", endpoint)
    error, seconds = failing(run, log, "flights")
    assert type(error) is EndpointDownError
    assert endpoint in one_sentence(error)
    assert "`hydrant up`" in error.fix
    assert seconds < 30


def test_endpoint_that_goes_away_ends_the_pipeline_with_its_name(aws_environment, run, log, monkeypatch):
    monkeypatch.setattr(backoff, "FAILURE_BUDGET_S", 1.0)  # half a minute else
    child = Child("a Kinesis to be stopped", module("infra.embedded.kinesis_server", "--port", "0"))
    try:
        aws_environment.setenv("AWS_ENDPOINT_URL_KINESIS", child.ready()["endpoint"])
        kinesis = KinesisStandIn(child.ready()["endpoint"])
        stream = kinesis.stream()
        kinesis.put(stream, numbered(KEYS, 0, 1))
        error, _ = failing(run, log, stream, on_tick=lambda _: child.stop() if log.numbers() else None)
    finally:
        child.stop()
    assert type(error) is EndpointDownError
    assert kinesis.endpoint in one_sentence(error)
    assert "`hydrant up`" in error.fix


@pytest.mark.parametrize("keeps", [True, False], ids=["keeps-limits", "is-refused"])
def test_b6_b8_limits_are_kept_by_waiting_or_survived(aws_environment, run, log, stop, keeps):
    command = module("infra.embedded.kinesis_server", "--port", "0", "--limits", "aws")
    child = Child("a Kinesis with AWS's limits", command)
    try:
        endpoint = child.ready()["endpoint"]
        aws_environment.setenv("AWS_ENDPOINT_URL_KINESIS", endpoint)
        kinesis = KinesisStandIn(endpoint)
        stream = kinesis.stream()
        placed = kinesis.put(stream, [Record(b"x" * 100_000, f"key-{number}") for number in range(60)])

        def tick(_):
            # 6 MB are read, and two seconds of exceptions follow.
            if stop.read() is None and len(log.numbers()) >= 60:
                placed.extend(kinesis.put(stream, [Record(b"last", "key")]))
                stop.write(ends_of(placed))

        def build(pipeline):
            return pipeline | ReadFromKinesis(stream, until=stop, keep_limits=keeps) | beam.ParDo(LogPages(log))

        metrics = run(build, on_tick=tick)["source"]
    finally:
        child.stop()
    each_once(log, placed)
    assert (metrics.get("retries", 0) > 1) != keeps  # one may be a connection's
