"""`hydrant run SCENARIO`: runs a scenario to its end and says whether every record is accounted for."""

import json
import sys
import threading
from contextlib import redirect_stdout
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.console import Console, Group, RenderableType

from pipelines.cli.runner import CloudWatch, PrismLocation, Runner, runner_options
from pipelines.cli.up import wait_for_interrupt
from pipelines.runtime.clock import Clock, SystemClock
from pipelines.runtime.errors import AccountError, ConfigurationError, HydrantError

_MOST_REASONS: Final = 5


def command(  # noqa: PLR0913 - one parameter an option
    scenario: Annotated[
        str, typer.Argument(help="Name of the scenario; `hydrant list` lists them. `all` runs one after the other.")
    ],
    records: Annotated[
        str | None, typer.Option(help="How many of its records to put, or `all`; what the scenario says if left out.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Which records, and where the malformed ones stand.")] = 1,
    runner: Runner = "prism",
    prism_location: PrismLocation = None,
    cloudwatch: CloudWatch = False,
    target: Annotated[
        str,
        typer.Option(help="embedded, localstack (started by you) or aws (see the scenario's README)."),
    ] = "embedded",
    clean: Annotated[
        bool,
        typer.Option("--clean", help="Delete first what an earlier run left: stream, bucket, table. Not on AWS."),
    ] = False,
    keep: Annotated[bool, typer.Option("--keep", help="Leave the stand-ins running at the end, until Ctrl-C.")] = False,
    runs: Annotated[
        Path,
        typer.Option(
            file_okay=False, envvar="HYDRANT_RUNS", help="Folder for what runs leave, each in a folder of its own."
        ),
    ] = Path("hydrant-runs"),
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")] = False,
) -> None:
    """Run a scenario: start the stand-ins, put its records, deliver them, and account for every one.

    Exit status 1 when a record is lost or doubled, or when what came out differs from the scenario's own oracle.
    """
    from pipelines.cli.plugins import find_scenario, find_target, scenario_names

    clock = SystemClock()
    started_s = clock.monotonic_s()
    count = _count(records)
    if clean and target == "aws":
        message = "--clean would delete the stream and the bucket of your account."
        raise ConfigurationError(message, fix="leave it out, and delete what you do not need yourself")
    names = scenario_names() if scenario == "all" else [scenario]
    loaders, chosen_target = {name: find_scenario(name) for name in names}, find_target(target)
    threading.Thread(target=loaders[names[0]], daemon=True).start()  # imports Beam while the stand-ins start
    out, console = sys.stdout, Console(stderr=as_json)
    reports: dict[str, Any] = {}
    wrong: dict[str, HydrantError] = {}
    # With --json the document is all of standard output: what a handler prints goes where logs go.
    with redirect_stdout(sys.stderr if as_json else sys.stdout), chosen_target.started() as place:
        for name, load in loaders.items():
            if len(names) > 1 and not as_json:
                console.rule(name, align="left")
            # Loaded before anything else imports Beam: two threads that import it at once block each other.
            chosen, options = load(), runner_options(runner, prism_location, cloudwatch=cloudwatch)
            run = _Run(console, place, options, seed, _folder(runs, name, clock), clean, as_json, clock, started_s)
            try:
                reports[name] = run(chosen, records is not None, count)
            except HydrantError as error:
                wrong[name] = error
                if len(names) > 1:
                    console.print(f"[red]{name} did not come to its end:[/] {error}", soft_wrap=True)
            started_s = clock.monotonic_s()
        if as_json and reports:
            documents = {name: report.to_json() for name, report in reports.items()}
            json.dump(documents if scenario == "all" else documents[scenario], out, indent=2, default=str)
            out.write("\n")
        if keep and reports:
            for name, value in place.env.items():
                console.print(f"export {name}={value}", soft_wrap=True)
            console.print("The stand-ins are left running until Ctrl-C.")
            wait_for_interrupt(place.children)
    fix = "run again with -v, and keep what is there with --keep"
    wrong |= {
        name: AccountError(_what_is_wrong(report), fix=fix) for name, report in reports.items() if not report.passed
    }
    if len(names) > 1 and wrong:
        message = f"{len(wrong)} of {len(names)} scenarios failed: {', '.join(wrong)}."
        raise AccountError(message, fix=f"`hydrant run {next(iter(wrong))}`, and read what it says")
    if wrong:
        raise wrong[scenario]


