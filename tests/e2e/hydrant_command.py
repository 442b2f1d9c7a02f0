"""The `hydrant` command as a process of its own: what it says as it runs, its signals, and what it leaves behind."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import psutil

HYDRANT: Final = Path(sys.executable).parent / "hydrant"
HANDLER: Final = Path(__file__).parents[2] / "scenarios/flights/handler.py:lambda_handler"
DEADLINE_S: Final = 60.0


class Running:
    """A `hydrant` process. Whatever it writes is read as it comes, so that no pipe fills up."""

    def __init__(self, arguments: tuple[str, ...], env: Mapping[str, str] | None) -> None:
        self.out: list[str] = []
        self.err: list[str] = []
        self.process = subprocess.Popen(
            [HYDRANT, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env
        )
        self._readers = [
            threading.Thread(target=lines.extend, args=(stream,), daemon=True)
            for lines, stream in ((self.out, self.process.stdout), (self.err, self.process.stderr))
        ]
        for reader in self._readers:
            reader.start()

    def children(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)

    def signal(self, number: signal.Signals = signal.SIGINT) -> None:
        self.process.send_signal(number)

    def until_it_says(self, words: str) -> None:
        until(lambda: self.says(words) or self.process.poll() is not None, f"{words!r} in the output")
        assert self.says(words), self.said

    def says(self, words: str) -> bool:
        return any(words in line for line in [*self.out, *self.err])

    @property
    def said(self) -> str:
        return "".join([*self.out, *self.err])

    def status(self, within_s: float = DEADLINE_S) -> int:
        """Waits for its end."""
        status = self.process.wait(within_s)
        for reader in self._readers:
            reader.join(DEADLINE_S)
        return status


@contextmanager
def hydrant(*arguments: str, env: Mapping[str, str] | None = None) -> Iterator[Running]:
    """Runs it; kills it when the block is left and it has not ended by then."""
    running = Running(arguments, env)
    try:
        yield running
    finally:
        running.process.kill()
        running.status()
        for stream in (running.process.stdout, running.process.stderr):
            stream.close()


def until(condition: Callable[[], object], what: str, within_s: float = DEADLINE_S) -> None:
    give_up_s = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < give_up_s, f"waited {within_s:.0f} s for {what}"
        time.sleep(0.1)


def environment(**changes: str | None) -> dict[str, str]:
    """Ours with `changes`; None takes a variable away."""
    merged = {**os.environ, **changes}
    return {name: value for name, value in merged.items() if value is not None}


def assert_one_sentence(running: Running, *words: str, status: int = 1) -> None:
    """It ended with `status` and one line on standard error that holds all of `words`, and no traceback."""
    assert running.status() == status, running.said
    assert "Traceback" not in running.said
    assert "this is a bug" not in running.said
    assert running.out == []
    (line,) = running.err
    for word in words:
        assert word in line
