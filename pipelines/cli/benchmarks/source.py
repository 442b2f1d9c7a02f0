"""`hydrant bench source`: reading a stream, beside boto3 and what else PyPI has that reads one.

Throughput comes from a replay that answers at once (`replay`), lag and idle cost from stand-ins (`source_live`).
"""

import json
import os
import tempfile
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pipelines
from pipelines.cli.benchmarks.measure import Measured, measure
from pipelines.cli.benchmarks.source_account import Account
from pipelines.cli.benchmarks.source_environments import AMAZON_KCLPY, ASYNC_KINESIS, python_of
from pipelines.cli.benchmarks.source_live import idle, lag
from pipelines.runtime.errors import AccountError, RunnerError
from pipelines.runtime.processes import Child, free_port, module

_HERE: Final = "pipelines.cli.benchmarks"
_START_S: Final = 300.0
Say = Callable[[str], None]


@dataclass(frozen=True)
class Shape:
    """How a stream is cut.

    Attributes:
        shards: number of shards.
        page_records: records of a GetRecords answer.
    """

    shards: int
    page_records: int

    def __str__(self) -> str:
        return f"{self.shards} shard{'s' if self.shards > 1 else ''}, {self.page_records:,} a page"


MAIN: Final = Shape(4, 10_000)
"""Pages as large as Kinesis gives them to a reader that is behind: 10,000 records of 181 bytes are less than 10 MiB."""
OTHERS: Final = (Shape(4, 500), Shape(1, 10_000))


@dataclass(frozen=True)
class Reading:
    """What one contestant did.

    Attributes:
        measured: its process.
        seconds: from its first GetRecords call to its last record: a runner's start is not in it.
        calls: GetRecords calls it made.
        cpu_s: CPU seconds of its processes, imports and a runner's start included.
    """

    measured: Measured
    seconds: float
    calls: int
    cpu_s: float

    def to_json(self) -> dict[str, Any]:
        return {
            **self.measured.to_json(),
            "cpu_seconds": round(self.cpu_s, 2),
            "reading_seconds": round(self.seconds, 3),
            "reading_records_per_s": round(self.measured.records / self.seconds),
            "get_records_calls": self.calls,
        }


def run(records: int, say: Say) -> dict[str, Any]:
    """All of it.

    Args:
        records: how many are read from the replay.
        say: told what is being done.

    Raises:
        AccountError: a contestant was not given every record.
    """
    contestants, not_run, record_bytes = replayed(MAIN, records, say, with_pypi=True)
    shapes = {str(shape): replayed(shape, records, say)[0] for shape in OTHERS}
    return {
        "records": records,
        "record_bytes": record_bytes,
        "shape": str(MAIN),
        "contestants": {name: reading.to_json() for name, reading in contestants.items()} | not_run,
        "ratios": ratios(contestants),
        "shapes": {
            name: {each: reading.to_json() for each, reading in found.items()} | {"ratios": ratios(found)}
            for name, found in shapes.items()
        },
        "lag": lag(say),
        "idle": idle(say),
    }


def ratios(contestants: Mapping[str, Reading]) -> dict[str, float]:
    """How fast ours is beside each of the others, by reading alone and with the start of Prism."""
    ours = contestants["ours"]
    found = {f"to_{name}": each.seconds / ours.seconds for name, each in contestants.items() if name != "ours"}
    found["to_boto3_loop_with_start"] = contestants["boto3_loop"].measured.seconds / ours.measured.seconds
    return found


