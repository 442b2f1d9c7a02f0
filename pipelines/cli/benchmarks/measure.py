"""Runs one contestant as a process of its own and measures it from outside."""

import contextlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import psutil

from pipelines.runtime.clock import Clock, SystemClock
from pipelines.runtime.errors import RunnerError

_SAMPLE_S: Final = 0.1


@dataclass(frozen=True)
class Measured:
    """One contestant's figures.

    Attributes:
        name: what it is.
        records: rows it wrote, counted in what it wrote.
        seconds: wall time it took by its own clock, from after its imports: a runner's start is in it.
        whole_seconds: the same from the start of its process, so with the import of what it needs.
        cpu_seconds: user and system time of the process and of the children it waited for, imports too.
        peak_mib: the largest resident size of these processes together, sampled.
    """

    name: str
    records: int
    seconds: float
    whole_seconds: float
    cpu_seconds: float
    peak_mib: float

    @property
    def records_per_s(self) -> float:
        return self.records / self.seconds

    def to_json(self) -> dict[str, Any]:
        return {
            "records": self.records,
            "seconds": round(self.seconds, 3),
            "seconds_with_imports": round(self.whole_seconds, 3),
            "records_per_s": round(self.records_per_s),
            "cpu_seconds": round(self.cpu_seconds, 2),
            "peak_mib": round(self.peak_mib),
        }


def measure(
    name: str,
    module: str,
    arguments: list[str],
    *,
    python: str = sys.executable,
    env: Mapping[str, str] | None = None,
) -> Measured:
    """Runs `python -m module arguments`, whose output is `done` and then `{"records": n, "seconds": s}`.

    Args:
        name: what it is.
        module: the contestant.
        arguments: what it is told.
        python: the interpreter of the environment it runs in.
        env: its environment variables; ours when None.

    Raises:
        RunnerError: it failed; its last words are in the message.
    """
    command = [python, "-m", module, *arguments]
    clock = SystemClock()
    started_s = clock.monotonic_s()
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env) as process:
        watched = _Watched(process.pid)
        watched.start()
        done_s, output, errors = _read(process, clock)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        watched.join()
    if process.returncode != 0:
        last = errors.strip().splitlines()[-1] if errors.strip() else "no output"
        message = f"The contestant {name!r} failed: {last}"
        raise RunnerError(message, fix=f"run it alone: {' '.join(command)}")
    result = json.loads(output.strip().splitlines()[-1])
    cpu_s = usage.ru_utime + usage.ru_stime
    peak_mib = watched.peak_bytes / 1024**2
    return Measured(name, result["records"], result["seconds"], done_s - started_s, cpu_s, peak_mib)


def tell(seconds: float, count: Callable[[], int]) -> None:
    """What a contestant prints for `measure`: that it is done, and then the rows it wrote, counted after that."""
    sys.stdout.write("done\n")
    sys.stdout.flush()
    sys.stdout.write(json.dumps({"records": count(), "seconds": seconds}) + "\n")


class _Watched(threading.Thread):
    """Samples the resident size of a process and its children until it ends.

    What the kernel keeps as `ru_maxrss` will not do: a process inherits it from the one that started it.
    """

    def __init__(self, pid: int) -> None:
        super().__init__(name=f"watch-{pid}", daemon=True)
        self.peak_bytes = 0
        self._process = psutil.Process(pid)

    def run(self) -> None:
        with contextlib.suppress(psutil.NoSuchProcess):
            while self._process.is_running() and self._process.status() != psutil.STATUS_ZOMBIE:
                self.peak_bytes = max(self.peak_bytes, sum(_resident(p) for p in self._family()))
                SystemClock().sleep(_SAMPLE_S)

    def _family(self) -> list[psutil.Process]:
        return [self._process, *self._process.children(recursive=True)]


def _resident(process: psutil.Process) -> int:
    try:
        return int(process.memory_info().rss)
    except psutil.Error:  # it has ended
        return 0


def _read(process: subprocess.Popen[str], clock: Clock) -> tuple[float, str, str]:
    """When it was done, and both streams to their end. `wait4` reaps the process, for its resource usage."""
    assert process.stdout is not None
    assert process.stderr is not None
    errors: list[str] = []
    stderr = process.stderr
    reader = threading.Thread(target=lambda: errors.extend(stderr), daemon=True)
    reader.start()
    first = process.stdout.readline()
    done_s = clock.monotonic_s()
    output = first + process.stdout.read()
    reader.join()
    return done_s, output, "".join(errors)
