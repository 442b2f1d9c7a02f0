"""`hydrant positions STREAM`: how far a stream has been read, and a file to go on from."""

import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:  # importing them takes Beam's time
    from pipelines.kinesis.standing import Standing


def command(
    stream: Annotated[str, typer.Argument(help="Name or ARN of the Kinesis stream.")],
    sources: Annotated[
        list[Path] | None,
        typer.Option("--from", help="A positions file, or a folder of ExportPositions; give it again for more."),
    ] = None,
    output: Annotated[Path | None, typer.Option(dir_okay=False, help="File to write the positions to.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Show how far a stream has been read, shard by shard, and write the positions to a file to go on from.

    Of several files the furthest position of each shard counts. Without --from the positions are those of now: whoever
    goes on from them reads what is put from now on.
    """
    from pipelines.kinesis.position_file import Positions, furthest, read_positions
    from pipelines.kinesis.service import StreamService
    from pipelines.kinesis.standing import standings
    from pipelines.runtime.aws import client
    from pipelines.runtime.clock import SystemClock
    from pipelines.runtime.errors import NotFoundError

    if output is not None and not output.parent.is_dir():
        message = f"The positions cannot be left in {output}: there is no folder {output.parent}."
        raise NotFoundError(message, fix=f"`mkdir -p {output.parent}`")
    service = StreamService(stream, client("kinesis"))
    if sources:
        positions = furthest(map(read_positions, sources))
    else:
        service.shards()
        positions = Positions({}, service.told_ms or SystemClock().now_ms())
    found = list(standings(service, positions))
    if output is not None:
        positions.write(output)
    if as_json:
        shards = [_json(standing) for standing in found]
        json.dump({"stream": stream, "otherwise_ms": positions.otherwise_ms, "shards": shards}, sys.stdout, indent=2)
        sys.stdout.write("\n")
        return
    _print(found, positions.otherwise_ms)
    if output is not None:
        Console(stderr=True).print(f"Positions left in {output}.")


def _json(standing: "Standing") -> dict[str, Any]:
    return {
        "shard_id": standing.shard_id,
        "state": standing.state,
        "parents": list(standing.parents),
        "reading": standing.reading,
        "position": standing.position.to_json() if standing.position else None,
        "arrival_ms": standing.arrival_ms,
        "millis_behind": standing.millis_behind,
    }


def _print(found: "list[Standing]", otherwise_ms: int) -> None:
    words = {
        "NOT_BEGUN": f"from {_time(otherwise_ms)}" if otherwise_ms else "from its beginning",
        "READING": "goes on",
        "READ_BEFORE": "read before",
        "TRIMMED": "LOST RECORDS",
    }
    table = Table("Shard", "State", "Reading", "Last record", "Arrived", "Behind")
    for standing in found:
        at = standing.position
        record = (
            "" if at is None else at.sequence_number + (f".{at.sub_sequence_number}" if at.sub_sequence_number else "")
        )
        behind = "" if standing.millis_behind is None else f"{standing.millis_behind / 1000:,.1f} s"
        arrived = "" if standing.arrival_ms is None else _time(standing.arrival_ms)
        table.add_row(standing.shard_id, standing.state, words[standing.reading], record, arrived, behind)
    Console().print(table)


def _time(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
