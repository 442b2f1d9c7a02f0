"""What `hydrant run flights` left behind, read without any code of the pipelines: boto3, pyarrow, DuckDB, gzip, json.

The stream keeps its records, so it is the witness: which record should have ended where is worked out from it and from
the handler, record by record, and held against the objects.
"""

import base64
import gzip
import io
import json
import os
import signal
import subprocess
import sys
import threading
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from scenarios.flights.handler import transform

RECORDS = 3_000
HYDRANT = Path(sys.executable).parent / "hydrant"


@dataclass
class Left:
    """Everything a run left: its report, the stream's records by shard in order, the bucket's objects."""

    report: dict[str, Any]
    stream: dict[str, list[tuple[int, bytes]]] = field(default_factory=lambda: defaultdict(list))
    bodies: dict[str, bytes] = field(default_factory=dict)
    metadata: dict[str, dict[str, str]] = field(default_factory=dict)

    def bodies_of(self, prefix: str) -> list[bytes]:
        return [body for key, body in self.bodies.items() if key.startswith(prefix)]

    def lineage(self, prefix: str) -> Iterator[tuple[str, int, int, int]]:
        """Shard, first and last sequence number and count of each object."""
        for key, metadata in self.metadata.items():
            if key.startswith(prefix):
                for shard, range_ in json.loads(metadata["hydrant-lineage"]).items():
                    yield shard, int(range_["first"]), int(range_["last"]), range_["count"]


def outcome(data: bytes) -> str:
    """Where a record belongs: by the handler, and by what is known of the one kind of record that it lets through."""
    result = transform({"recordId": "", "data": base64.b64encode(data).decode()})["result"]
    if result == "Ok":
        return "format-conversion-failed" if b'"2013-02-31T25:00:00Z"' in data else "delivered"
    return {"Dropped": "dropped", "ProcessingFailed": "processing-failed"}[result]


@pytest.fixture(scope="module")
def left() -> Iterator[Left]:
    command = [str(HYDRANT), "run", "flights", "--records", str(RECORDS), "--seed", "11", "--json", "--keep"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    watchdog = threading.Timer(120, process.kill)
    watchdog.start()
    try:
        exports: dict[str, str] = {}
        said: list[str] = []
        for line in process.stderr:
            said.append(line)
            if line.startswith("export "):
                name, _, value = line.removeprefix("export ").strip().partition("=")
                exports[name] = value
            elif "until Ctrl-C" in line:
                break
        assert exports, "".join(said)
        found = _collect(exports)
        process.send_signal(signal.SIGINT)
        found.report = json.loads(process.stdout.read())
        process.stderr.read()
        assert process.wait() == 0
        yield found
    finally:
        watchdog.cancel()
        process.kill()
        process.wait()
        process.stdout.close()
        process.stderr.close()


def _collect(exports: dict[str, str]) -> Left:
    found = Left({})
    names = {name: os.environ.get(name) for name in exports}
    os.environ.update(exports)
    try:
        session = boto3.session.Session()
        kinesis, s3 = session.client("kinesis"), session.client("s3")
    finally:
        for name, value in names.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})
    for shard in kinesis.list_shards(StreamName="flights")["Shards"]:
        shard_id = shard["ShardId"]
        at = kinesis.get_shard_iterator(StreamName="flights", ShardId=shard_id, ShardIteratorType="TRIM_HORIZON")
        page = kinesis.get_records(ShardIterator=at["ShardIterator"])
        while page["Records"]:
            found.stream[shard_id] += [(int(record["SequenceNumber"]), record["Data"]) for record in page["Records"]]
            page = kinesis.get_records(ShardIterator=page["NextShardIterator"])
    for listed in s3.list_objects_v2(Bucket="hydrant-flights")["Contents"]:
        answer = s3.get_object(Bucket="hydrant-flights", Key=listed["Key"])
        found.bodies[listed["Key"]] = answer["Body"].read()
        found.metadata[listed["Key"]] = answer["Metadata"]
    return found


