"""`hydrant trace` of a run: every place that it names is looked up with boto3, pyarrow, gzip and json alone."""

import base64
import gzip
import io
import json
import os
import re
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from html import unescape
from pathlib import Path
from typing import Any

import boto3
import pyarrow.parquet as pq
import pytest
from hydrant_command import environment, hydrant
from typer.testing import CliRunner

from pipelines.cli.main import app
from pipelines.runtime.errors import ConfigurationError, NotFoundError
from scenarios.flights.handler import transform

RECORDS = 3_000
PAGE = Path(__file__).parents[2] / "docs/trace.md"


@dataclass
class Kept:
    """A run whose stand-ins are still there. Only `s3` knows of them: `hydrant trace` must find them by itself."""

    runs: Path
    s3: Any = None
    records: list[dict[str, Any]] = field(default_factory=list)
    stop: Callable[[], None] = lambda: None

    def trace(self, *arguments: str) -> Any:
        return json.loads(self.says(*arguments, "--json"))

    def says(self, *arguments: str) -> str:
        env = {"HYDRANT_RUNS": str(self.runs), "COLUMNS": "200"}
        result = CliRunner().invoke(app, ["trace", *arguments], catch_exceptions=False, env=env)
        assert result.exit_code == 0
        return result.stdout

    def refuses(self, *arguments: str) -> tuple[str, str]:
        """What it prints, and what it says is wrong."""
        result = CliRunner().invoke(app, ["trace", *arguments], env={"HYDRANT_RUNS": str(self.runs), "COLUMNS": "200"})
        assert isinstance(result.exception, NotFoundError | ConfigurationError)
        return result.stdout, str(result.exception)

    def one(self, outcome: str) -> dict[str, Any]:
        """A record of the stream that the handler, and what is known of the rest, send there; not the first."""
        return [record for record in self.records if outcome_of(record["Data"]) == outcome][-2:][0]

    def body(self, written: dict[str, Any]) -> bytes:
        return self.s3.get_object(Bucket=written["bucket"], Key=written["key"])["Body"].read()


def outcome_of(data: bytes) -> str:
    result = transform({"recordId": "", "data": base64.b64encode(data).decode()})["result"]
    if result == "Ok":
        return "format-conversion-failed" if b"2013-02-31" in data else "delivered"
    return {"Dropped": "dropped", "ProcessingFailed": "processing-failed"}[result]


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kept]:
    kept = Kept(tmp_path_factory.mktemp("runs"))
    command = ("run", "flights", "--records", str(RECORDS), "--keep", "--runs", str(kept.runs))
    with hydrant(*command, env=environment(AWS_ENDPOINT_URL=None, AWS_ENDPOINT_URL_KINESIS=None)) as running:
        running.until_it_says("until Ctrl-C")
        names = [line.removeprefix("export ").strip() for line in running.out if line.startswith("export ")]
        exports = dict(name.split("=", 1) for name in names)

        def made(service: str) -> Any:
            endpoint = exports.get(f"AWS_ENDPOINT_URL_{service.upper()}", exports["AWS_ENDPOINT_URL"])
            return boto3.session.Session("x", "x", region_name=exports["AWS_REGION"]).client(
                service, endpoint_url=endpoint
            )

        kinesis, kept.s3 = made("kinesis"), made("s3")
        for shard in kinesis.list_shards(StreamName="flights")["Shards"]:
            at = {"StreamName": "flights", "ShardId": shard["ShardId"], "ShardIteratorType": "TRIM_HORIZON"}
            page = kinesis.get_records(ShardIterator=kinesis.get_shard_iterator(**at)["ShardIterator"])
            while page["Records"]:
                kept.records += [record | {"ShardId": shard["ShardId"]} for record in page["Records"]]
                page = kinesis.get_records(ShardIterator=page["NextShardIterator"])

        def stop() -> None:
            running.signal(signal.SIGINT)
            assert running.status() == 0

        kept.stop = stop
        before = {name: os.environ.pop(name) for name in list(os.environ) if name.startswith("AWS_")}
        yield kept
        os.environ.update(before)


def assert_beginning(traced: dict[str, Any], record: dict[str, Any]) -> dict[str, Any]:
    """The record is told as the stream has it, and the backup holds it where it is said to; returns its delivery."""
    arrival_ms = round(record["ApproximateArrivalTimestamp"].timestamp() * 1000)
    assert traced["record"]["stream"] == "flights"
    assert traced["record"]["shard_id"] == record["ShardId"]
    assert traced["record"]["partition_key"] == record["PartitionKey"]
    assert traced["record"]["arrival_ms"] == arrival_ms
    assert abs(traced["record"]["put_ms"] - arrival_ms) < 5_000
    assert traced["record"]["bytes"] == len(record["Data"])
    assert traced["gone"] == []
    (delivery,) = traced["deliveries"]
    assert delivery["delivery_stream"] == "flights"
    return delivery


