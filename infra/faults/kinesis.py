"""Faults of Kinesis: PutRecords throttled wholly or in part, GetRecords refused, broken off, its iterator expired."""

import random
import threading
from collections.abc import Collection, Sequence
from typing import Any, Final

import orjson

from infra.faults.journal import Journal
from infra.faults.proxy import Call, Forward, Reply, ResetError
from infra.faults.schedule import Schedule

THROTTLED: Final = "throttled"
"""The whole call is refused, by the limits of a shard (B6)."""
REFUSED_IN_PART: Final = "refused-in-part"
"""Some records are refused with ProvisionedThroughputExceededException, the others taken (B2)."""
FAILED_IN_PART: Final = "failed-in-part"
"""The same with InternalFailure (B2)."""
FAILED: Final = "failed"
"""The whole call fails with InternalFailure, HTTP 500."""
EXPIRED: Final = "expired"
"""The iterator is older than five minutes, and stays so (B7)."""
RESET: Final = "reset"
"""The connection is reset, and the call never made."""

PUT_FAULTS: Final = (THROTTLED, REFUSED_IN_PART, FAILED_IN_PART)
GET_FAULTS: Final = (THROTTLED, FAILED, EXPIRED, RESET)

_RATE: Final = "Rate exceeded for shard shardId-000000000000 in stream {stream} under account 000000000000."
_CODES: Final = {
    THROTTLED: (400, "ProvisionedThroughputExceededException", _RATE),
    FAILED: (500, "InternalFailure", "The request processing has failed because of an unknown error."),
    EXPIRED: (400, "ExpiredIteratorException", "Iterator expired. The iterator was created more than 5 minutes ago."),
}
_ENTRY_CODES: Final = {
    REFUSED_IN_PART: ("ProvisionedThroughputExceededException", _RATE),
    FAILED_IN_PART: ("InternalFailure", "Internal service failure."),
}
_MOST_REFUSED: Final = 3
"""At most one record in so many of a call is refused, and one at least."""


