"""The screen of `hydrant trace`: the document of `follow`, stage by stage, for a person."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

_MOST_DATA: Final = 600
_STYLES: Final = {"delivered": "green", "dropped": "yellow", "failed": "red"}
_FLUSHED: Final = {
    "size": "it held as many bytes as its hint says",
    "interval": "its interval was over",
    "end": "the input had ended",
}


def show(document: Mapping[str, Any]) -> None:
    """Prints one record's way."""
    console = Console()
    shown = Table.grid(padding=(0, 2, 0, 0))
    shown.add_column(style="bold", no_wrap=True)
    shown.add_column(overflow="fold")
    for stage, line in _record(document["record"]):
        shown.add_row(stage, line)
    for delivery in document["deliveries"]:
        shown.add_row()
        for stage, line in _delivery(delivery):
            shown.add_row(stage, line)
    console.print(f"{document['scenario']}, run {document['run']}", highlight=False, markup=False, soft_wrap=True)
    console.print(shown)
    if document["gone"]:
        console.print()
        for sentence in document["gone"]:
            console.print(sentence, highlight=False, markup=False, soft_wrap=True)
        keep = f"hydrant run {document['scenario']} --keep"
        console.print(
            f"`{keep}` keeps the stand-ins, and so does --target localstack.", highlight=False, soft_wrap=True
        )


def show_choice(first: Sequence[Mapping[str, Any]]) -> None:
    """Prints the first of several records, to choose from."""
    console = Console()
    rows = [("Sequence number", "Partition key", "Data")]
    rows += [(record["sequence_number"], record["partition_key"], " ".join(record["data"].split())) for record in first]
    wide = [max(len(row[column]) for row in rows) for column in (0, 1)]
    for number, key, data in rows:  # no table: it would shorten the number, and that is what is to be copied
        line = f"{number:<{wide[0]}}  {key:<{wide[1]}}  {data}"
        console.print(line[: max(wide[0], console.width)], markup=False, highlight=False, soft_wrap=True)


def _record(record: Mapping[str, Any]) -> Iterator[tuple[str, Text]]:
    yield "Kinesis", Text(f"stream {record['stream']}, {record['shard_id']}, partition key {record['partition_key']}")
    yield "", Text(f"sequence number {record['sequence_number']}")
    arrived = record["arrival_ms"]
    when = f"arrived {_day(arrived)}" if arrived is not None else f"put {_day(record['put_ms'])}"
    yield "", Text(f"{when}, {record['bytes']:,} bytes")
    yield "", Text(_short(record["data"], _MOST_DATA), style="dim")


def _delivery(delivery: Mapping[str, Any]) -> Iterator[tuple[str, Text]]:
    outcomes = delivery["outcomes"] or ["nowhere: the ledger does not have it"]
    line = Text(f"delivery stream {delivery['delivery_stream']}: ")
    line.append(", ".join(outcomes), style=f"bold {_STYLES.get(outcomes[0], 'red')}")
    yield "Firehose", line
    for called in delivery["invocations"]:
        yield from zip(("Lambda", "", ""), _called(called), strict=True)
    for written in delivery["objects"]:
        yield from _object(written)


def _called(called: Mapping[str, Any]) -> Iterator[Text]:
    attempts = len(called["invocation_ids"])
    name = called["function_arn"].partition(":function:")[2] or called["function_arn"]
    if attempts:
        yield Text(f"{name}, invocation {called['invocation_ids'][-1]}")
    else:
        yield Text(f"{name}, not called: the record is larger than Lambda takes")
    waited = (called["flushed_ms"] - called["opened_ms"]) / 1000
    yield Text(
        f"record {called['place'] + 1:,} of a batch of {called['records']:,}, {_bytes(called['raw_bytes'])}, due by "
        f"{called['reason']} after {waited:.1f} s; {_count(attempts, 'attempt')} at {_time(called['started_ms'])}, "
        f"{called['ended_ms'] - called['started_ms']:,} ms"
    )
    line = Text("result ")
    style = {"Ok": "green", "Dropped": "yellow"}.get(called["result"], "red")
    line.append(called["result"] + (f", {called['code']}" if called["code"] else ""), style=style)
    counts = {"Ok": called["ok"], "Dropped": called["dropped"], **called["failed"]}
    line.append("; the batch: " + ", ".join(f"{count:,} {name}" for name, count in counts.items() if count))
    yield line


