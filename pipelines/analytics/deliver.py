"""Delivering results as KDA does: to a delivery stream, or to a function that answers for each record (C14, C15). Pure.

What is not delivered is tried again for ever, and what comes behind it waits (C14): nothing is left out, and while a
destination refuses, the pipeline stands, and the log says so. What no further try can mend, as a stream that does not
exist, is an error.
"""

import logging
import random
import uuid
from binascii import b2a_base64
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final, Protocol

import orjson
import pyarrow as pa

from pipelines.firehose.invoke import REQUEST_LIMIT_BYTES, Invoker, InvokeResult
from pipelines.runtime.aws import aws_errors, client
from pipelines.runtime.clock import Clock
from pipelines.runtime.errors import ConfigurationError, TransientError

PUT_RECORDS: Final = 500
PUT_BYTES: Final = 4 * 1024 * 1024
RECORD_BYTES: Final = 1000 * 1024
"""Limits of PutRecordBatch: records, their bytes, the bytes of one (A1.7)."""

_TELL_AFTER: Final = 5
"""From so many tries on the log says that a destination does not take what it is given."""
_FIRST_PAUSE_S: Final = 0.2
_LONGEST_PAUSE_S: Final = 10.0
_ENVELOPE_BYTES: Final = 1_024
_RECORD_ENVELOPE_BYTES: Final = 140

_KEY_CHARACTERS: Final = 256

_log = logging.getLogger(__name__)


Records = Callable[[pa.RecordBatch], Iterable[tuple[str, bytes]]]
"""A batch -> (partition key, data) of each record that is delivered of it. It can be pickled."""


class Sink(Protocol):
    """Where results go. It can be pickled."""

    def deliver(self, records: Sequence[bytes]) -> int:
        """Delivers all of `records`; says how many calls were made again.

        Raises:
            HydrantError: trying again cannot help.
        """


def result_records(results: pa.RecordBatch) -> Iterator[tuple[str, bytes]]:
    """(partition key, JSON object of all columns) of each result, in order.

    The key is the series, as far as a partition key goes (B1: 1 to 256 characters).
    """
    for row in results.to_pylist():
        yield row["series"][:_KEY_CHARACTERS] or "-", orjson.dumps(row)


class FunctionSink:
    """A Lambda function as output (C15).

    The event has a record for each result, split where Lambda takes no more. The function answers Ok or DeliveryFailed
    for each id; an id that it leaves out, an answer that is none, or a call that fails is a failed delivery. The same
    set of records is sent until all of them are Ok, with `retryHint` one higher each time: a function may see a record
    again that it has said Ok to.

    Args:
        invoker: calls the function.
        application_arn: what the function reads as the application's.
        clock: for the pauses.
    """

    def __init__(self, invoker: Invoker, application_arn: str, clock: Clock) -> None:
        self._invoker = invoker
        self._application_arn = application_arn
        self._clock = clock

    def deliver(self, records: Sequence[bytes]) -> int:
        """See `Sink.deliver`."""
        return sum(self._deliver(batch) for batch in _cut(records, self._size, REQUEST_LIMIT_BYTES - _ENVELOPE_BYTES))

    def _deliver(self, records: Sequence[bytes]) -> int:
        ids = [str(uuid.uuid4()) for _ in records]
        retries = 0
        while (failed := self._failed(records, ids, retries)) is not None:
            _pause(self._clock, retries, failed)
            retries += 1
        return retries

    def _failed(self, records: Sequence[bytes], ids: Sequence[str], retry_hint: int) -> str | None:
        """Why some are not delivered; None when all are."""
        event = {
            "invocationId": str(uuid.uuid4()),
            "applicationArn": self._application_arn,
            "records": [
                {
                    "recordId": record_id,
                    "lambdaDeliveryRecordMetadata": {"retryHint": retry_hint},
                    "data": b2a_base64(data, newline=False).decode(),
                }
                for record_id, data in zip(ids, records, strict=True)
            ],
        }
        try:
            answer = self._invoker.invoke(orjson.dumps(event))
        except TransientError as error:  # FunctionTimedOut, too
            return str(error)
        failed = failed_ids(answer, ids)
        return f"The function did not say Ok to {len(failed):,} of {len(ids):,} results." if failed else None

    @staticmethod
    def _size(data: bytes) -> int:
        return (len(data) + 2) // 3 * 4 + _RECORD_ENVELOPE_BYTES


