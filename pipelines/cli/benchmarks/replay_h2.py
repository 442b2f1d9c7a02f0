"""The replay in HTTP/2 without TLS, which the AWS SDK for Java speaks to Kinesis: a front before the HTTP/1.1 endpoint.

`python -m pipelines.cli.benchmarks.replay_h2 ENDPOINT`, in the environment of `amazon-kclpy`, which has the package h2.
Its first line of output is a JSON object with its own endpoint.
"""

import http.client
import json
import socket
import sys
import threading
from contextlib import suppress
from typing import Any, Final
from urllib.parse import urlsplit

from h2.config import H2Configuration  # type: ignore[import-not-found]
from h2.connection import H2Connection  # type: ignore[import-not-found]
from h2.events import (  # type: ignore[import-not-found]
    ConnectionTerminated,
    DataReceived,
    RequestReceived,
    StreamEnded,
    StreamReset,
)

_PASSED_ON: Final[tuple[str, ...]] = ("x-amz-target", "content-type")


class Front:
    """One connection of a client, its streams answered one after the other by the endpoint."""

    def __init__(self, client: socket.socket, address: str) -> None:
        self._client = client
        self._http2 = H2Connection(H2Configuration(client_side=False, header_encoding="utf-8"))
        self._endpoint = http.client.HTTPConnection(address)
        self._requests: dict[int, tuple[dict[str, str], bytearray]] = {}
        self._answers: dict[int, memoryview] = {}
        """What is still to be sent, by stream: the client's windows are smaller than a page."""

    def serve(self) -> None:
        """Answers until the client goes away."""
        self._http2.initiate_connection()
        self._client.sendall(self._http2.data_to_send())
        with self._client, suppress(OSError):
            while received := self._client.recv(65_536):
                for event in self._http2.receive_data(received):
                    if isinstance(event, ConnectionTerminated):
                        return
                    self._handle(event)
                self._send()

    def _handle(self, event: Any) -> None:
        match event:
            case RequestReceived():
                self._requests[event.stream_id] = dict(event.headers), bytearray()
            case DataReceived():
                self._requests[event.stream_id][1].extend(event.data)
                self._http2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            case StreamEnded():
                headers, body = self._requests.pop(event.stream_id)
                passed_on: dict[str, str] = {name: headers[name] for name in _PASSED_ON if name in headers}
                self._endpoint.request("POST", "/", bytes(body), passed_on)
                response = self._endpoint.getresponse()
                answer = response.read()
                told = [(":status", str(response.status)), ("content-type", "application/x-amz-json-1.1")]
                self._http2.send_headers(event.stream_id, [*told, ("content-length", str(len(answer)))])
                self._answers[event.stream_id] = memoryview(answer)
            case StreamReset():
                self._requests.pop(event.stream_id, None)
                self._answers.pop(event.stream_id, None)

    def _send(self) -> None:
        for stream_id, answer in list(self._answers.items()):
            left = answer
            while size := min(
                len(left), self._http2.local_flow_control_window(stream_id), self._http2.max_outbound_frame_size
            ):
                self._http2.send_data(stream_id, left[:size].tobytes(), end_stream=size == len(left))
                left = left[size:]
            self._answers[stream_id] = left
            if not left:
                del self._answers[stream_id]
        self._client.sendall(self._http2.data_to_send())


def main(endpoint: str) -> None:
    """Serves until its parent ends it."""
    listener = socket.create_server(("127.0.0.1", 0))
    sys.stdout.write(json.dumps({"endpoint": f"http://127.0.0.1:{listener.getsockname()[1]}"}) + "\n")
    sys.stdout.flush()
    while True:
        client, _ = listener.accept()
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        front = Front(client, urlsplit(endpoint).netloc)
        threading.Thread(target=front.serve, daemon=True).start()


if __name__ == "__main__":
    main(*sys.argv[1:])
