"""`hydrant tail`, against Kinesis on loopback."""

import json

import pytest
from lake_server import LakeServer
from typer.testing import CliRunner

from pipelines.cli.main import app
from pipelines.runtime.aws import client
from pipelines.runtime.errors import NotFoundError

pytest_plugins = ("lake_server",)


@pytest.fixture(autouse=True)
def _stream(lake: LakeServer) -> None:
    assert lake.url
    kinesis = client("kinesis")
    kinesis.create_stream(StreamName="flights", ShardCount=1)
    for data in (b'{"n": 1}\n', b"\xff\xfe", b"[b]three"):
        kinesis.put_record(StreamName="flights", Data=data, PartitionKey="k")


def run(*arguments: str) -> list[str]:
    result = CliRunner().invoke(app, ["tail", *arguments], catch_exceptions=False)
    assert result.exit_code == 0
    return result.stdout.splitlines()


def test_json_is_one_object_a_record_and_bytes_that_are_no_text_are_base64() -> None:
    records = [json.loads(line) for line in run("flights", "--from", "TRIM_HORIZON", "-n", "3", "--json")]
    assert [record.get("data") for record in records] == ['{"n": 1}\n', None, "[b]three"]
    assert records[1]["data_base64"] == "//4="
    assert {record["shard_id"] for record in records} == {"shardId-000000000000"}
    assert {record["partition_key"] for record in records} == {"k"}
    numbers = [int(record["sequence_number"]) for record in records]
    assert numbers == sorted(set(numbers))


def test_a_person_gets_one_line_a_record_and_no_more_than_asked_for() -> None:
    lines = run("flights", "--from", "TRIM_HORIZON", "-n", "2")
    assert len(lines) == 2
    arrival, shard_id, _, data = lines[0].split("  ")
    assert arrival[4] == "-"
    assert arrival.endswith("Z")
    assert (shard_id, data) == ("shardId-000000000000", '{"n": 1}')
    assert lines[1].endswith("  base64://4=")


def test_a_stream_that_does_not_exist_is_named() -> None:
    with pytest.raises(NotFoundError, match="nowhere"):
        run("nowhere", "-n", "1")


def test_b7_a_start_that_kinesis_does_not_have_is_refused() -> None:
    result = CliRunner().invoke(app, ["tail", "flights", "--from", "YESTERDAY"])
    assert result.exit_code == 2
