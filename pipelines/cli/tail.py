"""`hydrant tail STREAM`: the records of a Kinesis stream as they come."""

import base64
import json
import sys
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from itertools import islice
from typing import Annotated, Any, Final

import typer

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class From(StrEnum):
    """Where to begin, in Kinesis's words (B7)."""

    TRIM_HORIZON = "TRIM_HORIZON"
    LATEST = "LATEST"


def command(
    stream: Annotated[str, typer.Argument(help="Name or ARN of the Kinesis stream.")],
    start: Annotated[From, typer.Option("--from", help="The oldest record, or those put from now on.")] = From.LATEST,
    count: Annotated[int | None, typer.Option("-n", min=1, help="Records to print; all, until Ctrl-C.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a line.")] = False,
) -> None:
    """Print the records of a Kinesis stream as they come: those of a shard in their order."""
    from pipelines.kinesis.reader import iter_pages

    records = (record for page in iter_pages(stream, start.value) for record in page.to_pylist())
    for line in map(_json_line if as_json else _text_line, islice(records, count)):
        sys.stdout.write(line + "\n")
        sys.stdout.flush()  # whoever reads a pipe wants the record now


def _json_line(record: Mapping[str, Any]) -> str:
    return json.dumps(dict(_members(record)))


def _members(record: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """The columns of a page; data that is not UTF-8 is `data_base64` in place of `data`."""
    for name, value in record.items():
        if name != "data":
            yield name, value
            continue
        try:
            yield name, value.decode("utf-8")
        except UnicodeDecodeError:
            yield "data_base64", base64.b64encode(value).decode("ascii")


def _text_line(record: Mapping[str, Any]) -> str:
    from pipelines.lake.rows import readable

    arrival = (_EPOCH + timedelta(milliseconds=record["arrival_ms"])).isoformat(timespec="milliseconds")
    sequence_number = record["sequence_number"]
    if record["sub_sequence_number"]:
        sequence_number += f".{record['sub_sequence_number']}"
    text = readable(record["data"]).rstrip("\n")
    return f"{arrival.removesuffix('+00:00')}Z  {record['shard_id']}  {sequence_number}  {text}"
