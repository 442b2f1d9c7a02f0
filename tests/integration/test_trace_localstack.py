"""`hydrant run flights --target localstack`, and `hydrant trace` of a delivered, a dropped and a failed record of it.

What it says is looked up in LocalStack, with clients of localstack-client.
"""

import base64
import gzip
import io
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pyarrow.parquet as pq
import pytest
from localstack_service import localstack_of_ours
from targets import Target, localstack_target

from infra.environment import environment
from scenarios.flights.handler import transform

RECORDS: Final = 2_000


@dataclass(frozen=True)
class Ran:
    """A run on a LocalStack that still answers.

    Attributes:
        target: where it ran.
        runs: folder of the runs.
        records: what the stream holds, with the shard of each.
    """

    target: Target
    runs: Path
    records: list[dict[str, Any]]

    def one(self, outcome: str) -> dict[str, Any]:
        """A record with that outcome; not the first, where there are several."""
        return [record for record in self.records if outcome_of(record["Data"]) == outcome][-2:][0]

    def trace(self, record: dict[str, Any], *options: str) -> str:
        done = hydrant("trace", record["SequenceNumber"], "--runs", str(self.runs), *options)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def traced(self, record: dict[str, Any]) -> dict[str, Any]:
        """What `--json` tells of its one delivery, once the record itself is what the stream holds."""
        document = json.loads(self.trace(record, "--json"))
        told = document["record"]
        assert (told["stream"], told["shard_id"]) == ("flights", record["ShardId"])
        assert told["partition_key"] == record["PartitionKey"]
        assert told["arrival_ms"] == round(record["ApproximateArrivalTimestamp"].timestamp() * 1000)
        assert document["gone"] == []
        (delivery,) = document["deliveries"]
        return delivery

    def body(self, written: dict[str, Any]) -> bytes:
        return self.target.client("s3").get_object(Bucket=written["bucket"], Key=written["key"])["Body"].read()

    def assert_backup(self, written: dict[str, Any], record: dict[str, Any]) -> None:
        assert written["kind"] == "backup"
        assert gzip.decompress(self.body(written))[written["begins_at"] :].startswith(record["Data"])

    def assert_on_screen(self, record: dict[str, Any], delivery: dict[str, Any]) -> None:
        screen = "".join(self.trace(record).split())
        for written in delivery["objects"]:
            assert written["key"] in screen
        for word in (delivery["outcomes"][0], record["ShardId"], delivery["invocations"][0]["result"]):
            assert word in screen


def hydrant(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pipelines.cli", *arguments], capture_output=True, text=True, timeout=200, check=False
    )


def outcome_of(data: bytes) -> str:
    """What the handler, and the date that Parquet cannot hold, make of a record."""
    result = transform({"recordId": "", "data": base64.b64encode(data).decode()})["result"]
    if result == "Ok":
        return "format-conversion-failed" if b"2013-02-31" in data else "delivered"
    return {"Dropped": "dropped", "ProcessingFailed": "processing-failed"}[result]


def records_of(kinesis: Any) -> Iterator[dict[str, Any]]:
    """Every record of the stream `flights`."""
    for shard in kinesis.list_shards(StreamName="flights")["Shards"]:
        at = {"StreamName": "flights", "ShardId": shard["ShardId"], "ShardIteratorType": "TRIM_HORIZON"}
        page = kinesis.get_records(ShardIterator=kinesis.get_shard_iterator(**at)["ShardIterator"])
        while page["Records"]:
            yield from (record | {"ShardId": shard["ShardId"]} for record in page["Records"])
            page = kinesis.get_records(ShardIterator=page["NextShardIterator"])


@pytest.fixture(scope="module")
def ran(localstack: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ran]:
    runs = tmp_path_factory.mktemp("runs")
    with (
        localstack_of_ours(localstack) as endpoint,
        localstack_target(endpoint) as target,
        # Not LocalStack's Firehose: it would read the stream and deliver on its own.
        environment({"AWS_ENDPOINT_URL_FIREHOSE": target.endpoint("glue"), "COLUMNS": "200"}),
    ):
        done = hydrant(
            "run", "flights", "--target", "localstack", "--clean", "--records", str(RECORDS), "--runs", str(runs)
        )
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
        assert "0 lost, 0 doubled" in done.stdout
        yield Ran(target, runs, list(records_of(target.client("kinesis"))))


def test_a_delivered_record_is_a_row_of_an_object_in_localstack(ran: Ran) -> None:
    record = ran.one("delivered")
    delivery = ran.traced(record)
    assert delivery["outcomes"] == ["delivered"]
    assert [called["result"] for called in delivery["invocations"]] == ["Ok"]
    data, backup = delivery["objects"]
    (row,) = pq.read_table(io.BytesIO(ran.body(data))).slice(data["rows"][0], 1).to_pylist()
    flight = json.loads(record["Data"])
    told = ("flight", "tailnum", "day", "dest", "dep_time")
    assert {name: str(row[name]) for name in told} == {name: flight[name] for name in told}
    assert data["reason"] in {"size", "interval", "end"}
    assert data["table"]["registered"] is True
    ran.assert_backup(backup, record)
    ran.assert_on_screen(record, delivery)


def test_a_dropped_record_ends_with_its_invocation(ran: Ran) -> None:
    record = ran.one("dropped")
    delivery = ran.traced(record)
    assert delivery["outcomes"] == ["dropped"]
    assert [called["result"] for called in delivery["invocations"]] == ["Dropped"]
    (backup,) = delivery["objects"]
    ran.assert_backup(backup, record)
    ran.assert_on_screen(record, delivery)


@pytest.mark.parametrize(
    ("kind", "code", "name"),
    [
        ("processing-failed", "Lambda.ProcessingFailedStatus", "errorCode"),
        ("format-conversion-failed", "DataFormatConversion.MalformedData", "lastErrorCode"),
    ],
)
def test_a_failed_record_is_a_line_of_an_error_object_in_localstack(ran: Ran, kind: str, code: str, name: str) -> None:
    record = ran.one(kind)
    delivery = ran.traced(record)
    assert delivery["outcomes"] == ["failed"]
    error, backup = delivery["objects"]
    assert error["kind"] == kind
    line = json.loads(ran.body(error).splitlines()[error["rows"][0]])
    assert line[name] == error["failure"][name] == code
    if kind == "processing-failed":
        assert base64.b64decode(line["rawData"]) == record["Data"]
    else:
        assert line["sequenceNumber"] == record["SequenceNumber"]
    ran.assert_backup(backup, record)
    ran.assert_on_screen(record, delivery)