def replayed(
    shape: Shape, records: int, say: Say, *, with_pypi: bool = False
) -> tuple[dict[str, Reading], dict[str, Any], float]:
    """What each contestant did with a replayed stream, why one could not be run, and the mean size of a record.

    Raises:
        AccountError: a contestant was not given every record.
    """
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="hydrant-bench-")))
        say(f"Making a stream of {records:,} records: {shape}...")
        arguments = ("--records", str(records), "--shards", str(shape.shards), "--page", str(shape.page_records))
        replay = stack.enter_context(_child("the replay", module(f"{_HERE}.replay", *arguments)))
        bench = _Bench(replay.ready(_START_S), folder, say)
        found = {name: bench.run(name, "source_readers", name) for name in ("boto3_loop", "ours")}
        not_run: dict[str, Any] = {}
        if with_pypi:
            for name, run_it in (("async_kinesis", bench.async_kinesis), ("amazon_kclpy", bench.amazon_kclpy)):
                try:
                    found[name] = run_it()
                except RunnerError as error:
                    not_run[name] = {"not_run": error.message}
        return found, not_run, bench.record_bytes


class _Bench:
    """A replayed stream and those who read it, one after the other.

    Args:
        replay: what the endpoint said of itself.
        folder: for files.
        say: told what is being done.
    """

    def __init__(self, replay: dict[str, Any], folder: Path, say: Say) -> None:
        self._replay = replay
        self._expected = Account.from_json(replay["account"])
        self.record_bytes = self._expected.data_bytes / self._expected.records
        self._out = folder / "out.json"
        self._say = say
        own = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        self._env = own | {
            "AWS_ENDPOINT_URL": replay["endpoint"],
            "AWS_REGION": "us-east-1",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "replay",
            "AWS_SECRET_ACCESS_KEY": "replay",
            "AWS_EC2_METADATA_DISABLED": "true",
        }
        # The package alone and none of the libraries beside it, for the environments of others.
        elsewhere = folder / "package"
        elsewhere.mkdir()
        (elsewhere / "pipelines").symlink_to(Path(pipelines.__file__).parent)
        self._elsewhere = self._env | {"PYTHONPATH": str(elsewhere)}

    def run(self, name: str, contestant: str, *before: str, python: str = "", after: tuple[str, ...] = ()) -> Reading:
        """Runs one contestant and holds what it was given against what there is.

        Raises:
            AccountError: it was not given every record.
            RunnerError: it failed.
        """
        self._say(f"Running {name}...")
        self._call("/_begin", b"{}")
        arguments = [*before, json.dumps(self._replay), str(self._out), *after]
        own = {"python": python, "env": self._elsewhere} if python else {"env": self._env}
        measured = measure(name, f"{_HERE}.{contestant}", arguments, **own)
        told = json.loads(self._out.read_text(encoding="utf-8"))
        problem = Account.from_json(told["account"]).problem(self._expected)
        if problem:
            message = f"{name}: {problem}; its speed means nothing."
            raise AccountError(message)
        calls = self._call("/_calls")
        cpu_s = measured.cpu_seconds if told["cpu_s"] is None else told["cpu_s"]
        return Reading(measured, told["last_s"] - calls["first_s"], calls["calls"], cpu_s)

    def async_kinesis(self) -> Reading:
        """PyPI's async-kinesis."""
        return self.run("async_kinesis", "source_async_kinesis", python=python_of(ASYNC_KINESIS, self._say))

    def amazon_kclpy(self) -> Reading:
        """PyPI's amazon-kclpy, its leases in moto's DynamoDB."""
        python = python_of(AMAZON_KCLPY, self._say)
        port = free_port()
        with (
            _child("moto (DynamoDB)", [python, "-m", "moto.server", "-p", str(port)]) as moto,
            _child(
                "the replay in HTTP/2",
                [python, "-m", f"{_HERE}.replay_h2", self._replay["endpoint"]],
                self._elsewhere,
            ) as front,
        ):
            moto.ready_at(port)
            after = (front.ready()["endpoint"], f"http://127.0.0.1:{port}")
            return self.run("amazon_kclpy", "source_kclpy", python=python, after=after)

    def _call(self, path: str, body: bytes | None = None) -> Any:
        with urllib.request.urlopen(f"{self._replay['endpoint']}{path}", body) as answer:
            return json.load(answer)


@contextmanager
def _child(name: str, command: list[str], env: Mapping[str, str] | None = None) -> Iterator[Child]:
    child = Child(name, command, env)
    try:
        yield child
    finally:
        child.stop()
