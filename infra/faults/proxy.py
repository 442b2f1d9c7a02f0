"""A reverse proxy on loopback, one listener a service, that asks what shall become of each call."""

import socket
import struct
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Final, Protocol, Self

import urllib3

from infra.embedded.http_request import RefusedError, header, read_request
from infra.faults.journal import Journal

LOST: Final = "lost"
"""The operation of a journal's line that tells of a call that what stands behind the proxy did not answer."""

_OF_THE_CONNECTION: Final = frozenset({
    "connection", "content-length", "expect", "host", "keep-alive", "proxy-connection", "te", "trailer",
    "transfer-encoding", "upgrade",
})  # fmt: skip
"""Headers that are between two neighbours, and not for whoever stands behind them."""
_NO_BODY: Final = frozenset({204, 304})
_CONNECT_TIMEOUT_S: Final = 5.0
_READ_TIMEOUT_S: Final = 330.0
"""Lambda may take five minutes (A4.5)."""


@dataclass(frozen=True, slots=True)
class Call:
    """A request of a client.

    Attributes:
        method: of HTTP.
        target: path and query, as they came.
        head: request line and headers, as they came.
        body: all of it.
    """

    method: str
    target: str
    head: bytes = field(repr=False)
    body: bytes = field(repr=False)

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]

    def header(self, name: str) -> str:
        """The value of a header, or nothing."""
        return header(self.head, name.lower().encode()).decode("latin-1")


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer.

    Attributes:
        status: of HTTP.
        headers: without those that are of the connection.
        body: all of it.
        length: what Content-Length says, where there is no body to count: of an answer to HEAD.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)
    length: int | None = None

    @property
    def is_good(self) -> bool:
        return self.status < HTTPStatus.BAD_REQUEST


class ResetError(Exception):
    """The connection is to be reset without an answer."""


class UpstreamError(Exception):
    """What stands behind the proxy does not answer."""


Forward = Callable[[bytes], Reply]
"""Hands the call on with that body, and waits for the answer. Raises UpstreamError."""


class Faults(Protocol):
    """What shall become of the calls of a service. Thread-safe."""

    def answer(self, call: Call, forward: Forward) -> Reply:
        """The answer to a call; whether, how often and with what body it is handed on.

        Raises:
            ResetError: there shall be none.
            UpstreamError: `forward` raised it.
        """


class FaultProxy:
    """Listens on a free port of loopback from `start` to `close`, or for as long as its context is open.

    Answers are read whole before they are handed on: what pushes without end, as SubscribeToShard does, would never
    come through. Requests are signed for the proxy's address, so AWS itself would refuse them: for stand-ins only.

    Args:
        upstream: where calls go, e.g. "http://localhost:4566".
        faults: what becomes of them.
        journal: for calls that went on and came to nothing, as operation LOST.
    """

    def __init__(self, upstream: str, faults: Faults, journal: Journal) -> None:
        self._faults = faults
        self._journal = journal
        self._upstream = upstream.rstrip("/")
        self._pool = urllib3.PoolManager(num_pools=1, maxsize=32, retries=False)
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self._closed = False
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self.endpoint: Final = f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def start(self) -> None:
        """Accepts connections from now on."""
        threading.Thread(target=self._accept, name="fault-proxy", daemon=True).start()

    def close(self) -> None:
        """Stops accepting, and ends the connections there are."""
        self._closed = True
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes `accept`, which closing alone does not
        self._listener.close()
        with self._lock:
            left = list(self._open)
        for connection in left:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self._pool.clear()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _accept(self) -> None:
        while not self._closed:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                continue  # the client is gone already, or `close` was called
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with self._lock:
            self._open.add(connection)
        try:
            with connection, suppress(OSError):  # the client may go away at any time
                self._converse(connection)
        finally:
            with self._lock:
                self._open.discard(connection)

    def _converse(self, connection: socket.socket) -> None:
        buffered = b""
        while True:
            try:
                request, buffered = read_request(connection, buffered)
                if request is None:
                    return
                call = _call(*request)
                reply = self._faults.answer(call, lambda body, call=call: self._forward(call, body))  # type: ignore[misc]
            except ResetError:
                # Closing with a linger of nothing sends RST in place of FIN.
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                return
            except UpstreamError:
                return  # for the client as if it had been there itself: the connection ends
            except RefusedError as error:
                connection.sendall(
                    b"HTTP/1.1 %s\r\nContent-Length: 0\r\nConnection: close\r\n\r\n" % str(error).encode()
                )
                return
            connection.sendall(_written(reply, call))
            if call.header("connection").lower() == "close":
                return

    def _forward(self, call: Call, body: bytes) -> Reply:
        headers = {name: value for name, value in _headers(call.head) if name.lower() not in _OF_THE_CONNECTION}
        try:
            answer = self._pool.urlopen(
                call.method,
                self._upstream + call.target,
                body=body if body or call.method not in {"GET", "HEAD"} else None,
                headers=headers,
                redirect=False,
                preload_content=True,
                decode_content=False,
                timeout=urllib3.Timeout(connect=_CONNECT_TIMEOUT_S, read=_READ_TIMEOUT_S),
            )
        except urllib3.exceptions.HTTPError as error:
            self._journal.note("proxy", LOST, None, method=call.method, target=call.target, error=str(error))
            raise UpstreamError(str(error)) from error
        kept = {name: value for name, value in answer.headers.items() if name.lower() not in _OF_THE_CONNECTION}
        length = answer.headers.get("Content-Length")
        return Reply(answer.status, kept, answer.data, int(length) if call.method == "HEAD" and length else None)


def _call(head: bytes, body: bytes) -> Call:
    words = head.partition(b"\r\n")[0].decode("latin-1").split(" ")
    if len(words) != 3:
        message = "400 Bad Request"
        raise RefusedError(message)
    return Call(words[0], words[1], head, body)


def _headers(head: bytes) -> list[tuple[str, str]]:
    lines = head.decode("latin-1").split("\r\n")[1:]
    return [(name.strip(), value.strip()) for name, _, value in (line.partition(":") for line in lines)]


def _written(reply: Reply, call: Call) -> bytes:
    try:
        reason = HTTPStatus(reply.status).phrase
    except ValueError:
        reason = "Unknown"
    lines = [f"HTTP/1.1 {reply.status} {reason}", *(f"{name}: {value}" for name, value in reply.headers.items())]
    if reply.status not in _NO_BODY:
        lines.append(f"Content-Length: {len(reply.body) if reply.length is None else reply.length}")
    body = b"" if call.method == "HEAD" or reply.status in _NO_BODY else reply.body
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body
