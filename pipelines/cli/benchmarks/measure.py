"""Runs one contestant as a process of its own and measures it from outside."""

import json
import os
import subprocess
import sys
import threading
from dataclasses import dataclass
from typing import Any

from pipelines.runtime.errors import RunnerError


@dataclass(frozen=True)
class Measured:
    """One contestant's figures.

    Attributes:
        name: what it is.
        records: rows it wrote, counted in what it wrote.
        seconds: wall time it took by its own clock, from after its imports: a runner's start is in it.
        cpu_seconds: user and system time of the process and of the children it waited for, imports too.
        peak_mib: the largest resident size of one of these processes.
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


def measure(name: str, module: str, arguments: list[str], env: dict[str, str] | None = None) -> Measured:
    """Runs `python -m module arguments`, whose last line of output is `{"records": n, "seconds": s}`.

    Raises:
        RunnerError: it failed; its last words are in the message.
    """
    command = [sys.executable, "-m", module, *arguments]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, **(env or {})}
    ) as process:
        output, errors = _read(process)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        message = (
            f"The contestant {name!r} failed: {errors.strip().splitlines()[-1] if errors.strip() else 'no output'}"
        )
        raise RunnerError(message, fix=f"run it alone: {' '.join(command)}")
    result = json.loads(output.strip().splitlines()[-1])
    peak_kib = usage.ru_maxrss / (1024 if sys.platform == "darwin" else 1)
    return Measured(name, result["records"], result["seconds"], usage.ru_utime + usage.ru_stime, peak_kib / 1024)


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
