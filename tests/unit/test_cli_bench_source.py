"""The plumbing of `hydrant bench source`: what the replay serves, what an account holds, how results are told."""

import io
import json
import threading
import urllib.request
import zlib
from collections.abc import Iterator
from typing import Any

import orjson
import pyarrow as pa
import pytest
from rich.console import Console

from pipelines.cli.benchmarks.flights import json_lines
from pipelines.cli.benchmarks.measure import Measured
from pipelines.cli.benchmarks.replay import ReplayServer
from pipelines.cli.benchmarks.replay_stream import COLUMNS, START_MS, STREAM, ReplayStream
from pipelines.cli.benchmarks.source import Reading, Shape, ratios
from pipelines.cli.benchmarks.source_account import Account, ShardTally
from pipelines.cli.benchmarks.source_beam import text
from pipelines.cli.benchmarks.source_environments import python_of
from pipelines.cli.benchmarks.source_live import localstack, quantiles
from pipelines.cli.benchmarks.source_readers import boto3_loop
from pipelines.cli.benchmarks.source_report import tables
from pipelines.kinesis.reader import iter_pages
from pipelines.runtime.aws import client
from pipelines.runtime.clock import ManualClock
from pipelines.runtime.errors import RunnerError

RECORDS = 1_050


@pytest.fixture(scope="module")
def lines() -> list[bytes]:
    return json_lines(RECORDS, list(COLUMNS))


@pytest.fixture
def replay(lines: list[bytes], monkeypatch: pytest.MonkeyPatch) -> Iterator[ReplayServer]:
    """Four shards, pages of 100, and boto3's environment set to it."""
    server = ReplayServer(ReplayStream(lines, 4, 100), ManualClock())
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("AWS_ENDPOINT_URL", server.endpoint)
    monkeypatch.delenv("AWS_ENDPOINT_URL_KINESIS", raising=False)
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "replay")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "replay")
    yield server
    server.close()


def test_the_records_are_flights_of_181_bytes(lines: list[bytes]) -> None:
    assert list(orjson.loads(lines[0])) == list(COLUMNS)
    assert 179 < sum(map(len, lines)) / len(lines) < 183


def test_the_replay_gives_a_boto3_loop_every_record_and_the_account_it_promises(
    replay: ReplayServer, lines: list[bytes]
) -> None:
    stream = ReplayStream(lines, 4, 100)
    assert stream.account.crc_sum == sum(map(zlib.crc32, lines))
    account, _ = boto3_loop(stream.ends())
    assert account.records == RECORDS
    assert account.problem(stream.account) == ""


def test_the_replay_gives_our_reader_the_same(replay: ReplayServer, lines: list[bytes]) -> None:
    stream = ReplayStream(lines, 4, 100)
    tallies: dict[str, ShardTally] = {}
    data = []
    for page in iter_pages(STREAM, until=stream.ends()):
        data += page.column("data").to_pylist()
        tally = tallies.setdefault(page.column("shard_id")[0].as_py(), ShardTally())
        columns = (text(page.column(name)) for name in ("data", "partition_key", "sequence_number"))
        tally.add(page.num_rows, *columns, max(page.column("arrival_ms").to_pylist()))
    assert sorted(data) == sorted(lines)
    assert Account.of(tallies).problem(stream.account) == ""


def test_an_answer_of_the_replay_is_one_of_kinesis(replay: ReplayServer, lines: list[bytes]) -> None:
    kinesis = client("kinesis")
    shard = kinesis.list_shards(StreamName=STREAM)["Shards"][1]["ShardId"]
    at = kinesis.get_shard_iterator(StreamName=STREAM, ShardId=shard, ShardIteratorType="TRIM_HORIZON")["ShardIterator"]
    answer = kinesis.get_records(ShardIterator=at)
    assert [record["Data"] for record in answer["Records"]] == lines[1::4][:100]
    assert answer["Records"][9]["PartitionKey"] == str(orjson.loads(lines[37])["flight"])
    assert answer["Records"][9]["ApproximateArrivalTimestamp"].timestamp() * 1000 == START_MS + 2
    assert answer["MillisBehindLatest"] > 0
    while answer["NextShardIterator"] != at:
        at = answer["NextShardIterator"]
        answer = kinesis.get_records(ShardIterator=at)
    assert answer["Records"] == []
    assert answer["MillisBehindLatest"] == 0
    assert kinesis.describe_stream(StreamName=STREAM)["StreamDescription"]["StreamStatus"] == "ACTIVE"
    assert kinesis.describe_stream_summary(StreamName=STREAM)["StreamDescriptionSummary"]["OpenShardCount"] == 4


