"""`hydrant query SQL`: SQL over what was delivered."""

import json
import sys
from typing import Annotated

import typer
from rich.console import Console
from rich.filesize import decimal
from rich.markup import escape
from rich.table import Table

_ROWS = 50


def command(
    sql: Annotated[str, typer.Argument(help="SELECT, SHOW TABLES, SHOW PARTITIONS or DESCRIBE.")],
    database: Annotated[str, typer.Option(help="Glue database of the tables named without one.")] = "default",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document, with all rows.")] = False,
) -> None:
    """Answer SQL over the tables of the Glue catalog, and say what Athena would have scanned for it."""
    from pipelines.lake.query import query
    from pipelines.lake.rows import cells, json_rows

    answer = query(sql, database=database)
    rows = answer.table
    if as_json:
        document = {
            "columns": [{"name": column.name, "type": str(column.type)} for column in rows.schema],
            "rows": json_rows(rows),
            "data_scanned_bytes": answer.data_scanned_bytes,
            "objects_read": answer.objects_read,
            "partitions_read": answer.partitions_read,
            "partitions_pruned": answer.partitions_pruned,
        }
        json.dump(document, sys.stdout, indent=2)
        sys.stdout.write("\n")
        return
    console = Console()
    shown = Table(*map(escape, rows.column_names))
    for row in cells(rows.slice(0, _ROWS)):
        shown.add_row(*map(escape, row))
    console.print(shown)
    first = f"the first {_ROWS} of " if rows.num_rows > _ROWS else ""
    console.print(f"{first}{_count(rows.num_rows, 'row')}", highlight=False)
    pruned = f", {_count(answer.partitions_pruned, 'partition')} pruned" if answer.partitions_pruned else ""
    scanned = decimal(answer.data_scanned_bytes)
    console.print(f"Data scanned: {scanned} in {_count(answer.objects_read, 'object')}{pruned}", highlight=False)


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
