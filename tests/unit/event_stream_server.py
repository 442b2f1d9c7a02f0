"""An HTTP server that answers SubscribeToShard with bytes of a test's choice, as one may meet them on a network."""

import json
import select
import socket
import struct
import threading
from binascii import crc32
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

import boto3
from botocore.config import Config


def message(headers: dict[str, str], payload: bytes = b"") -> bytes:
    """A message of an event stream, written by the published format of application/vnd.amazon.eventstream."""
    packed = b"".join(
        bytes([len(name)]) + name.encode() + b"\x07" + struct.pack(">H", len(value)) + value.encode()
        for name, value in headers.items()
    )
    prelude = struct.pack(">II", 4 + 4 + 4 + len(packed) + len(payload) + 4, len(packed))
    body = prelude + struct.pack(">I", crc32(prelude)) + packed + payload
    return body + struct.pack(">I", crc32(body))


def event_message(payload: bytes) -> bytes:
    return message(
        {
            ":message-type": "event",
            ":event-type": "SubscribeToShardEvent",
            ":content-type": "application/x-amz-json-1.1",
        },
        payload,
    )


def exception_message(code: str, text: str) -> bytes:
    headers = {":message-type": "exception", ":exception-type": code, ":content-type": "application/x-amz-json-1.1"}
    return message(headers, json.dumps({"message": text}).encode())


INITIAL = message({":message-type": "event", ":event-type": "initial-response"}, b"{}")


@dataclass
class Reply:
    """What one call gets.

    `parts` are sent one by one; `chunked` off sends them bare, up to the connection's end. `cut` leaves out the end of
    a chunked answer; `hold` keeps the connection open until the test sets it.
    """

    parts: list[bytes] = field(default_factory=list)
    status: str = "200 OK"
    chunked: bool = True
    cut: bool = False
    hold: threading.Event | None = None


class EventStreamServer:
    """Answers its calls with `replies`, in order. `requests` are their bodies, with the number of the connection.

    `left` says that a client closed a connection that was held open.
    """

    def __init__(self, replies: list[Reply]) -> None:
        self.replies = list(replies)
        self.requests: list[tuple[int, dict[str, object]]] = []
        self.left = threading.Event()
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        count = 0
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            count += 1
            threading.Thread(target=self._serve, args=(connection, count), daemon=True).start()

    def _serve(self, connection: socket.socket, count: int) -> None:
        with suppress(OSError), connection, connection.makefile("rb") as reading:
            while reading.readline():
                headers = {}
                while (line := reading.readline()) not in (b"\r\n", b""):
                    name, _, value = line.decode().partition(":")
                    headers[name.lower()] = value.strip()
                body = json.loads(reading.read(int(headers["content-length"])))
                self.requests.append((count, body))
                if not self._answer(connection, self.replies.pop(0)):
                    return

    def _answer(self, connection: socket.socket, reply: Reply) -> bool:
        kind = "Transfer-Encoding: chunked" if reply.chunked else "Connection: close"
        connection.sendall(f"HTTP/1.1 {reply.status}\r\n{kind}\r\n\r\n".encode())
        for part in reply.parts:
            connection.sendall(b"%x\r\n%s\r\n" % (len(part), part) if reply.chunked else part)
        while reply.hold is not None and not reply.hold.wait(0.01):
            readable, _, _ = select.select([connection], [], [], 0)
            if readable and not connection.recv(1, socket.MSG_PEEK):
                self.left.set()
                return False
        if reply.chunked and not reply.cut:
            connection.sendall(b"0\r\n\r\n")
        return reply.chunked and not reply.cut

    def close(self) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)  # ends the wait of `accept` too
        self._listening.close()


@contextmanager
def serving(*replies: Reply) -> Iterator[EventStreamServer]:
    server = EventStreamServer(list(replies))
    try:
        yield server
    finally:
        server.close()


def kinesis_client(url: str, read_timeout_s: float = 5):
    return boto3.client(
        "kinesis",
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
        config=Config(retries={"total_max_attempts": 1}, read_timeout=read_timeout_s),
    )