@pytest.mark.parametrize(("kind", "first"), [("AT_SEQUENCE_NUMBER", 142), ("AFTER_SEQUENCE_NUMBER", 143)])
def test_the_replay_goes_on_from_within_a_page(replay: ReplayServer, lines: list[bytes], kind: str, first: int) -> None:
    kinesis, shard = client("kinesis"), "shardId-000000000002"
    number = ReplayStream(lines, 4, 100).number(shard, 142)
    at = kinesis.get_shard_iterator(
        StreamName=STREAM, ShardId=shard, ShardIteratorType=kind, StartingSequenceNumber=number
    )["ShardIterator"]
    found = kinesis.get_records(ShardIterator=at)
    assert [record["Data"] for record in found["Records"]] == lines[2::4][first:200]
    following = kinesis.get_records(ShardIterator=found["NextShardIterator"])
    assert [record["Data"] for record in following["Records"]] == lines[2::4][200:263]


def test_the_replay_refuses_what_it_does_not_replay(replay: ReplayServer) -> None:
    kinesis = client("kinesis", max_attempts=1)
    with pytest.raises(kinesis.exceptions.InvalidArgumentException):
        kinesis.get_shard_iterator(
            StreamName=STREAM, ShardId="shardId-000000000000", ShardIteratorType="AT_TIMESTAMP", Timestamp=1.7e9
        )
    with pytest.raises(kinesis.exceptions.ClientError, match="PutRecord is not replayed"):
        kinesis.put_record(StreamName=STREAM, Data=b"x", PartitionKey="x")


def test_the_replay_tells_when_the_first_call_came_and_how_many(replay: ReplayServer, lines: list[bytes]) -> None:
    def ask(path: str, body: bytes | None = None) -> Any:
        with urllib.request.urlopen(replay.endpoint + path, body) as answer:
            return json.load(answer)

    assert ask("/_calls") == {"calls": 0, "first_s": None}
    boto3_loop(ReplayStream(lines, 4, 100).ends())
    assert ask("/_calls") == {"calls": 12, "first_s": ManualClock().monotonic_s()}
    ask("/_begin", b"")
    assert ask("/_calls") == {"calls": 0, "first_s": None}


def tally(**changes: int) -> ShardTally:
    found = ShardTally()
    found.add_records([b"one", b"two"], ["1", "2"], ["10", "20"], 5)
    for name, value in changes.items():
        setattr(found, name, value)
    return found


@pytest.mark.parametrize("member", ["records", "data_bytes", "data", "keys", "numbers", "arrival_ms"])
def test_an_account_that_differs_in_anything_is_a_problem(member: str) -> None:
    expected = Account.of({"a": tally(), "b": tally()})
    assert Account.of({"a": tally(), "b": tally()}).problem(expected) == ""
    assert Account.of({"a": tally(), "b": tally(**{member: 7})}).problem(expected) != ""


def test_a_tally_is_made_of_the_texts_one_behind_the_other() -> None:
    crcs = [zlib.crc32(text) for text in (b"onetwo", b"12", b"1020")]
    assert tally() == ShardTally(2, 6, *crcs, 5)


def test_an_account_sees_order_and_pages_do_not_matter_to_it() -> None:
    pages, swapped = ShardTally(), ShardTally()
    pages.add_records([b"one"], ["1"], ["10"], 5)
    pages.add_records([b"two"], ["2"], ["20"], 4)
    swapped.add_records([b"two", b"one"], ["2", "1"], ["20", "10"], 5)
    assert pages == tally()
    assert swapped != tally()


