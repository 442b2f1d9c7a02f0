"""Lag and idle cost of `ReadFromKinesis`, on LocalStack and on the embedded model of Kinesis.

Producer and reader are processes of their own (`source_live_processes`).
"""

import json
import os
import statistics
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final
from urllib.request import urlopen

import psutil

from pipelines.cli.plugins import find_target
from pipelines.runtime.clock import SystemClock
from pipelines.runtime.errors import AccountError, RunnerError
from pipelines.runtime.processes import Child, free_port, module

IMAGE: Final = "localstack/localstack:4.14.0"
RATE: Final = 200
SHARDS: Final = 4
WARM_S: Final = 15.0
"""What is put before is not counted: Prism starts, and what waited for it is read."""
LAG_S: Final = 60.0
IDLE_SHARDS: Final = 64
IDLE_S: Final = 60.0
PLACES: Final = ("fused", "reshuffled")
_DRAIN_S: Final = 60.0
_UP_S: Final = 120.0
_LOOK_S: Final = 0.2
_PROCESSES: Final = "pipelines.cli.benchmarks.source_live_processes"

Say = Callable[[str], None]


def lag(say: Say) -> dict[str, Any]:
    """Milliseconds from put to element at `RATE` records a second, by stand-in and by place in the pipeline."""
    found: dict[str, Any] = {}
    try:
        with localstack(say) as env:
            found["localstack"] = _lag("LocalStack", env, say)
    except RunnerError as error:
        found["localstack"] = {"not_run": error.message}
    with find_target("embedded").started() as target:
        found["embedded"] = _lag("the embedded model", target.env, say)
    return found


def idle(say: Say) -> dict[str, Any]:
    """What a stream of `IDLE_SHARDS` shards costs in which nothing happens, as percentages of one core."""
    with (
        find_target("embedded").started() as target,
        tempfile.TemporaryDirectory(prefix="hydrant-bench-") as folder,
        _process("the reader", target.env, "read", "idle", str(IDLE_SHARDS), folder) as reader,
    ):
        reader.ready(_UP_S)
        say(f"Reading {IDLE_SHARDS} shards in which nothing happens for {WARM_S + IDLE_S:.0f} s...")
        _pass(WARM_S, reader)
        (python,) = psutil.Process(reader.pid).children()
        (prism,) = (process for process in python.children(recursive=True) if process.name() == "prism")
        before = {process: _cpu_s(process) for process in (python, prism)}
        _pass(IDLE_S, reader)
        percent = {process: 100 * (_cpu_s(process) - used_s) / IDLE_S for process, used_s in before.items()}
    return {
        "shards": IDLE_SHARDS,
        "seconds": IDLE_S,
        "reader_percent": round(percent[python], 2),
        "prism_percent": round(percent[prism], 2),
    }


def quantiles(lags_ms: list[int]) -> dict[str, int]:
    """What is told of some lags."""
    cuts = statistics.quantiles(lags_ms, n=100, method="inclusive")
    return {"p50_ms": round(cuts[49]), "p99_ms": round(cuts[98]), "max_ms": max(lags_ms)}


def _lag(where: str, env: Mapping[str, str], say: Say) -> dict[str, Any]:
    """Raises AccountError when a record did not come to every place."""
    from pipelines.kinesis import StopFile  # Beam comes with it

    with (
        tempfile.TemporaryDirectory(prefix="hydrant-bench-") as folder,
        _process("the reader", env, "read", "lag", str(SHARDS), folder) as reader,
    ):
        reader.ready(_UP_S)
        say(f"Putting {RATE} records a second on {where} for {WARM_S + LAG_S:.0f} s...")
        with _process("the producer", env, "put", "lag", str(RATE), str(WARM_S + LAG_S), folder) as producer:
            put = _told(Path(folder, "put.json"), WARM_S + LAG_S + _DRAIN_S, reader, producer)
        StopFile(str(Path(folder, "stop"))).write(put["ends"])
        seen = _told(Path(folder, "seen.json"), _DRAIN_S, reader)
    result: dict[str, Any] = {"shards": SHARDS, "seconds": LAG_S}
    for place in PLACES:
        if len(seen[place]) != put["records"]:
            message = f"{len(seen[place]):,} of {put['records']:,} records came to the DoFn {place} on {where}."
            raise AccountError(message)
        counted = [lag_ms for put_ms, lag_ms in seen[place] if put_ms >= put["started_ms"] + WARM_S * 1000]
        result["records_per_s"] = round(len(counted) / LAG_S)  # less than RATE where the stand-in did not keep up
        result[place] = quantiles(counted)
    return result


@contextmanager
def _process(name: str, env: Mapping[str, str], *arguments: str) -> Iterator[Child]:
    own = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    child = Child(name, module(_PROCESSES, *arguments), own | dict(env))
    try:
        yield child
    finally:
        child.stop()


def _told(path: Path, within_s: float, *processes: Child) -> Any:
    """The content of a file that one of `processes` writes.

    Raises:
        RunnerError: it is not there in time, or one of them has ended.
    """
    clock = SystemClock()
    give_up_s = clock.monotonic_s() + within_s
    while not path.exists():
        for process in processes:
            process.check()
        if clock.monotonic_s() > give_up_s:
            message = f"{processes[-1].name} did not come to its end in {within_s:.0f} s."
            raise RunnerError(message, fix="run again on a machine that does less besides")
        clock.sleep(_LOOK_S)
    return json.loads(path.read_text(encoding="utf-8"))


def _pass(seconds: float, process: Child) -> None:
    clock = SystemClock()
    end_s = clock.monotonic_s() + seconds
    while (left_s := end_s - clock.monotonic_s()) > 0:
        process.check()
        clock.sleep(min(1.0, left_s))


def _cpu_s(process: psutil.Process) -> float:
    """User and system time of a process itself."""
    spent = process.cpu_times()
    return float(spent.user + spent.system)


@contextmanager
def localstack(say: Say) -> Iterator[dict[str, str]]:
    """Starts LocalStack in Docker, and ends it.

    Raises:
        RunnerError: there is no Docker here, or LocalStack does not come up in it.
    """
    clock = SystemClock()
    port = free_port()
    say(f"Starting {IMAGE}...")
    command = ["docker", "run", "--detach", "--rm", "--publish", f"127.0.0.1:{port}:4566", "--env", "SERVICES=kinesis"]
    try:
        container = subprocess.run([*command, IMAGE], check=True, capture_output=True, text=True).stdout.strip()
    except OSError as error:
        message = f"no Docker: {error}"
        raise RunnerError(message) from error
    except subprocess.CalledProcessError as error:
        message = f"no Docker that runs {IMAGE}: {' '.join(error.stderr.split())}"
        raise RunnerError(message) from error
    try:
        give_up_s = clock.monotonic_s() + _UP_S
        while not _answers(f"http://127.0.0.1:{port}/_localstack/health"):
            if clock.monotonic_s() > give_up_s:
                message = f"LocalStack did not come up in {_UP_S:.0f} s."
                raise RunnerError(message, fix=f"`docker logs {container[:12]}`")
            clock.sleep(_LOOK_S)
        yield {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
            "AWS_REGION": "us-east-1",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_EC2_METADATA_DISABLED": "true",
        }
    finally:
        subprocess.run(["docker", "rm", "--force", "--volumes", container], check=False, capture_output=True)


def _answers(url: str) -> bool:
    try:
        with urlopen(url, timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False
