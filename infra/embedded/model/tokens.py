"""Shard iterators and pagination tokens: opaque to clients, checked when they come back (B7)."""

import base64
import hmac
import json
from hashlib import sha256
from typing import Any

from infra.embedded.model.errors import invalid

_KEY = b"hydrant embedded kinesis"  # against accidents, not against attackers


def seal(members: list[Any]) -> str:
    """`members` (JSON values) as an opaque token."""
    body = json.dumps(members, separators=(",", ":")).encode()
    return base64.urlsafe_b64encode(_mark(body) + body).decode()


def unseal(token: str, what: str) -> list[Any]:
    """The inverse of `seal`; `what` names the token in the error.

    Raises:
        KinesisError: InvalidArgumentException, for anything that `seal` did not make.
    """
    try:
        decoded = base64.urlsafe_b64decode(token.encode())
        mark, body = decoded[:12], decoded[12:]
        if hmac.compare_digest(mark, _mark(body)):
            members: list[Any] = json.loads(body)
            return members
    except ValueError:
        pass
    message = f"Invalid {what}."
    raise invalid(message)


def _mark(body: bytes) -> bytes:
    return hmac.digest(_KEY, body, sha256)[:12]