def assert_invocation(called: dict[str, Any], result: str, code: str | None) -> None:
    assert called["function_arn"].endswith(":function:flights-transform:$LATEST")
    assert len(called["invocation_ids"]) == 1
    assert called["opened_ms"] <= called["flushed_ms"] <= called["started_ms"] <= called["ended_ms"]
    assert called["ok"] + called["dropped"] + sum(called["failed"].values()) == called["records"] > called["place"]
    assert called["reason"] in {"size", "interval", "end"}
    assert (called["result"], called["code"]) == (result, code)


def assert_backup(kept: Kept, written: dict[str, Any], record: dict[str, Any]) -> None:
    text = gzip.decompress(kept.body(written))
    assert written["kind"] == "backup"
    assert text[written["begins_at"] :].startswith(record["Data"])
    assert written["as_it_was_put"] is True
    assert len(text) == written["raw_bytes"]
    assert written["hints"] == {"size_mib": 5, "interval_s": 60}


def assert_on_screen(kept: Kept, traced: dict[str, Any]) -> None:
    """What the document says, the screen says: keys, ids, codes."""
    screen = "".join(kept.says(traced["record"]["sequence_number"]).split())
    (delivery,) = traced["deliveries"]
    for written in delivery["objects"]:
        assert written["key"] in screen
        assert f"{written['rows'][0] + 1:,}of{written['records']:,}" in screen
    for called in delivery["invocations"]:
        assert called["invocation_ids"][0] in screen
        assert f"result{called['result']}" in screen
    for word in (delivery["outcomes"][0], traced["record"]["shard_id"], traced["record"]["partition_key"]):
        assert word in screen


def test_a_delivered_record_is_the_row_that_it_says(kept: Kept) -> None:
    record = kept.one("delivered")
    traced = kept.trace(record["SequenceNumber"])
    delivery = assert_beginning(traced, record)
    assert delivery["outcomes"] == ["delivered"]
    (called,) = delivery["invocations"]
    assert_invocation(called, "Ok", None)
    data, backup = delivery["objects"]
    assert_backup(kept, backup, record)
    file = pq.ParquetFile(io.BytesIO(kept.body(data)))
    (row,) = file.read().slice(data["rows"][0], 1).to_pylist()
    flight = json.loads(record["Data"])
    assert {name: str(row[name]) for name in ("flight", "tailnum", "day", "dest", "dep_time")} == {
        name: flight[name] for name in ("flight", "tailnum", "day", "dest", "dep_time")
    }
    assert data["delivered"] == [row | {"time_hour": row["time_hour"].isoformat()}]
    assert (data["row_group"], data["row_groups"]) == (0, file.num_row_groups)
    assert data["opened_ms"] <= data["flushed_ms"]
    assert data["hints"] == {"size_mib": 64, "interval_s": 1}
    assert data["table"]["name"] == "flights_db.flights"
    assert "/".join(f"{name}={value}" for name, value in data["table"]["partition"].items()) in data["key"]
    assert data["table"]["registered"] is True
    assert (
        kept.s3.head_object(Bucket=data["bucket"], Key=data["key"])["Metadata"]["hydrant-flushed-by"] == data["reason"]
    )
    assert_on_screen(kept, traced)


def test_a_dropped_record_ends_with_its_invocation(kept: Kept) -> None:
    record = kept.one("dropped")
    traced = kept.trace(record["SequenceNumber"])
    delivery = assert_beginning(traced, record)
    assert delivery["outcomes"] == ["dropped"]
    (called,) = delivery["invocations"]
    assert_invocation(called, "Dropped", None)
    (backup,) = delivery["objects"]
    assert_backup(kept, backup, record)
    assert_on_screen(kept, traced)


@pytest.mark.parametrize(
    ("kind", "result", "code", "name"),
    [
        ("processing-failed", "ProcessingFailed", "Lambda.ProcessingFailedStatus", "errorCode"),
        ("format-conversion-failed", "Ok", "DataFormatConversion.MalformedData", "lastErrorCode"),
    ],
)
def test_a_failed_record_is_a_line_of_its_error_object(
    kept: Kept, kind: str, result: str, code: str, name: str
) -> None:
    record = kept.one(kind)
    traced = kept.trace(record["SequenceNumber"])
    delivery = assert_beginning(traced, record)
    assert delivery["outcomes"] == ["failed"]
    (called,) = delivery["invocations"]
    assert_invocation(called, result, code if result == "ProcessingFailed" else None)
    error, backup = delivery["objects"]
    assert_backup(kept, backup, record)
    assert error["kind"] == kind
    line = json.loads(kept.body(error).splitlines()[error["rows"][0]])
    assert line[name] == error["failure"][name] == code
    raw = base64.b64decode(line["rawData"])
    assert raw == (record["Data"] if result == "ProcessingFailed" else raw)
    assert error["failure"]["attemptsMade"] == 1
    if result == "Ok":
        assert line["sequenceNumber"] == record["SequenceNumber"]
        assert json.loads(error["failure"]["rawData"])["time_hour"] == "2013-02-31T25:00:00Z"
    screen = kept.says(record["SequenceNumber"])
    assert code in screen
    assert_on_screen(kept, traced)


