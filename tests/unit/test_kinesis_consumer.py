"""Registration of the consumer (B14): once, whoever calls, and not before it is ACTIVE."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from kinesis_fake import client_error, connection_error

from pipelines.kinesis.consumer import READY_S, consumer_arn
from pipelines.runtime.clock import ManualClock
from pipelines.runtime.errors import (
    ConfigurationError,
    CredentialsError,
    EndpointDownError,
    NotFoundError,
    ServiceFaultError,
    ThrottledError,
)

STREAM = "arn:aws:kinesis:us-east-1:000000000000:stream/flights"


class Registry:
    """The consumers of stream flights. A new one is CREATING until it was described `creating` times."""

    def __init__(self, creating: int = 2) -> None:
        self.creating = creating
        self.consumers: dict[str, dict[str, object]] = {}
        self.registered: list[str] = []
        self.calls: list[str] = []
        self.refusals: list[Exception] = []
        self._lock = threading.Lock()

    def describe_stream_summary(self, StreamName):
        self.calls.append("summary")
        if StreamName != "flights":
            raise client_error("ResourceNotFoundException", "DescribeStreamSummary")
        return {"StreamDescriptionSummary": {"StreamARN": STREAM}}

    def describe_stream_consumer(self, StreamARN=STREAM, ConsumerName=None, ConsumerARN=None):
        assert StreamARN == STREAM
        with self._lock:
            self.calls.append("describe")
            for consumer in self.consumers.values():
                if ConsumerName == consumer["ConsumerName"] or ConsumerARN == consumer["ConsumerARN"]:
                    return {"ConsumerDescription": consumer | {"ConsumerStatus": next(consumer["statuses"])}}
        raise client_error("ResourceNotFoundException", "DescribeStreamConsumer")

    def register_stream_consumer(self, StreamARN, ConsumerName):
        assert StreamARN == STREAM
        with self._lock:
            self.calls.append("register")
            if self.refusals:
                raise self.refusals.pop(0)
            if ConsumerName in self.consumers:
                raise client_error("ResourceInUseException", "RegisterStreamConsumer")
            self.add(ConsumerName, *["CREATING"] * self.creating)

    def add(self, name: str, *statuses: str) -> None:
        self.registered.append(name)
        arn = f"{STREAM}/consumer/{name}:{1_764_000_000 + len(self.registered)}"
        self.consumers[name] = {"ConsumerName": name, "ConsumerARN": arn, "statuses": self._statuses(name, statuses)}

    def _statuses(self, name, statuses):
        yield from statuses
        if statuses[-1:] == ("DELETING",):
            del self.consumers[name]
            raise client_error("ResourceNotFoundException", "DescribeStreamConsumer")
        while True:
            yield "ACTIVE"


@pytest.mark.parametrize("stream", ["flights", STREAM])
def test_b14_a_consumer_is_registered_and_waited_for(stream):
    registry, clock = Registry(), ManualClock()
    assert consumer_arn(registry, stream, "hydrant", clock) == f"{STREAM}/consumer/hydrant:1764000001"
    assert registry.registered == ["hydrant"]
    assert registry.calls.count("describe") == 4
    assert registry.calls.count("summary") == (stream == "flights")
    assert all(0.5 <= slept_s <= 1 for slept_s in clock.slept_s)


def test_b14_a_consumer_that_exists_is_taken_and_nothing_is_registered():
    registry, clock = Registry(), ManualClock()
    registry.add("hydrant")
    arn = consumer_arn(registry, "flights", "hydrant", clock)
    assert consumer_arn(registry, "flights", arn, clock) == consumer_arn(registry, STREAM, arn, clock) == arn
    assert "register" not in registry.calls
    assert clock.slept_s == []


def test_b14_workers_that_start_at_once_share_one_consumer():
    registry = Registry()
    barrier = threading.Barrier(8)

    def start(_):
        barrier.wait()
        return consumer_arn(registry, "flights", "hydrant", ManualClock())

    with ThreadPoolExecutor(8) as workers:
        arns = set(workers.map(start, range(8)))
    assert arns == {f"{STREAM}/consumer/hydrant:1764000001"}
    assert registry.registered == ["hydrant"]


def test_b14_a_consumer_registered_by_another_worker_in_between_is_taken():
    registry = Registry()
    registry.refusals = [client_error("ResourceInUseException", "RegisterStreamConsumer")]
    registry.describe, seen = registry.describe_stream_consumer, []

    def describe(**named):
        seen.append(named)
        if len(seen) == 2:
            registry.add("hydrant")
        return registry.describe(**named)

    registry.describe_stream_consumer = describe
    assert consumer_arn(registry, "flights", "hydrant", ManualClock()) == f"{STREAM}/consumer/hydrant:1764000001"


def test_b14_a_consumer_that_is_being_deleted_is_registered_anew():
    registry = Registry()
    registry.add("hydrant", "DELETING", "DELETING")
    assert consumer_arn(registry, "flights", "hydrant", ManualClock()) == f"{STREAM}/consumer/hydrant:1764000002"


def test_b14_too_many_at_once_is_tried_again():
    registry = Registry()
    registry.refusals = [client_error("LimitExceededException", "RegisterStreamConsumer")] * 3
    assert consumer_arn(registry, "flights", "hydrant", ManualClock()).startswith(f"{STREAM}/consumer/hydrant:")


def test_b14_a_stream_that_has_all_consumers_it_can_have():
    registry, clock = Registry(), ManualClock()
    registry.refusals = [client_error("LimitExceededException", "RegisterStreamConsumer")] * 1000
    with pytest.raises(ThrottledError, match=r"Consumer hydrant of .* flights cannot be registered.*--stream-arn arn"):
        consumer_arn(registry, "flights", "hydrant", clock)
    assert READY_S <= sum(clock.slept_s) <= READY_S + 1


def test_b14_a_consumer_that_does_not_become_active():
    with pytest.raises(ServiceFaultError, match="not ACTIVE after 60 s: CREATING"):
        consumer_arn(Registry(creating=1000), "flights", "hydrant", ManualClock())


def test_b14_a_consumer_arn_that_does_not_exist_is_not_registered():
    registry = Registry()
    with pytest.raises(NotFoundError, match="list-stream-consumers"):
        consumer_arn(registry, "flights", f"{STREAM}/consumer/hydrant:1", ManualClock())
    assert registry.registered == []


@pytest.mark.parametrize("stream", ["trains", "light", STREAM + "2"])
def test_b14_a_consumer_of_another_stream(stream):
    with pytest.raises(ConfigurationError, match="is no consumer of"):
        consumer_arn(Registry(), stream, f"{STREAM}/consumer/hydrant:1", ManualClock())


def test_no_such_stream():
    with pytest.raises(NotFoundError, match="trains"):
        consumer_arn(Registry(), "trains", "hydrant", ManualClock())


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (client_error("AccessDeniedException", "RegisterStreamConsumer"), CredentialsError),
        (client_error("InvalidArgumentException", "RegisterStreamConsumer"), ConfigurationError),
        (connection_error(), EndpointDownError),
    ],
)
def test_other_refusals_are_errors_of_ours(error, kind):
    registry = Registry()
    registry.refusals = [error]
    with pytest.raises(kind, match="consumer hydrant of Kinesis stream flights"):
        consumer_arn(registry, "flights", "hydrant", ManualClock())
