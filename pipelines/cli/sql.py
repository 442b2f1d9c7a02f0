"""`hydrant sql FILE`: an application of Kinesis Data Analytics for SQL."""

import json
import signal
import sys
import tempfile
from pathlib import Path
from types import FrameType
from typing import Annotated, Any, Final

import typer

from pipelines.cli.runner import PrismLocation, Runner, runner_options
from pipelines.cli.tail import From

_FIX: Final = "give the request as `aws kinesisanalytics create-application --cli-input-json` takes it"


def command(
    file: Annotated[
        Path | None, typer.Argument(exists=True, dir_okay=False, help="Its code; else the request's ApplicationCode.")
    ] = None,
    application: Annotated[
        Path,
        typer.Option(exists=True, dir_okay=False, help="Its CreateApplication request of kinesisanalytics, as JSON."),
    ] = ...,  # type: ignore[assignment] # typer's way to say that it must be given
    until_now: Annotated[
        bool, typer.Option("--until-now", help="End when what is in the stream now is done; else at Ctrl-C.")
    ] = False,
    start: Annotated[
        From, typer.Option("--from", help="The oldest record, or those put from now on.")
    ] = From.TRIM_HORIZON,
    lateness: Annotated[
        float, typer.Option(min=0, help="Seconds by which records may be late, in windows by a column of theirs.")
    ] = 10.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a line.")] = False,
    runner: Runner = "prism",
    prism_location: PrismLocation = None,
) -> None:
    """Run the SQL of a Kinesis Data Analytics application on the Kinesis stream that it reads.

    Of a delivery stream as its input, that is the Kinesis stream which the delivery stream reads.
    Rows go where the application's Outputs say. Those of streams that no output and no pump reads are printed as they
    come, and with them `error_stream`. docs/from-kda-sql.md says what of the SQL there is.
    """
    from pipelines.analytics.sql.application import parse_application
    from pipelines.analytics.sql.job import SqlJob
    from pipelines.firehose.invoke import BotoInvoker
    from pipelines.kinesis import StopFile
    from pipelines.kinesis.service import StreamService
    from pipelines.runtime.aws import client
    from pipelines.runtime.clock import SystemClock
    from pipelines.runtime.errors import ConfigurationError
    from pipelines.runtime.launch import run_pipeline

    described = parse_application(_request(application))
    code = described.code if file is None else _code(file)
    if not code:
        message = f"{application} has no ApplicationCode."
        raise ConfigurationError(message, fix="name a file with the code: `hydrant sql FILE --application ...`")
    job = SqlJob.of(described, code, BotoInvoker, lateness)
    options = runner_options(runner, prism_location)
    StreamService(job.stream, client("kinesis")).shards()  # one that is missing is said now
    with tempfile.TemporaryDirectory(prefix="hydrant-", ignore_cleanup_errors=True) as folder:
        stop_file = StopFile(f"{folder}/stop.json")
        path = Path(folder, "rows.jsonl")
        rows = _Lines(path)

        def drain(number: int, frame: FrameType | None) -> None:
            if stop_file.read() is not None:
                raise KeyboardInterrupt
            stop_file.write({})
            sys.stderr.write("Reading stops, and open windows are told. Ctrl-C again to stop at once.\n")

        def show(_: Any = None) -> None:
            for line in rows.more():
                sys.stdout.write((line.decode() if as_json else _text(json.loads(line))) + "\n")
            sys.stdout.flush()

        before = {}
        if not until_now:
            before = {number: signal.signal(number, drain) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            until = SystemClock().now_ms() if until_now else stop_file
            run_pipeline(job.pipeline(start.value, until, str(path)), options, on_tick=show)
        finally:
            for number, handled in before.items():
                signal.signal(number, handled)
        show()


class _Lines:
    """The lines of a file that is written meanwhile, each once."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read = 0

    def more(self) -> list[bytes]:
        """Those that are there since the last call."""
        if not self._path.exists():
            return []
        with self._path.open("rb") as file:
            file.seek(self._read)
            whole, _, _ = file.read().rpartition(b"\n")  # a line may be on its way
        if not whole:
            return []
        self._read += len(whole) + 1
        return whole.split(b"\n")  # a text's lines would end at U+2028, too, which JSON leaves as it is


def _code(path: Path) -> str:
    from pipelines.runtime.errors import ConfigurationError

    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        message = f"{path} is no text in UTF-8: {error}"
        raise ConfigurationError(message, fix="save it as UTF-8, e.g. with `iconv -t UTF-8`") from None


def _request(path: Path) -> dict[str, Any]:
    from pipelines.runtime.errors import ConfigurationError

    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        message = f"{path} is no JSON: {error}"
        raise ConfigurationError(message, fix=_FIX) from None
    if not isinstance(found, dict):
        message = f"{path} is no JSON object."
        raise ConfigurationError(message, fix=_FIX)
    return found


def _text(told: dict[str, Any]) -> str:
    row = dict(told["row"])
    rowtime = row.pop("ROWTIME")
    columns = "  ".join(f"{name}={'NULL' if value is None else value}" for name, value in row.items())
    return f"{rowtime}  {told['stream']}  {columns}"
