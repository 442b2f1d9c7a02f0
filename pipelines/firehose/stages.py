"""The room's Beam adapters: the DoFns that `delivery.py` draws its graph from.

Each DoFn is a thin shell around a pure part of the room: `transform`, `convert`, `buffer`, `deliver`.
"""

import struct
from collections.abc import Iterator, Sequence
from typing import Any, Final

import apache_beam as beam
import pyarrow as pa
from apache_beam.coders import BytesCoder
from apache_beam.transforms.timeutil import TimeDomain
from apache_beam.transforms.userstate import (
    BagStateSpec,
    ReadModifyWriteStateSpec,
    TimerSpec,
    on_timer,
)
from apache_beam.transforms.window import GlobalWindow
from apache_beam.utils.timestamp import Timestamp

from pipelines.firehose.buffer import END, INTERVAL, SIZE, Fill, Hints
from pipelines.firehose.chunk import Chunk, DeliveredObject, Sealed, data_bytes
from pipelines.firehose.coders import ChunkCoder
from pipelines.firehose.config import FormatConversion, LambdaProcessorConfig
from pipelines.firehose.convert import RecordConverter
from pipelines.firehose.deliver import Destination, ObjectWriter
from pipelines.firehose.errors import DataCatalogTable, Failure, failure_page
from pipelines.firehose.invocation import Invocation
from pipelines.firehose.invoke import Invoker
from pipelines.firehose.schema import TableSchema
from pipelines.firehose.transform import LambdaProcessor
from pipelines.runtime.aws import client
from pipelines.runtime.clock import Clock
from pipelines.runtime.metrics import StageMetrics

DROPPED: Final = "dropped"
FAILED: Final = "failed"
INVOKED: Final = "invoked"

_FILL: Final = struct.Struct(">qqq")


class BufferFn(beam.DoFn):
    """(key, Chunk) -> Sealed: holds a key's chunks until the first of size and interval (A2.2), or the end of input.

    State is a bag of encoded chunks and one small `Fill`: one access a chunk, none a record. The interval is a
    real-time timer, set when the first chunk comes into an empty buffer. An event-time timer at the end of the window
    fires when the watermark says that no chunk will follow: a bounded run, or a drained one, delivers its last buffers
    at once and not after their interval. The graph is the same for both.

    Args:
        hints: when a buffer is due.
        clock: says when the interval of a buffer began.
        stage: the stage its metrics count for.
    """

    CHUNKS = BagStateSpec("chunks", ChunkCoder())
    FILL = ReadModifyWriteStateSpec("fill", BytesCoder())
    INTERVAL = TimerSpec("interval", TimeDomain.REAL_TIME)
    END = TimerSpec("end", TimeDomain.WATERMARK)

    def __init__(self, hints: Hints, clock: Clock, stage: str) -> None:
        self._hints = hints
        self._clock = clock
        self._metrics = StageMetrics(stage)

    def process(
        self,
        element: tuple[str, Chunk],
        chunks: Any = beam.DoFn.StateParam(CHUNKS),
        fill: Any = beam.DoFn.StateParam(FILL),
        interval: Any = beam.DoFn.TimerParam(INTERVAL),
        end: Any = beam.DoFn.TimerParam(END),
    ) -> Iterator[Sealed]:
        """Buffers one chunk; yields the sealed buffer when the chunk makes it due by size."""
        key, chunk = element
        self._metrics.records_in.inc(chunk.records)
        self._metrics.bytes_in.inc(chunk.raw_bytes)
        before = _read(fill)
        after = before.add(chunk, self._clock.now_ms())
        if after.due_by_size(self._hints):
            held = () if before.is_empty else tuple(chunks.read())
            if held:
                chunks.clear()
                fill.clear()
                interval.clear()
                end.clear()
            yield self._seal(key, (*held, chunk), SIZE, after)
            return
        chunks.add(chunk)
        fill.write(_FILL.pack(after.raw_bytes, after.records, after.since_ms))
        if before.is_empty:
            interval.set(Timestamp(micros=after.due_at_ms(self._hints) * 1000))
            end.set(GlobalWindow().max_timestamp())

    @on_timer(INTERVAL)
    def on_interval(
        self,
        key: str = beam.DoFn.KeyParam,
        chunks: Any = beam.DoFn.StateParam(CHUNKS),
        fill: Any = beam.DoFn.StateParam(FILL),
        end: Any = beam.DoFn.TimerParam(END),
    ) -> Iterator[Sealed]:
        """The interval is over."""
        yield from self._flush(key, chunks, fill, end, INTERVAL)

    @on_timer(END)
    def on_end(
        self,
        key: str = beam.DoFn.KeyParam,
        chunks: Any = beam.DoFn.StateParam(CHUNKS),
        fill: Any = beam.DoFn.StateParam(FILL),
        interval: Any = beam.DoFn.TimerParam(INTERVAL),
    ) -> Iterator[Sealed]:
        """No chunk will follow."""
        yield from self._flush(key, chunks, fill, interval, END)

    def _flush(self, key: str, chunks: Any, fill: Any, other_timer: Any, reason: str) -> Iterator[Sealed]:
        before = _read(fill)
        if before.is_empty:
            return
        held = tuple(chunks.read())
        chunks.clear()
        fill.clear()
        other_timer.clear()
        yield self._seal(key, held, reason, before)

    def _seal(self, key: str, chunks: tuple[Chunk, ...], reason: str, fill: Fill) -> Sealed:
        sealed = Sealed(key, chunks, reason, fill.since_ms, self._clock.now_ms())
        self._metrics.records_out.inc(sum(chunk.records for chunk in chunks))
        self._metrics.bytes_out.inc(sealed.raw_bytes)
        return sealed