def _object(written: Mapping[str, Any]) -> Iterator[tuple[str, Text]]:
    backup = written["kind"] == "backup"
    yield from zip(("Backup" if backup else "Buffer", ""), _buffer(written), strict=True)
    if "failure" in written:
        yield from zip(("Error", "", ""), _failure(written["failure"]), strict=True)
    yield "" if backup else "S3", Text(f"s3://{written['bucket']}/{written['key']}")
    yield "", Text(_place(written))
    table = written.get("table")
    if table is not None:
        yield "Glue", Text(_partition(table))
    for row in written.get("delivered", ()):
        yield "Row", _row(row)


def _buffer(written: Mapping[str, Any]) -> Iterator[Text]:
    hints = written["hints"]
    waited = (written["flushed_ms"] - written["opened_ms"]) / 1000
    what = "" if written["kind"] in {"data", "backup"} else f"of {written['kind']} records, "
    yield Text(
        f"{what}opened {_time(written['opened_ms'])}, flushed {_time(written['flushed_ms'])} after {waited:.1f} s "
        f"by {written['reason']}: {_FLUSHED[written['reason']]}"
    )
    yield Text(
        f"with {_count(written['records'], 'record')}, {_bytes(written['raw_bytes'])}; "
        f"hints {hints['size_mib']} MiB and {hints['interval_s']} s"
    )


def _place(written: Mapping[str, Any]) -> str:
    """Where in its object the record is."""
    rows, size = written["rows"], f"{written['bytes']:,} bytes"
    number = ", ".join(f"{row + 1:,}" for row in rows[:3]) + (" …" if len(rows) > 3 else "")
    what = {"data": "row" if "row_group" in written else "record", "backup": "record"}.get(written["kind"], "line")
    place = f"{size}; {what} {number} of {written['records']:,}"
    if "row_group" in written:
        place += f", row group {written['row_group'] + 1} of {written['row_groups']}"
    if "begins_at" in written:
        same = "as it was put" if written["as_it_was_put"] else "NOT as it was put"
        place += f", from byte {written['begins_at']:,} of the text, {same}"
    return place


def _failure(failure: Mapping[str, Any]) -> Iterator[Text]:
    code = failure.get("errorCode") or failure.get("lastErrorCode") or ""
    message = failure.get("errorMessage") or failure.get("lastErrorMessage") or ""
    attempts = _count(failure["attemptsMade"], "attempt")
    yield Text(f"{code} after {attempts}, the last of which ended {_time(failure['attemptEndingTimestamp'])}", "red")
    yield Text(message)
    line = Text("raw data ")
    line.append(_short(failure["rawData"], _MOST_DATA) or "(empty)", style="dim")
    yield line


def _partition(table: Mapping[str, Any]) -> str:
    if table["partition"] is None:
        return f"table {table['name']}"
    path = "/".join(f"{name}={value}" for name, value in table["partition"].items())
    there = {True: "registered", False: "NOT registered", None: "whether it is registered nobody can say any more"}
    return f"table {table['name']}, partition {path}, {there[table['registered']]}"


def _row(row: Any) -> Text:
    if not isinstance(row, Mapping):
        return Text(_short(str(row), _MOST_DATA))
    line = Text()
    for name, value in row.items():
        line.append(f"{name} ", style="dim").append(f"{'null' if value is None else value}  ")
    return line


def _short(text: str, most: int) -> str:
    text = text.rstrip("\n")
    return text if len(text) <= most else f"{text[:most]}… {len(text) - most:,} more"


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _bytes(number: int) -> str:
    for unit, size in (("MiB", 1024 * 1024), ("KiB", 1024)):
        if number >= size:
            return f"{number / size:,.1f} {unit}"
    return f"{number:,} bytes"


def _time(ms: int) -> str:
    return f"{datetime.fromtimestamp(ms / 1000, UTC):%H:%M:%S}.{ms % 1000:03d}"


def _day(ms: int) -> str:
    return f"{datetime.fromtimestamp(ms / 1000, UTC):%Y-%m-%d} {_time(ms)} UTC"
