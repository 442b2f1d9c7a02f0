"""The `hydrant` command: one file a command, and what becomes of errors."""

import os
import signal
import sys
import tempfile
import threading
import traceback
from pathlib import Path
from types import FrameType
from typing import Annotated, Final, NoReturn

import typer

from pipelines.cli import bench, deliver, doctor, inspect, positions, query, sql, tail, trace, up
from pipelines.cli import list as list_scenarios
from pipelines.cli import run as run_scenario
from pipelines.runtime.errors import HydrantError

app = typer.Typer(
    name="hydrant",
    help="AWS's streaming data plane as Beam pipelines: Kinesis, a delivery stream, S3, Glue, SQL.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command("list")(list_scenarios.command)
app.command("run")(run_scenario.command)
app.command("up")(up.command)
app.command("deliver")(deliver.command)
app.command("tail")(tail.command)
app.command("positions")(positions.command)
app.command("query")(query.command)
app.command("sql")(sql.command)
app.command("inspect")(inspect.command)
app.command("trace")(trace.command)
app.command("bench")(bench.command)
app.command("doctor")(doctor.command)

_INTERRUPTED: Final = 130
_TERMINATED: Final = 143

_verbose = False


@app.callback()
def options(
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log what happens, and show tracebacks.")] = False,
) -> None:
    """Options of every command."""
    global _verbose  # noqa: PLW0603 - one process, one command
    from pipelines.runtime.logs import set_up

    _verbose = verbose
    set_up(verbose=verbose)


def run() -> None:
    """The entry point: exits with 0; 1 when what was asked for did not succeed; 2 when it was asked for wrongly."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a script's background jobs begin with it ignored
    signal.signal(signal.SIGTERM, _terminate)
    status = _status()
    sys.stdout.flush()
    sys.stderr.flush()
    if threading.active_count() > 1:
        # Beam's worker threads wait for a runner that may be gone, and a thread that is inside Arrow while Python
        # takes itself apart ends the process with SIGABRT.
        os._exit(status)
    sys.exit(status)


def _terminate(number: int, frame: FrameType | None) -> NoReturn:
    """Ends as Ctrl-C does: what is open is closed, temporary files go."""
    raise SystemExit(_TERMINATED)


def _status() -> int:
    try:
        app()
    except SystemExit as leaving:
        if leaving.code in {_INTERRUPTED, _TERMINATED}:
            sys.stderr.write("hydrant: stopped.\n")
        return leaving.code if isinstance(leaving.code, int) else 1
    except HydrantError as error:
        if _verbose:
            traceback.print_exc()
        sys.stderr.write(f"hydrant: {error}\n")
        return 1
    except Exception as error:
        log = Path(tempfile.gettempdir()) / f"hydrant-{os.getpid()}.log"
        log.write_text(traceback.format_exc(), encoding="utf-8")
        sys.stderr.write(f"hydrant: this is a bug: {type(error).__name__}: {error} Fix: report it with {log}\n")
        return 1
    return 0