def _read(fill: Any) -> Fill:
    packed = fill.read()
    return Fill(*_FILL.unpack(packed)) if packed else Fill()


class TransformFn(beam.DoFn):
    """Sealed (whole pages of a shard) -> page of what the function returned as Ok.

    Outputs: main: pages (PAGE_SCHEMA, the returned data); DROPPED: pages of the records it dropped; FAILED: (key,
    Chunk) of failure objects for the error buffer. Every record goes to exactly one of them (A4.4, A4.9, A4.10).
    INVOKED, where it is asked for: an Invocation for each batch that the function was called with.

    Args:
        config: the Lambda processor.
        delivery_stream_arn: in every event.
        region: in every event.
        source_stream_arn: in every event of a stream with a Kinesis source.
        invoker: calls the function; made to be pickled.
        clock: for attempts and their back-off.
        tells: whether it tells of its invocations.
    """

    def __init__(
        self,
        config: LambdaProcessorConfig,
        delivery_stream_arn: str,
        region: str,
        source_stream_arn: str | None,
        invoker: Invoker,
        clock: Clock,
        *,
        tells: bool = False,
    ) -> None:
        self._processor = LambdaProcessor(config, delivery_stream_arn, region, source_stream_arn, invoker, clock)
        self._function_arn = config.lambda_arn
        self._tells = tells
        self._metrics = StageMetrics("transform")

    def process(self, sealed: Sealed) -> Iterator[Any]:
        """Invokes the function for one batch of a shard."""
        page = concatenated([chunk.rows() for chunk in sealed.chunks])
        self._metrics.records_in.inc(page.num_rows)
        self._metrics.bytes_in.inc(sealed.raw_bytes)
        result = self._processor.process(page)
        self._metrics.retries.inc(result.retries)
        if result.ok.num_rows:
            self._metrics.records_out.inc(result.ok.num_rows)
            self._metrics.bytes_out.inc(data_bytes(result.ok))
            yield result.ok
        if result.dropped.num_rows:
            self._metrics.dropped.inc(result.dropped.num_rows)
            yield beam.pvalue.TaggedOutput(DROPPED, result.dropped)
        self._metrics.failed.inc(len(result.failures))
        yield from _failed(result.failures)
        if self._tells:
            for called in result.batches:
                told = Invocation.of(self._function_arn, sealed, page, called)
                yield beam.pvalue.TaggedOutput(INVOKED, told)


