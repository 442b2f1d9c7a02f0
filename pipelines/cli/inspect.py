"""`hydrant inspect s3://BUCKET/KEY`: what a delivered object holds, and which records it came from."""

import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.filesize import decimal
from rich.markup import escape
from rich.table import Table

if TYPE_CHECKING:  # importing them takes pyarrow's time, which `hydrant --help` has no need of
    from pipelines.lake.delivered import Content, ErrorContent, ObjectInfo, ParquetContent, TextContent

_MOST_OBJECTS = 1_000


def command(
    location: Annotated[str, typer.Argument(help="s3://BUCKET/KEY of an object, or a prefix to list.")],
    rows: Annotated[int, typer.Option(min=0, help="Rows, lines or failures to show.")] = 10,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Show what an object holds: Parquet, failed records or text, and the records it came from.

    A prefix lists the objects under it, the first 1,000.
    """
    from pipelines.lake.delivered import list_infos, object_info, read_content
    from pipelines.lake.location import Location
    from pipelines.runtime.aws import client, s3_filesystem
    from pipelines.runtime.errors import NotFoundError

    place = Location.parse(location)
    s3 = client("s3")
    info = None
    if place.key and not place.key.endswith("/"):
        try:
            info = object_info(s3, place)
        except NotFoundError:  # then it is a prefix, or there is nothing of that name
            info = None
    if info is None:
        infos = list_infos(s3, place, _MOST_OBJECTS)
        if as_json:
            _print_json([one.to_json() for one in infos])
        else:
            _print_listing(infos)
        return
    content = read_content(s3, s3_filesystem(), place, rows)
    if as_json:
        _print_json(info.to_json() | {"content": _content_json(content)})
    else:
        _print_object(info, content)


def _print_json(document: Any) -> None:
    json.dump(document, sys.stdout, indent=2)
    sys.stdout.write("\n")


def _content_json(content: "Content") -> dict[str, Any]:
    from pipelines.lake.delivered import ErrorContent, ParquetContent
    from pipelines.lake.rows import json_rows, readable

    if isinstance(content, ParquetContent):
        return {
            "format": "PARQUET",
            "rows": content.rows,
            "created_by": content.created_by,
            "schema": [{"name": field.name, "type": str(field.type)} for field in content.arrow_schema],
            "columns": content.columns,
            "row_groups": content.row_groups,
            "key_values": content.key_values,
            "first_rows": json_rows(content.first_rows),
        }
    if isinstance(content, ErrorContent):
        failures = [failure | {"rawData": readable(failure["rawData"])} for failure in content.lines]
        return {"format": "ERRORS", "failures": content.count, "first_failures": failures}
    return {
        "format": content.compression_format,
        "uncompressed_bytes": content.uncompressed_bytes,
        "lines": content.count,
        "first_lines": [readable(line) for line in content.lines],
    }


def _print_listing(infos: Sequence["ObjectInfo"]) -> None:
    shown = Table("Key", "Bytes", "Records", "Shards")
    for info in infos:
        records = "" if info.records is None else f"{info.records:,}"
        shards = ", ".join(f"{shard_id[-4:]}: {shard['count']:,}" for shard_id, shard in info.shards.items())
        shown.add_row(escape(info.location.key), f"{info.bytes:,}", records, shards)
    console = Console()
    console.print(shown)
    total = sum(info.bytes for info in infos)
    count = f"the first {len(infos):,}" if len(infos) == _MOST_OBJECTS else f"{len(infos):,}"
    console.print(f"{count} objects, {decimal(total)}", highlight=False)


def _print_object(info: "ObjectInfo", content: "Content") -> None:
    from pipelines.lake.delivered import ErrorContent, ParquetContent

    console = Console()
    records = "" if info.records is None else f", {info.records:,} records"
    console.print(f"{escape(str(info.location))}: {decimal(info.bytes)}{records}", highlight=False, soft_wrap=True)
    for name, value in info.metadata.items():
        console.print(f"{escape(name)}: {escape(value)}", highlight=False, soft_wrap=True)
    if info.shards:
        lineage = Table("Shard", "First", "Last", "Records", title="Lineage", title_justify="left")
        for shard_id, shard in info.shards.items():
            lineage.add_row(shard_id, str(shard["first"]), str(shard["last"]), f"{shard['count']:,}")
        console.print(lineage)
    if isinstance(content, ParquetContent):
        _print_parquet(console, content)
    elif isinstance(content, ErrorContent):
        _print_failures(console, content)
    else:
        _print_text(console, content)


def _print_parquet(console: Console, content: "ParquetContent") -> None:
    from pipelines.lake.rows import cells

    console.print(f"Parquet, {content.rows:,} rows, by {escape(str(content.created_by))}", highlight=False)
    schema = Table("Column", "Arrow type", title="Schema", title_justify="left")
    for field in content.arrow_schema:
        schema.add_row(escape(field.name), escape(str(field.type)))
    leaves = Table("Path", "Physical", "Logical", "Compression", title="Parquet columns", title_justify="left")
    for leaf in content.columns:
        leaves.add_row(*(escape(leaf[name]) for name in ("path", "physical", "logical", "compression")))
    groups = Table("#", "Rows", "Compressed", "Uncompressed", title="Row groups", title_justify="left")
    for number, group in enumerate(content.row_groups):
        groups.add_row(
            str(number), f"{group['rows']:,}", decimal(group["compressed_bytes"]), decimal(group["uncompressed_bytes"])
        )
    for table in (schema, leaves, groups):
        console.print(table)
    for name, value in content.key_values.items():
        console.print(f"{escape(name)}: {escape(value)}", highlight=False, soft_wrap=True)
    if content.first_rows.num_rows:
        first = Table(*map(escape, content.first_rows.column_names), title="First rows", title_justify="left")
        for row in cells(content.first_rows):
            first.add_row(*map(escape, row))
        console.print(first)


def _print_failures(console: Console, content: "ErrorContent") -> None:
    from pipelines.lake.rows import readable

    console.print(f"Error object, {content.count:,} failed records", highlight=False)
    shown = Table("Code", "Message", "Attempts", "Record")
    for failure in content.lines:
        code = failure.get("errorCode") or failure.get("lastErrorCode") or ""
        message = failure.get("errorMessage") or failure.get("lastErrorMessage") or ""
        raw = readable(failure["rawData"])
        shown.add_row(*map(escape, map(str, (code, message, failure["attemptsMade"], raw))))
    console.print(shown)


def _print_text(console: Console, content: "TextContent") -> None:
    from pipelines.lake.rows import readable

    size = f"{decimal(content.uncompressed_bytes)} uncompressed"
    console.print(f"{content.compression_format}, {size}, {content.count:,} lines", highlight=False)
    for line in content.lines:
        console.print(escape(readable(line)), highlight=False, soft_wrap=True)