class KinesisFaults:
    """Refuses calls of PutRecords and GetRecords as two schedules say; all other calls are handed on as they are.

    In the journal a PutRecords has how many `entries` it had, how many were `refused` by the fault and how many of the
    others `taken`; a GetRecords has the `shard`, how many `records` came, and the sequence number of the `last`.

    Args:
        puts: kinds of `PUT_FAULTS`.
        gets: kinds of `GET_FAULTS`.
        journal: for every call.
        seed: which records of a call are refused.
    """

    def __init__(self, puts: Schedule, gets: Schedule, journal: Journal, seed: int) -> None:
        self._puts = puts
        self._gets = gets
        self._journal = journal
        self._rng = random.Random(seed)
        self._lock = threading.Lock()
        self._shards: dict[str, str] = {}  # of iterators
        self._expired: set[str] = set()  # iterators, which stay so

    def answer(self, call: Call, forward: Forward) -> Reply:
        """See `infra.faults.proxy.Faults`."""
        operation = call.header("x-amz-target").rpartition(".")[2]
        if operation == "PutRecords":
            return self._put(call, forward)
        if operation == "GetRecords":
            return self._get(call, forward)
        reply = forward(call.body)
        shard = None
        if operation == "GetShardIterator" and reply.is_good:
            shard = str(orjson.loads(call.body)["ShardId"])
            self._remember(orjson.loads(reply.body).get("ShardIterator"), shard)
        self._journal.note("kinesis", operation, None, status=reply.status, shard=shard)
        return reply

    def _put(self, call: Call, forward: Forward) -> Reply:
        request = orjson.loads(call.body)
        entries, fault = request["Records"], self._puts.next()
        refused: Collection[int] = ()
        if fault is None:
            reply = forward(call.body)
        elif fault == THROTTLED:
            reply, refused = _error(fault, request), range(len(entries))
        else:
            refused = self._refused(len(entries))
            reply = _put_in_part(request, refused, fault, forward)
        self._journal.note(
            "kinesis", "PutRecords", fault, status=reply.status,
            entries=len(entries), refused=len(refused), taken=_taken(reply),
        )  # fmt: skip
        return reply

    def _refused(self, entries: int) -> set[int]:
        with self._lock:
            return set(self._rng.sample(range(entries), self._rng.randint(1, max(1, entries // _MOST_REFUSED))))

    def _get(self, call: Call, forward: Forward) -> Reply:
        request = orjson.loads(call.body)
        iterator = request.get("ShardIterator", "")
        with self._lock:
            shard = self._shards.get(iterator)
            fault = EXPIRED if iterator in self._expired else self._gets.next()
            if fault == EXPIRED:
                self._expired.add(iterator)
        if fault == RESET:
            self._journal.note("kinesis", "GetRecords", fault, status=0, shard=shard, records=0, last=None)
            raise ResetError
        if fault:
            reply = _error(fault, request)
            self._journal.note("kinesis", "GetRecords", fault, status=reply.status, shard=shard, records=0, last=None)
            return reply
        reply = forward(call.body)
        answer: dict[str, Any] = orjson.loads(reply.body) if reply.is_good else {}
        records = answer.get("Records", [])
        if shard is not None:
            self._remember(answer.get("NextShardIterator"), shard)
        last = records[-1]["SequenceNumber"] if records else None
        self._journal.note(
            "kinesis", "GetRecords", None, status=reply.status, shard=shard, records=len(records), last=last
        )
        return reply

    def _remember(self, iterator: str | None, shard: str) -> None:
        if iterator:
            with self._lock:
                self._shards[iterator] = shard


def merged(
    entries: int, refused: Collection[int], refusal: dict[str, str], answers: Sequence[dict[str, Any]]
) -> list[dict[str, Any]]:
    """The answers of PutRecords in the order of its entries (B2): `refusal` for the refused, theirs for the others.

    Args:
        entries: how many there were.
        refused: which were not handed on.
        refusal: ErrorCode and ErrorMessage.
        answers: to those that were handed on, in their order.
    """
    others = iter(answers)
    return [dict(refusal) if place in refused else next(others) for place in range(entries)]


def _put_in_part(request: dict[str, Any], refused: set[int], fault: str, forward: Forward) -> Reply:
    """Hands on the entries that are not refused; puts the answers together."""
    entries = request["Records"]
    passed = [entry for place, entry in enumerate(entries) if place not in refused]
    answer: dict[str, Any] = {"Records": []}
    reply = Reply(200, {"Content-Type": "application/x-amz-json-1.1"}, b"")
    if passed:  # Kinesis takes no call without an entry
        reply = forward(orjson.dumps({**request, "Records": passed}))
        if not reply.is_good:
            return reply
        answer = orjson.loads(reply.body)
    code, message = _ENTRY_CODES[fault]
    refusal = {"ErrorCode": code, "ErrorMessage": message.format(stream=_stream(request))}
    together = merged(len(entries), refused, refusal, answer["Records"])
    failed = sum("ErrorCode" in each for each in together)
    body = orjson.dumps({**answer, "FailedRecordCount": failed, "Records": together})
    return Reply(reply.status, reply.headers, body)


def _taken(reply: Reply) -> int:
    if not reply.is_good:
        return 0
    return sum("SequenceNumber" in each for each in orjson.loads(reply.body)["Records"])


def _error(fault: str, request: dict[str, Any]) -> Reply:
    status, code, message = _CODES[fault]
    headers = {"Content-Type": "application/x-amz-json-1.1", "x-amzn-ErrorType": code}
    described = {"__type": code, "message": message.format(stream=_stream(request))}
    return Reply(status, headers, orjson.dumps(described))


def _stream(request: dict[str, Any]) -> str:
    return str(request.get("StreamName") or request.get("StreamARN", "").rpartition("/")[2])
