"""Enhanced fan-out calls of the product, the same on every target: a consumer registered once, a shard pushed."""

import time
from collections.abc import Iterator
from functools import partial
from typing import Any, Final

import orjson
import pytest
from call_differences import Differences
from call_fixtures import stream_of, wait_until
from targets import Target

from pipelines.kinesis.consumer import READY_S, consumer_arn
from pipelines.kinesis.decode import decode_body
from pipelines.kinesis.positions import TRIM_HORIZON, ShardPosition
from pipelines.kinesis.put import Record, put_records
from pipelines.kinesis.subscriber import Subscriber, subscription_client
from pipelines.runtime.aws import client
from pipelines.runtime.clock import ManualClock, SystemClock
from pipelines.runtime.errors import NotFoundError, ServiceFaultError, ThrottledError

SHARD: Final = "shardId-000000000000"
CLOCK: Final = SystemClock()


@pytest.fixture
def stream(target: Target) -> Iterator[str]:
    with stream_of(target, 1) as name:
        yield name


def test_b14_a_consumer_is_registered_once(target: Target, known: Differences, stream: str) -> None:
    kinesis = client("kinesis")
    arn = consumer_arn(kinesis, stream, "app", CLOCK)
    stream_arn = f"arn:aws:kinesis:us-east-1:000000000000:stream/{stream}"
    assert arn.startswith(f"{stream_arn}/consumer/app")
    assert consumer_arn(kinesis, stream, "app", CLOCK) == arn
    assert consumer_arn(kinesis, stream_arn, "app", CLOCK) == arn
    assert consumer_arn(kinesis, stream, arn, CLOCK) == arn
    told = target.client("kinesis").describe_stream_consumer(ConsumerARN=arn)["ConsumerDescription"]
    assert (told["ConsumerName"], told["ConsumerStatus"], told["StreamARN"]) == ("app", "ACTIVE", stream_arn)
    with pytest.raises(NotFoundError, match="There is no consumer"):
        consumer_arn(kinesis, stream, f"{stream_arn}/consumer/nobody:1", CLOCK)

    def register_again() -> str:
        return str(target.client("kinesis").register_stream_consumer(StreamARN=stream_arn, ConsumerName="app"))

    if known.on(target.name, "registered-twice"):
        assert arn in register_again()
    else:
        with pytest.raises(Exception, match="ResourceInUseException"):
            register_again()


class Hurried(ManualClock):
    """Waits for as long as is ever waited, at once."""

    def sleep(self, seconds: float) -> None:
        super().sleep(max(seconds, READY_S))


def _is_active(kinesis: Any, consumer: dict[str, str]) -> bool:
    return bool(kinesis.describe_stream_consumer(**consumer)["ConsumerDescription"]["ConsumerStatus"] == "ACTIVE")


def test_b14_a_stream_has_twenty_consumers_at_most(target: Target, known: Differences, stream: str) -> None:
    kinesis, own = client("kinesis", max_attempts=1), target.client("kinesis")
    stream_arn = f"arn:aws:kinesis:us-east-1:000000000000:stream/{stream}"
    for number in range(20):
        name = f"app-{number}"
        own.register_stream_consumer(StreamARN=stream_arn, ConsumerName=name)
        named = {"StreamARN": stream_arn, "ConsumerName": name}
        wait_until(partial(_is_active, own, named))
    if known.on(target.name, "any-number-of-consumers"):
        assert consumer_arn(kinesis, stream, "one-more", CLOCK)
    else:
        with pytest.raises(ThrottledError, match=r"one-more .* cannot be registered: .*LimitExceededException"):
            consumer_arn(kinesis, stream, "one-more", Hurried())


def test_b14_a_subscription_brings_what_there_is_from_its_position_on(
    target: Target, known: Differences, stream: str
) -> None:
    kinesis = client("kinesis")
    numbers, times_ms = [], []
    wait_until(lambda: time.time() % 1 < 0.3)  # so that all of them arrive within one second
    for data in (b"0", b"1", b"2"):
        numbers.append(put_records(kinesis, stream, [Record(data, "k")])[0].sequence_number)
        time.sleep(0.05)
        times_ms.append(round(time.time() * 1000))
        time.sleep(0.05)
    in_seconds = known.on(target.name, "times-in-seconds")
    positions = (
        (TRIM_HORIZON, 0),
        (ShardPosition.at(numbers[1]), 1),
        (ShardPosition.after(numbers[1]), 2),
        (ShardPosition("AT_TIMESTAMP", timestamp_ms=times_ms[0]), 0 if in_seconds else 1),
    )
    for place, (position, first) in enumerate(positions):
        # A consumer each: AWS takes a second subscription to a shard after 5 s at the earliest.
        arn = consumer_arn(kinesis, stream, f"app-{place}", CLOCK)
        subscriber = Subscriber(arn, subscription_client, CLOCK)
        if known.on(target.name, "no-fan-out"):
            with pytest.raises(ServiceFaultError, match="500"):
                subscriber.subscribe(SHARD, position)
            continue
        events = subscriber.subscribe(SHARD, position)
        found: list[str] = []
        for event in events:
            answer = decode_body(event, SHARD)
            found += answer.page["sequence_number"].to_pylist() if answer.page is not None else []
            if len(found) == len(numbers) - first:
                assert orjson.loads(event)["ContinuationSequenceNumber"]
                break
        events.close()
        assert found == numbers[first:], position


def test_b14_nobody_subscribes_for_a_consumer_that_there_is_not(
    target: Target, known: Differences, stream: str
) -> None:
    arn = f"arn:aws:kinesis:us-east-1:000000000000:stream/{stream}/consumer/nobody:1"
    subscriber = Subscriber(arn, subscription_client, CLOCK)
    if known.on(target.name, "no-fan-out"):
        with pytest.raises(ServiceFaultError, match="500"):
            subscriber.subscribe(SHARD, TRIM_HORIZON)
    elif known.on(target.name, "missing-consumer-is-a-fault"):
        with pytest.raises(ServiceFaultError, match=r"InternalError.*Unable to find stream for stream consumer"):
            subscriber.subscribe(SHARD, TRIM_HORIZON)
    else:
        with pytest.raises(NotFoundError, match=r"subscription to .*nobody:1 does not exist .ResourceNotFoundExc"):
            subscriber.subscribe(SHARD, TRIM_HORIZON)
