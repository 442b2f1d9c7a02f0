"""A request of HTTP/1.1, read from a socket: just what AWS's clients send."""

import socket
from typing import Final

_MAX_HEAD: Final = 64 * 1024
_MAX_BODY: Final = 32 * 1024 * 1024


class RefusedError(Exception):
    """A request that is not HTTP as we speak it: the message is the status line's, and the connection ends."""


def read_request(connection: socket.socket, buffered: bytes) -> tuple[tuple[bytes, bytes] | None, bytes]:
    """One request's head and body, and what was read beyond it; None when the client is done.

    Raises:
        RefusedError: it is too large, chunked, or has no readable length.
    """
    while (end := buffered.find(b"\r\n\r\n")) < 0:
        if len(buffered) > _MAX_HEAD:
            message = "431 Request Header Fields Too Large"
            raise RefusedError(message)
        more = connection.recv(65_536)
        if not more:
            return None, b""
        buffered += more
    head, buffered = buffered[:end], buffered[end + 4 :]
    length = _content_length(head)
    if len(buffered) >= length:
        return (head, buffered[:length]), buffered[length:]
    if header(head, b"expect").lower() == b"100-continue":
        connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
    body = bytearray(length)
    view = memoryview(body)
    view[: len(buffered)] = buffered
    have = len(buffered)
    while have < length:
        got = connection.recv_into(view[have:])
        if not got:
            return None, b""
        have += got
    return (head, bytes(body)), b""


def _content_length(head: bytes) -> int:
    if header(head, b"transfer-encoding"):
        message = "411 Length Required"
        raise RefusedError(message)
    text = header(head, b"content-length") or b"0"
    if not text.isdigit():
        message = "400 Bad Request"
        raise RefusedError(message)
    if int(text) > _MAX_BODY:
        message = "413 Content Too Large"
        raise RefusedError(message)
    return int(text)


def header(head: bytes, name: bytes) -> bytes:
    """The value of a header, or nothing; names are given in lower case."""
    at = head.lower().find(b"\r\n" + name + b":")
    if at < 0:
        return b""
    begin = at + len(name) + 3
    end = head.find(b"\r\n", begin)
    return head[begin : end if end >= 0 else len(head)].strip()
