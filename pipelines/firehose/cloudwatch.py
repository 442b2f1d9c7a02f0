"""A delivery stream's metrics on CloudWatch, by Firehose's names (A9), from the pages and receipts themselves.

AWS keeps namespaces that begin with "AWS/" to itself, so these are in `NAMESPACE`; names, units and the dimension
DeliveryStreamName are Firehose's, so that a dashboard made for one needs nothing but the other namespace.
"""

import logging
import threading
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

import apache_beam as beam
import pyarrow as pa

from pipelines.firehose.chunk import DeliveredObject, data_bytes
from pipelines.firehose.delivery import BACKED_UP, DELIVERED
from pipelines.firehose.invocation import Invocation
from pipelines.firehose.stages import FAILED, INVOKED
from pipelines.runtime.aws import aws_errors, client
from pipelines.runtime.clock import Clock, SystemClock
from pipelines.runtime.errors import HydrantError

NAMESPACE: Final = "Hydrant/Firehose"
DIMENSION: Final = "DeliveryStreamName"
PAGES: Final = "pages"
PERIOD_S: Final = 10.0
"""Datapoints of so many seconds are sent together."""

_MOST_VALUES: Final = 150
_MOST_METRICS: Final = 1_000
"""What PutMetricData takes: different values of a metric, and metrics of a call."""

_LOG: Final = logging.getLogger(__name__)


class Point(NamedTuple):
    """One measurement: a metric's name, its unit and the value."""

    name: str
    unit: str
    value: float


def of_page(records: int, size: int) -> list[Point]:
    """A page that was read: one sample a call, whose value is the number of records (A9).

    Args:
        records: in the page.
        size: bytes of their data.
    """
    return [
        Point("IncomingRecords", "Count", records),
        Point("IncomingBytes", "Bytes", size),
        Point("DataReadFromKinesisStream.Records", "Count", records),
        Point("DataReadFromKinesisStream.Bytes", "Bytes", size),
    ]


def of_object(written: DeliveredObject, delivered_ms: int) -> list[Point]:
    """An object that was written: bytes are those of the records before conversion and compression (A9).

    Error objects count as delivered, as with AWS. `Success` is that of the object: attempts that S3 refused before are
    not counted.

    Args:
        written: the receipt.
        delivered_ms: when it was there, ms since the epoch.
    """
    name = "BackupToS3" if written.kind == "backup" else "DeliveryToS3"
    points = [
        Point(f"{name}.Records", "Count", written.records),
        Point(f"{name}.Bytes", "Bytes", written.raw_bytes),
        Point(f"{name}.Success", "Count", 1),
        Point(f"{name}.DataFreshness", "Seconds", max(0, delivered_ms - written.oldest_arrival_ms) / 1000),
    ]
    if name == "DeliveryToS3":
        points.append(Point("DeliveryToS3.ObjectCount", "Count", 1))
    if written.kind == "format-conversion-failed":
        points.append(Point("FailedConversion.Records", "Count", written.records))
        points.append(Point("FailedConversion.Bytes", "Bytes", written.raw_bytes))
    return points


def of_invocation(called: Invocation) -> list[Point]:
    """A batch that went through the transform function; `Success` is 0 where none of its records came through."""
    tells = called.ok + called.dropped > 0
    return [
        Point("ExecuteProcessing.Duration", "Milliseconds", called.ended_ms - called.started_ms),
        Point("ExecuteProcessing.Success", "Count", int(tells)),
        Point("SucceedProcessing.Records", "Count", called.ok),
    ]


class Datapoints:
    """Measurements that wait to be sent. Thread-safe."""

    def __init__(self) -> None:
        self._values: dict[tuple[str, str], Counter[float]] = defaultdict(Counter)
        self._lock = threading.Lock()

    def add(self, points: Iterable[Point]) -> None:
        """Takes measurements along."""
        with self._lock:
            for point in points:
                self._values[point.name, point.unit][float(point.value)] += 1

    def requests(self, delivery_stream: str, at_ms: int) -> list[dict[str, Any]]:
        """Requests of PutMetricData for all that was taken along, which is then forgotten.

        Args:
            delivery_stream: the dimension's value.
            at_ms: the time of all of them, ms since the epoch.
        """
        with self._lock:
            values, self._values = self._values, defaultdict(Counter)
        at = datetime.fromtimestamp(at_ms / 1000, UTC)
        data = []
        for (name, unit), counted in sorted(values.items()):
            different = sorted(counted.items())
            for start in range(0, len(different), _MOST_VALUES):
                some = different[start : start + _MOST_VALUES]
                data.append(
                    {
                        "MetricName": name,
                        "Dimensions": [{"Name": DIMENSION, "Value": delivery_stream}],
                        "Timestamp": at,
                        "Unit": unit,
                        "Values": [value for value, _ in some],
                        "Counts": [float(count) for _, count in some],
                    }
                )
        return [
            {"Namespace": NAMESPACE, "MetricData": data[start : start + _MOST_METRICS]}
            for start in range(0, len(data), _MOST_METRICS)
        ]


