"""Records to put, what PutRecords takes of them (B1 to B3), and one batch put with its partial failures retried."""

import random
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from pipelines.runtime.aws import aws_errors
from pipelines.runtime.clock import Clock, SystemClock
from pipelines.runtime.errors import ThrottledError, TransientError

MAX_ENTRIES: Final = 500
MAX_REQUEST_BYTES: Final = 10 * 1024 * 1024
MAX_PARTITION_KEY: Final = 256
_HASH_KEYS: Final = 2**128
_HASH_KEY: Final = re.compile(r"0|[1-9]\d{0,38}", re.ASCII)
_ATTEMPTS: Final = 30
_MAX_BACKOFF_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class Record:
    """A record to put.

    Attributes:
        data: the payload; with the partition key at most 1 MiB (B1).
        partition_key: 1 to 256 characters (B3).
        explicit_hash_key: a decimal number below 2^128 that takes the place of the key's MD5 (B3); None for none.
        dedup_key: names the record to readers that drop doubles; it travels only in a KPL aggregate (B16).
    """

    data: bytes
    partition_key: str
    explicit_hash_key: str | None = None
    dedup_key: str | None = None

    @property
    def size(self) -> int:
        """Bytes of the data and the partition key, which the limits count together (B1)."""
        return len(self.data) + len(self.partition_key.encode(errors="surrogatepass"))

    def entry(self) -> dict[str, Any]:
        """The record as an entry of PutRecords."""
        entry: dict[str, Any] = {"Data": self.data, "PartitionKey": self.partition_key}
        if self.explicit_hash_key is not None:
            entry["ExplicitHashKey"] = self.explicit_hash_key
        return entry


@dataclass(frozen=True, slots=True)
class Placed:
    """Where a record went."""

    shard_id: str
    sequence_number: str


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a record was not taken: AWS's ErrorCode and ErrorMessage."""

    code: str
    message: str


def refusal(record: Record, max_bytes: int) -> Refusal | None:
    """What AWS would say against `record`, which it would say of the whole request; None when it takes it.

    Args:
        record: to be put.
        max_bytes: what data and partition key may have together (B1).
    """
    if not 1 <= len(record.partition_key) <= MAX_PARTITION_KEY:
        message = (
            f"The partition key has {len(record.partition_key)} characters: it must have 1 to {MAX_PARTITION_KEY}."
        )
        return Refusal("ValidationException", message)
    if not record.partition_key.isascii() and not _is_text(record.partition_key):
        return Refusal("ValidationException", "The partition key has a lone surrogate, which is no text.")
    if record.size > max_bytes:
        message = f"Data and partition key are {record.size} bytes together: the stream takes {max_bytes} at most."
        return Refusal("ValidationException", message)
    explicit = record.explicit_hash_key
    if explicit is not None and (not _HASH_KEY.fullmatch(explicit) or int(explicit) >= _HASH_KEYS):
        message = f"Invalid ExplicitHashKey: it must be in the range [0, 2^128-1]. Specified value was {explicit}"
        return Refusal("InvalidArgumentException", message)
    return None


def _is_text(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def batches(records: Iterable[Record], most: int = MAX_ENTRIES) -> Iterator[list[Record]]:
    """Cuts `records` into PutRecords requests of at most `most` entries and 10 MiB with their keys (B2), in order."""
    batch: list[Record] = []
    size = 0
    for record in records:
        if batch and (len(batch) == most or size + record.size > MAX_REQUEST_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(record)
        size += record.size
    if batch:
        yield batch


def put_records(client: Any, stream: str, batch: Sequence[Record], clock: Clock | None = None) -> list[Placed]:
    """Puts one batch, and again what failed of it, until every entry is in (B2).

    Entries that fail are put again alone, after a back-off with full jitter; so an entry can land behind later ones
    of its batch. A call whose answer was lost is repeated, and may then have put its records twice.

    Args:
        client: a boto3 Kinesis client.
        stream: stream name.
        batch: at most 500 records and 10 MiB.
        clock: for the back-off.

    Returns:
        For each record where it went, in the order of `batch`.

    Raises:
        ThrottledError: some entries still fail after 30 attempts.
        HydrantError: the call itself failed for good (stream missing, no credentials, endpoint down).
    """
    clock = clock or SystemClock()
    placed: list[Placed | None] = [None] * len(batch)
    waiting = list(range(len(batch)))
    for attempt in range(_ATTEMPTS):
        if attempt:
            clock.sleep(random.uniform(0, min(_MAX_BACKOFF_S, 0.05 * 2**attempt)))
        entries = [batch[i].entry() for i in waiting]
        try:
            with aws_errors(f"Kinesis stream {stream}"):
                answers = client.put_records(StreamName=stream, Records=entries)["Records"]
        except TransientError:
            if attempt == _ATTEMPTS - 1:
                raise
            continue
        failed = []
        for i, answer in zip(waiting, answers, strict=True):
            if "SequenceNumber" in answer:
                placed[i] = Placed(answer["ShardId"], answer["SequenceNumber"])
            else:
                failed.append(i)
        waiting = failed
        if not waiting:
            return [place for place in placed if place is not None]
    message = (
        f"Kinesis stream {stream} still refuses {len(waiting)} of {len(batch)} records after {_ATTEMPTS} attempts."
    )
    raise ThrottledError(message, fix="put more slowly, or add shards with UpdateShardCount")
