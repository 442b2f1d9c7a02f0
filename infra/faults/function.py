"""Faults of a transform function: its calls fail, or it answers what Firehose's contract does not allow (A4).

A batch gets a plan when it is first seen: what becomes of each attempt to have it transformed. `FunctionFaults` says
what is due, and spoils answers. The proxy injects it where Lambda is an endpoint (`LambdaFaults`); where the handler is
called in this process, the caller asks.
"""

import base64
import hashlib
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from infra.faults.journal import Journal
from infra.faults.proxy import Call, Forward, Reply
from infra.faults.schedule import Schedule

# Of a call, which is made again (A4.8).
ERROR: Final = "function-error"
TIMED_OUT: Final = "timed-out"
THROTTLED: Final = "throttled"
# Of an answer, which is final (A4.8).
NO_JSON: Final = "no-json"
NO_RECORDS: Final = "no-records"
BAD_RESULT: Final = "bad-result"
BAD_BASE64: Final = "bad-base64"
MISSING_RECORDS: Final = "missing-records"
DOUBLED_RECORDS: Final = "doubled-records"
NULL_DATA: Final = "null-data"
UNKNOWN_RECORD: Final = "unknown-record"

CALL_FAULTS: Final = (ERROR, TIMED_OUT, THROTTLED)
ANSWER_FAULTS: Final = (
    NO_JSON, NO_RECORDS, BAD_RESULT, BAD_BASE64, MISSING_RECORDS, DOUBLED_RECORDS, NULL_DATA, UNKNOWN_RECORD,
)  # fmt: skip

_EVERY: Final = 7
"""One record in so many is missing, doubled or null."""
_INVOKE: Final = "/invocations"


@dataclass(frozen=True, slots=True)
class Attempt:
    """One call of the function.

    Attributes:
        batch: the same for every attempt with the same records.
        number: 1 for the first.
        invocation: the event's invocationId.
        records: recordIds.
        fault: what is due; None for nothing.
    """

    batch: str
    number: int
    invocation: str
    records: tuple[str, ...] = field(repr=False)
    fault: str | None


class FunctionFaults:
    """What is due for each attempt. Thread-safe.

    In the journal an attempt has `batch`, `number`, `invocation` and `records`, and `touched`: the records that an
    answer fault was done to; all of them for one that spoils the whole answer.

    Args:
        plans: deals the names of `named`.
        named: name -> the fault of each attempt, in order; behind the last one there are none.
        journal: for every attempt.
    """

    def __init__(self, plans: Schedule, named: Mapping[str, tuple[str | None, ...]], journal: Journal) -> None:
        self._plans = plans
        self._named = named
        self._journal = journal
        self._lock = threading.Lock()
        self._begun: dict[str, tuple[str | None, tuple[str | None, ...], int]] = {}

    def begin(self, payload: bytes) -> Attempt:
        """What is due for a call with this event."""
        event = orjson.loads(payload)
        batch = hashlib.sha256(orjson.dumps(event["records"])).hexdigest()[:16]
        records = tuple(record["recordId"] for record in event["records"])
        with self._lock:
            if batch not in self._begun:
                plan = self._plans.next()
                self._begun[batch] = (plan, self._named[plan] if plan else (), 0)
            plan, faults, made = self._begun[batch]
            self._begun[batch] = (plan, faults, made + 1)
        fault = faults[made] if made < len(faults) else None
        return Attempt(batch, made + 1, event["invocationId"], records, fault)

    def call_failed(self, attempt: Attempt) -> None:
        """Notes an attempt whose fault is one of `CALL_FAULTS`."""
        self._note(attempt, ())

    def answered(self, attempt: Attempt, answer: bytes) -> bytes:
        """Notes an attempt that was answered.

        Returns:
            The answer, spoiled where its fault is one of `ANSWER_FAULTS`.
        """
        if attempt.fault is None:
            self._note(attempt, ())
            return answer
        spoiled, touched = spoil(attempt.fault, answer)
        self._note(attempt, attempt.records if touched is None else touched)
        return spoiled

    def _note(self, attempt: Attempt, touched: tuple[str, ...]) -> None:
        self._journal.note(
            "lambda", "Invoke", attempt.fault, batch=attempt.batch, number=attempt.number,
            invocation=attempt.invocation, records=list(attempt.records), touched=list(touched),
        )  # fmt: skip


