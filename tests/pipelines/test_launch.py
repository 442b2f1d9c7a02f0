"""Every way a run can end: by an error of a DoFn, of the caller, or by the death of a process it depends on."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Event

import apache_beam as beam
import psutil
import pytest
from endings import Raise, endless, family, kill_prism, left_behind

from pipelines.runtime import errors
from pipelines.runtime.launch import Snapshot, _cause, run_pipeline
from pipelines.runtime.logs import set_up
from pipelines.runtime.metrics import StageMetrics
from pipelines.runtime.options import HydrantOptions
from pipelines.runtime.processes import Child

SLEEP = [sys.executable, "-c", "print('{}', flush=True); import time; time.sleep(600)"]


@pytest.fixture(autouse=True)
def before() -> Iterator[list[psutil.Process]]:
    """The processes there were; after each test there are no others."""
    there = family()
    yield there
    assert left_behind(there) == []


def failing(error: Exception, where: str = "process") -> Exception:
    """What `run_pipeline` raises when a DoFn raises `error`."""
    with pytest.raises(errors.HydrantError) as raised:
        run_pipeline(
            lambda pipeline: pipeline | beam.Create([1]) | "Step's own" >> beam.ParDo(Raise(error, where)),
            HydrantOptions.for_runner("prism"),
        )
    return raised.value


@pytest.mark.parametrize(
    ("error", "where"),
    [
        (errors.NotFoundError("There is no stream flights", fix="`hydrant list`"), "process"),
        (errors.ThrottledError("S3 is throttled (SlowDown): a: b.", fix="wait, or raise the limit"), "finish_bundle"),
        (errors.ConfigurationError("glue CreateTable:\nMissing Name\nUnknown: Nam", fix="mend it"), "setup"),
        (errors.InvalidDataError("No fix here"), "process"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else value,
)
def test_an_error_of_ours_ends_the_run_as_the_dofn_raised_it(error: errors.HydrantError, where: str) -> None:
    ended = failing(error, where)
    assert type(ended) is type(error)
    assert isinstance(ended, errors.HydrantError)
    assert (ended.message.removesuffix("."), ended.fix) == (error.message.removesuffix("."), error.fix)
    assert str(ended) == str(error)


def test_an_error_of_somebody_else_is_one_sentence_without_its_traceback() -> None:
    ended = failing(ValueError("odd\n  thing"))
    assert type(ended) is errors.RunnerError
    assert str(ended) == "The pipeline failed: ValueError: odd thing. Fix: run again with -v for the whole story"


def test_the_last_error_of_ours_in_a_chain_is_the_cause() -> None:
    chain = (
        'Traceback (most recent call last):\n  File "a.py", line 1, in f\n    f()\n'
        "pipelines.runtime.errors.NotFoundError: There is no table. Fix: make one\n\n"
        "The above exception was the direct cause of the following exception:\n\n"
        'Traceback (most recent call last):\n  File "b.py", line 2, in g\nRuntimeError: later\n'
    )
    cause = _cause(chain)
    assert (type(cause), cause.message, cause.fix) == (errors.NotFoundError, "There is no table.", "make one")


def test_no_reason_is_said_to_be_none() -> None:
    assert _cause("").message == "The pipeline failed: the runner gave no reason."


@pytest.mark.parametrize("more", [[], ["--job_server_timeout=3"]], ids=["ours", "3 s"])
def test_beams_job_server_timeout_ends_a_job_that_outlives_it_so_ours_is_ten_years(more: list[str]) -> None:
    began_s = time.monotonic()

    def tick(_: Snapshot) -> None:
        if time.monotonic() - began_s > 8:
            raise errors.AccountError("long enough")

    with pytest.raises(errors.HydrantError) as raised:
        run_pipeline(endless, HydrantOptions.for_runner("prism", more), on_tick=tick)
    assert ("long enough" in str(raised.value)) == (more == [])


def test_killed_prism_ends_the_run_and_is_named(before: list[psutil.Process]) -> None:
    killed_s: list[float] = []

    def tick(snapshot: Snapshot) -> None:
        if not killed_s and snapshot.get("source", {}).get("records_out", 0) > 2:
            kill_prism(before)
            killed_s.append(time.monotonic())

    with pytest.raises(errors.RunnerError, match="Prism has ended with status 137"):
        run_pipeline(endless, HydrantOptions.for_runner("prism"), on_tick=tick)
    assert time.monotonic() - killed_s[0] < 10


def test_killed_child_ends_the_run_and_is_named() -> None:
    child = Child("the sleeper", SLEEP)
    child.ready()
    killed_s: list[float] = []

    def tick(snapshot: Snapshot) -> None:
        if not killed_s and snapshot.get("source", {}).get("records_out", 0) > 2:
            (sleeper,) = psutil.Process(child.pid).children()
            os.kill(sleeper.pid, signal.SIGKILL)
            killed_s.append(time.monotonic())

    try:
        with pytest.raises(errors.RunnerError, match="the sleeper has ended with status 137"):
            run_pipeline(endless, HydrantOptions.for_runner("prism"), on_tick=tick, children=[child])
        assert time.monotonic() - killed_s[0] < 10
    finally:
        child.stop()


class FailWith(beam.DoFn):
    """Fails once `dead` is set, as a DoFn does whose service has gone."""

    def process(self, number: int) -> None:
        if DEAD.is_set():
            raise errors.EndpointDownError("Nothing answers.")


DEAD = Event()


def test_child_that_takes_the_pipeline_down_with_it_is_named_and_not_the_dofn() -> None:
    child = Child("the sleeper", SLEEP)
    child.ready()
    DEAD.clear()

    def tick(snapshot: Snapshot) -> None:
        if snapshot.get("source", {}).get("records_out", 0) > 2 and not DEAD.is_set():
            (sleeper,) = psutil.Process(child.pid).children()
            os.kill(sleeper.pid, signal.SIGKILL)
            DEAD.set()

    try:
        with pytest.raises(errors.RunnerError, match="the sleeper has ended"):
            run_pipeline(
                lambda pipeline: endless(pipeline) | beam.ParDo(FailWith()),
                HydrantOptions.for_runner("prism"),
                on_tick=tick,
                children=[child],
            )
    finally:
        child.stop()


def test_what_on_tick_raises_ends_the_run() -> None:
    def tick(snapshot: Snapshot) -> None:
        if snapshot:
            raise errors.AccountError("Enough.")

    with pytest.raises(errors.AccountError, match="Enough"):
        run_pipeline(endless, HydrantOptions.for_runner("prism"), on_tick=tick)


@pytest.mark.parametrize("how", ["kill", "raise"])
def test_nothing_is_printed_when_the_runner_goes_away(how: str, before: list[psutil.Process]) -> None:
    program = "import sys; from test_launch import end; end(sys.argv[1])"
    ended = subprocess.run(
        [sys.executable, "-c", program, how],
        check=False,
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (ended.stdout, ended.returncode) == ("ended", 0)
    assert "Traceback" not in ended.stderr
    assert "grpc" not in ended.stderr


def end(how: str) -> None:
    """Ends a pipeline in a process whose logs are as the command sets them up."""
    set_up(verbose=False)

    def tick(snapshot: Snapshot) -> None:
        if snapshot.get("source", {}).get("records_out", 0) > 2:
            if how == "raise":
                raise errors.RunnerError("Enough.")
            kill_prism([])

    with pytest.raises(errors.RunnerError):
        run_pipeline(endless, HydrantOptions.for_runner("prism"), on_tick=tick)
    give_up_s = time.monotonic() + 5
    while time.monotonic() < give_up_s and any("wait_until" in thread.name for thread in threading.enumerate()):
        time.sleep(0.05)
    print("ended", end="")
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


@pytest.mark.parametrize(
    ("program", "message"),
    [
        ("#!/bin/sh\necho no memory >&2; exit 3\n", "Prism has ended with status 3: no memory"),
        ("#!/bin/sh\necho waiting >&2; exec sleep 600\n", "Prism did not become ready in time: waiting"),
        ("\x7fELF of another machine", "Prism has ended with status 127: .*prism: Exec format error"),
    ],
    ids=["ends", "hangs", "does not run"],
)
def test_a_prism_that_does_not_start_is_named(tmp_path: Path, program: str, message: str) -> None:
    binary = tmp_path / "prism"
    binary.write_text(program)
    binary.chmod(0o755)
    options = HydrantOptions.for_runner("prism", [f"--prism_location={binary}", "--start_timeout_s=2"])
    with pytest.raises(errors.RunnerError, match=message):
        run_pipeline(endless, options)


def test_prism_killed_while_the_pipeline_is_submitted_is_named(
    before: list[psutil.Process],
) -> None:
    def build(pipeline: beam.Pipeline) -> None:
        endless(pipeline)
        kill_prism(before)

    with pytest.raises(errors.RunnerError, match="Prism has ended with status 137"):
        run_pipeline(build, HydrantOptions.for_runner("prism"))


class CannotTravel(beam.PTransform):
    """Raises `error` when the pipeline is submitted."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self._error = error

    def expand(self, numbers: beam.PCollection) -> beam.PCollection:
        return numbers | beam.Map(str)

    def to_runner_api_parameter(self, *_: object) -> None:
        raise self._error


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (TypeError("cannot pickle a lock"), errors.RunnerError, "could not be submitted: .*cannot pickle a lock"),
        (errors.NotFoundError("There is no table."), errors.NotFoundError, "^There is no table.$"),
    ],
)
def test_a_pipeline_that_cannot_be_submitted_says_why(error: Exception, kind: type, message: str) -> None:
    with pytest.raises(kind, match=message):
        run_pipeline(
            lambda pipeline: pipeline | beam.Create([1]) | CannotTravel(error),
            HydrantOptions.for_runner("prism"),
        )


def test_an_error_while_the_graph_is_drawn_ends_the_run() -> None:
    with pytest.raises(ZeroDivisionError):
        run_pipeline(lambda _: 1 / 0, HydrantOptions.for_runner("prism"))


class Count(beam.DoFn):
    def process(self, number: int) -> None:
        stage = StageMetrics("source")
        stage.records_out.inc()
        stage.page_records.update(number)
        stage.millis_behind.set(5)


def test_metrics_of_the_end_are_returned_and_told() -> None:
    told: list[Snapshot] = []
    last = run_pipeline(
        lambda pipeline: pipeline | beam.Create(range(7), reshuffle=False) | beam.ParDo(Count()),
        HydrantOptions.for_runner("prism"),
        on_tick=told.append,
    )
    assert last == {"source": {"records_out": 7, "page_records": 3, "millis_behind": 5}}
    assert told[-1] == last
