"""Firehose's contract with a transform function: the event, and what a response means for each record (A4). Pure."""

from binascii import a2b_base64, b2a_base64
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import orjson
import pyarrow as pa

PartitionKeys = Mapping[str, str]

_RESULTS: Final = ("Ok", "Dropped", "ProcessingFailed")
"""AWS's words; a tuple, so that asking whether it holds a list or an object is no error."""


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a record failed: AWS's code and message (A4.9, A4.10)."""

    code: str
    message: str


_OUTPUT_FORMAT: Final = (
    "Check your function and make sure the output is in required format. In addition to that, make sure the processed"
    " records contain valid result status of Dropped, Ok, or ProcessingFailed"
)

# Of the whole batch (A4.10): the call failed, or its response is not the contract's.
FUNCTION_ERROR: Final = Problem(
    "Lambda.FunctionError", "The Lambda function was successfully invoked but it returned an error result."
)
FUNCTION_TIMED_OUT: Final = Problem(
    "Lambda.FunctionTimedOut",
    "The Lambda function invocation timed out. Increase the Timeout setting in the Lambda function.",
)
INVOKE_LIMIT_EXCEEDED: Final = Problem(
    "Lambda.InvokeLimitExceeded",
    "The Lambda concurrent execution limit is exceeded. Increase the concurrent execution limit.",
)
INVOKE_ACCESS_DENIED: Final = Problem(
    "Lambda.InvokeAccessDenied",
    "Access was denied. Ensure that the access policy allows access to the Lambda function.",
)
RESOURCE_NOT_FOUND: Final = Problem(
    "Lambda.ResourceNotFound",
    "The specified Lambda function does not exist. Use a different function that does exist.",
)
JSON_PROCESSING: Final = Problem(
    "Lambda.JsonProcessingException",
    "There was an error parsing returned records from the Lambda function. Ensure that the returned records follow the"
    " status model required by Firehose.",
)
INVALID_OUTPUT: Final = Problem("Lambda.FunctionError", _OUTPUT_FORMAT)

# Of one record (A4.9, A4.11).
MISSING_RECORD_ID: Final = Problem(
    "Lambda.MissingRecordId",
    "One or more record Ids were not returned. Ensure that the Lambda function returns all received record Ids.",
)
DUPLICATED_RECORD_ID: Final = Problem(
    "Lambda.DuplicatedRecordId",
    "Multiple records were returned with the same record ID. Ensure that the Lambda function returns unique record IDs"
    " for each record.",
)
PROCESSING_FAILED_STATUS: Final = Problem("Lambda.ProcessingFailedStatus", "ProcessingFailed status set for record")
NULL_DATA: Final = Problem(
    "Lambda.InvalidReturnFormat",
    "The data field cannot be null when the SourceType is DirectPut or KinesisStreamAsSource and processing result is"
    " Ok. The value field cannot be null when the SourceType is MSKAsSource and processing result is Ok.",
)


@dataclass(frozen=True)
class Judgement:
    """What a response means for the records of its batch. A record that has neither data nor a problem was dropped.

    Attributes:
        data: of each record the returned data, None unless it is Ok.
        problems: row in the batch -> why that record failed.
        partition_keys: of each record its `metadata.partitionKeys` (A6.2), None for a record without; None when no
            record has any. Whether they are complete is for dynamic partitioning to judge (A6.10): a null counts as "".
    """

    data: Sequence[bytes | None]
    problems: Mapping[int, Problem] = field(default_factory=dict)
    partition_keys: Sequence[PartitionKeys | None] | None = None


def record_ids(page: pa.RecordBatch) -> list[str]:
    """The recordId of each row: sequence number and a counter of 6 digits (A4.2).

    The counter is the sub-sequence number, so a record keeps its id however often and in whatever batch it is sent.
    """
    sequence_numbers = page.column("sequence_number").to_pylist()
    sub_sequence_numbers = page.column("sub_sequence_number").to_pylist()
    return [
        f"{number}{sub:06d}" if sub else number + "000000"  # nearly always 0: formatting it costs as much as the rest
        for number, sub in zip(sequence_numbers, sub_sequence_numbers, strict=True)
    ]


