"""Shard iterators and pagination tokens: opaque to clients, checked when they come back (B7)."""

import base64
import hmac
import json
from hashlib import sha256
from typing import Any, Final

from infra.embedded.model.errors import invalid

_KEY: Final = b"hydrant embedded kinesis"  # against accidents, not against attackers
_MARK_BYTES: Final = 12


def seal(members: list[Any], what: str) -> str:
    """`members` (JSON values) as an opaque token; `what` it is, e.g. "ShardIterator"."""
    body = json.dumps(members, separators=(",", ":")).encode()
    return base64.urlsafe_b64encode(_mark(body, what) + body).decode()


def unseal(token: str, what: str) -> list[Any]:
    """The inverse of `seal`.

    Raises:
        KinesisError: InvalidArgumentException, for anything that `seal` did not make as `what`.
    """
    try:
        decoded = base64.urlsafe_b64decode(token.encode())
    except ValueError:
        decoded = b""
    mark, body = decoded[:_MARK_BYTES], decoded[_MARK_BYTES:]
    if not hmac.compare_digest(mark, _mark(body, what)):
        message = f"Invalid {what}."
        raise invalid(message)
    members: list[Any] = json.loads(body)
    return members


def _mark(body: bytes, what: str) -> bytes:
    return hmac.digest(_KEY, what.encode() + b"\0" + body, sha256)[:_MARK_BYTES]