def spoil(fault: str, answer: bytes) -> tuple[bytes, tuple[str, ...] | None]:
    """A good answer of the function with a fault of `ANSWER_FAULTS`, and the ids it was done to; None for all."""
    if fault == NO_JSON:
        return answer[:-1], None
    response = orjson.loads(answer)
    if fault == NO_RECORDS:
        return orjson.dumps({name: value for name, value in response.items() if name != "records"}), None
    records: list[dict[str, Any]] = response["records"]
    changed, touched = _SPOILERS[fault](records)
    return orjson.dumps({**response, "records": changed}), touched


_Spoiled = tuple[list[dict[str, Any]], tuple[str, ...] | None]


def _bad_result(records: list[dict[str, Any]]) -> _Spoiled:
    return [{**records[0], "result": "Fine"}, *records[1:]], None


def _bad_base64(records: list[dict[str, Any]]) -> _Spoiled:
    return [*records[:-1], {**records[-1], "data": "no base64!"}], None


def _missing(records: list[dict[str, Any]]) -> _Spoiled:
    gone = {record["recordId"] for record in records[::_EVERY]}
    return [record for record in records if record["recordId"] not in gone], tuple(sorted(gone))


def _doubled(records: list[dict[str, Any]]) -> _Spoiled:
    return [*records, *records[::_EVERY]], tuple(record["recordId"] for record in records[::_EVERY])


def _null(records: list[dict[str, Any]]) -> _Spoiled:
    emptied = {record["recordId"] for record in records[::_EVERY] if record["result"] == "Ok"}
    return [{**record, "data": None} if record["recordId"] in emptied else record for record in records], tuple(
        sorted(emptied)
    )


def _unknown(records: list[dict[str, Any]]) -> _Spoiled:
    data = base64.b64encode(b"nobody asked for this\n").decode()
    return [{"recordId": "49" + "0" * 60, "result": "Ok", "data": data}, *records], ()


_SPOILERS: Final[dict[str, Callable[[list[dict[str, Any]]], _Spoiled]]] = {
    BAD_RESULT: _bad_result,
    BAD_BASE64: _bad_base64,
    MISSING_RECORDS: _missing,
    DOUBLED_RECORDS: _doubled,
    NULL_DATA: _null,
    UNKNOWN_RECORD: _unknown,
}


class LambdaFaults:
    """Injects `FunctionFaults` into Lambda's API; all calls but Invoke are handed on as they are.

    Args:
        faults: what is due.
    """

    def __init__(self, faults: FunctionFaults) -> None:
        self._faults = faults

    def answer(self, call: Call, forward: Forward) -> Reply:
        """See `infra.faults.proxy.Faults`."""
        if call.method != "POST" or not call.path.endswith(_INVOKE):
            return forward(call.body)
        attempt = self._faults.begin(call.body)
        if attempt.fault in CALL_FAULTS:
            self._faults.call_failed(attempt)
            return _FAILED_CALLS[attempt.fault]
        reply = forward(call.body)
        if not reply.is_good or "x-amz-function-error" in {name.lower() for name in reply.headers}:
            return reply  # it failed by itself
        return Reply(reply.status, reply.headers, self._faults.answered(attempt, reply.body))


def _function_error(error_type: str, message: str) -> Reply:
    headers = {"Content-Type": "application/json", "X-Amz-Function-Error": "Unhandled"}
    return Reply(200, headers, orjson.dumps({"errorMessage": message, "errorType": error_type}))


_FAILED_CALLS: Final = {
    ERROR: _function_error("RuntimeError", "Injected on schedule"),
    TIMED_OUT: _function_error("Sandbox.Timedout", "RequestId: 0 Error: Task timed out after 60.00 seconds"),
    THROTTLED: Reply(
        429,
        {"Content-Type": "application/json", "x-amzn-ErrorType": "TooManyRequestsException"},
        orjson.dumps({"Reason": "ReservedFunctionConcurrentInvocationLimitExceeded", "message": "Rate Exceeded."}),
    ),
}
