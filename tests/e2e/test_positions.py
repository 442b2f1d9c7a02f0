"""`hydrant positions`: how far a stream has been read, what is lost, and a file that another reader goes on from."""

import json
import urllib.request
from collections.abc import Iterator

import pytest
from typer.testing import CliRunner

from infra.embedded.target import EmbeddedTarget
from pipelines.cli.main import app
from pipelines.kinesis.aggregate import aggregate
from pipelines.kinesis.position_file import Positions, read_positions
from pipelines.kinesis.positions import ShardPosition
from pipelines.kinesis.put import Placed, Record, put_records
from pipelines.kinesis.reader import iter_pages
from pipelines.runtime.aws import client
from pipelines.runtime.errors import InvalidDataError, NotFoundError


@pytest.fixture(scope="module")
def target() -> Iterator[EmbeddedTarget]:
    with EmbeddedTarget().started() as started:
        yield started


def stream(name: str, shards: int) -> list[str]:
    client("kinesis").create_stream(StreamName=name, ShardCount=shards)
    return [f"shardId-{number:012d}" for number in range(shards)]


def put(name: str, count: int) -> list[Placed]:
    return put_records(client("kinesis"), name, [Record(b"%d" % n, f"key-{n}") for n in range(count)])


def last(placed: list[Placed]) -> dict[str, ShardPosition]:
    return {place.shard_id: ShardPosition.after(place.sequence_number) for place in placed}


def shown(*arguments: str) -> dict[str, dict[str, object]]:
    answer = CliRunner().invoke(app, ["positions", *arguments, "--json"], catch_exceptions=False)
    assert answer.exit_code == 0
    return {shard["shard_id"]: shard for shard in json.loads(answer.stdout)["shards"]}


def test_shards_read_begun_not_begun_and_read_before_are_told_apart(target, tmp_path) -> None:
    first, second, third = stream("told", 3)
    kinesis = client("kinesis")
    placed = put("told", 60)
    kinesis.split_shard(StreamName="told", ShardToSplit=first, NewStartingHashKey=str(2**100))
    later = put("told", 60)
    child = next(place for place in later if place.shard_id not in {first, second, third})
    at = last(placed) | {child.shard_id: ShardPosition.after(child.sequence_number)}
    del at[third]
    Positions({second: at[second], child.shard_id: at[child.shard_id]}).write(tmp_path / "a.positions.json")
    found = shown("told", "--from", str(tmp_path / "a.positions.json"))
    assert {shard: (row["state"], row["reading"]) for shard, row in found.items()} == {
        first: ("CLOSED", "READ_BEFORE"),
        second: ("OPEN", "READING"),
        third: ("OPEN", "NOT_BEGUN"),
        "shardId-000000000003": ("OPEN", "READING" if child.shard_id.endswith("3") else "NOT_BEGUN"),
        "shardId-000000000004": ("OPEN", "READING" if child.shard_id.endswith("4") else "NOT_BEGUN"),
    }
    assert found[second]["position"] == at[second].to_json()
    assert found["shardId-000000000003"]["parents"] == [first]
    table = CliRunner().invoke(app, ["positions", "told", "--from", str(tmp_path / "a.positions.json")])
    assert table.exit_code == 0
    assert "read before" in table.stdout


def test_the_furthest_of_several_files_counts_and_the_output_is_what_a_reader_goes_on_from(target, tmp_path) -> None:
    (shard,) = stream("several", 1)
    records = [Record(b"%d" % n, "k") for n in range(6)]
    placed = put_records(client("kinesis"), "several", [*records[:2], aggregate(records[2:5]), records[5]])
    (tmp_path / "folder").mkdir()
    Positions({shard: ShardPosition.after(placed[0].sequence_number, 0)}).write(tmp_path / "folder/1.positions.json")
    Positions({shard: ShardPosition.after(placed[2].sequence_number, 1)}).write(tmp_path / "folder/2.positions.json")
    Positions({shard: ShardPosition.after(placed[1].sequence_number)}).write(tmp_path / "other.json")
    output = tmp_path / "out.json"
    arguments = ("--from", str(tmp_path / "folder"), "--from", str(tmp_path / "other.json"), "--output", str(output))
    shown("several", *arguments)
    end = {shard: placed[3].sequence_number}
    pages = iter_pages("several", read_positions(output).start, end)
    assert [data for page in pages for data in page.column("data").to_pylist()] == [b"4", b"5"]


def test_positions_of_now_lead_to_what_is_put_from_now_on(target, tmp_path) -> None:
    stream("now", 2)
    put("now", 20)
    output = tmp_path / "now.json"
    found = shown("now", "--output", str(output))
    assert {row["reading"] for row in found.values()} == {"NOT_BEGUN"}
    positions = read_positions(output)
    assert positions.otherwise_ms > 0
    later = []
    while len(later) < 40 or {place.shard_id for place in later} != set(found):
        later += put("now", 40)
    ends = {place.shard_id: place.sequence_number for place in later}
    numbers = {
        n for page in iter_pages("now", positions.start, ends) for n in page.column("sequence_number").to_pylist()
    }
    assert numbers >= {place.sequence_number for place in later}


def test_b12_b13_trimmed_and_expired_are_shown(target, tmp_path) -> None:
    first, second = stream("gone", 2)
    kinesis = client("kinesis")
    at = last(put("gone", 40))
    kinesis.split_shard(StreamName="gone", ShardToSplit=first, NewStartingHashKey=str(2**100))
    request = urllib.request.Request(
        f"{target.env['AWS_ENDPOINT_URL_KINESIS']}/_clock", b'{"advance_s": 90000}', method="POST"
    )
    urllib.request.urlopen(request).close()
    put("gone", 40)
    Positions(at).write(tmp_path / "old.json")
    found = shown("gone", "--from", str(tmp_path / "old.json"))
    assert (found[first]["state"], found[first]["reading"]) == ("EXPIRED", "TRIMMED")
    assert (found[second]["state"], found[second]["reading"]) == ("OPEN", "TRIMMED")


@pytest.mark.parametrize(
    ("arguments", "error", "says"),
    [
        (["no-such-stream"], NotFoundError, "no-such-stream does not exist"),
        (["told", "--from", "/nonexistent.json"], InvalidDataError, "no positions file"),
        (["told", "--output", "/nonexistent/out.json"], NotFoundError, "there is no folder"),
    ],
)
def test_what_is_wrong_is_said_with_its_fix(target, arguments, error, says) -> None:
    with pytest.raises(error, match=says) as raised:
        CliRunner().invoke(app, ["positions", *arguments], catch_exceptions=False)
    assert raised.value.fix
