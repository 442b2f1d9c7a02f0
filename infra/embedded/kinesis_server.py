"""The model Kinesis on the wire: AWS JSON 1.1 over HTTP/1.1. `python -m infra.embedded.kinesis_server --port 0`.

One thread a connection and a parser of just what AWS's clients send: the standard library's HTTP server costs more a
call than the model does. SubscribeToShard holds its connection's thread for as long as it pushes.
"""

import argparse
import json
import signal
import socket
import sys
import threading
import traceback
import uuid
from contextlib import suppress
from email.utils import formatdate
from functools import lru_cache
from typing import Final

import orjson

from infra.embedded import event_stream
from infra.embedded.http_request import RefusedError, header, read_request
from infra.embedded.model.errors import KinesisError
from infra.embedded.model.faults import DropConnectionError
from infra.embedded.model.service import Kinesis
from infra.embedded.model.subscription import Subscription
from infra.embedded.push import push
from pipelines.runtime.clock import SystemClock

_TARGET: Final = b"Kinesis_20131202."
_JSON: Final = b"application/x-amz-json-1.1"
_REASONS: Final = {200: b"OK", 400: b"Bad Request", 500: b"Internal Server Error"}


class Server:
    """Serves `kinesis` on a listening socket.

    `GET /_health` says that it runs, `POST /_faults` orders faults (`Faults.order`), `POST /_clock` with
    `{"advance_s": 90000}` moves the service's clock by 25 hours and answers with its time, `{"now_ms": ...}`;
    anything else is a call. Answers have a Date header by that clock.
    """

    def __init__(self, kinesis: Kinesis, host: str, port: int) -> None:
        self._kinesis = kinesis
        self._closed = False
        self._listener = socket.create_server((host, port), backlog=256)
        self.port: int = self._listener.getsockname()[1]

    def serve_forever(self) -> None:
        """Accepts connections until `close`."""
        while not self._closed:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                continue  # the client is gone already, or `close` was called
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def close(self) -> None:
        """Stops accepting."""
        self._closed = True
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes `accept`, which closing alone does not
        self._listener.close()

    def _serve(self, connection: socket.socket) -> None:
        buffered = b""
        # The client may go away at any time, and a fault may be ordered that ends the connection.
        with connection, suppress(OSError, DropConnectionError):
            try:
                while True:
                    request, buffered = read_request(connection, buffered)
                    if request is None:
                        return
                    head, body = request
                    status, answer, extra = self._answer(head, body)
                    if isinstance(answer, Subscription):
                        connection.sendall(
                            self._head(200, event_stream.CONTENT_TYPE, b"Transfer-Encoding: chunked\r\n")
                        )
                        if not push(connection, self._kinesis, answer):
                            return
                    else:
                        length = b"Content-Length: %d\r\n" % len(answer)
                        connection.sendall(self._head(status, _JSON, length + extra) + answer)
                    if header(head, b"connection").lower() == b"close":
                        return
            except RefusedError as error:
                refusal = b"HTTP/1.1 %s\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
                connection.sendall(refusal % str(error).encode())
                connection.shutdown(socket.SHUT_WR)
                connection.settimeout(1)
                while connection.recv(65_536):  # closing on unread bytes would reset the connection under our answer
                    pass

    def _head(self, status: int, content_type: bytes, extra: bytes) -> bytes:
        return b"HTTP/1.1 %d %s\r\nContent-Type: %s\r\nDate: %s\r\nx-amzn-RequestId: %s\r\n%s\r\n" % (
            status,
            _REASONS.get(status, b"Error"),
            content_type,
            _date(self._kinesis.clock.now_ms() // 1000),
            str(uuid.uuid4()).encode(),
            extra,
        )

    def _answer(self, head: bytes, body: bytes) -> tuple[int, bytes | Subscription, bytes]:
        """Status, body and further header lines."""
        try:
            path = head.split(b" ", 2)[1]
            if path == b"/_health":
                return 200, b'{"status":"running"}', b""
            request = orjson.loads(body or b"{}")
            if path == b"/_faults":
                self._kinesis.faults.order(request)
                return 200, b"{}", b""
            if path == b"/_clock":
                return 200, orjson.dumps({"now_ms": self._kinesis.advance(request["advance_s"])}), b""
            service, _, operation = header(head, b"x-amz-target").rpartition(b".")
            if service + b"." != _TARGET:
                return _error("UnknownOperationException", "X-Amz-Target names no operation of Kinesis.", 400)
            answer = self._kinesis.call(operation.decode(), request)
            return 200, orjson.dumps(answer) if isinstance(answer, dict) else answer, b""
        except KinesisError as error:
            return _error(error.code, error.message, error.status)
        except (DropConnectionError, MemoryError):
            raise
        except (orjson.JSONDecodeError, AttributeError, IndexError, KeyError, TypeError) as error:
            # The request has another form than its operation: what fits is checked by the service model, and what
            # the model leaves out, e.g. each entry of PutRecords for speed, shows here.
            return _error("SerializationException", f"{type(error).__name__}: {error}", 400)
        except Exception as error:
            traceback.print_exc()
            return _error("InternalFailure", f"{type(error).__name__}: {error}", 500)


@lru_cache(maxsize=2)
def _date(seconds: int) -> bytes:
    """The Date header's value for so many seconds since the epoch."""
    return formatdate(seconds, usegmt=True).encode()


def _error(code: str, message: str, status: int) -> tuple[int, bytes, bytes]:
    described = orjson.dumps({"__type": code, "message": message})
    return status, described, b"x-amzn-ErrorType: %s\r\n" % code.encode()


def main() -> None:
    """Serves until SIGTERM or SIGINT; says where in one line of JSON."""
    parser = argparse.ArgumentParser(description="A model of Kinesis Data Streams on the wire.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0 for a free one")
    parser.add_argument(
        "--limits", choices=("off", "aws"), default="off", help="AWS's limits of throughput and of calls"
    )
    parser.add_argument("--region", default="us-east-1")
    parser.add_argument("--account", default="000000000000")
    options = parser.parse_args()
    ends = {signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, ends)  # in every thread that follows, so that none but this one takes them
    kinesis = Kinesis(SystemClock(), options.region, options.account, limited=options.limits == "aws")
    server = Server(kinesis, options.host, options.port)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    described = {"service": "kinesis", "port": server.port, "endpoint": f"http://{options.host}:{server.port}"}
    sys.stdout.write(json.dumps(described) + "\n")
    sys.stdout.flush()
    signal.sigwait(ends)
    server.close()


if __name__ == "__main__":
    main()
