"""The transform step of a delivery stream: pages through a Lambda function, by Firehose's contract (A4)."""

import random
import uuid
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.firehose import contract
from pipelines.firehose.config import LambdaProcessorConfig
from pipelines.firehose.contract import Judgement, PartitionKeys, Problem
from pipelines.firehose.errors import PROCESSING_FAILED, Failure
from pipelines.firehose.invoke import REQUEST_LIMIT_BYTES, FunctionTimedOut, Invoker
from pipelines.kinesis.page import PAGE_SCHEMA
from pipelines.runtime.clock import Clock
from pipelines.runtime.errors import (
    CredentialsError,
    EndpointDownError,
    NotFoundError,
    ServiceFaultError,
    ThrottledError,
)

_MIB: Final = 1024 * 1024
_ENVELOPE_BYTES: Final = 2_048  # what an event holds around its records; an ARN has at most 512 bytes
_RECORD_BYTES: Final = 320  # member names, punctuation and integers of one record
_ESCAPED: Final = 6  # JSON may write a byte of a partition key as \u0000

_FIRST_PAUSE_S: Final = 0.2
_LONGEST_PAUSE_S: Final = 10.0

_CALL_PROBLEMS: Final[dict[type[Exception], Problem]] = {
    FunctionTimedOut: contract.FUNCTION_TIMED_OUT,
    ThrottledError: contract.INVOKE_LIMIT_EXCEEDED,
    NotFoundError: contract.RESOURCE_NOT_FOUND,
    CredentialsError: contract.INVOKE_ACCESS_DENIED,
}


@dataclass(frozen=True, slots=True)
class TransformedBatch:
    """What became of the records of one invocation, which is repeated where it fails.

    Attributes:
        rows: of the page.
        invocation_ids: of each attempt; the last one's answer counts. None if the batch is larger than Lambda takes.
        started_ms: when the first attempt began, ms since the epoch.
        ended_ms: when the last one ended.
        ok: how many records came back.
        problems: row of the page -> why that record failed. What neither came back nor failed was dropped.
    """

    rows: slice
    invocation_ids: tuple[str, ...]
    started_ms: int
    ended_ms: int
    ok: int
    problems: Mapping[int, Problem]


@dataclass(frozen=True)
class Transformed:
    """What became of a page. Each of its records is in exactly one of `ok`, `dropped` and `failures`.

    Attributes:
        ok: PAGE_SCHEMA; the data that the function returned, with each record's own lineage, in the page's order.
        dropped: PAGE_SCHEMA; the rows of the page that the function dropped (A4.4), in the page's order.
        failures: of each record that failed, the original bytes and AWS's code, in the page's order.
        invocations: calls made, retries included.
        retries: calls made because one before them failed.
        batches: invocation by invocation.
        partition_keys: of each row of `ok` its `metadata.partitionKeys` (A6.2), None for a row without; None when no
            row has any.
    """

    ok: pa.RecordBatch
    dropped: pa.RecordBatch
    failures: list[Failure]
    invocations: int
    retries: int
    batches: list[TransformedBatch]
    partition_keys: list[PartitionKeys | None] | None = None


def plan_invocations(page: pa.RecordBatch, size_mib: float) -> list[slice]:
    """Cuts a page into the batches of its invocations: in order, without gap, each at least one record.

    A batch holds at most `size_mib` of raw record data (A4.6) and its event is at most Lambda's 6 MiB (A4.5), which
    base64 and the members around it fill first when records are small. A record that is larger than that is a batch of
    its own.

    Args:
        page: PAGE_SCHEMA, any number of rows.
        size_mib: BufferSizeInMBs.
    """
    if page.num_rows == 0:
        return []
    raw = pc.cast(pc.binary_length(page.column("data")), pa.int64())
    numbers = pc.binary_length(page.column("sequence_number"))
    keys = pc.multiply(pc.cast(pc.binary_length(page.column("partition_key")), pa.int64()), _ESCAPED)
    encoded = pc.multiply(pc.divide(pc.add(raw, 2), 3), 4)
    fixed = pc.add(pc.multiply(numbers, 2), pc.add(pc.binary_length(page.column("shard_id")), _RECORD_BYTES))
    sizes = pc.add(pc.add(encoded, keys), fixed)
    raw_ends = pc.cumulative_sum(raw).to_pylist()
    event_ends = pc.cumulative_sum(sizes).to_pylist()
    batches, start = [], 0
    raw_before = event_before = 0
    while start < page.num_rows:
        by_raw = bisect_right(raw_ends, raw_before + int(size_mib * _MIB))
        by_event = bisect_right(event_ends, event_before + REQUEST_LIMIT_BYTES - _ENVELOPE_BYTES)
        stop = max(min(by_raw, by_event), start + 1)
        batches.append(slice(start, stop))
        start, raw_before, event_before = stop, raw_ends[stop - 1], event_ends[stop - 1]
    return batches


