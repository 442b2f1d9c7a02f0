"""Faults of S3: PutObject refused, broken off before and after the object was stored, and refused for longer."""

import hashlib
import threading
from typing import Final
from urllib.parse import parse_qs, unquote
from xml.sax.saxutils import escape

from infra.faults.journal import Journal
from infra.faults.proxy import Call, Forward, Reply, ResetError
from infra.faults.schedule import Schedule

SLOW_DOWN: Final = "slow-down"
"""503 SlowDown: the prefix has more requests than it takes."""
INTERNAL_ERROR: Final = "internal-error"
"""500 InternalError."""
RESET_BEFORE: Final = "reset-before"
"""The connection is reset, and nothing stored."""
RESET_AFTER: Final = "reset-after"
"""The object is stored, and the connection reset: the client cannot know."""
OUTAGE: Final = "outage"
"""SlowDown for this object `OUTAGE_CALLS` times in a row: longer than the SDK tries within one call."""

PUT_FAULTS: Final = (SLOW_DOWN, INTERNAL_ERROR, RESET_BEFORE, RESET_AFTER, OUTAGE)
OUTAGE_CALLS: Final = 5

_ERRORS: Final = {
    SLOW_DOWN: (503, "SlowDown", "Please reduce your request rate."),
    OUTAGE: (503, "SlowDown", "Please reduce your request rate."),
    INTERNAL_ERROR: (500, "InternalError", "We encountered an internal error. Please try again."),
}


class S3Faults:
    """Refuses calls of PutObject as a schedule says; all other calls are handed on as they are.

    In the journal a PutObject has `bucket`, `key`, the body's `sha256`, the SDK's `invocation`, which is the same for
    all that it tries within one call, and whether it was `stored`.

    Args:
        puts: kinds of `PUT_FAULTS`.
        journal: for every call.
    """

    def __init__(self, puts: Schedule, journal: Journal) -> None:
        self._puts = puts
        self._journal = journal
        self._lock = threading.Lock()
        self._outages: dict[str, int] = {}

    def answer(self, call: Call, forward: Forward) -> Reply:
        """See `infra.faults.proxy.Faults`."""
        bucket, _, key = unquote(call.path).lstrip("/").partition("/")
        if not _is_put_object(call, key):
            answer = forward(call.body)
            self._journal.note("s3", call.method, None, status=answer.status, bucket=bucket, key=key)
            return answer
        fault = self._fault(f"{bucket}/{key}")
        refusal = _error(fault, key) if fault is not None and fault in _ERRORS else None
        stored = forward(call.body) if fault in {None, RESET_AFTER} else None
        reply = None if fault == RESET_AFTER else refusal or stored
        self._journal.note(
            "s3", "PutObject", fault, status=reply.status if reply else 0, bucket=bucket, key=key,
            sha256=hashlib.sha256(call.body).hexdigest(), invocation=call.header("amz-sdk-invocation-id"),
            stored=stored is not None and stored.is_good,
        )  # fmt: skip
        if reply is None:
            raise ResetError
        return reply

    def _fault(self, name: str) -> str | None:
        with self._lock:
            left = self._outages.get(name, 0)
            if left:
                self._outages[name] = left - 1
                return OUTAGE
            fault = self._puts.next()
            if fault == OUTAGE:
                self._outages[name] = OUTAGE_CALLS - 1
            return fault


def _is_put_object(call: Call, key: str) -> bool:
    """A PUT of a key without a subresource: not a part of an upload, not tags; a copy has no body."""
    query = parse_qs(call.target.partition("?")[2], keep_blank_values=True)
    return call.method == "PUT" and bool(key) and query.keys() <= {"x-id"} and not call.header("x-amz-copy-source")


def _error(fault: str, key: str) -> Reply:
    status, code, message = _ERRORS[fault]
    body = (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f"<Error><Code>{code}</Code><Message>{message}</Message><Resource>/{escape(key)}</Resource></Error>"
    )
    return Reply(status, {"Content-Type": "application/xml"}, body.encode())
