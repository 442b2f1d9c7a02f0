"""Positions handed from one pipeline to the next, ends of reading, and how both are written down."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.kinesis.export import _ExportFn
from pipelines.kinesis.page import make_page
from pipelines.kinesis.position_file import Positions, read_positions
from pipelines.kinesis.positions import SHARD_END, TRIM_HORIZON, ShardPosition
from pipelines.kinesis.until import OPEN, ShardEnd, StopFile, check_until, end_of

SHARD_POSITIONS = st.one_of(
    st.sampled_from([TRIM_HORIZON, SHARD_END]),
    st.builds(lambda ms: ShardPosition("AT_TIMESTAMP", timestamp_ms=ms), st.integers(0, 2**42)),
    st.builds(
        ShardPosition,
        st.sampled_from(["AT_SEQUENCE_NUMBER", "AFTER_SEQUENCE_NUMBER"]),
        st.integers(1, 10**57).map(str),
        st.integers(0, 2**31),
    ),
)


@given(SHARD_POSITIONS)
def test_position_survives_its_json(position):
    assert ShardPosition.from_json(json.loads(json.dumps(position.to_json()))) == position


def page(shard_id, *numbers, subs=None):
    count = len(numbers)
    return make_page(shard_id, [b""] * count, ["k"] * count, list(map(str, numbers)), [0] * count, subs)


def worker(folder, otherwise_ms=0):
    made = _ExportFn(str(folder), otherwise_ms)
    made.setup()
    return made


def test_b5_workers_files_together_are_what_was_reached(tmp_path):
    for pages in ([page("a", 8, 9), page("b", 5)], [page("a", 10)], []):
        exporter = worker(tmp_path)
        for each in pages:
            exporter.process(each)
    reached = {"a": ShardPosition.after("10", 0), "b": ShardPosition.after("5", 0)}
    assert read_positions(tmp_path) == Positions(reached)


def test_a_page_is_in_the_file_before_the_next_one_comes(tmp_path):
    exporter = worker(tmp_path, otherwise_ms=7)
    for number in range(1, 4):
        exporter.process(page("a", number))
        assert read_positions(tmp_path) == Positions({"a": ShardPosition.after(str(number), 0)}, 7)


def test_b17_the_position_is_behind_the_last_user_record(tmp_path):
    worker(tmp_path).process(page("a", 8, 9, 9, subs=[0, 0, 4]))
    assert read_positions(tmp_path).shards == {"a": ShardPosition.after("9", 4)}


def test_nothing_reached_is_no_position(tmp_path):
    worker(tmp_path)
    assert read_positions(tmp_path) == Positions()


@pytest.mark.parametrize(
    ("until", "end"),
    [
        (None, OPEN),
        (5, ShardEnd("AT_TIMESTAMP", 5)),
        ({}, ShardEnd("NOW")),
        ({"a": "7"}, ShardEnd("AT_SEQUENCE_NUMBER", 7)),
        ({"a": None}, ShardEnd("CAUGHT_UP")),
        ({"b": "7"}, ShardEnd("CAUGHT_UP")),
    ],
)
def test_end_of_a_shard_by_what_is_known(until, end):
    assert end_of("a", until) == end


@given(st.integers(0, 10**57), st.integers(0, 10**57))
def test_b5_end_lies_behind_its_own_record_and_before_the_next(number, other):
    end = ShardEnd("AT_SEQUENCE_NUMBER", number)
    assert (ShardPosition.after(str(other)).order >= end.order) == (other >= number)


def test_every_kind_of_end_is_taken_as_it_is():
    for until in (None, 0, 1_700_000_000_000, {"a": "7"}, StopFile("x")):
        assert check_until(until) == until


@given(ends=st.dictionaries(st.text(max_size=5), st.none() | st.integers(0, 10**57).map(str), max_size=4))
def test_stop_file_gives_what_was_written_last(tmp_path_factory, ends):
    stop = StopFile(str(tmp_path_factory.mktemp("stop") / "stop.json"))
    assert stop.read() is None
    stop.write({"a": "1"})
    stop.write(ends)
    assert stop.read() == ends
