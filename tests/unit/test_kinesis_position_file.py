"""Positions files: written and read again, put together, and refused when they are something else."""

import json
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.kinesis.position_file import Positions, furthest, read_positions
from pipelines.kinesis.positions import ShardPosition
from pipelines.runtime.errors import InvalidDataError

SHARD, OTHER = "shardId-000000000000", "shardId-000000000001"
IDS = st.builds("shardId-{:012d}".format, st.integers(0, 4))
PLACES = st.builds(
    ShardPosition,
    st.sampled_from(["AT_SEQUENCE_NUMBER", "AFTER_SEQUENCE_NUMBER"]),
    st.integers(0, 2**186).map(str),
    st.none() | st.integers(0, 5),
)
NEAR_PLACES = st.builds(
    ShardPosition,
    st.sampled_from(["AT_SEQUENCE_NUMBER", "AFTER_SEQUENCE_NUMBER"]),
    st.integers(8, 11).map(str),  # as texts 10 comes before 9
    st.none() | st.integers(0, 2),
)


def positions(places):
    return st.builds(Positions, st.dictionaries(IDS, places, max_size=4), st.integers(0, 2**42))


@given(positions(PLACES))
def test_what_is_written_is_read(some):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "one.json"
        some.write(path)
        assert read_positions(path) == some
        assert [found.name for found in Path(folder).iterdir()] == ["one.json"]


def test_golden_file(tmp_path):
    path = tmp_path / "positions.json"
    Positions({OTHER: ShardPosition.at("7"), SHARD: ShardPosition.after("49", 2)}, 1_700).write(path)
    assert json.loads(path.read_text()) == {
        "shards": {
            SHARD: {"type": "AFTER_SEQUENCE_NUMBER", "seq": "49", "sub": 2},
            OTHER: {"type": "AT_SEQUENCE_NUMBER", "seq": "7"},
        },
        "otherwise_ms": 1_700,
    }
    start = read_positions(path).start
    assert start.of(SHARD) == ShardPosition.after("49", 2)
    assert start.of("shardId-000000000009") == ShardPosition("AT_TIMESTAMP", timestamp_ms=1_700)


@given(st.lists(positions(NEAR_PLACES), max_size=5), st.randoms())
def test_b5_the_furthest_is_behind_none_of_any_in_whatever_order(several, random):
    found = furthest(several)
    given = [(shard, at) for some in several for shard, at in some.shards.items()]
    assert found.shards.keys() == {shard for shard, _ in given}
    assert all(at.order <= found.shards[shard].order for shard, at in given)
    assert all((shard, at) in given for shard, at in found.shards.items())
    assert found.otherwise_ms == max((some.otherwise_ms for some in several), default=0)
    random.shuffle(several)
    again = furthest(several)
    assert {shard: at.order for shard, at in again.shards.items()} == {
        shard: at.order for shard, at in found.shards.items()
    }


def test_b5_numbers_are_compared_as_numbers():
    found = furthest([Positions({SHARD: ShardPosition.after("9")}), Positions({SHARD: ShardPosition.after("10", 0)})])
    assert found.shards == {SHARD: ShardPosition.after("10", 0)}


def test_a_folder_is_the_furthest_of_its_positions_files(tmp_path):
    Positions({SHARD: ShardPosition.after("5")}).write(tmp_path / "a.positions.json")
    Positions({SHARD: ShardPosition.after("4"), OTHER: ShardPosition.at("6")}, 9).write(tmp_path / "b.positions.json")
    Positions({SHARD: ShardPosition.after("99")}).write(tmp_path / "c.json")
    assert read_positions(tmp_path) == Positions({SHARD: ShardPosition.after("5"), OTHER: ShardPosition.at("6")}, 9)


def test_a_folder_without_positions_begins_at_the_beginning(tmp_path):
    assert read_positions(tmp_path) == Positions()


def test_a_folder_with_a_file_that_is_none_is_refused(tmp_path):
    Positions({SHARD: ShardPosition.after("5")}).write(tmp_path / "a.positions.json")
    (tmp_path / "b.positions.json").write_text("")
    with pytest.raises(InvalidDataError, match=r"b\.positions\.json"):
        read_positions(tmp_path)


def one(**members) -> bytes:
    return json.dumps({"shards": {SHARD: {"type": "AFTER_SEQUENCE_NUMBER", "seq": "5"} | members}}).encode()


@pytest.mark.parametrize(
    "content",
    [
        None,
        b"",
        b"\xff",
        b"[]",
        b"null",
        b"{}",
        b'{"shards": []}',
        b'{"shards": {"s": null}}',
        b'{"shards": {"s": {}}}',
        b'{"shards": {"s": {"type": "AFTER_SEQUENCE_NUMBER"}}}',
        b'{"shards": {"s": {"type": "TRIM_HORIZON"}}}',
        b'{"shards": {}, "otherwise_ms": "soon"}',
        b'{"shards": {}, "otherwise_ms": null}',
        one(seq="five"),
        one(seq="-5"),
        one(seq=5),
        one(seq=" 5"),
        one(type="BEFORE_SEQUENCE_NUMBER"),
        one(type="LATEST"),
        one(sub="1"),
        one(sub=-1),
        one(sub=1.5),
    ],
)
def test_what_is_no_positions_file_is_refused(tmp_path, content):
    path = tmp_path / "positions.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InvalidDataError, match=r"positions\.json is no positions file") as refused:
        read_positions(path)
    assert "hydrant positions" in refused.value.fix
