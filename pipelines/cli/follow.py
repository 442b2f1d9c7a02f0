"""One record followed through every stage, from what a run left and from the services where they still answer."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final

from pipelines.cli.run_folder import RunFolder
from pipelines.firehose.chunk import DeliveredObject
from pipelines.firehose.compress import decompress
from pipelines.firehose.delivery import BACKED_UP
from pipelines.firehose.errors import FORMAT_CONVERSION_FAILED, PROCESSING_FAILED, parse_line
from pipelines.firehose.invocation import Invocation
from pipelines.firehose.ledger import Entry, RecordId, read_ledger
from pipelines.firehose.stages import DROPPED, INVOKED
from pipelines.lake.catalog import partition_keys, partition_of
from pipelines.lake.delivered import read_row
from pipelines.lake.json_text import compression_of
from pipelines.lake.location import Location
from pipelines.lake.rows import json_rows, readable
from pipelines.runtime.aws import aws_errors, client, s3_filesystem
from pipelines.runtime.errors import EndpointDownError, HydrantError, InvalidDataError, NotFoundError

_ERRORS: Final = (PROCESSING_FAILED, FORMAT_CONVERSION_FAILED)
_ATTEMPTS: Final = 2
_AGAIN: Final = "deliver it again from the source backup"


def follow(run: RunFolder, row: int) -> dict[str, Any]:
    """What became of one record of a run: the document of `hydrant trace --json`.

    Args:
        run: what the run left.
        row: of `run.put`.

    Returns:
        "run" and "scenario"; "record": where it is in Kinesis, and what it is; "deliveries": a list, for each delivery
        stream its outcomes, its calls of the transform and its objects; "gone": sentences that say what could not be
        asked. Times are ms since the epoch, and None where nobody knows any more.
    """
    return _Follower(run, run.put.slice(row, 1).to_pylist()[0]).document()


@dataclass
class _Follower:
    run: RunFolder
    record: Mapping[str, Any]
    gone: list[str] = field(default_factory=list)
    down: set[str] = field(default_factory=set)

    def document(self) -> dict[str, Any]:
        what = f"Kinesis stream {self.run.stream}"
        record = {
            "stream": self.run.stream,
            **{name: self.record[name] for name in ("shard_id", "sequence_number", "partition_key", "put_ms")},
            "arrival_ms": self._asked("Kinesis", what, self._arrival_ms),
            "bytes": len(self.record["data"]),
            "data": readable(self.record["data"]),
        }
        return {
            "run": str(self.run.path),
            "scenario": self.run.scenario,
            "record": record,
            "deliveries": [self._delivery(name) for name in self.run.delivery_streams],
            "gone": self.gone,
        }

    def _delivery(self, name: str) -> dict[str, Any]:
        number, shard_id = self.record["sequence_number"], self.record["shard_id"]
        entries = [
            (entry, rows)
            for entry in read_ledger(self.run.ledger(name), number)
            if (rows := [row for row, each in enumerate(entry.records) if each[:2] == (shard_id, number)])
        ]
        outcomes = {entry.outcome for entry, _ in entries} - {INVOKED, BACKED_UP}
        entries.sort(key=lambda found: found[0].outcome == BACKED_UP)
        return {
            "delivery_stream": name,
            "outcomes": sorted(outcomes),
            "invocations": [
                _invocation(entry.invocation, rows, dropped=DROPPED in outcomes)
                for entry, rows in entries
                if entry.invocation
            ],
            "objects": [self._object(name, entry, entry.object, rows) for entry, rows in entries if entry.object],
        }

    def _object(self, name: str, entry: Entry, written: DeliveredObject, rows: list[int]) -> dict[str, Any]:
        kept = self.run.delivery_streams[name]
        destination, table = kept["config"]["destination"], kept["table"]
        place = Location(written.bucket, written.key)
        described = {name: value for name, value in written.to_json().items() if name != "shards"} | {"rows": rows}
        described["hints"] = (destination["backup"] if written.kind == "backup" else destination)["buffering"]
        ask: Callable[[], dict[str, Any]]
        if written.kind in _ERRORS:
            ask = lambda: {"failure": self._failure(place, rows[0])}  # noqa: E731
        elif written.kind == "backup":
            ask = lambda: self._backup(place, entry.records, rows[0])  # noqa: E731
        elif destination["conversion"] is not None:
            ask = lambda: self._parquet(place, rows)  # noqa: E731
        else:
            ask = lambda: self._text(place, written.records, rows)  # noqa: E731
        described |= self._asked("S3", str(place), ask) or {}
        if written.kind == "data" and table is not None:
            described["table"] = self._table(table, place)
        return described

    def _table(self, table: Mapping[str, Any], place: Location) -> dict[str, Any]:
        name = f"{table['DatabaseName']}.{table['Name']}"
        partition = partition_of(table, place.bucket, place.key)
        if partition is None:
            return {"name": name, "partition": None}
        values = list(partition.values)
        return {
            "name": name,
            "partition": dict(zip(partition_keys(table), values, strict=True)),
            "location": partition.location,
            "registered": self._asked("Glue", f"Glue table {name}", lambda: _is_registered(table, values)),
        }

    # What the services say.

    def _asked(self, service: str, what: str, ask: Callable[[], Any]) -> Any:
        """The answer; None where there is none, and then a sentence that says so."""
        if service in self.down:
            return None
        try:
            return ask()
        except EndpointDownError:
            self.down.add(service)
            self.gone.append(f"{service}: the stand-in of this run does not answer any more.")
        except HydrantError as error:
            self.gone.append(f"{what}: {error.message}")
        return None

    def _arrival_ms(self) -> int:
        with aws_errors(f"Kinesis stream {self.run.stream}"):
            kinesis = client("kinesis", max_attempts=_ATTEMPTS)
            iterator = kinesis.get_shard_iterator(
                StreamName=self.run.stream,
                ShardId=self.record["shard_id"],
                ShardIteratorType="AT_SEQUENCE_NUMBER",
                StartingSequenceNumber=self.record["sequence_number"],
            )["ShardIterator"]
            found = kinesis.get_records(ShardIterator=iterator, Limit=1)["Records"]
        if not found or found[0]["SequenceNumber"] != self.record["sequence_number"]:
            message = "it does not hold the record: its retention is over, or it is another stream of that name."
            raise NotFoundError(message)
        return round(found[0]["ApproximateArrivalTimestamp"].timestamp() * 1000)

    @cached_property
    def _s3(self) -> Any:
        return client("s3", max_attempts=_ATTEMPTS)

    def _body(self, place: Location) -> bytes:
        with aws_errors(str(place)):
            return bytes(self._s3.get_object(Bucket=place.bucket, Key=place.key)["Body"].read())

    def _parquet(self, place: Location, rows: list[int]) -> dict[str, Any]:
        with aws_errors(str(place)):  # asked first, for pyarrow's own client tries for long where nobody answers
            self._s3.head_object(Bucket=place.bucket, Key=place.key)
        filesystem = s3_filesystem()
        found = [read_row(filesystem, place, row) for row in rows]
        return {
            "row_group": found[0].row_group,
            "row_groups": found[0].row_groups,
            "delivered": [json_rows(each.row)[0] for each in found],
        }

    def _text(self, place: Location, records: int, rows: list[int]) -> dict[str, Any]:
        """The record's line, where each record is one."""
        body = self._body(place)
        lines = decompress(compression_of(place.key, body), body).splitlines()
        return {"delivered": [readable(lines[row]) for row in rows]} if len(lines) == records else {}

    def _backup(self, place: Location, records: tuple[RecordId, ...], row: int) -> dict[str, Any]:
        """Where it begins in the backup's text, which has nothing between records, and whether it stands there."""
        body = self._body(place)
        text = decompress(compression_of(place.key, body), body)
        lengths = self._lengths
        if any(sub or (shard_id, number) not in lengths for shard_id, number, sub in records):
            return {}
        begin = sum(lengths[shard_id, number] for shard_id, number, _ in records[:row])
        data = self.record["data"]
        return {"begins_at": begin, "as_it_was_put": text[begin : begin + len(data)] == data}

    @cached_property
    def _lengths(self) -> dict[tuple[str, str], int]:
        columns = (self.run.put.column(name).to_pylist() for name in ("shard_id", "sequence_number", "data"))
        return {(shard_id, number): len(data) for shard_id, number, data in zip(*columns, strict=True)}

    def _failure(self, place: Location, row: int) -> dict[str, Any]:
        lines = self._body(place).splitlines()
        if row >= len(lines):
            message = f"it has {len(lines)} lines, so it has no line {row}."
            raise InvalidDataError(message, fix=_AGAIN)
        read = parse_line(lines[row])
        return read | {"rawData": readable(read["rawData"])}


def _invocation(called: Invocation, rows: list[int], *, dropped: bool) -> dict[str, Any]:
    code = next((code for code, failed in called.failed.items() if rows[0] in failed), None)
    described = called.to_json()
    described["failed"] = {code: len(failed) for code, failed in called.failed.items()}
    result = "ProcessingFailed" if code else "Dropped" if dropped else "Ok"
    return described | {"place": rows[0], "result": result, "code": code}


def _is_registered(table: Mapping[str, Any], values: list[str]) -> bool:
    database, name = table["DatabaseName"], table["Name"]
    try:
        with aws_errors(f"Glue table {database}.{name}"):
            glue = client("glue", max_attempts=_ATTEMPTS)
            glue.get_partition(DatabaseName=database, TableName=name, PartitionValues=values)
    except NotFoundError:
        return False
    return True
