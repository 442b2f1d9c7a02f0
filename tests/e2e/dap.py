"""A small client of the Debug Adapter Protocol: what an editor says to debugpy, over a socket."""

import contextlib
import json
import socket
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self


class DebugClient:
    """Attached to one debugpy. Every wait ends at `deadline_s`, seconds from now."""

    def __init__(self, port: int, deadline_s: float) -> None:
        self._deadline = time.monotonic() + deadline_s
        self._sequence = 0
        self._events: list[dict[str, Any]] = []
        self._responses: dict[int, dict[str, Any]] = {}
        self._socket = self._connected(port)
        self._stream = self._socket.makefile("rb")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stream.close()
        self._socket.close()

    def attach(self, breakpoints: dict[Path, int]) -> None:
        """Says hello, sets the breakpoints, and lets the program start."""
        self.request("initialize", adapterID="debugpy", pathFormat="path", linesStartAt1=True)
        attach = self.send("attach", justMyCode=True)
        self.event("initialized")
        for path, line in breakpoints.items():
            self.break_at(path, [line])
        self.request("configurationDone")
        self.response(attach)

    def break_at(self, path: Path, lines: list[int]) -> None:
        """Leaves breakpoints at just these lines of a file."""
        source, points = {"path": str(path)}, [{"line": line} for line in lines]
        body = self.request("setBreakpoints", source=source, breakpoints=points)
        assert [point["line"] for point in body["breakpoints"]] == lines

    def request(self, command: str, **arguments: Any) -> dict[str, Any]:
        """The body of the answer."""
        return self.response(self.send(command, **arguments))

    def send(self, command: str, **arguments: Any) -> int:
        """The number of the request, whose answer is not waited for."""
        self._sequence += 1
        message = {"seq": self._sequence, "type": "request", "command": command, "arguments": arguments}
        content = json.dumps(message).encode()
        self._socket.sendall(b"Content-Length: %d\r\n\r\n%s" % (len(content), content))
        return self._sequence

    def response(self, number: int) -> dict[str, Any]:
        while number not in self._responses:
            self._receive()
        answer = self._responses.pop(number)
        assert answer["success"], answer
        return dict(answer.get("body", {}))

    def event(self, name: str) -> dict[str, Any]:
        """The body of the oldest event of this name that nobody asked for yet."""
        while not (found := [event for event in self._events if event["event"] == name]):
            self._receive()
        self._events.remove(found[0])
        return dict(found[0].get("body", {}))

    def _receive(self) -> None:
        self._socket.settimeout(max(0.001, self._deadline - time.monotonic()))
        length = 0
        while header := self._stream.readline().strip():
            length = int(header.partition(b":")[2])
        if not length:
            raise ConnectionError("the debugger has gone")
        message = json.loads(self._stream.read(length))
        if message["type"] == "response":
            self._responses[message["request_seq"]] = message
        else:
            self._events.append(message)

    def _connected(self, port: int) -> socket.socket:
        while time.monotonic() < self._deadline:
            with contextlib.suppress(OSError):
                return socket.create_connection(("127.0.0.1", port), timeout=1)
            time.sleep(0.1)
        raise TimeoutError(f"nothing listens on port {port}")
