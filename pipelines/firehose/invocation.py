"""What is told of a call of the transform function: which records, when, how often, and what came of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import pyarrow as pa

from pipelines.firehose.chunk import Sealed, data_bytes
from pipelines.firehose.transform import TransformedBatch
from pipelines.kinesis.page import encode_batch


@dataclass(frozen=True, slots=True)
class Invocation:
    """The records that one call had, repeated where it failed (A4.8).

    Attributes:
        function_arn: the function.
        invocation_ids: of each attempt; the last one's answer counts. None if the batch was larger than Lambda takes.
        started_ms: when the first attempt began, ms since the epoch.
        ended_ms: when the last one ended.
        records: how many it had.
        raw_bytes: their data.
        ok: how many came back.
        dropped: how many it dropped.
        failed: AWS's code -> which of its records failed with it, counted from 0.
        reason: why the batch was due, see `Sealed`. A batch that is too large for Lambda is cut into several calls.
        opened_ms: when the batch was opened.
        flushed_ms: when it was due.
        sequence_numbers: of each record, encoded as in `DeliveredObject`.
    """

    function_arn: str
    invocation_ids: tuple[str, ...]
    started_ms: int
    ended_ms: int
    records: int
    raw_bytes: int
    ok: int
    dropped: int
    failed: Mapping[str, tuple[int, ...]]
    reason: str
    opened_ms: int
    flushed_ms: int
    sequence_numbers: bytes = field(default=b"", repr=False)

    @classmethod
    def of(cls, function_arn: str, sealed: Sealed, page: pa.RecordBatch, batch: TransformedBatch) -> "Invocation":
        """What is told of `batch`, some rows of `page`, which came out of `sealed`."""
        rows = page.slice(batch.rows.start, batch.rows.stop - batch.rows.start)
        failed: dict[str, tuple[int, ...]] = {}
        for row, problem in batch.problems.items():
            failed[problem.code] = (*failed.get(problem.code, ()), row - batch.rows.start)
        return cls(
            function_arn=function_arn,
            invocation_ids=batch.invocation_ids,
            started_ms=batch.started_ms,
            ended_ms=batch.ended_ms,
            records=rows.num_rows,
            raw_bytes=data_bytes(rows),
            ok=batch.ok,
            dropped=rows.num_rows - batch.ok - len(batch.problems),
            failed=failed,
            reason=sealed.reason,
            opened_ms=sealed.opened_ms,
            flushed_ms=sealed.flushed_ms,
            sequence_numbers=encode_batch(rows.select(["shard_id", "sequence_number", "sub_sequence_number"])),
        )

    def to_json(self) -> dict[str, Any]:
        """All but the sequence numbers, as JSON holds it."""
        return {name: getattr(self, name) for name in _JSON_NAMES}

    @classmethod
    def from_json(cls, described: Mapping[str, Any]) -> "Invocation":
        """The inverse of `to_json`."""
        members = {name: described[name] for name in _JSON_NAMES}
        members["invocation_ids"] = tuple(members["invocation_ids"])
        members["failed"] = {code: tuple(rows) for code, rows in members["failed"].items()}
        return cls(**members)


_JSON_NAMES: Final = (
    "function_arn", "invocation_ids", "started_ms", "ended_ms", "records", "raw_bytes", "ok", "dropped", "failed",
    "reason", "opened_ms", "flushed_ms",
)  # fmt: skip
