"""The small modules of runtime: errors, options, files, logs, clock, metrics."""

import inspect
import json
import logging
import pickle
import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from apache_beam.options.pipeline_options import DebugOptions, PortableOptions, PrismRunnerOptions, StandardOptions

from pipelines.runtime import errors, files, metrics
from pipelines.runtime.clock import ManualClock, SystemClock
from pipelines.runtime.files import write_atomically
from pipelines.runtime.logs import JsonFormatter
from pipelines.runtime.options import HydrantOptions

ERRORS = [kind for _, kind in inspect.getmembers(errors, inspect.isclass)]


@pytest.mark.parametrize("kind", ERRORS)
def test_an_error_is_a_sentence_and_a_fix_and_pickling_keeps_both(kind: type[errors.HydrantError]) -> None:
    for error in (kind("The stream is gone", fix="`hydrant list`"), kind("The stream is gone.")):
        again = pickle.loads(pickle.dumps(error))
        assert (type(again), again.message, again.fix) == (kind, error.message, error.fix)
        assert str(again) == str(error)
    assert str(kind("The stream is gone", fix="`hydrant list`")) == "The stream is gone. Fix: `hydrant list`"
    assert str(kind("The stream is gone.")) == "The stream is gone."


def test_an_error_made_of_its_arguments_is_the_same() -> None:
    error = errors.NotFoundError("It is gone.", fix="look")  # Beam makes it so, with the step's name in the message
    again = type(error)(str(error.args[0]) + " [while running 'x']", *error.args[1:])
    assert again.fix == "look"


def test_each_error_is_either_transient_or_terminal_and_in_the_tree_of_the_docstring() -> None:
    assert errors.__doc__
    told = set(re.findall(r"\w+Error\b", errors.__doc__))
    assert told == {kind.__name__ for kind in ERRORS}
    for kind in set(ERRORS) - {errors.HydrantError}:
        assert issubclass(kind, errors.TransientError) != issubclass(kind, errors.TerminalError)


def test_prism_runs_here_and_does_not_split_bundles() -> None:
    options = HydrantOptions.for_runner("prism", ["--prism_location=/opt/prism", "--start_timeout_s=5"])
    assert options.view_as(StandardOptions).runner == "PrismRunner"
    assert options.view_as(PortableOptions).environment_type == "LOOPBACK"
    assert "prism_disable_sdf_split" in options.view_as(DebugOptions).experiments
    assert options.view_as(PrismRunnerOptions).prism_location == "/opt/prism"
    assert options.view_as(HydrantOptions).start_timeout_s == 5


def test_a_job_may_run_for_longer_than_beams_timeout_of_a_minute() -> None:
    """Beam gives it to the streams that tell the job's state; test_launch shows a job that outlives it."""
    assert HydrantOptions.for_runner("prism").view_as(PortableOptions).job_server_timeout > 365 * 24 * 3600


def test_further_experiments_leave_the_split_forbidden() -> None:
    options = HydrantOptions.for_runner("prism", ["--experiments=mine"])
    assert set(options.view_as(DebugOptions).experiments) >= {"mine", "prism_disable_sdf_split"}


@pytest.mark.parametrize("runner", ["DirectRunner", "flink", "", "PRISM"])
def test_another_runner_is_refused(runner: str) -> None:
    with pytest.raises(errors.ConfigurationError, match=f"The runner '{runner}' is not supported") as raised:
        HydrantOptions.for_runner(runner)
    assert "--runner prism" in raised.value.fix


def test_a_reader_sees_the_old_text_or_the_new_never_a_part(tmp_path: Path) -> None:
    path = tmp_path / "stop.json"
    texts = {letter * 500_000 for letter in "abc"}
    write_atomically(path, "a" * 500_000)
    seen, done = set(), threading.Event()

    def read() -> None:
        while not done.is_set():
            seen.add(path.read_text(encoding="utf-8"))

    reader = threading.Thread(target=read)
    reader.start()
    for _ in range(20):
        for text in sorted(texts):
            write_atomically(path, text)
    done.set()
    reader.join()
    assert seen <= texts
    assert [found.name for found in tmp_path.iterdir()] == ["stop.json"]


