"""The body of a GetRecords answer straight into a page.

botocore's own parser builds and converts a dict a record and is the limit of a reader: 67,000 records/s, where orjson
and one Arrow array a column make 385,000 a CPU second. The event `before-parse.kinesis.GetRecords` hands us the body.
"""

from binascii import a2b_base64
from collections.abc import Mapping
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, Final

import orjson
import pyarrow as pa

from pipelines.kinesis.page import make_page
from pipelines.kinesis.positions import ShardPosition
from pipelines.kinesis.restriction import ShardInfo

BODY: Final = "HydrantBody"
"""The member of the parsed answer that carries the undecoded body."""

_DATA: Final = itemgetter("Data")
_KEY: Final = itemgetter("PartitionKey")
_SEQUENCE: Final = itemgetter("SequenceNumber")
_ARRIVAL: Final = itemgetter("ApproximateArrivalTimestamp")


@dataclass(frozen=True, slots=True)
class Answer:
    """What one GetRecords call gave (B8).

    Attributes:
        page: the records of PAGE_SCHEMA, in sequence order; None when there are none, which is normal.
        data_bytes: sum of the records' data.
        millis_behind: distance from the shard's tip, 0 when caught up (B9); None when not told.
        next_iterator: for the call that follows; None behind the last record of a closed shard (B10).
        children: the shards that follow a closed one (B10); empty when not told.
    """

    page: pa.RecordBatch | None
    data_bytes: int
    millis_behind: int | None
    next_iterator: str | None
    children: tuple[ShardInfo, ...] = ()

    @property
    def end(self) -> ShardPosition:
        """The position behind the last record of an answer with a page."""
        assert self.page is not None
        last = self.page.slice(self.page.num_rows - 1)
        return ShardPosition.after(last["sequence_number"][0].as_py(), last["sub_sequence_number"][0].as_py())

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
        answer = orjson.loads(parsed[BODY])
        records = answer["Records"]
        data = [a2b_base64(text) for text in map(_DATA, records)]
        arrival_ms = [round(seconds * 1000) for seconds in map(_ARRIVAL, records)]
    else:
        answer, records = parsed, parsed["Records"]
        data = [bytes(value) for value in map(_DATA, records)]
        arrival_ms = [round(time.timestamp() * 1000) for time in map(_ARRIVAL, records)]
    page = None
    if records:
        page = make_page(shard_id, data, list(map(_KEY, records)), list(map(_SEQUENCE, records)), arrival_ms)
    return Answer(
        page=page,
        data_bytes=sum(map(len, data)),
        millis_behind=answer.get("MillisBehindLatest"),
        next_iterator=answer.get("NextShardIterator"),
        children=tuple(ShardInfo(s["ShardId"], tuple(s["ParentShards"])) for s in answer.get("ChildShards") or ()),
    )
