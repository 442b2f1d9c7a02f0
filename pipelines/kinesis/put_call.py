"""PutRecords past botocore's serializer and parser, which cost more than all the rest of a call (B2).

botocore checks, copies and converts each entry by its service model, and builds a dict for each result. Here it is
given one entry that it is not to send: the event `before-call.kinesis.PutRecords` puts our body in its place, before it
is signed, and `before-parse.kinesis.PutRecords` keeps the answer for us. Endpoint, signature, connection and errors
are botocore's.
"""

import threading
from collections.abc import Sequence
from typing import Any, Final

import orjson
import pybase64

from pipelines.kinesis.decode import BODY, keep_body
from pipelines.kinesis.put import Placed, Record, Refusal

_EVENTS: Final = ("before-call.kinesis.PutRecords", "before-parse.kinesis.PutRecords")
# AWS refuses it, should it ever be sent.
_STAND_IN: Final = ({"Data": b"", "PartitionKey": "-", "ExplicitHashKey": "never sent"},)


class PutRecordsCall:
    """Calls PutRecords of one stream. Thread-safe.

    Args:
        stream: name or ARN.
        kinesis: a boto3 Kinesis client; another with its methods is called in the ordinary way.
    """

    def __init__(self, stream: str, kinesis: Any) -> None:
        self._named = {"StreamARN" if stream.startswith("arn:") else "StreamName": stream}
        self._kinesis = kinesis
        self._own = threading.local()
        self._by_event = hasattr(kinesis, "meta")
        if self._by_event:
            events = kinesis.meta.events
            events.register(_EVENTS[0], self._put_body_in)
            events.register(_EVENTS[1], self._keep_answer)

    def __call__(self, records: Sequence[Record]) -> list[Placed | Refusal]:
        """One call, at most 500 records and 10 MiB.

        Returns:
            For each record what became of it, in the order of `records`.

        Raises:
            ClientError: AWS refuses the call.
            BotoCoreError: there is no answer.
        """
        if not self._by_event:
            answer = self._kinesis.put_records(**self._named, Records=[record.entry() for record in records])
        else:
            entries = [_entry(record) for record in records]
            self._own.body = orjson.dumps({**self._named, "Records": entries})
            try:
                answer = orjson.loads(self._kinesis.put_records(**self._named, Records=_STAND_IN)[BODY])
            finally:
                del self._own.body
        return [
            Placed(result["ShardId"], result["SequenceNumber"])
            if result.get("SequenceNumber")
            else Refusal(result["ErrorCode"], result.get("ErrorMessage") or "")
            for result in answer["Records"]
        ]

    def _put_body_in(self, params: dict[str, Any], **_: Any) -> None:
        body = getattr(self._own, "body", None)
        if body is not None:  # else a call that somebody else makes with the client
            params["body"] = body

    def _keep_answer(self, **answer: Any) -> None:
        if getattr(self._own, "body", None) is not None:
            keep_body(**answer)


def _entry(record: Record) -> dict[str, str]:
    entry = {"Data": pybase64.b64encode_as_string(record.data), "PartitionKey": record.partition_key}
    if record.explicit_hash_key is not None:
        entry["ExplicitHashKey"] = record.explicit_hash_key
    return entry