class ConvertFn(beam.DoFn):
    """Page -> (shard id, Chunk of the table's typed columns); FAILED: (key, Chunk) for the error buffer (A5.10, A5.11).

    Args:
        schema: the table's.
        conversion: the deserializer, and the table's name for failure objects.
        clock: says when an attempt ended.
    """

    def __init__(self, schema: TableSchema, conversion: FormatConversion, clock: Clock) -> None:
        self._schema = schema
        self._conversion = conversion
        self._clock = clock
        self._table = DataCatalogTable.of(conversion.schema)
        self._metrics = StageMetrics("convert")

    def setup(self) -> None:
        # Here and not in __init__: a converter keeps compiled readers, which no pickle takes.
        self._converter = RecordConverter(self._schema, self._conversion.deserializer)

    def process(self, page: pa.RecordBatch) -> Iterator[Any]:
        """Converts one page; a bad record fails alone."""
        self._metrics.records_in.inc(page.num_rows)
        converted = self._converter.convert(page)
        if converted.rows.num_rows:
            chunk = Chunk.of(converted.rows, converted.raw_bytes)
            self._metrics.bytes_in.inc(converted.raw_bytes)
            self._metrics.records_out.inc(chunk.records)
            self._metrics.bytes_out.inc(len(chunk.ipc))
            yield page.column("shard_id")[0].as_py(), chunk
        if converted.failures:
            self._metrics.failed.inc(len(converted.failures))
            ended_ms = self._clock.now_ms()
            yield from _failed(
                [
                    Failure(
                        error_output_type="format-conversion-failed",
                        error_code=failure.code,
                        error_message=failure.message,
                        attempts_made=1,
                        raw_data=page.column("data")[failure.row].as_py(),
                        arrival_ms=page.column("arrival_ms")[failure.row].as_py(),
                        attempt_ending_ms=ended_ms,
                        shard_id=page.column("shard_id")[failure.row].as_py(),
                        sequence_number=page.column("sequence_number")[failure.row].as_py(),
                        sub_sequence_number=page.column("sub_sequence_number")[failure.row].as_py(),
                        lambda_arn=None,
                        table=self._table,
                    )
                    for failure in converted.failures
                ]
            )


class DeliverFn(beam.DoFn):
    """Sealed -> DeliveredObject: one object on S3.

    Args:
        destination: where to; its S3 client is made on the worker.
        clock: for the back-off.
    """

    def __init__(self, destination: Destination, clock: Clock) -> None:
        self._destination = destination
        self._clock = clock
        self._writer: ObjectWriter | None = None

    def setup(self) -> None:
        self._writer = ObjectWriter(self._destination, client("s3"), self._clock)

    def process(self, sealed: Sealed) -> Iterator[DeliveredObject]:
        """Writes one object."""
        assert self._writer is not None  # Beam calls setup() first
        yield self._writer.write(sealed)


def shard_of(page: pa.RecordBatch) -> str:
    """The shard of a page: buffers are kept per shard (A2.6)."""
    return str(page.column("shard_id")[0].as_py())


def concatenated(batches: Sequence[pa.RecordBatch]) -> pa.RecordBatch:
    """One batch of all rows of `batches`, which have one schema."""
    return batches[0] if len(batches) == 1 else pa.concat_batches(batches)


def _failed(failures: Sequence[Failure]) -> Iterator[Any]:
    """Failure objects travel and are buffered like any page, keyed by error type and shard."""
    for failure_type, shard_id in sorted({(f.error_output_type, f.shard_id) for f in failures}):
        same = [f for f in failures if (f.error_output_type, f.shard_id) == (failure_type, shard_id)]
        yield beam.pvalue.TaggedOutput(FAILED, (f"{failure_type}|{shard_id}", Chunk.of_page(failure_page(same))))