def test_a_write_that_fails_leaves_what_was_there_and_nothing_else(tmp_path: Path, monkeypatch) -> None:
    path = tmp_path / "positions.json"
    write_atomically(path, "old")

    def full(self: Path, text: str, encoding: str) -> None:
        with self.open("w") as part:
            part.write(text[:1])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.Path, "write_text", full)
    with pytest.raises(OSError, match="No space left"):
        write_atomically(path, "new")
    assert path.read_text() == "old"
    assert [found.name for found in tmp_path.iterdir()] == ["positions.json"]


def test_threads_that_write_one_file_at_once_do_not_disturb_each_other(tmp_path: Path) -> None:
    path = tmp_path / "file"
    failed: list[Exception] = []

    def write(text: str) -> None:
        try:
            for _ in range(200):
                write_atomically(path, text)
        except OSError as error:
            failed.append(error)

    threads = [threading.Thread(target=write, args=(letter * 10,)) for letter in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert len(set(path.read_text())) == 1


def test_a_line_is_one_json_object_with_its_traceback() -> None:
    try:
        raise ValueError("two\nlines")
    except ValueError:
        record = logging.LogRecord("pipelines.x", logging.WARNING, "", 1, "%s is odd", ("it",), sys.exc_info())
    line = JsonFormatter().format(record)
    assert "\n" not in line
    told = json.loads(line)
    assert (told["level"], told["logger"], told["message"]) == ("WARNING", "pipelines.x", "it is odd")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d{4}", told["time"])
    assert "ValueError: two" in told["traceback"]


SAY = """
import logging, sys, warnings
from pipelines.runtime.logs import set_up
set_up(verbose=sys.argv[1] == "yes")
for name in ("pipelines.x", "apache_beam"):
    logging.getLogger(name).info("%s info", name)
    logging.getLogger(name).warning("%s warning", name)
warnings.warn("a warning", stacklevel=1)
"""


@pytest.mark.parametrize(
    ("verbose", "messages"),
    [
        ("no", ["pipelines.x warning"]),
        ("yes", ["pipelines.x info", "pipelines.x warning", "apache_beam info", "apache_beam warning"]),
    ],
)
def test_silence_but_for_our_own_warnings_and_everything_when_verbose(verbose: str, messages: list[str]) -> None:
    done = subprocess.run([sys.executable, "-c", SAY, verbose], capture_output=True, text=True, check=True)
    lines = [line for line in done.stderr.splitlines() if line.startswith("{")]
    assert [json.loads(line)["message"] for line in lines] == messages
    assert ("a warning" in done.stderr) == (verbose == "yes")
    assert done.stdout == ""


def test_a_manual_clock_stands_still_until_it_is_told() -> None:
    clock = ManualClock(5_000)
    assert (clock.now_ms(), clock.monotonic_s(), clock.now_ms()) == (5_000, 5.0, 5_000)
    clock.sleep(1.5)
    clock.advance(0.25)
    assert (clock.now_ms(), clock.monotonic_s(), clock.slept_s) == (6_750, 6.75, [1.5])


def test_many_threads_may_sleep_by_a_manual_clock() -> None:
    clock = ManualClock(0)
    threads = [threading.Thread(target=lambda: [clock.sleep(0.001) for _ in range(500)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (clock.now_ms(), len(clock.slept_s)) == (2_000, 2_000)


def test_the_machines_clock_moves_and_can_be_pickled() -> None:
    clock = pickle.loads(pickle.dumps(SystemClock()))
    before_ms, before_s = clock.now_ms(), clock.monotonic_s()
    clock.sleep(0.01)
    assert clock.now_ms() >= before_ms
    assert clock.monotonic_s() - before_s >= 0.01


@pytest.mark.parametrize("stage", metrics.STAGES)
def test_metrics_of_a_stage_are_under_its_name_and_can_be_pickled(stage: str) -> None:
    stage_metrics = pickle.loads(pickle.dumps(metrics.StageMetrics(stage)))
    assert stage_metrics.records_in.metric_name.namespace == f"hydrant.{stage}"
    assert {name: metric.metric_name.name for name, metric in vars(stage_metrics).items()} == {
        name: name for name in vars(stage_metrics)
    }


def test_an_unknown_stage_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown stage 'sauce'"):
        metrics.StageMetrics("sauce")
