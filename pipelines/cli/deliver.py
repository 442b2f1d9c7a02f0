"""`hydrant deliver STREAM`: runs the delivery pipeline of one delivery stream until it is stopped."""

import signal
import tempfile
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer
from rich.console import Console

from pipelines.cli.runner import CloudWatch, PrismLocation, Runner, runner_options


def command(
    stream: Annotated[str, typer.Argument(help="Name of the delivery stream.")],
    handler: Annotated[
        str | None, typer.Option(help="PATH:FUNCTION to call in this process in place of the Lambda function.")
    ] = None,
    positions: Annotated[
        Path | None,
        typer.Option(
            dir_okay=False, help="File to start from where it exists, and to leave the reached positions in at the end."
        ),
    ] = None,
    runner: Runner = "prism",
    prism_location: PrismLocation = None,
    cloudwatch: CloudWatch = False,
) -> None:
    """Run the delivery pipeline of one delivery stream until Ctrl-C.

    It starts where AWS's does: with the first record put after the delivery stream was created. Ctrl-C (or SIGTERM)
    drains: reading stops, every buffer is flushed, and the command ends when the last object is written. A second one
    ends it at once; what was buffered is then in no object, and still in the Kinesis stream.
    """
    from pipelines.cli.job import in_process, load
    from pipelines.cli.live import Snapshot, live, table
    from pipelines.firehose.cloudwatch import flush_all
    from pipelines.firehose.invoke import BotoInvoker
    from pipelines.kinesis import StartingPosition, StopFile
    from pipelines.kinesis.position_file import Positions, furthest, read_positions
    from pipelines.kinesis.service import StreamService
    from pipelines.runtime.aws import client
    from pipelines.runtime.clock import SystemClock
    from pipelines.runtime.errors import NotFoundError
    from pipelines.runtime.launch import run_pipeline

    console = Console(stderr=True)
    clock = SystemClock()
    started_s = clock.monotonic_s()
    options = runner_options(runner, prism_location, cloudwatch=cloudwatch)
    if positions is not None and not positions.parent.is_dir():  # found now, and not when there is something to keep
        message = f"The positions cannot be left in {positions}: there is no folder {positions.parent}."
        raise NotFoundError(message, fix=f"`mkdir -p {positions.parent}`")
    job = load(stream, BotoInvoker if handler is None else in_process(handler), cloudwatch=cloudwatch)
    start = StartingPosition.at_timestamp(job.config.created_ms)  # X15
    if positions is not None and positions.exists():
        start = furthest((read_positions(positions), Positions({}, job.config.created_ms))).start
    with tempfile.TemporaryDirectory(prefix="hydrant-", ignore_cleanup_errors=True) as folder:
        stop_file = StopFile(f"{folder}/stop.json")
        build = job.pipeline(start, stop_file, positions=Path(folder))
        assert job.config.source is not None  # job.pipeline has refused it
        StreamService(job.config.source.stream_name, client("kinesis")).shards()  # one that is missing is said now

        def drain(number: int, frame: FrameType | None) -> None:
            if stop_file.read() is not None:
                raise KeyboardInterrupt
            stop_file.write({})
            console.print("Draining: the buffers are flushed. Ctrl-C again to stop at once.")

        before = {number: signal.signal(number, drain) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            with live(console) as screen:

                def show(snapshot: Snapshot) -> None:
                    seconds = clock.monotonic_s() - started_s
                    screen.show(lambda: table(snapshot, put=None, total=None, seconds=seconds), seconds)

                run_pipeline(build, options, on_tick=show)
        finally:
            flush_all()
            for number, handled in before.items():
                signal.signal(number, handled)
        if positions is not None:
            kept = read_positions(positions) if positions.exists() else Positions({}, job.config.created_ms)
            furthest((kept, read_positions(Path(folder)))).write(positions)
            console.print(f"Positions left in {positions}.")
