"""What is measured of pages, objects and invocations, and the PutMetricData requests that it becomes (A9)."""

import logging
from collections import Counter
from typing import Any

import pytest
from botocore.exceptions import ClientError
from hypothesis import given
from hypothesis import strategies as st

from pipelines.firehose.chunk import DeliveredObject
from pipelines.firehose.cloudwatch import (
    NAMESPACE,
    PERIOD_S,
    Datapoints,
    Point,
    Publisher,
    of_invocation,
    of_object,
    of_page,
)
from pipelines.firehose.invocation import Invocation
from pipelines.runtime.aws import validate_shape
from pipelines.runtime.clock import ManualClock


def written(kind: str) -> DeliveredObject:
    return DeliveredObject(
        kind, "bucket", "key", 900, 3, 157, "size", (), opened_ms=5_000, flushed_ms=9_000, oldest_arrival_ms=2_000
    )


def by_name(points: list[Point]) -> dict[str, tuple[str, float]]:
    assert len({point.name for point in points}) == len(points)
    return {point.name: (point.unit, point.value) for point in points}


def test_a9_a_page_is_one_sample_a_call_whose_value_is_its_records() -> None:
    assert by_name(of_page(500, 91_000)) == {
        "IncomingRecords": ("Count", 500),
        "IncomingBytes": ("Bytes", 91_000),
        "DataReadFromKinesisStream.Records": ("Count", 500),
        "DataReadFromKinesisStream.Bytes": ("Bytes", 91_000),
    }


DELIVERY = {
    "DeliveryToS3.Records": ("Count", 3),
    "DeliveryToS3.Bytes": ("Bytes", 157),
    "DeliveryToS3.Success": ("Count", 1),
    "DeliveryToS3.DataFreshness": ("Seconds", 7.25),
    "DeliveryToS3.ObjectCount": ("Count", 1),
}


def test_a9_an_object_counts_its_records_before_conversion_and_the_age_of_the_oldest() -> None:
    assert by_name(of_object(written("data"), 9_250)) == DELIVERY


def test_a9_error_objects_count_as_delivered() -> None:
    assert by_name(of_object(written("processing-failed"), 9_250)) == DELIVERY
    conversion = {"FailedConversion.Records": ("Count", 3), "FailedConversion.Bytes": ("Bytes", 157)}
    assert by_name(of_object(written("format-conversion-failed"), 9_250)) == DELIVERY | conversion


def test_a9_backup_has_metrics_of_its_own() -> None:
    assert by_name(of_object(written("backup"), 9_250)) == {
        name.replace("DeliveryTo", "BackupTo"): value for name, value in DELIVERY.items() if "ObjectCount" not in name
    }


def test_a9_processing_counts_what_the_function_returned_and_how_long_it_took() -> None:
    called = Invocation(
        "arn", ("1", "2"), 1_000, 3_500, 10, 500, 6, 1, {"Lambda.FunctionError": (1, 2, 3)}, "size", 0, 0
    )
    assert by_name(of_invocation(called)) == {
        "ExecuteProcessing.Duration": ("Milliseconds", 2_500),
        "ExecuteProcessing.Success": ("Count", 1),
        "SucceedProcessing.Records": ("Count", 6),
    }
    failed = Invocation("arn", ("1",), 0, 5, 2, 9, 0, 0, {"Lambda.FunctionTimedOut": (0, 1)}, "size", 0, 0)
    assert by_name(of_invocation(failed))["ExecuteProcessing.Success"] == ("Count", 0)


POINTS = st.builds(
    Point,
    st.sampled_from(["A", "B", "C"]),
    st.sampled_from(["Count", "Bytes"]),
    st.integers(min_value=0, max_value=400),
)


@given(st.lists(POINTS, max_size=700))
def test_every_point_is_in_one_request_that_cloudwatch_takes(points: list[Point]) -> None:
    waiting = Datapoints()
    waiting.add(points)
    requests = waiting.requests("flights", 1_790_000_000_000)
    sent: Counter[Point] = Counter()
    for request in requests:
        validate_shape("cloudwatch", "PutMetricData", request)
        assert request["Namespace"] == NAMESPACE
        assert len(request["MetricData"]) <= 1_000
        for datum in request["MetricData"]:
            assert datum["Dimensions"] == [{"Name": "DeliveryStreamName", "Value": "flights"}]
            assert 1 <= len(datum["Values"]) == len(datum["Counts"]) <= 150
            for value, count in zip(datum["Values"], datum["Counts"], strict=True):
                sent[Point(datum["MetricName"], datum["Unit"], value)] += int(count)
    assert sent == Counter(points)
    assert waiting.requests("flights", 0) == []


class CloudWatch:
    """Keeps what it is sent; refuses it while `refuses`."""

    def __init__(self) -> None:
        self.requests: list[dict[str, Any]] = []
        self.refuses = False

    def put_metric_data(self, **request: Any) -> None:
        if self.refuses:
            answer = {"Error": {"Code": "AccessDenied", "Message": "no"}, "ResponseMetadata": {"HTTPStatusCode": 403}}
            raise ClientError(answer, "PutMetricData")
        self.requests.append(request)


def test_points_are_sent_together_when_it_is_time_to() -> None:
    clock, cloudwatch = ManualClock(), CloudWatch()
    publisher = Publisher("flights", cloudwatch, clock)
    publisher.add(of_page(1, 10))
    publisher.tick()
    assert cloudwatch.requests == []
    clock.advance(PERIOD_S)
    publisher.add(of_page(2, 10))
    publisher.tick()
    publisher.tick()
    (request,) = cloudwatch.requests
    records = next(datum for datum in request["MetricData"] if datum["MetricName"] == "IncomingRecords")
    assert (records["Values"], records["Counts"]) == ([1, 2], [1, 1])
    assert records["Timestamp"].timestamp() == pytest.approx(clock.now_ms() / 1000)
    publisher.add(of_page(3, 10))
    publisher.flush()
    assert len(cloudwatch.requests) == 2


def test_what_cloudwatch_refuses_is_said_once_and_stops_nothing(caplog: pytest.LogCaptureFixture) -> None:
    cloudwatch = CloudWatch()
    cloudwatch.refuses = True
    publisher = Publisher("flights", cloudwatch, ManualClock())
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            publisher.add(of_page(1, 10))
            publisher.flush()
    (warning,) = caplog.messages
    assert "Metrics of flights are not on CloudWatch: AWS refuses the credentials" in warning
    cloudwatch.refuses = False
    publisher.add(of_page(1, 10))
    publisher.flush()
    assert len(cloudwatch.requests) == 1
