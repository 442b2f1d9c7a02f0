"""What an application reads beside its stream, and where its results go: the Beam adapters (C1, C14, C15).

`deliver` and `reference` are what they adapt.
"""

import math
from collections.abc import Iterator
from typing import Any

import apache_beam as beam
import pyarrow as pa
from apache_beam.transforms.window import GlobalWindow, GlobalWindows
from apache_beam.utils.timestamp import MAX_TIMESTAMP
from apache_beam.utils.windowed_value import WindowedValue

from pipelines.analytics.deliver import DeliveryStreamSink, FunctionSink, Records, Sink, result_records
from pipelines.analytics.reference import ReferenceData
from pipelines.firehose.invoke import Invoker
from pipelines.kinesis import WriteToKinesis
from pipelines.runtime.clock import Clock, SystemClock
from pipelines.runtime.metrics import StageMetrics


class ResultsToKinesis(beam.PTransform):
    """PCollection[results] -> `WrittenToKinesis`: each result as a JSON object, its series the partition key (C14).

    The order of a series' results is kept, for which a call has one of each series at most (B2): with few series that
    is slow. What Kinesis throttles or fails is put again for ever; only what it would always refuse is in `failed`: a
    record of more than the stream's MaxRecordSizeInKiB, 1 MiB where nobody set it (B1). Nobody else keeps that record.

    Args:
        stream: name or ARN.
        records: a batch as (partition key, data) of each record.
        ordered: whether the order counts; without it a call has up to 500 results of whatever series.
    """

    def __init__(self, stream: str, records: Records = result_records, *, ordered: bool = True) -> None:
        super().__init__()
        self._stream = stream
        self._records = records
        self._ordered = ordered

    def expand(self, results: Any) -> Any:
        records = results | "Records" >> beam.FlatMap(self._records).with_output_types(tuple[str, bytes])
        return records | "Put" >> WriteToKinesis(self._stream, ordered=self._ordered, retry_s=math.inf)


class ResultsToDeliveryStream(beam.PTransform):
    """PCollection[results] -> PCollection[int]: JSON lines into a delivery stream of Direct PUT, counted (C14).

    A delivery stream whose source is a Kinesis stream gets them by `ResultsToKinesis` into that stream.

    Args:
        name: of the delivery stream.
        clock: for pauses.
        records: a batch as (partition key, data) of each record.
    """

    def __init__(self, name: str, clock: Clock | None = None, records: Records = result_records) -> None:
        super().__init__()
        self._sink = DeliveryStreamSink(name, clock or SystemClock())
        self._records = records

    def expand(self, results: Any) -> Any:
        return results | "Put" >> _delivered(self._sink, self._records)


class ResultsToFunction(beam.PTransform):
    """PCollection[results] -> PCollection[int]: results to a Lambda function as output, counted (C15).

    A bundle's results are one event, or several where Lambda takes no more; so windows that close together are
    delivered together. `deliver.FunctionSink` says what the function answers and when it is called again.

    Args:
        invoker: calls the function.
        application_arn: what it reads as the application's.
        clock: for pauses.
        records: a batch as (partition key, data) of each record.
    """

    def __init__(
        self, invoker: Invoker, application_arn: str, clock: Clock | None = None, records: Records = result_records
    ) -> None:
        super().__init__()
        self._sink = FunctionSink(invoker, application_arn, clock or SystemClock())
        self._records = records

    def expand(self, results: Any) -> Any:
        return results | "Invoke" >> _delivered(self._sink, self._records)


class JoinReference(beam.PTransform):
    """PCollection[batch of rows or results] -> the same with the columns of reference data (C1).

    Every row stays; where there is no such key, the columns are null.
    """

    def __init__(self, reference: ReferenceData) -> None:
        super().__init__()
        self._reference = reference

    def expand(self, batches: Any) -> Any:
        return batches | "Join" >> beam.ParDo(_JoinFn(self._reference)).with_output_types(pa.RecordBatch)


def _delivered(sink: Sink, records: Records) -> Any:
    return beam.WindowInto(GlobalWindows()) | "Deliver" >> beam.ParDo(_DeliverFn(sink, records)).with_output_types(int)


class _DeliverFn(beam.DoFn):
    """Results -> how many were delivered: all of a bundle at its end, so that the bundle ends when they are there."""

    def __init__(self, sink: Sink, records: Records) -> None:
        self._sink = sink
        self._results = records
        self._metrics = StageMetrics("put")

    def start_bundle(self) -> None:
        self._records: list[bytes] = []
        self._earliest = MAX_TIMESTAMP

    def process(self, results: pa.RecordBatch, timestamp: Any = beam.DoFn.TimestampParam) -> None:
        self._earliest = min(self._earliest, timestamp)
        self._records += [data for _, data in self._results(results)]

    def finish_bundle(self) -> Iterator[Any]:
        if not self._records:
            return
        retries = self._sink.deliver(self._records)
        if retries:
            self._metrics.retries.inc(retries)
        self._metrics.records_out.inc(len(self._records))
        yield WindowedValue(len(self._records), self._earliest, (GlobalWindow(),))


class _JoinFn(beam.DoFn):
    def __init__(self, reference: ReferenceData) -> None:
        self._reference = reference

    def setup(self) -> None:
        self._table = self._reference.load()

    def process(self, batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
        yield self._table.join(batch)
