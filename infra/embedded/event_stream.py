"""AWS's event stream encoding (application/vnd.amazon.eventstream): how SubscribeToShard answers (B14)."""

from binascii import crc32
from collections.abc import Mapping
from struct import pack
from typing import Final

CONTENT_TYPE: Final = b"application/vnd.amazon.eventstream"
_STRING: Final = 7
_JSON: Final = "application/x-amz-json-1.1"


def event(kind: str, payload: bytes) -> bytes:
    """A message with an event of type `kind`, e.g. "SubscribeToShardEvent"; `payload` is JSON."""
    return message({":event-type": kind, ":content-type": _JSON, ":message-type": "event"}, payload)


def exception(code: str, payload: bytes) -> bytes:
    """A message with an exception, e.g. "ResourceNotFoundException"; `payload` is JSON."""
    return message({":exception-type": code, ":content-type": _JSON, ":message-type": "exception"}, payload)


def message(headers: Mapping[str, str], payload: bytes) -> bytes:
    """One message: lengths of the whole and of the headers, their CRC, headers, payload, the CRC of all that.

    All integers are big-endian. A header is its name behind one byte of length, the type of its value, here always a
    string, and the value behind two bytes of length.
    """
    lines = b"".join(
        pack("!B", len(name)) + name + pack("!BH", _STRING, len(value)) + value
        for name, value in ((name.encode(), value.encode()) for name, value in headers.items())
    )
    lengths = pack("!II", 16 + len(lines) + len(payload), len(lines))
    prelude = lengths + pack("!I", crc32(lengths))
    crc = crc32(payload, crc32(lines, crc32(prelude)))
    return b"".join((prelude, lines, payload, pack("!I", crc)))
