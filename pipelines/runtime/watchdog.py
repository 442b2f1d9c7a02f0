"""`python watchdog.py COMMAND...`: runs COMMAND, and kills it when whoever started us is gone.

We hold a pipe to our parent as standard input. However the parent ends, `kill -9` too, the pipe closes, and then the
command's whole process group is ended. Works on Linux and macOS alike, which the kernel's own signals do not. The group
stays in our session, so that our parent finds it by that if we are the one who is killed.
"""

import contextlib
import os
import signal
import subprocess
import sys
import threading
from types import FrameType

GRACE_S = 3.0


def main(command: list[str]) -> int:
    """Runs `command` to its end, or to our parent's; returns its exit status."""
    try:
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, process_group=0)
    except OSError as error:
        sys.stderr.write(f"{command[0]}: {error.strerror}\n")
        return 127

    def end(*_: int | FrameType | None) -> None:
        _signal_group(child.pid, signal.SIGTERM)
        threading.Timer(GRACE_S, _signal_group, (child.pid, signal.SIGKILL)).start()

    def watch() -> None:
        while os.read(0, 1024):
            pass
        end()

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    threading.Thread(target=watch, daemon=True).start()
    status = child.wait()
    _signal_group(child.pid, signal.SIGKILL)  # whatever it has started and left
    sys.stdout.flush()
    os._exit(status if status >= 0 else 128 - status)  # a grace timer must not keep us


def _signal_group(group: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):  # all of it is gone
        os.killpg(group, number)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
