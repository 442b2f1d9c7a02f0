"""The body of a GetRecords answer straight into a page.

botocore's own parser builds and converts a dict a record and is the limit of a reader. The event
`before-parse.kinesis.GetRecords` hands us the body, Arrow's JSON reader makes columns of it without holding the GIL,
and all records' base64 is decoded in one call. No Python object is made for a record.
"""

import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, Final

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json as pj
import pybase64

from pipelines.kinesis.failures import ReadFailure
from pipelines.kinesis.lineage import ShardInfo
from pipelines.kinesis.page import PAGE_SCHEMA, make_page
from pipelines.kinesis.positions import ShardPosition

BODY: Final = "HydrantBody"
"""The member of the parsed answer that carries the undecoded body."""

COLUMNS_PAY_BYTES: Final = 131_072
"""A shorter answer, of a few records or of none, is quicker read record by record than column by column."""

_DATA: Final = itemgetter("Data")
_KEY: Final = itemgetter("PartitionKey")
_SEQUENCE: Final = itemgetter("SequenceNumber")
_ARRIVAL: Final = itemgetter("ApproximateArrivalTimestamp")

_PARSE: Final = pj.ParseOptions(
    explicit_schema=pa.schema([
        ("Records", pa.list_(pa.struct([
            ("Data", pa.string()),
            ("PartitionKey", pa.string()),
            ("SequenceNumber", pa.string()),
            ("ApproximateArrivalTimestamp", pa.float64()),
        ]))),
        ("MillisBehindLatest", pa.int64()),
        ("NextShardIterator", pa.string()),
        ("ChildShards", pa.list_(pa.struct([
            ("ShardId", pa.string()),
            ("ParentShards", pa.list_(pa.string())),
            ("HashKeyRange", pa.struct([("StartingHashKey", pa.string()), ("EndingHashKey", pa.string())])),
        ]))),
    ]),
    unexpected_field_behavior="ignore",
)  # fmt: skip
_PAD: Final = ord("=")
_ZERO: Final = ord("A")  # six zero bits


@dataclass(frozen=True, slots=True)
class Spoiled:
    """An answer that could not be decoded.

    Attributes:
        body: the whole of it, as it came.
        problem: what is wrong with it.
    """

    body: bytes
    problem: str


@dataclass(frozen=True, slots=True)
class Answer:
    """What one GetRecords call gave (B8).

    Attributes:
        page: the records of PAGE_SCHEMA, in sequence order; None when there are none, which is normal.
        data_bytes: sum of the records' data.
        millis_behind: distance from the shard's tip, 0 when caught up (B9); None when not told.
        next_iterator: for the call that follows; None behind the last record of a closed shard (B10).
        children: the shards that follow a closed one (B10); empty when not told.
        reached: sequence number of the last record; empty when there was none.
        spoiled: the answer itself, when it could not be decoded; there is no page then, and the other members are what
            could still be found in it.
        failures: what is missing before the page, or in place of one.
        gone: of an expired shard: parents of shards that there still are, which have expired too; None of any other.
    """

    page: pa.RecordBatch | None
    data_bytes: int
    millis_behind: int | None
    next_iterator: str | None
    children: tuple[ShardInfo, ...] = ()
    reached: str = ""
    spoiled: Spoiled | None = None
    failures: tuple[ReadFailure, ...] = ()
    gone: tuple[str, ...] | None = None

    @property
    def end(self) -> ShardPosition:
        """The position behind the last record."""
        return ShardPosition.after(self.reached)

    @property
    def caught_up(self) -> bool:
        return self.millis_behind == 0


def keep_body(response_dict: dict[str, Any], customized_response_dict: dict[str, Any], **_: Any) -> None:
    """Handler of `before-parse.kinesis.GetRecords`: botocore gets an empty object to parse, we keep the body.

    Error answers are left to botocore.
    """
    if response_dict["status_code"] < 300:
        customized_response_dict[BODY] = response_dict["body"]
        response_dict["body"] = b"{}"


def decode_answer(parsed: Mapping[str, Any], shard_id: str) -> Answer:
    """The answer of `client.get_records`, for a client with `keep_body` registered or for one without."""
    if BODY in parsed:
        return decode_body(parsed[BODY], shard_id)
    records = parsed["Records"]
    data = [bytes(value) for value in map(_DATA, records)]
    return _rows(parsed, data, [round(time.timestamp() * 1000) for time in map(_ARRIVAL, records)], shard_id)


def decode_body(body: bytes, shard_id: str) -> Answer:
    """The JSON of a GetRecords answer, or of an event of SubscribeToShard that was given its members."""
    if len(body) >= COLUMNS_PAY_BYTES:
        try:
            return _columns(body, shard_id)
        except (pa.ArrowException, binascii.Error):
            pass  # nothing that AWS sends; what can be made of it, the other way makes
    try:
        answer = orjson.loads(body)
        records = answer["Records"]
        data = [binascii.a2b_base64(text, strict_mode=True) for text in map(_DATA, records)]
        return _rows(answer, data, [round(seconds * 1000) for seconds in map(_ARRIVAL, records)], shard_id)
    except (KeyError, TypeError, ValueError, pa.ArrowException) as error:
        return _spoiled(body, error)


