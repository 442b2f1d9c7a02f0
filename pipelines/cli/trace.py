"""`hydrant trace RECORD`: follows one record through every stage, from what is stored, on one screen."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

if TYPE_CHECKING:
    from pipelines.cli.run_folder import RunFolder

_FEW: Final = 10


def command(
    record: Annotated[
        str | None, typer.Argument(help="Sequence number or partition key of the record.", show_default=False)
    ] = None,
    where: Annotated[
        str | None,
        typer.Option(
            help="A condition on the record's JSON fields, in DuckDB's SQL, e.g. 'flight = 1545'.", show_default=False
        ),
    ] = None,
    run: Annotated[
        Path | None, typer.Option(help="Folder of the run; the latest one if left out.", show_default=False)
    ] = None,
    runs: Annotated[
        Path,
        typer.Option(envvar="HYDRANT_RUNS", help="Folder of the runs, to find the latest in."),
    ] = Path("hydrant-runs"),
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Follow one record of a run through every stage: shard, Lambda call, buffer, object, row, partition or error.

    What came of it is in the folder that `hydrant run` left. What only the services hold (the row, the error object,
    the arrival) is asked of them as long as they answer: `hydrant run flights --keep` leaves the stand-ins running.
    Where several records fit, the first ones are listed, with the sequence numbers to choose by, and the exit status
    is 1.
    """
    from pipelines.cli.follow import follow
    from pipelines.cli.run_folder import RunFolder
    from pipelines.cli.trace_screen import show

    if (record is None) == (where is None):
        message = "name a record by its sequence number or partition key, or say which with --where"
        raise typer.BadParameter(message)
    found = RunFolder.read(run) if run is not None else RunFolder.latest(runs)
    rows = _rows(found, record, where)
    if len(rows) != 1:
        asked = f"fit {where}" if where is not None else f"have the sequence number or partition key {record}"
        _refuse(found, rows, asked, as_json=as_json)
    with found.services():
        document = follow(found, rows[0])
    if as_json:
        _print_json(document)
    else:
        show(document)


def _rows(run: "RunFolder", record: str | None, where: str | None) -> list[int]:
    import pyarrow.compute as pc

    from pipelines.cli.where import matching

    if where is not None:
        return matching(run.put, where)
    # What a shell gives that is no text is in no record; and a column of no batch would crash Arrow.
    text = (record or "").encode(errors="replace").decode()
    for name in ("sequence_number", "partition_key"):
        column = run.put.column(name).combine_chunks()
        rows: list[int] = pc.indices_nonzero(pc.equal(column, text)).to_pylist()
        if rows:
            return rows
    return []


def _refuse(run: "RunFolder", rows: Sequence[int], asked: str, *, as_json: bool) -> None:
    """Says that there is none, or lists the first of several.

    Raises:
        NotFoundError: there is none.
        ConfigurationError: there are several.
    """
    from pipelines.cli.trace_screen import show_choice
    from pipelines.lake.rows import readable
    from pipelines.runtime.errors import ConfigurationError, NotFoundError

    if not rows:
        message = f"0 of {run.put.num_rows:,} records of {run.path} {asked}."
        raise NotFoundError(message, fix="mend it, or name another run with --run")
    names = ("sequence_number", "shard_id", "partition_key", "put_ms", "data")
    first = [
        {name: readable(value) if name == "data" else value for name, value in record.items()}
        for record in run.put.select(names).take(list(rows[:_FEW])).to_pylist()
    ]
    if as_json:
        _print_json({"run": str(run.path), "matches": len(rows), "first": first})
    else:
        show_choice(first)
    message = f"{len(rows):,} of {run.put.num_rows:,} records of {run.path} {asked}."
    fix = f"pick one by its sequence number, as in `hydrant trace {first[0]['sequence_number']}`"
    raise ConfigurationError(message, fix=fix)


def _print_json(document: Any) -> None:
    json.dump(document, sys.stdout, indent=2)
    sys.stdout.write("\n")
