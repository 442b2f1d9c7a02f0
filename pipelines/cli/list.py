"""`hydrant list`: the scenarios there are."""

import json
import sys
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table


def command(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """List the scenarios."""
    from pipelines.cli.plugins import scenarios

    found = [{"name": name, "summary": scenario.summary} for name, scenario in sorted(scenarios().items())]
    if as_json:
        json.dump(found, sys.stdout, indent=2)
        sys.stdout.write("\n")
        return
    table = Table("Scenario", "What it shows")
    for row in found:
        table.add_row(row["name"], row["summary"])
    Console().print(table)
