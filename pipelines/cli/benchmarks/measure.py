"""Runs one contestant as a process of its own and measures it from outside."""

import contextlib
import json
import os
import subprocess
import sys
import threading
from dataclasses import dataclass
from typing import Any, Final

import psutil

from pipelines.runtime.clock import SystemClock
from pipelines.runtime.errors import RunnerError

_SAMPLE_S: Final = 0.1


@dataclass(frozen=True)
class Measured:
    """One contestant's figures.

    Attributes:
        name: what it is.
        records: rows it wrote, counted in what it wrote.
        seconds: wall time it took by its own clock, from after its imports: a runner's start is in it.
        cpu_seconds: user and system time of the process and of the children it waited for, imports too.
        peak_mib: the largest resident size of these processes together, sampled.
    """

    name: str
    records: int
    seconds: float
    cpu_seconds: float
    peak_mib: float

    @property
    def records_per_s(self) -> float:
        return self.records / self.seconds

    def to_json(self) -> dict[str, Any]:
        return {
            "records": self.records,
            "seconds": round(self.seconds, 3),
            "records_per_s": round(self.records_per_s),
            "cpu_seconds": round(self.cpu_seconds, 2),
            "peak_mib": round(self.peak_mib),
        }


def measure(name: str, module: str, arguments: list[str]) -> Measured:
    """Runs `python -m module arguments`, whose last line of output is `{"records": n, "seconds": s}`.

    Raises:
        RunnerError: it failed; its last words are in the message.
    """
    command = [sys.executable, "-m", module, *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        watched = _Watched(process.pid)
        watched.start()
        output, errors = _read(process)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        watched.join()
    if process.returncode != 0:
        last = errors.strip().splitlines()[-1] if errors.strip() else "no output"
        message = f"The contestant {name!r} failed: {last}"
        raise RunnerError(message, fix=f"run it alone: {' '.join(command)}")
    result = json.loads(output.strip().splitlines()[-1])
    cpu_s = usage.ru_utime + usage.ru_stime
    return Measured(name, result["records"], result["seconds"], cpu_s, watched.peak_bytes / 1024**2)


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


def _read(process: subprocess.Popen[str]) -> tuple[str, str]:
    """Both streams to their end, without reaping the process: `wait4` does, for its resource usage."""
    assert process.stdout is not None
    assert process.stderr is not None
    errors: list[str] = []
    stderr = process.stderr
    reader = threading.Thread(target=lambda: errors.extend(stderr), daemon=True)
    reader.start()
    output = process.stdout.read()
    reader.join()
    return output, "".join(errors)