class Publisher:
    """Sends a delivery stream's measurements, some seconds' worth at a time. Thread-safe.

    What cannot be sent is lost and said once: a delivery does not wait for its metrics.

    Args:
        delivery_stream: name.
        cloudwatch: a boto3 CloudWatch client; None makes one.
        clock: says when it is time to.
    """

    def __init__(self, delivery_stream: str, cloudwatch: Any = None, clock: Clock | None = None) -> None:
        self._stream = delivery_stream
        self._client = cloudwatch
        self._clock = clock or SystemClock()
        self._waiting = Datapoints()
        self._sent_s = self._clock.monotonic_s()
        self._warned = False
        self._lock = threading.Lock()

    def now_ms(self) -> int:
        """The time of its clock."""
        return self._clock.now_ms()

    def add(self, points: Iterable[Point]) -> None:
        """Takes measurements along."""
        self._waiting.add(points)

    def tick(self) -> None:
        """Sends what waits, when the last time was `PERIOD_S` ago."""
        if self._clock.monotonic_s() - self._sent_s >= PERIOD_S:
            self.flush()

    def flush(self) -> None:
        """Sends what waits, now."""
        with self._lock:
            self._sent_s = self._clock.monotonic_s()
            try:
                if self._client is None:
                    self._client = client("cloudwatch")
                for request in self._waiting.requests(self._stream, self._clock.now_ms()):
                    with aws_errors(f"CloudWatch namespace {NAMESPACE}"):
                        self._client.put_metric_data(**request)
            except HydrantError as error:
                if not self._warned:
                    self._warned = True
                    _LOG.warning("Metrics of %s are not on CloudWatch: %s", self._stream, error)


_publishers: Final[dict[str, Publisher]] = {}
_publishers_lock: Final = threading.Lock()


def publisher(delivery_stream: str) -> Publisher:
    """The publisher of this process for a delivery stream."""
    with _publishers_lock:
        return _publishers.setdefault(delivery_stream, Publisher(delivery_stream))


def flush_all() -> None:
    """Sends what waits in this process: for the end of a run."""
    with _publishers_lock:
        waiting, left = list(_publishers.values()), _publishers
        left.clear()
    for each in waiting:
        each.flush()


class PublishMetrics(beam.PTransform):
    """{"pages": pages, and what `DeliveryStream` returns} -> nothing: publishes a delivery stream's metrics.

    A bundle that the runner processes again counts again, as with Firehose's own metrics, which count attempts.

    Args:
        delivery_stream: name.
    """

    def __init__(self, delivery_stream: str) -> None:
        super().__init__()
        self._stream = delivery_stream

    def expand(self, collections: Mapping[str, Any]) -> Any:
        return {
            name: collections[name] | f"Metrics-{name}" >> beam.ParDo(_MeasureFn(self._stream))
            for name in (PAGES, INVOKED, DELIVERED, FAILED, BACKED_UP)
            if name in collections
        }


class _MeasureFn(beam.DoFn):
    """pa.RecordBatch, Invocation or DeliveredObject -> nothing."""

    def __init__(self, delivery_stream: str) -> None:
        self._stream = delivery_stream

    def process(self, element: pa.RecordBatch | Invocation | DeliveredObject) -> Iterator[None]:
        if isinstance(element, DeliveredObject):
            points = of_object(element, publisher(self._stream).now_ms())
        elif isinstance(element, Invocation):
            points = of_invocation(element)
        else:
            points = of_page(element.num_rows, data_bytes(element))
        publisher(self._stream).add(points)
        yield from ()

    def finish_bundle(self) -> None:
        publisher(self._stream).tick()

    def teardown(self) -> None:
        publisher(self._stream).flush()
