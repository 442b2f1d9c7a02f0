"""`WriteToKinesis`: the Beam adapters of the sink. What they adapt is in producer.py and sender.py."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, NamedTuple

import apache_beam as beam
import pyarrow as pa
from apache_beam.transforms.window import GlobalWindow, GlobalWindows
from apache_beam.utils.timestamp import MAX_TIMESTAMP
from apache_beam.utils.windowed_value import WindowedValue

from pipelines.kinesis.elements import BY_POSITION, DedupKey, check_dedup_key, records_of
from pipelines.kinesis.outcome import FailedRecord
from pipelines.kinesis.producer import Producer
from pipelines.kinesis.sender import MAX_REQUESTS, Sender
from pipelines.kinesis.service import ClientFactory, check_stream
from pipelines.runtime import aws
from pipelines.runtime.clock import Clock, SystemClock
from pipelines.runtime.errors import ConfigurationError
from pipelines.runtime.metrics import StageMetrics

__all__ = ["BY_POSITION", "WRITTEN_SCHEMA", "WriteToKinesis", "WrittenToKinesis"]

RETRY_S: Final = 60.0
WRITTEN_SCHEMA: Final = pa.schema([
    pa.field("partition_key", pa.string(), nullable=False),
    pa.field("sequence_number", pa.string(), nullable=False),
    pa.field("sub_sequence_number", pa.int64(), nullable=False),
    pa.field("shard_id", pa.string(), nullable=False),
])  # fmt: skip
"""Columns of the batches of `written`: a row a record, where it is in the stream; `sub_sequence_number` is its place in
a KPL aggregate (B17), 0 without one."""

_WRITTEN: Final = "written"
_FAILED: Final = "failed"


class WrittenToKinesis(NamedTuple):
    """What became of the records: each is in exactly one of the two.

    Attributes:
        written: PCollection[pa.RecordBatch] of WRITTEN_SCHEMA.
        failed: PCollection[FailedRecord]. Nobody else keeps these records.
    """

    written: Any
    failed: Any


class WriteToKinesis(beam.PTransform):
    """Puts records into a Kinesis data stream: PCollection -> `WrittenToKinesis`.

    Elements are `Record`, tuples (partition_key: str, data: bytes), or what `ReadFromKinesis` gives: pages, which cost
    Beam as much as a record does, or their `KinesisRecord`s. Both outputs are in the global window.

    **At least once.** A bundle that the runner commits has put every record that is not in `failed`. A record can be
    in the stream more than once: when the answer to a call is lost, its records are put again; when a bundle fails or
    its worker dies, the runner processes the bundle again, and all of its records are put again; records of an
    aggregate that a reshard carried into a wrong shard are put again, and readers that do as the KCL does drop the
    first copy. `dedup_key` names each record, so that `RemoveDuplicates` behind `ReadFromKinesis` takes such doubles
    out, within a horizon. There is no exactly-once put in Kinesis.

    **Order.** With `ordered`, the first copies of the records of one partition key are in the stream in the order in
    which the bundle had them, across elements and rows of pages, throttling, partial failures, lost answers and
    reshards. Between bundles Beam has no order; what a runner processes one after the other, such as the pages of a
    shard or the elements of one key behind a stateful step, is put one after the other, as a bundle ends when it has
    been put. A record in `failed` is missing from the order. Without aggregation it costs a request a record for a
    partition key that all records share: PutRecords keeps no order among the entries of a request (B2). Aggregation
    restores the speed. Without `ordered`, a refused record may come behind later ones of its key.

    **Failures.** A record that AWS would refuse (B1, B3) goes to `failed` without being sent, its neighbours are put.
    What is throttled or fails for other reasons is put again, with pauses of up to 5 s, for `retry_s`; then it goes to
    `failed`. What cannot be mended by trying again (no such stream, no credentials, nothing answers for `retry_s`)
    raises its error and fails the bundle.

    A copy of a stream is made of de-aggregated pages: aggregates that go on as they came (`deaggregate=False`) hold
    records that may belong to other shards of the new stream, where readers drop them.

    IAM actions needed: kinesis:ListShards, kinesis:DescribeStreamSummary, kinesis:PutRecords. A worker holds about
    32 MiB of records at most for each bundle under way, beside the element at hand.

    Args:
        stream: name or ARN. Credentials, region and endpoint are those of the AWS SDK's environment variables.
        ordered: whether the order per partition key is kept.
        aggregation_max_bytes: puts records of a shard together as KPL aggregates of at most so many bytes (B16), which
            readers must de-aggregate; the KPL's own default is 51,200. None puts each record by itself.
        dedup_key: names each record; the same record must get the same name when the runner processes it again. A
            function of the record, or BY_POSITION for what `ReadFromKinesis` gives. The name travels in an aggregate,
            so every record becomes one, of one record without `aggregation_max_bytes`. None keeps the names that
            `Record.dedup_key` or the column `dedup_key` of a page give.
        retry_s: seconds of trying again, see above.

    Raises:
        ConfigurationError: an argument makes no sense; when running: an element that is none of the above.
    """

    def __init__(
        self,
        stream: str,
        *,
        ordered: bool = True,
        aggregation_max_bytes: int | None = None,
        dedup_key: DedupKey = None,
        retry_s: float = RETRY_S,
    ) -> None:
        super().__init__()
        check_stream(stream)
        if aggregation_max_bytes is not None and not (
            isinstance(aggregation_max_bytes, int) and aggregation_max_bytes >= 1
        ):
            message = f"aggregation_max_bytes is {aggregation_max_bytes!r}"
            raise ConfigurationError(message, fix="give a number of bytes, as 51_200, or None")
        if not isinstance(retry_s, int | float) or not retry_s >= 0:
            message = f"retry_s is {retry_s!r}"
            raise ConfigurationError(message, fix="give a number of seconds, or 0 to try once")
        self._function = PutFn(stream, ordered, aggregation_max_bytes, check_dedup_key(dedup_key), retry_s)

    def expand(self, elements: Any) -> Any:  # WrittenToKinesis, which Beam would take for an element's type
        outcome = (
            elements
            | "GlobalWindow" >> beam.WindowInto(GlobalWindows())
            | "Put"
            >> beam.ParDo(self._function)
            .with_output_types(pa.RecordBatch, **{_FAILED: FailedRecord})
            .with_outputs(_FAILED, main=_WRITTEN)
        )
        return WrittenToKinesis(outcome[_WRITTEN], outcome[_FAILED])


def _put_client() -> Any:
    """It does not retry by itself, and a call that hangs leaves time to make it again."""
    return aws.client("kinesis", max_attempts=1, read_timeout_s=20)


class PutFn(beam.DoFn):
    """Elements -> batches of WRITTEN_SCHEMA; "failed": FailedRecord. `WriteToKinesis` says what it guarantees.

    Args:
        stream: name or ARN.
        ordered: as of `WriteToKinesis`.
        aggregation_max_bytes: as of `WriteToKinesis`.
        dedup_key: as of `WriteToKinesis`.
        retry_s: as of `WriteToKinesis`.
        make_client: makes the client, on the worker.
        clock: for pauses.
    """

    def __init__(
        self,
        stream: str,
        ordered: bool,
        aggregation_max_bytes: int | None,
        dedup_key: DedupKey,
        retry_s: float,
        *,
        make_client: ClientFactory = _put_client,
        clock: Clock | None = None,
    ) -> None:
        self._stream = stream
        self._ordered = ordered
        self._aggregation_max_bytes = aggregation_max_bytes
        self._dedup_key = dedup_key
        self._retry_s = retry_s
        self._make_client = make_client
        self._clock = clock or SystemClock()
        self._producer: Producer | None = None
        self._metrics = StageMetrics("put")

    def setup(self) -> None:
        self._kinesis = self._make_client()
        self._threads = ThreadPoolExecutor(MAX_REQUESTS, "kinesis-put")

    def teardown(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    def start_bundle(self) -> None:
        if self._producer is None or not self._producer.is_idle:  # what a failed bundle has left is not ours to put
            self._producer = Producer(
                ordered=self._ordered, aggregation_max_bytes=self._aggregation_max_bytes, retry_s=self._retry_s
            )
            self._sender = Sender(
                self._stream,
                self._kinesis,
                self._producer,
                self._clock,
                self._threads,
                retry_s=self._retry_s,
                renew=self._make_client,
            )
        self._earliest = MAX_TIMESTAMP

    def process(self, element: Any, timestamp: Any = beam.DoFn.TimestampParam) -> Iterator[Any]:
        """Takes the records of one element; gives what is known by now of these and those before."""
        self._earliest = min(self._earliest, timestamp)
        count, size = 0, 0
        for record in records_of(element, self._dedup_key):
            self._sender.add(record)
            count += 1
            size += len(record.data)
        self._metrics.records_in.inc(count)
        self._metrics.bytes_in.inc(size)
        yield from self._outcome()

    def finish_bundle(self) -> Iterator[Any]:
        """Puts what is left; gives the rest."""
        self._sender.flush()
        for output in self._outcome():
            if isinstance(output, beam.pvalue.TaggedOutput):
                yield beam.pvalue.TaggedOutput(output.tag, self._windowed(output.value))
            else:
                yield self._windowed(output)

    def _windowed(self, value: Any) -> WindowedValue:
        return WindowedValue(value, self._earliest, (GlobalWindow(),))

    def _outcome(self) -> Iterator[Any]:
        assert self._producer is not None  # Beam starts a bundle first
        written, failed = self._producer.take_written(), self._producer.take_failed()
        retries, latencies_ms = self._producer.take_retries(), self._sender.take_latencies_ms()
        if retries:
            self._metrics.retries.inc(retries)
        for latency_ms in latencies_ms:
            self._metrics.latency_ms.update(latency_ms)
        if written.shard_id:
            self._metrics.records_out.inc(len(written.shard_id))
            columns = [getattr(written, name) for name in WRITTEN_SCHEMA.names]
            yield pa.RecordBatch.from_arrays(
                [pa.array(column, kind) for column, kind in zip(columns, WRITTEN_SCHEMA.types, strict=True)],
                schema=WRITTEN_SCHEMA,
            )
        if failed:
            self._metrics.failed.inc(len(failed))
        for record in failed:
            yield beam.pvalue.TaggedOutput(_FAILED, record)
