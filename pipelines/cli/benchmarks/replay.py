"""Kinesis as a replay: a process of its own whose answers are ready made, so that the reader is what is measured.

`python -m pipelines.cli.benchmarks.replay --records 1000000 --shards 4 --page 10000`

It speaks what clients say that read: AWS JSON 1.1 over HTTP/1.1, ListShards, DescribeStream, DescribeStreamSummary,
GetShardIterator and GetRecords, for one stream. Nobody writes, nothing is throttled, no call is checked. Its first
line of output is a JSON object: the endpoint, the account that every client must come to, the end of each shard.
`POST /_begin` begins a new count, `GET /_calls` tells when the first GetRecords call since then came, and how many.
"""

import argparse
import json
import socket
import sys
import threading
from contextlib import suppress
from typing import Any, Final

import orjson

from pipelines.cli.benchmarks.flights import json_lines
from pipelines.cli.benchmarks.replay_stream import COLUMNS, STREAM, IteratorTypeError, ReplayStream
from pipelines.runtime.clock import Clock, SystemClock

ARN: Final = f"arn:aws:kinesis:us-east-1:000000000000:stream/{STREAM}"
_TYPE: Final = b"application/x-amz-json-1.1"


class ReplayServer:
    """Serves `stream` on loopback, a thread a connection.

    Args:
        stream: what is replayed.
        clock: tells when the first call came.
    """

    def __init__(self, stream: ReplayStream, clock: Clock) -> None:
        self._stream = stream
        self._clock = clock
        self._first_s: float | None = None
        self._calls = 0
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.endpoint = f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def serve_forever(self) -> None:
        """Accepts connections until `close`."""
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def close(self) -> None:
        """Stops accepting."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _serve(self, connection: socket.socket) -> None:
        with connection, suppress(OSError), connection.makefile("rb") as requests:
            while first := requests.readline():
                target, length = b"", 0
                while (line := requests.readline().strip()) != b"":
                    name, _, value = line.partition(b":")
                    match name.lower():
                        case b"x-amz-target":
                            target = value.strip()
                        case b"content-length":
                            length = int(value)
                        case b"expect":
                            connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
                body = requests.read(length)
                status, answer = self._answer(first.split()[1], target.rpartition(b".")[2].decode(), body)
                connection.sendall(
                    b"HTTP/1.1 %s\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n" % (status, _TYPE, len(answer))
                )
                connection.sendall(answer)  # apart: the page's bytes are not copied to be put behind a head

    def _answer(self, path: bytes, operation: str, body: bytes) -> tuple[bytes, bytes]:
        if path == b"/_begin":
            self._first_s, self._calls = None, 0
            return b"200 OK", b"{}"
        if path == b"/_calls":
            return b"200 OK", orjson.dumps({"calls": self._calls, "first_s": self._first_s})
        if operation == "GetRecords":
            if self._first_s is None:
                self._first_s = self._clock.monotonic_s()
            self._calls += 1
            return b"200 OK", self._stream.get_records(orjson.loads(body)["ShardIterator"])
        try:
            return b"200 OK", orjson.dumps(self._describe(operation, orjson.loads(body or b"{}")))
        except IteratorTypeError as error:
            return _refusal("InvalidArgumentException", f"{error} is not replayed.")
        except NotImplementedError:
            return _refusal("UnknownOperationException", f"{operation} is not replayed.")

    def _describe(self, operation: str, request: dict[str, Any]) -> dict[str, Any]:
        shards = self._stream.shards()
        named = {"StreamName": STREAM, "StreamARN": ARN, "StreamStatus": "ACTIVE", "RetentionPeriodHours": 24}
        named |= {"StreamCreationTimestamp": 1.7e9, "EnhancedMonitoring": [{"ShardLevelMetrics": []}]}
        match operation:
            case "ListShards":
                return {"Shards": shards}
            case "GetShardIterator":
                return {"ShardIterator": self._stream.iterator(request)}
            case "DescribeStream":
                return {"StreamDescription": named | {"Shards": shards, "HasMoreShards": False}}
            case "DescribeStreamSummary":
                return {"StreamDescriptionSummary": named | {"OpenShardCount": len(shards), "ConsumerCount": 0}}
        raise NotImplementedError(operation)


def _refusal(code: str, message: str) -> tuple[bytes, bytes]:
    return b"400 Bad Request", orjson.dumps({"__type": code, "message": message})


def main() -> None:
    """Serves until its parent ends it."""
    parser = argparse.ArgumentParser(description="A Kinesis stream that answers at once.")
    parser.add_argument("--records", type=int, required=True)
    parser.add_argument("--shards", type=int, required=True)
    parser.add_argument("--page", type=int, required=True, help="records of a GetRecords answer")
    options = parser.parse_args()
    stream = ReplayStream(json_lines(options.records, list(COLUMNS)), options.shards, options.page)
    server = ReplayServer(stream, SystemClock())
    described = {"endpoint": server.endpoint, "account": stream.account.to_json(), "ends": stream.ends()}
    sys.stdout.write(json.dumps(described) + "\n")
    sys.stdout.flush()
    server.serve_forever()


if __name__ == "__main__":
    main()
