"""`hydrant run SCENARIO`: runs a scenario to its end and says whether every record is accounted for."""

import json
import sys
import threading
from contextlib import redirect_stdout
from typing import Annotated, Any, Final

import typer
from rich.console import Console

from pipelines.cli.runner import PrismLocation, Runner, runner_options
from pipelines.cli.up import wait_for_interrupt
from pipelines.runtime.clock import SystemClock
from pipelines.runtime.errors import AccountError, ConfigurationError

_MOST_REASONS: Final = 5


def command(
    scenario: Annotated[str, typer.Argument(help="Name of the scenario; `hydrant list` lists them.")],
    records: Annotated[str, typer.Option(help="How many of its records to put, or `all`.")] = "50000",
    seed: Annotated[int, typer.Option(help="Which records, and where the malformed ones stand.")] = 1,
    runner: Runner = "prism",
    prism_location: PrismLocation = None,
    target: Annotated[
        str,
        typer.Option(help="embedded, localstack (started by you) or aws (see the scenario's README)."),
    ] = "embedded",
    keep: Annotated[bool, typer.Option("--keep", help="Leave the stand-ins running at the end, until Ctrl-C.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")] = False,
) -> None:
    """Run a scenario: start the stand-ins, put its records, deliver them, and account for every one.

    Exit status 1 when a record is lost or doubled, or when the answer of the SQL query differs from the expected one.
    """
    from pipelines.cli.plugins import find_scenario, find_target

    clock = SystemClock()
    started_s = clock.monotonic_s()
    count = _count(records)
    load_scenario, chosen_target = find_scenario(scenario), find_target(target)
    threading.Thread(target=load_scenario, daemon=True).start()  # imports Beam while the stand-ins start
    out, console = sys.stdout, Console(stderr=as_json)
    # With --json the document is all of standard output: what a handler prints goes where logs go.
    with redirect_stdout(sys.stderr if as_json else sys.stdout), chosen_target.started() as place:
        from pipelines.cli.live import live, table
        from pipelines.cli.scenario_run import Progress, run_scenario

        chosen, options = load_scenario(), runner_options(runner, prism_location)
        with live(console, transient=as_json) as screen:

            def show(progress: Progress, seconds: float) -> None:
                if not as_json:
                    screen.update(table(progress.snapshot, put=progress.put, total=progress.total, seconds=seconds))

            report = run_scenario(
                chosen, place, count=count, seed=seed, options=options, show=show, clock=clock, started_s=started_s
            )
        if as_json:
            json.dump(report.to_json(), out, indent=2, default=str)
            out.write("\n")
        else:
            _print(report, console)
        if keep:
            for name, value in place.env.items():
                console.print(f"export {name}={value}", soft_wrap=True)
            console.print("The stand-ins are left running until Ctrl-C.")
            wait_for_interrupt(place.children)
    if not report.passed:
        raise AccountError(_what_is_wrong(report), fix="run again with -v, and keep what is there with --keep")


def _count(records: str) -> int | None:
    if records == "all":
        return None
    if not records.isdecimal() or int(records) == 0:
        message = f"--records takes a number above 0 or `all`, not {records!r}."
        raise ConfigurationError(message)
    return int(records)


def _print(report: Any, console: Console) -> None:
    counts = report.account
    console.print(f"{'Records':>8} {'Bytes':>10}  Flushed by  Object")
    for written in report.objects:
        counts_and_reason = f"{written.records:>8,} {written.bytes:>10,}  {written.reason:<10}"
        console.print(f"{counts_and_reason}  {written.key}", soft_wrap=True, highlight=False)
    console.print()
    console.print(report.verdict.table())
    console.print(
        f"\nAccount: {counts.put:,} put = {counts.delivered:,} delivered + {counts.dropped:,} dropped + "
        f"{counts.failed:,} failed + {counts.late:,} late + {counts.buffered:,} buffered; "
        f"{len(counts.lost):,} lost, {len(counts.doubled):,} doubled",
        soft_wrap=True,
    )
    first = "" if report.first_object_s is None else f", the first object after {report.first_object_s:.1f} s"
    adds_up = "[green]It adds up.[/]" if report.passed else "[red]It does not add up.[/]"
    console.print(f"{report.seconds:.1f} s{first}. {adds_up}")


def _what_is_wrong(report: Any) -> str:
    counts = report.account
    reasons = list(report.verdict.problems)
    if not counts.adds_up:
        reasons.insert(0, f"{len(counts.lost):,} records are lost and {len(counts.doubled):,} are doubled")
    if not report.verdict.equal:
        reasons.append("the SQL answer differs from the expected one")
    if len(reasons) > _MOST_REASONS:
        reasons[_MOST_REASONS:] = [f"and {len(reasons) - _MOST_REASONS} more"]
    return f"The run does not add up: {'; '.join(reasons)}."