def event_records(page: pa.RecordBatch, ids: Sequence[str], *, kinesis_source: bool) -> bytes:
    """The `records` of an event as JSON: every row of `page`, in order (A4.1).

    Args:
        page: PAGE_SCHEMA.
        ids: `record_ids(page)`.
        kinesis_source: whether records have `kinesisRecordMetadata`.
    """
    names = ("partition_key", "sequence_number", "sub_sequence_number", "shard_id", "arrival_ms")
    columns = [page.column(name).to_pylist() for name in names]
    encoded = [b2a_base64(data, newline=False).decode("ascii") for data in page.column("data").to_pylist()]
    if not kinesis_source:
        return orjson.dumps([
            {"recordId": id_, "approximateArrivalTimestamp": arrival_ms, "data": data}
            for id_, data, arrival_ms in zip(ids, encoded, columns[4], strict=True)
        ])  # fmt: skip
    return orjson.dumps([
        {
            "recordId": id_,
            "approximateArrivalTimestamp": arrival_ms,
            "data": data,
            "kinesisRecordMetadata": {
                "sequenceNumber": number,
                "subsequenceNumber": sub,
                "partitionKey": key,
                "shardId": shard_id,
                "approximateArrivalTimestamp": arrival_ms,
            },
        }
        for id_, data, key, number, sub, shard_id, arrival_ms in zip(ids, encoded, *columns, strict=True)
    ])  # fmt: skip


def event(
    invocation_id: str, delivery_stream_arn: str, region: str, source_stream_arn: str | None, records: bytes
) -> bytes:
    """The event of one invocation as JSON (A4.1).

    Args:
        invocation_id: fresh for each attempt (A4.8).
        delivery_stream_arn: the delivery stream.
        region: its region.
        source_stream_arn: the Kinesis source, None for DirectPut.
        records: from `event_records`; taken as it is, so that every attempt has the same bytes.
    """
    envelope: dict[str, Any] = {
        "invocationId": invocation_id,
        "deliveryStreamArn": delivery_stream_arn,
        "region": region,
    }
    if source_stream_arn is not None:
        envelope["sourceKinesisStreamArn"] = source_stream_arn
    return orjson.dumps({**envelope, "records": orjson.Fragment(records)})


def judge(response: bytes, ids: Sequence[str]) -> Judgement:
    """What the `response` of a function means for the records with `ids`.

    Every record comes out exactly once, whatever the response holds. Entries with unknown ids are ignored, and a
    response without `records` leaves every record missing (A4.12). A result that is none of AWS's words, or data that
    is not base64, fails the batch (A4.11); a duplicated id fails that record alone (X18).

    Args:
        response: the payload of a call that did not fail.
        ids: `record_ids` of the batch.
    """
    try:
        answer = orjson.loads(response)
    except orjson.JSONDecodeError:
        return failed(JSON_PROCESSING, len(ids))
    if not isinstance(answer, dict):
        return failed(JSON_PROCESSING, len(ids))
    entries = answer.get("records")
    if entries is None:
        return failed(MISSING_RECORD_ID, len(ids))
    if not isinstance(entries, list) or not set(map(type, entries)) <= {dict}:
        return failed(JSON_PROCESSING, len(ids))
    results = [entry.get("result") for entry in entries]
    if not all(map(_RESULTS.__contains__, results)):
        return failed(INVALID_OUTPUT, len(ids))
    texts = [entry.get("data") for entry in entries]
    try:
        returned = [None if text is None else a2b_base64(text, strict_mode=True) for text in texts]
    except (TypeError, ValueError):
        return failed(INVALID_OUTPUT, len(ids))
    return _by_record(entries, results, returned, ids)


def failed(problem: Problem, records: int) -> Judgement:
    """The judgement that fails a whole batch for one reason."""
    return Judgement([None] * records, dict.fromkeys(range(records), problem))


def _by_record(
    entries: Sequence[dict[str, Any]], results: Sequence[str], returned: Sequence[bytes | None], ids: Sequence[str]
) -> Judgement:
    names = [name if isinstance(name := entry.get("recordId"), str) else None for entry in entries]
    place = dict(zip(names, range(len(names)), strict=True))
    repeated = {name for name, times in Counter(names).items() if times > 1} if len(place) < len(names) else ()
    data: list[bytes | None] = [None] * len(ids)
    problems: dict[int, Problem] = {}
    for row, id_ in enumerate(ids):
        at = place.get(id_)
        if at is None:
            problems[row] = MISSING_RECORD_ID
        elif id_ in repeated:
            problems[row] = DUPLICATED_RECORD_ID
        elif results[at] == "Ok":
            data[row] = returned[at]
            if returned[at] is None:
                problems[row] = NULL_DATA
        elif results[at] == "ProcessingFailed":
            problems[row] = PROCESSING_FAILED_STATUS
    keys = None
    if any(["metadata" in entry for entry in entries]):
        keys = [None if (at := place.get(id_)) is None else _partition_keys(entries[at]) for id_ in ids]
    return Judgement(data, problems, keys if keys and any(keys) else None)


def _partition_keys(entry: Mapping[str, Any]) -> PartitionKeys | None:
    metadata = entry.get("metadata")
    keys = metadata.get("partitionKeys") if isinstance(metadata, dict) else None
    if not isinstance(keys, dict):
        return None
    return {name: value if isinstance(value, str) else _scalar_text(value) for name, value in keys.items()}


def _scalar_text(value: object) -> str:
    return "" if value is None or isinstance(value, dict | list) else orjson.dumps(value).decode()
