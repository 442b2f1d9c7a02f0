"""How `hydrant run flights` ends: well, with a wrong account, by signals, and when what it needs dies under it."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest
from hydrant_command import plugin

HYDRANT = str(Path(sys.executable).parent / "hydrant")
DELIVERED = "runs/*/ledger/*/delivered-*.jsonl"
STARTED_WITHIN_S = 120
ENDED_WITHIN_S = 40

BROKEN = """
import boto3
from pipelines.runtime.errors import ConfigurationError
from scenarios.flights.scenario import Flights

class LosesAnObject(Flights):
    name = "loses-an-object"
    def verify(self, workload, deliveries, folder):
        lost = next(written for written in deliveries["flights"].objects if written.kind == "data")
        boto3.client("s3").delete_object(Bucket=lost.bucket, Key=lost.key)
        return super().verify(workload, deliveries, folder)

class PutsMoreThanItSays(Flights):
    name = "puts-more-than-it-says"
    def workload(self, count, seed):
        workload = super().workload(count, seed)
        records = list(workload.records())
        object.__setattr__(workload, "records", lambda: iter([*records, records[0]]))
        return workload

class CannotBeProvisioned(Flights):
    name = "cannot-be-provisioned"
    def provision(self):
        super().provision()
        raise ConfigurationError("No room left on the runway.", fix="land somewhere else")