def failed_ids(answer: InvokeResult, ids: Sequence[str]) -> set[str]:
    """Which of `ids` the answer does not say Ok to (C15): DeliveryFailed, left out, contradictory, or no answer."""
    try:
        records = orjson.loads(answer.payload)["records"] if answer.function_error is None else []
        said: dict[Any, set[Any]] = {}
        for record in records:
            said.setdefault(record.get("recordId"), set()).add(record.get("result"))
    except (orjson.JSONDecodeError, AttributeError, KeyError, TypeError):
        return set(ids)
    return {record_id for record_id in ids if said.get(record_id) != {"Ok"}}


class DeliveryStreamSink:
    """A delivery stream that takes Direct PUT, by PutRecordBatch (A1.7, A1.8).

    Each record ends with a newline, as Firehose puts records together as they are. What is refused within a call is put
    again, alone.

    Args:
        name: of the delivery stream.
        clock: for the pauses.
        make_client: makes the boto3 client, with the first call.
    """

    def __init__(self, name: str, clock: Clock, make_client: Any = None) -> None:
        self._name = name
        self._clock = clock
        self._make_client = make_client or _firehose_client
        self._client: Any = None

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_client": None}  # a client cannot be pickled

    def deliver(self, records: Sequence[bytes]) -> int:
        """See `Sink.deliver`."""
        lines = [record + b"\n" for record in records]
        too_large = [line for line in lines if len(line) > RECORD_BYTES]
        if too_large:
            message = f"A result has {len(too_large[0]):,} bytes, and Firehose takes no more than {RECORD_BYTES:,}."
            raise ConfigurationError(message, fix="take fewer columns")
        if self._client is None:
            self._client = self._make_client()
        return sum(self._put(batch) for batch in _cut(lines, len, PUT_BYTES, PUT_RECORDS))

    def _put(self, lines: Sequence[bytes]) -> int:
        retries = 0
        left = list(lines)
        while True:
            why = "It refused some records."
            try:
                with aws_errors(f"delivery stream {self._name}"):
                    answer = self._client.put_record_batch(
                        DeliveryStreamName=self._name, Records=[{"Data": line} for line in left]
                    )
                told = answer["RequestResponses"]
                left = [line for line, one in zip(left, told, strict=True) if one.get("ErrorCode")]
            except TransientError as error:
                why = str(error)
            if not left:
                return retries
            _pause(self._clock, retries, f"{len(left):,} results wait for delivery stream {self._name}. {why}")
            retries += 1


def _firehose_client() -> Any:
    return client("firehose", max_attempts=1)


def _cut(records: Sequence[bytes], size: Any, most_bytes: int, most_records: int = 1 << 30) -> Iterator[list[bytes]]:
    """The records in order, in batches that hold no more than they may; one that is too large is a batch by itself."""
    batch: list[bytes] = []
    filled = 0
    for record in records:
        if batch and (filled + size(record) > most_bytes or len(batch) >= most_records):
            yield batch
            batch, filled = [], 0
        batch.append(record)
        filled += size(record)
    if batch:
        yield batch


def _pause(clock: Clock, retries: int, why: str) -> None:
    if retries >= _TELL_AFTER:
        _log.warning("%s Tried %d times; trying again.", why, retries + 1)
    pause_s = min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2 ** min(retries, 16))
    clock.sleep(random.uniform(pause_s / 2, pause_s))
