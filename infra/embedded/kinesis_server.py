"""The model Kinesis on the wire: AWS JSON 1.1 over HTTP/1.1. `python -m infra.embedded.kinesis_server --port 0`.

One thread a connection and a parser of just what AWS's clients send: the standard library's HTTP server costs more a
call than the model does.
"""

import argparse
import json
import signal
import socket
import sys
import threading
from typing import Final

import orjson

from infra.embedded.model.errors import KinesisError
from infra.embedded.model.faults import DropConnectionError
from infra.embedded.model.service import Kinesis
from pipelines.runtime.clock import SystemClock

_TARGET: Final = b"kinesis_20131202."
_MAX_HEADER: Final = 64 * 1024
_MAX_BODY: Final = 32 * 1024 * 1024
_REASONS: Final = {200: b"OK", 400: b"Bad Request", 404: b"Not Found", 413: b"Too Large", 500: b"Internal Server Error"}


class Server:
    """Serves `kinesis` on a listening socket."""

    def __init__(self, kinesis: Kinesis, host: str, port: int) -> None:
        self._kinesis = kinesis
        self._listener = socket.create_server((host, port), backlog=256)
        self.port: int = self._listener.getsockname()[1]

    def serve_forever(self) -> None:
        """Accepts connections until `close`."""
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def close(self) -> None:
        """Stops accepting."""
        self._listener.close()

    def _serve(self, connection: socket.socket) -> None:
        with connection:
            try:
                buffered = b""
                while True:
                    request, buffered = _read_request(connection, buffered)
                    if request is None:
                        return
                    head, body = request
                    status, answer, extra = self._answer(head, body)
                    connection.sendall(
                        b"HTTP/1.1 %d %s\r\nContent-Type: application/x-amz-json-1.1\r\nContent-Length: %d\r\n%s\r\n"
                        % (status, _REASONS.get(status, b"Error"), len(answer), extra)
                        + answer
                    )
            except (OSError, DropConnectionError):
                return  # the client went away, or a test ordered it

    def _answer(self, head: bytes, body: bytes) -> tuple[int, bytes, bytes]:
        path = head.split(b" ", 2)[1]
        if path == b"/_health":
            return 200, b'{"status":"running"}', b""
        try:
            if path == b"/_faults":
                self._kinesis.faults.order(orjson.loads(body))
                return 200, b"{}", b""
            operation = _header(head, b"x-amz-target").lower().partition(_TARGET)[2]
            name = _header(head, b"x-amz-target")[-len(operation) :].decode() if operation else ""
            answer = self._kinesis.call(name, orjson.loads(body or b"{}"))
            return 200, answer if isinstance(answer, bytes) else orjson.dumps(answer), b""
        except KinesisError as error:
            described = orjson.dumps({"__type": error.code, "message": error.message})
            return error.status, described, b"x-amzn-ErrorType: %s\r\n" % error.code.encode()
        except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError) as error:
            described = orjson.dumps(
                {"__type": "SerializationException", "message": f"{type(error).__name__}: {error}"}
            )
            return 400, described, b"x-amzn-ErrorType: SerializationException\r\n"


def _read_request(connection: socket.socket, buffered: bytes) -> tuple[tuple[bytes, bytes] | None, bytes]:
    """One request's head and body, and what was read beyond it; None when the client is done."""
    while (end := buffered.find(b"\r\n\r\n")) < 0:
        more = connection.recv(65_536)
        if not more or len(buffered) > _MAX_HEADER:
            return None, b""
        buffered += more
    head, buffered = buffered[:end], buffered[end + 4 :]
    length = int(_header(head, b"content-length") or 0)
    if length > _MAX_BODY:
        return None, b""
    if _header(head, b"expect").lower() == b"100-continue" and len(buffered) < length:
        connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
    if len(buffered) >= length:
        return (head, buffered[:length]), buffered[length:]
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


def _header(head: bytes, name: bytes) -> bytes:
    """The value of a header, or nothing; names are given in lower case."""
    at = head.lower().find(b"\r\n" + name + b":")
    if at < 0:
        return b""
    begin = at + len(name) + 3
    end = head.find(b"\r\n", begin)
    return head[begin : end if end >= 0 else len(head)].strip()


def main() -> None:
    """Serves until SIGTERM or SIGINT; says where in one line of JSON."""
    parser = argparse.ArgumentParser(description="A model of Kinesis Data Streams on the wire.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0 for a free one")
    parser.add_argument("--limits", choices=("off", "aws"), default="off", help="AWS's throughput limits a shard")
    parser.add_argument("--region", default="us-east-1")
    parser.add_argument("--account", default="000000000000")
    options = parser.parse_args()
    kinesis = Kinesis(SystemClock(), options.region, options.account, limited=options.limits == "aws")
    server = Server(kinesis, options.host, options.port)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    described = {"service": "kinesis", "port": server.port, "endpoint": f"http://{options.host}:{server.port}"}
    sys.stdout.write(json.dumps(described) + "\n")
    sys.stdout.flush()
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    stop.wait()
    server.close()


if __name__ == "__main__":
    main()