SCENARIOS = {made.name: made() for made in (LosesAnObject, PutsMoreThanItSays, CannotBeProvisioned)}
loses, puts, cannot = SCENARIOS.values()
"""


@dataclass
class Command:
    """A `hydrant` command under way, with a folder of its own for temporary files."""

    process: subprocess.Popen[str]
    temporary: Path
    family: list[psutil.Process] = field(default_factory=list)

    def wait_until(self, reached: Callable[[], bool], within_s: float = STARTED_WITHIN_S) -> None:
        give_up_s = time.monotonic() + within_s
        while not reached():
            assert self.process.poll() is None, self.process.communicate()
            assert time.monotonic() < give_up_s, "not reached"
            time.sleep(0.05)

    def in_the_middle(self) -> None:
        """Waits until the first objects are delivered, and remembers every process of the command."""
        self.wait_until(lambda: any(path.stat().st_size for path in self.temporary.glob(DELIVERED)))
        self.family = psutil.Process(self.process.pid).children(recursive=True)
        assert {"prism", "moto_server", "kinesis_server"} <= {self.role(each) for each in self.family}

    @staticmethod
    def role(process: psutil.Process) -> str:
        command = process.cmdline()
        if any("watchdog" in word for word in command):
            return "watchdog"
        return next((name for name in ("prism", "moto_server", "kinesis_server") if name in " ".join(command)), "?")

    def end(self, within_s: float = ENDED_WITHIN_S) -> tuple[int, str, str]:
        """Status, output and errors; fails when it does not end in time, or leaves a process."""
        output, errors = self.process.communicate(timeout=within_s)
        _, left = psutil.wait_procs(self.family, timeout=15)
        assert left == []
        return self.process.returncode, output, errors


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Command]]:
    started: list[Command] = []

    def make(*arguments: str, python_path: Path | None = None) -> Command:
        temporary = tmp_path / "tmp"
        temporary.mkdir(exist_ok=True)
        environment = os.environ | {"TMPDIR": str(temporary), "COLUMNS": "200", "HYDRANT_RUNS": str(temporary / "runs")}
        if python_path is not None:
            environment["PYTHONPATH"] = str(python_path)
        command = [HYDRANT, *arguments]
        pipe = subprocess.PIPE
        process = subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, env=environment)
        started.append(Command(process, temporary))
        return started[-1]

    yield make
    for command in started:
        for left in [*command.family, command.process]:
            if psutil.pid_exists(left.pid):
                left.kill()
        command.process.communicate()


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    """A folder with scenarios that go wrong, found as any installed scenario is."""
    names = {"loses-an-object": "loses", "puts-more-than-it-says": "puts", "cannot-be-provisioned": "cannot"}
    points = {name: f"broken:{attribute}" for name, attribute in names.items()}
    return plugin(tmp_path, "broken", BROKEN, scenarios=points)


def test_json_is_one_document_and_the_status_is_0(start: Callable[..., Command]) -> None:
    status, output, _ = start("run", "flights", "--records", "2000", "--seed", "3", "--json").end(STARTED_WITHIN_S)
    document: dict[str, Any] = json.loads(output)
    account = document["deliveries"]["flights"]["account"]
    assert status == 0
    assert account["put"] == 2008
    assert account["put"] == sum(account[name] for name in ("delivered", "dropped", "failed", "late", "buffered"))
    assert (account["failed"], account["late"], account["buffered"]) == (8, 0, 0)
    for written in document["deliveries"]["flights"]["objects"]:
        assert {"key", "bytes", "records", "shards"} <= written.keys()
        assert written["records"] == sum(shard["count"] for shard in written["shards"].values())
    data = [written for written in document["deliveries"]["flights"]["objects"] if written["kind"] == "data"]
    assert sum(written["records"] for written in data) == account["delivered"]
    assert document["query"]["equal"] is True
    assert len(document["query"]["ours"]) == len(document["query"]["expected"]) > 100
    assert document["seconds"] > 0


@pytest.mark.parametrize(
    ("scenario", "said"),
    [
        ("loses-an-object", "has a receipt, but is not there"),
        ("puts-more-than-it-says", "records are"),
        ("cannot-be-provisioned", "No room left on the runway. Fix: land somewhere else"),
    ],
)
def test_a_run_that_does_not_add_up_has_status_1_and_says_why(
    start: Callable[..., Command], broken: Path, scenario: str, said: str
) -> None:
    command = start("run", scenario, "--records", "700", python_path=broken)
    command.wait_until(lambda: bool(psutil.Process(command.process.pid).children()))
    command.family = psutil.Process(command.process.pid).children(recursive=True)
    status, _, errors = command.end(STARTED_WITHIN_S)
    assert status == 1
    assert said in errors
    assert "Traceback" not in errors


def test_a_prism_that_is_not_there_is_said_in_one_sentence(start: Callable[..., Command]) -> None:
    status, _, errors = start("run", "flights", "--records", "300", "--prism_location", "/no/prism").end()
    assert status == 1
    assert (
        errors.strip()
        == "hydrant: --prism_location /no/prism is no file. Fix: leave it out, and Prism is found or built"
    )


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -signal.SIGKILL)]
)
def test_no_process_is_left_after_a_signal(start: Callable[..., Command], number: int, status: int) -> None:
    command = start("run", "flights", "--records", "all")
    command.in_the_middle()
    command.process.send_signal(number)
    ended, _, errors = command.end()
    assert ended == status
    assert "Traceback" not in errors


@pytest.mark.parametrize(
    ("victim", "name"),
    [("prism", "Prism"), ("moto_server", "moto"), ("kinesis_server", "the embedded Kinesis"), ("watchdog", "")],
)
def test_what_dies_in_the_middle_is_named_and_nothing_hangs(
    start: Callable[..., Command], victim: str, name: str
) -> None:
    command = start("run", "flights", "--records", "all")
    command.in_the_middle()
    next(each for each in command.family if command.role(each) == victim).kill()
    status, output, errors = command.end()
    last = errors.strip().splitlines()[-1]
    assert status == 1, (output, errors)
    assert last.startswith("hydrant: ")
    assert name in last
    assert "Traceback" not in errors


def test_objects_appear_while_the_producer_still_runs(start: Callable[..., Command]) -> None:
    """The interval of the scenario is 1 s; with all flights the producer runs for many."""
    status, output, errors = start("run", "flights", "--records", "200000", "--json").end(STARTED_WITHIN_S)
    document = json.loads(output)
    assert status == 0, errors
    by_interval = [
        w for w in document["deliveries"]["flights"]["objects"] if w["kind"] == "data" and w["reason"] == "interval"
    ]
    assert by_interval != []
    assert document["first_object_seconds"] < document["put_seconds"]