class LambdaProcessor:
    """Sends pages through a transform function. Can be pickled when its invoker and clock can.

    Args:
        config: the function, its batches and its retries.
        delivery_stream_arn: named in events.
        region: named in events.
        source_stream_arn: the Kinesis source; None for DirectPut, whose records have no `kinesisRecordMetadata`.
        invoker: calls the function.
        clock: says when attempts ended, and waits between them.
    """

    def __init__(
        self,
        config: LambdaProcessorConfig,
        delivery_stream_arn: str,
        region: str,
        source_stream_arn: str | None,
        invoker: Invoker,
        clock: Clock,
    ) -> None:
        self._config = config
        self._delivery_stream_arn = delivery_stream_arn
        self._region = region
        self._source_stream_arn = source_stream_arn
        self._invoker = invoker
        self._clock = clock

    def process(self, page: pa.RecordBatch) -> Transformed:
        """Transforms one page, in as many invocations as its size needs, one after the other.

        A failed call is repeated NumberOfRetries times with a growing pause, and fails its batch after that; a
        response that breaks the contract is final (A4.8).

        Args:
            page: PAGE_SCHEMA. No two rows have both sequence number and sub-sequence number in common.

        Raises:
            EndpointDownError: Lambda's endpoint still does not answer after all retries: AWS has no code for it, and
                the records are still in the stream.
            ServiceFaultError: Lambda itself still fails after all retries.
            ConfigurationError: Lambda refuses the call, or there is nothing to call.
        """
        data: list[bytes | None] = []
        keys: list[PartitionKeys | None] = []
        failed_rows: set[int] = set()
        failures: list[Failure] = []
        batches: list[TransformedBatch] = []
        for rows in plan_invocations(page, self._config.size_mib):
            batch = page.slice(rows.start, rows.stop - rows.start)
            started_ms = self._clock.now_ms()
            judgement, ids = self._transform(batch)
            data += judgement.data
            keys += judgement.partition_keys or [None] * batch.num_rows
            problems = {rows.start + row: problem for row, problem in judgement.problems.items()}
            failed_rows.update(problems)
            ended_ms = self._clock.now_ms()
            failures += self._failures(batch, judgement, len(ids), ended_ms)
            ok = sum(returned is not None for returned in judgement.data)
            batches.append(TransformedBatch(rows, ids, started_ms, ended_ms, ok, problems))
        ok_rows = [row for row, returned in enumerate(data) if returned is not None]
        ok_keys = [keys[row] for row in ok_rows]
        return Transformed(
            ok=_with_data(_rows(page, ok_rows), [returned for returned in data if returned is not None]),
            dropped=_rows(
                page, [row for row, returned in enumerate(data) if returned is None and row not in failed_rows]
            ),
            failures=failures,
            invocations=sum(len(batch.invocation_ids) for batch in batches),
            retries=sum(max(0, len(batch.invocation_ids) - 1) for batch in batches),
            batches=batches,
            partition_keys=ok_keys if any(ok_keys) else None,
        )

    def _transform(self, batch: pa.RecordBatch) -> tuple[Judgement, tuple[str, ...]]:
        """The judgement of one batch, and the invocation id of each call it took."""
        ids = contract.record_ids(batch)
        records = contract.event_records(batch, ids, kinesis_source=self._source_stream_arn is not None)
        if len(records) > REQUEST_LIMIT_BYTES - _ENVELOPE_BYTES:  # a single record: there is nothing left to cut
            return contract.failed(contract.FUNCTION_ERROR, batch.num_rows), ()
        response, invocation_ids = self._call(records)
        if isinstance(response, Problem):
            return contract.failed(response, batch.num_rows), invocation_ids
        return contract.judge(response, ids), invocation_ids

    def _call(self, records: bytes) -> tuple[bytes | Problem, tuple[str, ...]]:
        """The response, or why the last attempt failed; and the invocation id of each attempt (A4.8)."""
        invocation_ids: tuple[str, ...] = ()
        while True:
            invocation_ids = (*invocation_ids, str(uuid.uuid4()))
            last = len(invocation_ids) > self._config.number_of_retries
            payload = contract.event(
                invocation_ids[-1], self._delivery_stream_arn, self._region, self._source_stream_arn, records
            )
            try:
                result = self._invoker.invoke(payload)
            except tuple(_CALL_PROBLEMS) as error:
                problem = next(problem for kind, problem in _CALL_PROBLEMS.items() if isinstance(error, kind))
            except (EndpointDownError, ServiceFaultError):
                if last:
                    raise
            else:
                if result.function_error is None:
                    return result.payload, invocation_ids
                problem = contract.FUNCTION_ERROR
            if last:
                return problem, invocation_ids
            pause_s = min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2 ** min(len(invocation_ids) - 1, 16))
            self._clock.sleep(random.uniform(pause_s / 2, pause_s))

    def _failures(self, batch: pa.RecordBatch, judgement: Judgement, attempts: int, ended_ms: int) -> list[Failure]:
        if not judgement.problems:
            return []
        rows = _rows(batch, list(judgement.problems)).to_pylist()
        return [
            Failure(
                error_output_type=PROCESSING_FAILED,
                error_code=problem.code,
                error_message=problem.message,
                attempts_made=attempts,
                raw_data=row["data"],
                arrival_ms=row["arrival_ms"],
                attempt_ending_ms=ended_ms,
                shard_id=row["shard_id"],
                sequence_number=row["sequence_number"],
                sub_sequence_number=row["sub_sequence_number"],
                lambda_arn=self._config.lambda_arn,
            )
            for row, problem in zip(rows, judgement.problems.values(), strict=True)
        ]


def _rows(page: pa.RecordBatch, rows: Sequence[int]) -> pa.RecordBatch:
    """The rows of `page` with these ascending numbers."""
    if len(rows) == page.num_rows:
        return page
    return page.take(pa.array(rows, pa.int64()))


def _with_data(page: pa.RecordBatch, data: Sequence[bytes]) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays([pa.array(data, pa.binary()), *page.columns[1:]], schema=PAGE_SCHEMA)
