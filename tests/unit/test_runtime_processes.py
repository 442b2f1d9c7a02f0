"""Children end with us, whoever of the family is killed."""

import os
import signal
import sys
import time

import psutil
import pytest

from pipelines.runtime.errors import RunnerError
from pipelines.runtime.processes import Child

SAY_PID_AND_SLEEP = "import os, time; print('{\"pid\": %d}' % os.getpid(), flush=True); time.sleep(600)"


def gone(pid: int, deadline_s: float = 15.0) -> bool:
    give_up_s = time.monotonic() + deadline_s
    while time.monotonic() < give_up_s:
        if not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
            return True
        time.sleep(0.05)
    return False


def test_a_child_ends_when_it_is_stopped() -> None:
    child = Child("sleeper", [sys.executable, "-c", SAY_PID_AND_SLEEP])
    pid = child.ready()["pid"]
    child.stop()
    assert gone(pid)


def test_a_child_whose_watchdog_was_killed_is_noticed_and_ended() -> None:
    child = Child("sleeper", [sys.executable, "-c", SAY_PID_AND_SLEEP])
    pid = child.ready()["pid"]
    os.kill(child.pid, signal.SIGKILL)
    give_up_s = time.monotonic() + 15
    with pytest.raises(RunnerError, match="sleeper has ended"):
        while time.monotonic() < give_up_s:  # its threads may end one after another
            child.check()
    child.stop()
    assert gone(pid)
