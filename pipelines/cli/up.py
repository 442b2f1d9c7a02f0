"""`hydrant up`: the embedded stand-ins in the foreground."""

import json
import signal
import sys
import threading
from collections.abc import Sequence
from typing import Annotated

import typer

from pipelines.runtime.processes import Child


def command(
    scenario: Annotated[
        list[str] | None, typer.Argument(help="Scenarios whose streams, buckets and tables are created.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the variables as one line of JSON.")] = False,
) -> None:
    """Start the embedded stand-ins and print the export lines for any AWS client, until Ctrl-C.

    Kinesis is our own model; S3, Glue and Firehose's control plane are moto. Both end with this command.
    """
    from pipelines.cli.plugins import find_scenario, find_target

    chosen = [find_scenario(name)() for name in scenario or []]
    with find_target("embedded").started() as target:
        for each in chosen:
            each.provision()
        if as_json:
            sys.stdout.write(json.dumps(target.env) + "\n")
        else:
            for name, value in target.env.items():
                sys.stdout.write(f"export {name}={value}\n")
        sys.stdout.flush()
        wait_for_interrupt(target.children)


def wait_for_interrupt(children: Sequence[Child]) -> None:
    """Returns at Ctrl-C or SIGTERM.

    Raises:
        RunnerError: one of `children` has died.
    """
    stop = threading.Event()
    before = signal.signal(signal.SIGTERM, lambda *_: stop.set())
    try:
        while not stop.wait(0.3):
            for child in children:
                child.check()
    except KeyboardInterrupt:
        return
    finally:
        signal.signal(signal.SIGTERM, before)