def test_the_report_of_the_run_shows_what_failed(kept: Kept) -> None:
    """Twelve records fail, and so many are shown."""
    (folder,) = kept.runs.iterdir()
    html = (folder / "report.html").read_text(encoding="utf-8")
    shown = [unescape(each) for each in re.findall(r"<td><code>(.*?)</code></td>", html, flags=re.DOTALL)]
    failed = [record["Data"] for record in kept.records if outcome_of(record["Data"]) == "processing-failed"]
    assert len(shown) == 12
    for data in failed:
        text = data[:400].decode("utf-8", "backslashreplace").rstrip("\n") or "(empty)"
        assert text in shown


def test_a_condition_finds_the_flight_whose_number_is_text(kept: Kept) -> None:
    flights = [json.loads(record["Data"]) for record in kept.records if outcome_of(record["Data"]) == "delivered"]
    numbers = Counter(flight["flight"] for flight in flights)
    alone = next(flight for flight in flights if numbers[flight["flight"]] == 1)
    traced = kept.trace("--where", f"flight = {alone['flight']} AND dep_time <> 'NA' AND time_hour NOT LIKE '%-31T25%'")
    assert json.loads(traced["record"]["data"]) == alone


def test_a_partition_key_of_several_records_is_refused_with_a_choice(kept: Kept) -> None:
    keys = Counter(record["PartitionKey"] for record in kept.records)
    key, count = keys.most_common(1)[0]
    assert count > 10
    printed, said = kept.refuses(key)
    lines = printed.splitlines()
    assert lines[0].split() == ["Sequence", "number", "Partition", "key", "Data"]
    assert len(lines) == 11
    assert said.startswith(f"{count} of ")
    assert f"`hydrant trace {lines[1].split()[0]}`" in said
    assert kept.trace(lines[3].split()[0])["record"]["partition_key"] == key


def test_a_record_that_is_not_there_and_a_condition_that_is_none(kept: Kept) -> None:
    assert "0 of 3,0" in kept.refuses("nobody")[1]
    _, said = kept.refuses("--where", "flught = 1")
    assert "flught" in said
    assert "tailnum" in said  # what there is


def shape(screen: str) -> list[str]:
    """What a screen says, stage by stage, without what differs from run to run, nor where its lines break."""
    stages: list[str] = []
    for line in screen.splitlines()[1:]:
        if line[:10].strip():
            stages.append(line[:10].strip() + " ")
        stages[-1] += line[10:].strip().replace(" ", "")
    stages = [re.sub(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "UUID", stage) for stage in stages]
    stages = [re.sub(r"by(size|interval|end)(:[a-z]+)?", "by", stage) for stage in stages]
    stages = [re.sub(r"thebatch:.*", "thebatch", stage) for stage in stages]
    return [re.sub(r"\d[\d,.:]*", "N", stage).replace("KiB", "bytes") for stage in stages]


@pytest.mark.parametrize("condition", ["flight = 1545 AND month = 4", "distance = 'far' AND month = 10"])
def test_the_page_shows_what_the_command_prints(kept: Kept, condition: str) -> None:
    blocks = re.findall(r"^```\n(.*?)\n```$", PAGE.read_text(), flags=re.DOTALL | re.MULTILINE)
    (command,) = [
        number for number, block in enumerate(blocks) if block.startswith("hydrant trace") and condition in block
    ]
    shown = blocks[command + 1]
    assert shape(shown) == shape(kept.says("--where", condition))


def test_when_the_stand_ins_are_gone_the_rest_is_still_told(kept: Kept) -> None:  # the last one: it ends the run
    record = kept.one("delivered")
    before = kept.trace(record["SequenceNumber"])
    kept.stop()
    after = kept.trace("--run", str(next(kept.runs.iterdir())), record["SequenceNumber"])
    assert after["record"] == before["record"] | {"arrival_ms": None}
    assert after["deliveries"][0]["invocations"] == before["deliveries"][0]["invocations"]
    ours = [
        {name: written[name] for name in ("key", "bytes", "rows", "reason")}
        for written in after["deliveries"][0]["objects"]
    ]
    assert ours == [
        {name: written[name] for name in ("key", "bytes", "rows", "reason")}
        for written in before["deliveries"][0]["objects"]
    ]
    assert [sentence.partition(":")[0] for sentence in after["gone"]] == ["Kinesis", "S3", "Glue"]
    screen = kept.says(record["SequenceNumber"])
    assert "`hydrant run flights --keep` keeps the stand-ins" in screen