def test_an_account_without_shards_is_held_to_the_sum_of_its_records() -> None:
    expected = Account.of({"a": tally()})
    expected.crc_sum = 3
    assert Account(records=2, data_bytes=6, crc_sum=3).problem(expected) == ""
    assert Account(records=2, data_bytes=6, crc_sum=4).problem(expected) == "the data differ"


def test_an_account_survives_the_file_it_is_told_in() -> None:
    account = Account.of({"a": tally()})
    assert Account.from_json(json.loads(json.dumps(account.to_json()))) == account


def test_the_text_of_a_slice_is_its_own() -> None:
    column = pa.array(["ab", "", "cde", "f"])
    assert bytes(text(column.slice(1, 2))) == b"cde"
    assert bytes(text(column)) == b"abcdef"


def reading(name: str, seconds: float, reading_s: float) -> Reading:
    return Reading(Measured(name, 1_000_000, seconds, seconds + 3, 4.0, 100.0), reading_s, 100, 5.0)


def test_ratios_are_of_reading_and_the_start_is_told_apart() -> None:
    found = {"ours": reading("ours", 6.0, 4.0), "boto3_loop": reading("boto3_loop", 15.0, 14.0)}
    assert ratios(found) == {"to_boto3_loop": 3.5, "to_boto3_loop_with_start": 2.5}
    assert found["ours"].to_json() | {"peak_mib": 0} == {
        "records": 1_000_000,
        "seconds": 6.0,
        "seconds_with_imports": 9.0,
        "records_per_s": 166_667,
        "cpu_seconds": 5.0,
        "peak_mib": 0,
        "reading_seconds": 4.0,
        "reading_records_per_s": 250_000,
        "get_records_calls": 100,
    }


def test_quantiles_of_a_known_distribution() -> None:
    assert quantiles(list(range(1001))) == {"p50_ms": 500, "p99_ms": 990, "max_ms": 1000}


def test_the_result_is_told_to_a_person_with_what_was_not_run() -> None:
    lag = {"records_per_s": 200, "fused": quantiles([100, 200, 300]), "reshuffled": quantiles([110, 210, 310])}
    shape = {name: reading(name, 6.0, 4.0).to_json() for name in ("boto3_loop", "ours")} | {
        "ratios": {"to_boto3_loop": 1.0}
    }
    result = {
        "records": 1_000_000,
        "record_bytes": 181.0,
        "shape": str(Shape(4, 10_000)),
        "contestants": {
            "ours": reading("ours", 6.0, 4.0).to_json(),
            "amazon_kclpy": {"not_run": "there is no java"},
        },
        "ratios": {"to_boto3_loop": 3.5},
        "shapes": {str(Shape(1, 10_000)): shape},
        "lag": {"localstack": {"not_run": "no Docker"}, "embedded": lag},
        "idle": {"shards": 64, "seconds": 60.0, "reader_percent": 3.21, "prism_percent": 1.0},
    }
    console = Console(width=200, record=True, file=io.StringIO())
    for part in tables(result):
        console.print(part)
    told = console.export_text()
    for words in (
        "1,000,000 flights of 181 bytes, 4 shards, 10,000 a page",
        "250,000",
        "not run: there is no java",
        "to_boto3_loop: 3.50",
        "The same, 1 shard, 10,000 a page",
        "not run: no Docker",
        "embedded, behind a Reshuffle",
        "Idle stream of 64 shards for 60 s: 3.2 % of a core for the reader, 1.0 % for Prism",
    ):
        assert words in told


def test_what_cannot_be_installed_is_told_in_one_sentence(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(RunnerError, match=r"-m venv .* failed: .*Not a directory"):
        python_of(("anything==1",), lambda _: None)


def test_without_docker_the_lag_on_localstack_is_not_run_and_says_why(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    docker = tmp_path / "docker"
    docker.write_text("#!/bin/sh\necho 'Cannot connect to the Docker daemon' >&2\nexit 125\n")
    docker.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(RunnerError, match="Cannot connect to the Docker daemon"), localstack(lambda _: None):
        pass
    docker.unlink()
    with pytest.raises(RunnerError, match="no Docker"), localstack(lambda _: None):
        pass