def expected(left: Left) -> Counter[str]:
    return Counter(outcome(data) for records in left.stream.values() for _, data in records)


def test_the_account_is_what_the_stream_says(left: Left) -> None:
    counts, account = expected(left), left.report["deliveries"]["flights"]["account"]
    assert account["put"] == sum(len(records) for records in left.stream.values())
    assert account["delivered"] == counts["delivered"]
    assert account["dropped"] == counts["dropped"]
    assert account["failed"] == counts["processing-failed"] + counts["format-conversion-failed"]


def test_a7_pyarrow_and_duckdb_read_the_objects_and_find_as_many_rows(left: Left, tmp_path: Path) -> None:
    bodies = left.bodies_of("flights/")
    for number, body in enumerate(bodies):
        (tmp_path / f"{number}.parquet").write_bytes(body)
    tables = [pq.read_table(io.BytesIO(body)) for body in bodies]
    rows = pa.concat_tables(tables)
    by_duckdb = duckdb.sql(f"SELECT count(*), sum(distance), count(DISTINCT carrier) FROM '{tmp_path}/*.parquet'")
    carriers = len(set(rows["carrier"].to_pylist()))
    assert by_duckdb.fetchall() == [(expected(left)["delivered"], sum(rows["distance"].to_pylist()), carriers)]
    assert rows.num_rows == expected(left)["delivered"]


@pytest.mark.parametrize(
    ("prefix", "kinds"),
    [
        ("flights/", {"delivered"}),
        ("errors/processing-failed/", {"processing-failed"}),
        ("errors/format-conversion-failed/", {"format-conversion-failed"}),
        ("backup/", {"delivered", "dropped", "processing-failed", "format-conversion-failed"}),
    ],
)
def test_the_lineage_of_the_objects_names_every_record_once(left: Left, prefix: str, kinds: set[str]) -> None:
    named: Counter[tuple[str, int]] = Counter()
    for shard, first, last, count in left.lineage(prefix):
        records = [(number, data) for number, data in left.stream[shard] if first <= number <= last]
        inside = [number for number, data in records if outcome(data) in kinds]
        assert len(inside) == count
        assert {first, last} <= set(inside)
        named.update((shard, number) for number in inside)
    should = [
        (shard, number) for shard, records in left.stream.items() for number, data in records if outcome(data) in kinds
    ]
    assert sorted(named.elements()) == sorted(should)


@pytest.mark.parametrize("kind", ["processing-failed", "format-conversion-failed"])
def test_a5_11_error_objects_hold_what_failed_and_nothing_else(left: Left, kind: str) -> None:
    lines = [json.loads(line) for body in left.bodies_of(f"errors/{kind}/") for line in body.splitlines()]
    raw = Counter(base64.b64decode(line["rawData"]) for line in lines)
    put = Counter(data for records in left.stream.values() for _, data in records if outcome(data) == kind)
    assert len(put) > 0
    if kind == "processing-failed":
        assert raw == put
    else:  # the function's answer is what failed: typed, but the same flights
        assert sum(raw.values()) == sum(put.values())
        assert all(json.loads(data)["time_hour"] == "2013-02-31T25:00:00Z" for data in raw)


def test_a7_13_the_backup_is_the_stream_as_it_came(left: Left) -> None:
    by_shard: dict[str, list[tuple[int, bytes]]] = defaultdict(list)
    for key, body in left.bodies.items():
        if key.startswith("backup/"):
            ((shard, range_),) = json.loads(left.metadata[key]["hydrant-lineage"]).items()
            by_shard[shard].append((int(range_["first"]), gzip.decompress(body)))
    for shard, records in left.stream.items():
        backed_up = b"".join(text for _, text in sorted(by_shard[shard]))
        assert backed_up == b"".join(data for _, data in records)


def test_the_report_lists_the_objects_that_are_there(left: Left) -> None:
    assert {written["key"]: written["bytes"] for written in left.report["deliveries"]["flights"]["objects"]} == {
        key: len(body) for key, body in left.bodies.items()
    }
    assert left.report["query"]["equal"] is True
