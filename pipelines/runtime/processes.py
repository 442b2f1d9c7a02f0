"""Child processes that never outlive us, and that say why they died."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import IO, Any, Final

import psutil

from pipelines.runtime import watchdog
from pipelines.runtime.clock import Clock, SystemClock
from pipelines.runtime.errors import RunnerError

_LAST_LINES: Final = 40
_STOP_S: Final = 6.0
_LAST_WORDS_S: Final = 0.5


class Child:
    """A process of ours, under `pipelines.runtime.watchdog`: it ends when we do, however we do.

    It has a session of its own, so that the terminal's Ctrl-C reaches us alone, and we can drain before it ends.

    Args:
        name: what it is, for messages, e.g. "Prism".
        command: program and arguments.
        env: its environment; ours when None.
        clock: for time-outs.
    """

    def __init__(
        self, name: str, command: Sequence[str], env: Mapping[str, str] | None = None, clock: Clock | None = None
    ) -> None:
        self.name = name
        self._clock = clock or SystemClock()
        self._lines: deque[str] = deque(maxlen=_LAST_LINES)
        self._first_line = threading.Event()
        self._first = ""
        self._process = subprocess.Popen(
            [sys.executable, "-P", watchdog.__file__, *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=dict(env) if env is not None else None,
            start_new_session=True,
            text=True,
            errors="replace",
        )
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        self._listeners = [
            threading.Thread(target=self._drain, args=(stream, is_stdout), daemon=True)
            for stream, is_stdout in ((self._process.stdout, True), (self._process.stderr, False))
        ]
        for listener in self._listeners:
            listener.start()

    def ready(self, timeout_s: float = 60.0) -> dict[str, Any]:
        """Waits for its first line of output, a JSON object, and returns it.

        Raises:
            RunnerError: it died before, or said something else.
        """
        give_up_s = self._clock.monotonic_s() + timeout_s
        while not self._first_line.wait(0.05):
            self.check()
            self._give_up_after(give_up_s)
        try:
            line: Any = json.loads(self._first)
        except ValueError:
            line = None
        if not isinstance(line, dict):
            message = f"{self.name} did not start: {self._first.strip() or self._last_words()}"
            raise RunnerError(message, fix="`hydrant doctor`")
        return line

    def ready_at(self, port: int, timeout_s: float = 60.0) -> None:
        """Waits until something listens on loopback at `port`.

        Raises:
            RunnerError: it died before, or nothing listens after `timeout_s`.
        """
        give_up_s = self._clock.monotonic_s() + timeout_s
        while True:
            with socket.socket() as probe:
                probe.settimeout(1)
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    return
            self.check()
            self._give_up_after(give_up_s)
            self._clock.sleep(0.02)

    def check(self) -> None:
        """Does nothing while it runs.

        Raises:
            RunnerError: it has ended; its last words are in the message.
        """
        status = self._process.poll()
        if status is not None:
            for (
                listener
            ) in self._listeners:  # what it said last may be on the way still; if a grandchild talks on, so be it
                listener.join(_LAST_WORDS_S)
            message = f"{self.name} has ended with status {status}: {self._last_words()}"
            raise RunnerError(message, fix="start again; `hydrant doctor` says what is missing")

    def stop(self) -> None:
        """Ends it and everything it has started."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            self._process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.returncode < 0:  # the watchdog itself was killed, and could not end what it watched
            _kill_session(self._process.pid)

    @property
    def pid(self) -> int:
        """The watchdog's process id; the process itself is its only child."""
        return self._process.pid

    def _give_up_after(self, give_up_s: float) -> None:
        if self._clock.monotonic_s() > give_up_s:
            self.stop()
            message = f"{self.name} did not become ready in time: {self._last_words()}"
            raise RunnerError(message, fix="`hydrant doctor`")

    def _last_words(self) -> str:
        if self._process.poll() is not None:
            for listener in self._listeners:  # what it said last may still be on its way
                listener.join(_LAST_WORDS_S)
        return " / ".join(line.strip() for line in list(self._lines)[-3:]) or "it said nothing."

    def _drain(self, stream: IO[str], is_stdout: bool) -> None:
        with stream:
            for line in stream:
                if is_stdout and not self._first_line.is_set():
                    self._first = line
                    self._first_line.set()
                else:
                    self._lines.append(line)


def _kill_session(session: int) -> None:
    for pid in psutil.pids():
        with suppress(ProcessLookupError, PermissionError):
            if os.getsid(pid) == session:
                os.kill(pid, signal.SIGKILL)


def free_port() -> int:
    """A TCP port of loopback that nobody listens on right now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def module(name: str, *arguments: str) -> list[str]:
    """The command that runs the installed Python module `name`, whatever Python files the current folder has."""
    return [sys.executable, "-P", "-m", name, *arguments]