def _spoiled(body: bytes, error: Exception) -> Answer:
    """What an answer that cannot be decoded still says about where reading goes on."""
    numbers = re.findall(rb'"SequenceNumber"\s*:\s*"(\d+)"', body)
    iterator = re.search(rb'"NextShardIterator"\s*:\s*"([^"\\]+)"', body)
    behind = re.search(rb'"MillisBehindLatest"\s*:\s*(\d+)', body)
    return Answer(
        None,
        0,
        int(behind[1]) if behind else None,
        iterator[1].decode() if iterator else None,
        reached=max(numbers, key=int).decode() if numbers else "",
        spoiled=Spoiled(body, f"{type(error).__name__}: {error}"),
    )


def _rows(answer: Mapping[str, Any], data: list[bytes], arrival_ms: list[int], shard_id: str) -> Answer:
    records = answer["Records"]
    if not records:
        return Answer(None, 0, *_rest(answer))
    numbers = list(map(_SEQUENCE, records))
    page = make_page(shard_id, data, list(map(_KEY, records)), numbers, arrival_ms)
    return Answer(page, sum(map(len, data)), *_rest(answer), reached=numbers[-1])


def _rest(answer: Mapping[str, Any]) -> tuple[int | None, str | None, tuple[ShardInfo, ...]]:
    children = tuple(map(_child, answer.get("ChildShards") or ()))
    return answer.get("MillisBehindLatest"), answer.get("NextShardIterator"), children


def _child(shard: Mapping[str, Any]) -> ShardInfo:
    keys = shard.get("HashKeyRange")
    hash_range = (int(keys["StartingHashKey"]), int(keys["EndingHashKey"])) if keys else None
    return ShardInfo(shard["ShardId"], tuple(shard["ParentShards"]), hash_range=hash_range)


def _columns(body: bytes, shard_id: str) -> Answer:
    """The answer, column by column.

    Raises:
        pa.ArrowException: the body is not one JSON object on one line with AWS's members, or a record lacks one.
        binascii.Error: data is not base64.
    """
    one_block = pj.ReadOptions(use_threads=False, block_size=len(body) + 1)
    answer = pj.open_json(pa.BufferReader(body), one_block, _PARSE).read_next_batch()
    if answer.column("Records").null_count:
        message = "the member Records is missing"
        raise pa.ArrowInvalid(message)
    records = answer.column("Records").values
    rest = _rest(answer.drop_columns("Records").to_pylist()[0])
    size = len(records)
    if size == 0:
        return Answer(None, 0, *rest)
    data = _decoded(records.field("Data"))
    arrival_ms = pc.round(pc.multiply(records.field("ApproximateArrivalTimestamp"), 1000)).cast(pa.int64())
    columns = [
        data,
        records.field("PartitionKey"),
        records.field("SequenceNumber"),
        pa.repeat(pa.scalar(0, pa.int64()), size),
        pa.repeat(pa.scalar(shard_id, pa.string()), size),
        arrival_ms,
    ]
    if any(column.null_count for column in (records, *columns)):
        message = "a member is missing"
        raise pa.ArrowInvalid(message)
    page = pa.RecordBatch.from_arrays(columns, schema=PAGE_SCHEMA)
    return Answer(page, len(data.buffers()[2]), *rest, reached=columns[2][-1].as_py())


def _decoded(column: pa.Array) -> pa.Array:
    """The base64 texts of a column as bytes, all in one call.

    The texts lie one behind the other, each a multiple of four long. Decoded as one text, with its padding read as
    zeros, each gives its bytes and as many zero bytes as it was padded by; those are taken out.
    """
    if column.null_count:
        message = "a record has no Data"
        raise pa.ArrowInvalid(message)
    offsets = np.frombuffer(column.buffers()[1], np.int32)[column.offset : column.offset + len(column) + 1]
    text = np.frombuffer(column.buffers()[2] or b"", np.uint8)[offsets[0] : offsets[-1]].copy()
    ends = (offsets[1:] - offsets[0]).astype(np.int64)
    lengths = np.diff(ends, prepend=0)
    if (lengths % 4).any():
        message = "base64 of a wrong length"
        raise binascii.Error(message)
    padded = np.zeros((2, len(column)), np.bool_)
    padded[:, lengths > 0] = [text[ends[lengths > 0] - back] == _PAD for back in (1, 2)]
    if (padded[1] & ~padded[0]).any():
        message = "base64 with padding inside"
        raise binascii.Error(message)
    for back, is_padded in enumerate(padded, 1):
        text[ends[is_padded] - back] = _ZERO
    decoded = np.frombuffer(pybase64.b64decode(text, validate=True), np.uint8)
    keep = np.ones(len(decoded), np.bool_)
    for back, is_padded in enumerate(padded, 1):
        keep[ends[is_padded] // 4 * 3 - back] = False
    new_offsets = np.zeros(len(column) + 1, np.int32)
    np.cumsum(lengths // 4 * 3 - padded.sum(axis=0), out=new_offsets[1:])
    buffers = [None, pa.py_buffer(new_offsets), pa.py_buffer(decoded[keep])]
    return pa.Array.from_buffers(pa.binary(), len(column), buffers)