@dataclass(frozen=True)
class _Run:
    """What is the same for every scenario of a command."""

    console: Console
    target: Any
    options: Any
    seed: int
    folder: Path
    clean: bool
    quiet: bool
    clock: Clock
    started_s: float

    def __call__(self, scenario: Any, count_is_given: bool, count: int | None) -> Any:
        """Runs one scenario and prints what came of it."""
        from pipelines.cli.live import live, table
        from pipelines.cli.run_folder import OBSERVED
        from pipelines.cli.scenario_run import Progress, run_scenario

        with live(self.console, transient=self.quiet, is_logged=True) as screen:

            def show(progress: Progress, seconds: float) -> None:
                def picture() -> RenderableType:
                    stages = table(progress.snapshot, put=progress.put, total=progress.total, seconds=seconds)
                    news = scenario.news(self.folder / OBSERVED)
                    return stages if news is None else Group(stages, news)

                if not self.quiet:
                    screen.show(picture, seconds)

            if self.clean:
                scenario.remove()
            report = run_scenario(
                scenario,
                self.target,
                count=count if count_is_given else scenario.default_records,
                seed=self.seed,
                options=self.options,
                folder=self.folder,
                show=show,
                seconds=lambda: self.clock.monotonic_s() - self.started_s,
                clock=self.clock,
            )
        if not self.quiet:
            _print(report, self.console)
        return report


def _folder(runs: Path, scenario: str, clock: Clock) -> Path:
    """A new folder for what a run leaves.

    Raises:
        ConfigurationError: it cannot be made.
    """
    at = datetime.fromtimestamp(clock.now_ms() / 1000, UTC)
    folder = runs / f"{scenario}-{at:%Y%m%dT%H%M%S}.{at.microsecond // 1000:03d}Z"
    try:
        folder.mkdir(parents=True)
    except OSError as error:
        message = f"What the run leaves cannot be kept in {runs}: {error.strerror}."
        raise ConfigurationError(message, fix="name another folder with --runs") from error
    return folder


def _count(records: str | None) -> int | None:
    if records is None or records == "all":
        return None
    if not records.isdecimal() or int(records) == 0:
        message = f"--records takes a number above 0 or `all`, not {records!r}."
        raise ConfigurationError(message)
    return int(records)


def _print(report: Any, console: Console) -> None:
    console.print(f"{'Records':>8} {'Bytes':>10}  Flushed by  Object")
    for delivery in report.deliveries.values():
        for written in delivery.objects:
            counts_and_reason = f"{written.records:>8,} {written.bytes:>10,}  {written.reason:<10}"
            console.print(f"{counts_and_reason}  {written.key}", soft_wrap=True, highlight=False)
    console.print()
    console.print(report.verdict.table())
    console.print()
    for name, delivery in report.deliveries.items():
        counts = delivery.account
        title = "Account" if len(report.deliveries) == 1 else name
        console.print(
            f"{title}: {counts.put:,} put = {counts.delivered:,} delivered + {counts.dropped:,} dropped + "
            f"{counts.failed:,} failed + {counts.late:,} late + {counts.buffered:,} buffered; "
            f"{len(counts.lost):,} lost, {len(counts.doubled):,} doubled",
            soft_wrap=True,
        )
    first = "" if report.first_object_s is None else f", the first object after {report.first_object_s:.1f} s"
    adds_up = "[green]It adds up.[/]" if report.passed else "[red]It does not add up.[/]"
    console.print(f"{report.seconds:.1f} s{first}. {adds_up}")
    left = f"Left in {report.folder}: report.html; `hydrant trace` follows one record of it."
    console.print(left, soft_wrap=True, highlight=False, markup=False)


def _what_is_wrong(report: Any) -> str:
    reasons = list(report.verdict.problems)
    for delivery in report.deliveries.values():
        counts = delivery.account
        if not counts.adds_up:
            reasons.insert(0, f"{len(counts.lost):,} records are lost and {len(counts.doubled):,} are doubled")
    if not report.verdict.equal:
        reasons.append("the answer differs from the expected one")
    if len(reasons) > _MOST_REASONS:
        reasons[_MOST_REASONS:] = [f"and {len(reasons) - _MOST_REASONS} more"]
    return f"The run does not add up: {'; '.join(reasons)}."
