"""One delivery stream as a Beam graph, whole, on one screen.

                        ┌─ Backup: buffer ─ deliver ──────────────────────────────► backup objects
    pages (by shard) ───┤
                        └─ Batch ─ Transform ─┬─ Convert ─┬─ Buffer ─ Deliver ────► data objects
                                              ├─ dropped  │
                                              └─ failed ──┴─ Errors: buffer ─ deliver ► error objects

The order is AWS's (A3.1). Each buffer has its own hints and flushes on its own (A2.11). The graph is the same for a
bounded and for an unbounded run: what differs is only whether the source ends.
"""

from typing import Any, Final

import apache_beam as beam
import pyarrow as pa

from pipelines.firehose.buffer import Hints
from pipelines.firehose.chunk import Chunk, DeliveredObject, Sealed
from pipelines.firehose.config import BufferingHints, DeliveryStreamConfig
from pipelines.firehose.deliver import (
    BACKUP,
    DATA,
    ERRORS,
    Destination,
    backup_destination,
    data_destination,
    error_destination,
)
from pipelines.firehose.invocation import Invocation
from pipelines.firehose.invoke import Invoker
from pipelines.firehose.schema import TableSchema
from pipelines.firehose.stages import DROPPED, FAILED, INVOKED, BufferFn, ConvertFn, DeliverFn, TransformFn, shard_of
from pipelines.runtime.clock import Clock, SystemClock

MAIN: Final = "main"
BUFFER_STAGE: Final = {DATA: "buffer", ERRORS: "error_buffer", BACKUP: "backup_buffer"}


DELIVERED: Final = "delivered"

BACKED_UP: Final = "backed_up"


class DeliveryStream(beam.PTransform):
    """PCollection[page] -> dict of PCollections: what Firehose does between its source and S3.

    Outputs, each record in exactly one of the first three:
        "delivered": DeliveredObject, the data objects.
        "dropped": pages of the records that the transform dropped; only with a transform.
        "failed": DeliveredObject, the error objects; only where something can fail.
        "backed_up": DeliveredObject, the backup objects; only with source backup.
        "invoked": Invocation, the calls of the transform; only with a transform, and where it is asked for.

    Args:
        config: the delivery stream, as DescribeDeliveryStream tells it.
        schema: the Glue table's schema; needed when the stream converts formats.
        invoker: calls the transform function; needed when the stream has a Lambda processor.
        clock: where buffers and attempts get the time from.
        tells_of_invocations: whether there is an output "invoked".
    """

    def __init__(
        self,
        config: DeliveryStreamConfig,
        *,
        schema: TableSchema | None = None,
        invoker: Invoker | None = None,
        clock: Clock | None = None,
        tells_of_invocations: bool = False,
    ) -> None:
        super().__init__()
        self._config = config
        self._schema = schema
        self._invoker = invoker
        self._clock = clock or SystemClock()
        self._tells_of_invocations = tells_of_invocations

    def expand(self, pages: Any) -> Any:
        s3 = self._config.destination
        outcomes, failures = {}, []
        if s3.backup is not None:
            whole = pages | "BackupPages" >> beam.Map(_chunk_of_page).with_output_types(tuple[str, Chunk])
            outcomes[BACKED_UP] = self._deliver(whole, "Backup", s3.backup.buffering, backup_destination(self._config))
        if s3.lambda_processor is not None:
            transformed = self._transform(pages)
            pages, outcomes[DROPPED] = transformed[MAIN], transformed[DROPPED]
            failures.append(transformed[FAILED])
            if self._tells_of_invocations:
                outcomes[INVOKED] = transformed[INVOKED]
        if s3.conversion is not None:
            converted = self._convert(pages)
            chunks = converted[MAIN]
            failures.append(converted[FAILED])
        else:
            chunks = pages | "Chunks" >> beam.Map(_chunk_of_page).with_output_types(tuple[str, Chunk])
        outcomes[DELIVERED] = self._deliver(chunks, "Data", s3.buffering, data_destination(self._config, self._schema))
        if failures:
            every = failures | "Failures" >> beam.Flatten()
            outcomes[FAILED] = self._deliver(every, "Errors", s3.buffering, error_destination(self._config))
        return outcomes

    def _transform(self, pages: Any) -> Any:
        config = self._config
        processor = config.destination.lambda_processor
        assert processor is not None
        if self._invoker is None:
            message = f"delivery stream {config.name} has a Lambda processor, but no invoker was given"
            raise ValueError(message)
        hints = Hints.of(processor.size_mib, processor.interval_s)
        function = TransformFn(
            processor,
            config.arn,
            config.region,
            config.source.stream_arn if config.source else None,
            self._invoker,
            self._clock,
            tells=self._tells_of_invocations,
        )
        outputs: dict[str, Any] = {DROPPED: pa.RecordBatch, FAILED: tuple[str, Chunk]}
        if self._tells_of_invocations:
            outputs[INVOKED] = Invocation
        return (
            pages
            | "TransformPages" >> beam.Map(_chunk_of_whole_page).with_output_types(tuple[str, Chunk])
            | "Batch" >> beam.ParDo(BufferFn(hints, self._clock, "batch")).with_output_types(Sealed)
            | "Transform"
            >> beam.ParDo(function).with_output_types(pa.RecordBatch, **outputs).with_outputs(*outputs, main=MAIN)
        )

    def _convert(self, pages: Any) -> Any:
        conversion = self._config.destination.conversion
        assert conversion is not None
        if self._schema is None:
            message = f"delivery stream {self._config.name} converts formats, but no table schema was given"
            raise ValueError(message)
        function = ConvertFn(self._schema, conversion, self._clock)
        return pages | "Convert" >> beam.ParDo(function).with_output_types(
            tuple[str, Chunk], **{FAILED: tuple[str, Chunk]}
        ).with_outputs(FAILED, main=MAIN)

    def _deliver(self, chunks: Any, name: str, hints: BufferingHints, destination: Destination) -> Any:
        buffer = BufferFn(Hints.of(hints.size_mib, hints.interval_s), self._clock, BUFFER_STAGE[destination.kind])
        return (
            chunks
            | f"{name}Buffer" >> beam.ParDo(buffer).with_output_types(Sealed)
            | f"{name}Deliver" >> beam.ParDo(DeliverFn(destination, self._clock)).with_output_types(DeliveredObject)
        )


def _chunk_of_page(page: pa.RecordBatch) -> tuple[str, Chunk]:
    return shard_of(page), Chunk.of_page(page)


def _chunk_of_whole_page(page: pa.RecordBatch) -> tuple[str, Chunk]:
    return shard_of(page), Chunk.of_whole_page(page)
