"""What happened: every call that went through a proxy, and every fault, in order."""

import threading
from pathlib import Path
from typing import IO, Any

import orjson

from pipelines.runtime.clock import Clock, SystemClock

Line = dict[str, Any]
"""`service`, `operation`, `fault` (a kind or None), `at_ms`, and what the service's faults add."""


class Journal:
    """Lines in the order in which calls ended. Thread-safe.

    Args:
        clock: says when.
    """

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._lock = threading.Lock()
        self._lines: list[Line] = []
        self._file: IO[bytes] | None = None

    def note(self, service: str, operation: str, fault: str | None, **more: Any) -> None:
        """Adds a line."""
        line = {"service": service, "operation": operation, "fault": fault, "at_ms": self._clock.now_ms(), **more}
        with self._lock:
            self._lines.append(line)
            self._write(line)

    @property
    def lines(self) -> list[Line]:
        """All lines so far."""
        with self._lock:
            return list(self._lines)

    def keep(self, path: Path) -> None:
        """Writes the lines there are to a file, and every one that follows: JSON lines."""
        with self._lock:
            self._file = path.open("wb")
            for line in self._lines:
                self._write(line)

    def close(self) -> None:
        """Ends the file."""
        with self._lock:
            if self._file is not None:
                self._file.close()
                self._file = None

    def _write(self, line: Line) -> None:
        if self._file is not None:
            self._file.write(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE))
            self._file.flush()
