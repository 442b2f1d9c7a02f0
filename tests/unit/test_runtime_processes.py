"""Children end with us, whoever of the family is killed, and say why they ended."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from pipelines.runtime.errors import RunnerError
from pipelines.runtime.processes import Child, free_port, module

SAY_PID_AND_SLEEP = "import os, time; print('{\"pid\": %d}' % os.getpid(), flush=True); time.sleep(600)"
PARENT = f"""
import sys, time
from pipelines.runtime.processes import Child
child = Child("sleeper", [sys.executable, "-c", {SAY_PID_AND_SLEEP!r}])
print(child.pid, child.ready()["pid"], flush=True)
time.sleep(600)
"""


@pytest.fixture
def start() -> Iterator[Callable[..., Child]]:
    """Makes a child that runs Python code."""
    children = []

    def make(code: str, name: str = "sleeper", **more: object) -> Child:
        children.append(Child(name, [sys.executable, "-c", code], **more))  # type: ignore[arg-type]
        return children[-1]

    yield make
    for child in children:
        child.stop()


def gone(pid: int, deadline_s: float = 60.0) -> bool:
    give_up_s = time.monotonic() + deadline_s
    while time.monotonic() < give_up_s:
        try:
            if psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
                return True
        except psutil.NoSuchProcess:
            return True
        time.sleep(0.05)
    return False


def dies(child: Child, deadline_s: float = 60.0) -> RunnerError:
    """What `check` raises once it has ended."""
    give_up_s = time.monotonic() + deadline_s
    while time.monotonic() < give_up_s:
        try:
            child.check()
        except RunnerError as error:
            return error
        time.sleep(0.02)
    pytest.fail("it lives")


def test_a_child_ends_when_it_is_stopped(start) -> None:
    child = start(SAY_PID_AND_SLEEP)
    pid = child.ready()["pid"]
    child.stop()
    assert gone(pid)
    child.stop()  # once more does no harm


def test_a_child_that_ignores_sigterm_is_stopped_all_the_same(start) -> None:
    child = start("import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN);" + SAY_PID_AND_SLEEP)
    pid = child.ready()["pid"]
    child.stop()
    assert gone(pid)


def test_what_a_child_has_started_ends_with_it(start) -> None:
    code = (
        "import subprocess, sys, time; p = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']);"
        "print('{\"pid\": %d}' % p.pid, flush=True); time.sleep(600)"
    )
    child = start(code)
    pid = child.ready()["pid"]
    child.stop()
    assert gone(pid)


def test_a_child_whose_watchdog_was_killed_is_noticed_and_ended(start) -> None:
    child = start(SAY_PID_AND_SLEEP)
    pid = child.ready()["pid"]
    os.kill(child.pid, signal.SIGKILL)
    assert "sleeper has ended with status -9" in str(dies(child))
    child.stop()
    assert gone(pid)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_child_ends_when_its_parent_is_killed(number: signal.Signals) -> None:
    parent = subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert parent.stdout is not None
    watchdog, child = (int(word) for word in parent.stdout.readline().split())
    parent.send_signal(number)
    parent.wait(60)
    parent.stdout.close()
    assert gone(child)
    assert gone(watchdog)


def test_check_is_silent_while_it_runs_and_raises_with_its_last_words(start) -> None:
    child = start("import sys; input_ = sys.stderr.write('one\\ntwo\\nthree\\n'); raise SystemExit('no disk left')")
    error = dies(child)
    assert error.message == "sleeper has ended with status 1: two / three / no disk left"
    assert "hydrant doctor" in error.fix
    start(SAY_PID_AND_SLEEP).check()


def test_all_that_was_said_before_the_end_is_heard(start, monkeypatch) -> None:
    listen = Child._drain
    monkeypatch.setattr(Child, "_drain", lambda *arguments: (time.sleep(0.3), listen(*arguments)))
    assert dies(start("raise SystemExit('the last')")).message.endswith("the last")


def test_a_child_that_said_nothing_is_said_to(start) -> None:
    assert dies(start("raise SystemExit(3)")).message == "sleeper has ended with status 3: it said nothing."


def test_ready_gives_the_first_line_and_raises_when_it_died_before(start) -> None:
    assert start("print('{\"port\": 7}', flush=True); import time; time.sleep(600)").ready() == {"port": 7}
    with pytest.raises(RunnerError, match="sleeper has ended with status 1: no disk left"):
        start("raise SystemExit('no disk left')").ready()


@pytest.mark.parametrize("line", ["Serving on 8080", "[1]", "5"])
def test_ready_raises_when_the_first_line_is_something_else(start, line: str) -> None:
    child = start(f"print({line!r}, flush=True); import time; time.sleep(600)")
    with pytest.raises(RunnerError, match="sleeper did not start: ") as raised:
        child.ready()
    assert raised.value.message.endswith(line)


def test_ready_gives_up_in_time_with_its_last_words(start) -> None:
    child = start("import sys, time; print('warming up', file=sys.stderr, flush=True); time.sleep(600)")
    with pytest.raises(RunnerError, match="sleeper did not become ready in time: warming up"):
        child.ready(timeout_s=3)
    assert gone(child.pid)


def test_ready_at_gives_up_in_time_with_its_last_words(start) -> None:
    child = start("import sys, time; print('warming up', file=sys.stderr, flush=True); time.sleep(600)")
    with pytest.raises(RunnerError, match="sleeper did not become ready in time: warming up"):
        child.ready_at(free_port(), timeout_s=3)
    assert gone(child.pid)


def test_ready_at_raises_when_it_died_before(start) -> None:
    with pytest.raises(RunnerError, match="sleeper has ended with status 1: no disk left"):
        start("raise SystemExit('no disk left')").ready_at(free_port())


def test_ready_at_returns_once_something_listens(start) -> None:
    port = free_port()
    start(f"import socket, time; s = socket.create_server(('127.0.0.1', {port})); time.sleep(600)").ready_at(port)


def test_a_command_that_does_not_exist_is_named() -> None:
    child = Child("Prism", ["/nowhere/prism", "--job_port=1"])
    error = dies(child)
    assert error.message == "Prism has ended with status 127: /nowhere/prism: No such file or directory"
    child.stop()


def test_a_child_has_the_environment_it_is_given(start) -> None:
    env = os.environ | {"HYDRANT_TEST": "here"}
    code = "import json, os, time; print(json.dumps(dict(os.environ)), flush=True); time.sleep(600)"
    assert start(code, env=env).ready()["HYDRANT_TEST"] == "here"


def test_files_of_the_current_folder_do_not_stand_in_for_ours(tmp_path: Path, monkeypatch) -> None:
    for name in ("pipelines", "infra"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise SystemExit('a folder of the user')")
    (tmp_path / "signal.py").write_text("raise SystemExit('a file of the user')")
    monkeypatch.chdir(tmp_path)
    child = Child("the embedded Kinesis", module("infra.embedded.kinesis_server", "--port", "0"))
    try:
        assert child.ready()["service"] == "kinesis"
    finally:
        child.stop()
