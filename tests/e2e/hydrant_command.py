"""The `hydrant` command as a process of its own: what it says as it runs, its signals, and what it leaves behind."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

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

    def until(self, condition: Callable[[], object], what: str, within_s: float = DEADLINE_S) -> None:
        """Waits until `condition` holds while it runs."""
        give_up_s = time.monotonic() + within_s
        while not condition():
            assert self.process.poll() is None, f"it ended before there was {what}: {self.said}"
            assert time.monotonic() < give_up_s, f"waited {within_s:.0f} s for {what}: {self.said}"
            time.sleep(0.1)

    def until_it_says(self, words: str) -> None:
        self.until(lambda: words in self.said, f"{words!r} in the output")

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


def all_ended(
    commands: Mapping[str, tuple[str, ...]], env: Mapping[str, Mapping[str, str]] | None = None
) -> dict[str, Running]:
    """Runs them, two at a time, for most of a short one's seconds are imports; `env` has the environments by name."""

    def end(name: str) -> Running:
        with hydrant(*commands[name], env=None if env is None else env[name]) as running:
            running.status(2 * DEADLINE_S)
        return running

    with ThreadPoolExecutor(2) as pool:
        return dict(zip(commands, pool.map(end, commands), strict=True))


def environment(**changes: str | None) -> dict[str, str]:
    """Ours with `changes`; None takes a variable away."""
    merged = {**os.environ, **changes}
    return {name: value for name, value in merged.items() if value is not None}


def run_json(*arguments: str, python_path: Path | None = None) -> tuple[int, dict[str, Any], str]:
    """Status of `hydrant run ... --json`, its document, and what was said beside it; never a traceback.

    `python_path` is a folder of `plugin`.
    """
    env = environment(PYTHONPATH=str(python_path)) if python_path else None
    command = [HYDRANT, "run", *arguments, "--json"]
    ended = subprocess.run(command, check=False, capture_output=True, text=True, env=env, timeout=200)
    assert "Traceback" not in ended.stderr, ended.stderr
    assert ended.stdout, ended.stderr
    return ended.returncode, json.loads(ended.stdout), ended.stderr


def plugin(folder: Path, module: str, source: str, **groups: Mapping[str, str]) -> Path:
    """`folder` with a module that is found as installed ones are.

    Args:
        folder: takes it.
        module: its name.
        source: its text.
        groups: "scenarios" and "targets": by their names where they are, "module:attribute".
    """
    (folder / f"{module}.py").write_text(source)
    info = folder / f"{module}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n")
    points = [
        f"[hydrant.{group}]\n" + "".join(f"{name} = {where}\n" for name, where in names.items())
        for group, names in groups.items()
    ]
    (info / "entry_points.txt").write_text("".join(points))
    return folder


def assert_one_sentence(running: Running, *words: str, status: int = 1) -> None:
    """It ended with `status` and one line on standard error that holds all of `words`, and no traceback."""
    assert running.status() == status, running.said
    assert "Traceback" not in running.said, running.said
    assert "this is a bug" not in running.said, running.said
    assert running.out == []
    assert len(running.err) == 1, running.said
    for word in words:
        assert word in running.said
