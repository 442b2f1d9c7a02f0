"""The scenario `reshard` itself: when its steps are made, and what its checks notice."""

import json
import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.firehose.chunk import DeliveredObject
from pipelines.firehose.ledger import Entry
from pipelines.kinesis.put import Record
from scenarios.reshard.checks import Row, before_their_parents, by_shard, objects_out_of_order, out_of_order, seen
from scenarios.reshard.resharding import OpenShard, splittable
from scenarios.reshard.scenario import PLAN, Verdict
from scenarios.reshard.workload import Workload


class Steps:
    """Takes note of when steps begin and are waited for."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def begin(self) -> None:
        self.notes.append("begin")

    def wait(self) -> None:
        self.notes.append("wait")


@given(st.integers(min_value=1, max_value=12), st.integers(min_value=0, max_value=300))
def test_b11_each_step_has_records_put_while_it_is_made_and_one_part_more_before_the_next(
    steps: int, count: int
) -> None:
    resharding = Steps()
    flights = tuple(Record(b"%d" % number, "key") for number in range(count))
    given_out = []
    for record in Workload(flights, steps, resharding).records():
        given_out.append(record)
        resharding.notes.append("put")
    assert tuple(given_out) == flights
    assert resharding.notes.count("begin") == resharding.notes.count("wait") == steps
    made = 0
    for note in resharding.notes:
        made += {"begin": 1, "wait": -1}.get(note, 0)
        assert 0 <= made <= 1
    parts = "".join(note[0] for note in resharding.notes).replace("wb", "|").strip("p").split("|")
    if count >= 2 * (steps + 2):
        assert len(parts) == steps
        assert all("p" in part for part in parts)


def test_a_failed_step_ends_the_producer_with_its_reason() -> None:
    from scenarios.reshard.resharding import Resharding

    resharding = Resharding("reshard", ("split",), seed=1)
    resharding.error = RuntimeError("no")
    resharding._done.release()
    with pytest.raises(RuntimeError, match="no"):
        resharding.wait()


def test_the_first_splits_take_the_first_shards() -> None:
    quarter = 2**126
    first = [OpenShard(f"shard-{n}", n * quarter, (n + 1) * quarter - 1) for n in range(4)]
    halved = [OpenShard("a", 0, quarter // 2), OpenShard("b", quarter // 2 + 1, quarter - 1), *first[1:]]
    assert {splittable(halved, random.Random(seed)).shard_id for seed in range(50)} == {"shard-1", "shard-2", "shard-3"}


ROWS = [Row("a", 1, "x"), Row("a", 2, "y"), Row("b", 3, "x"), Row("c", 5, "y"), Row("c", 6, "x")]
PARENTS = {"a": (), "b": (), "c": ("a", "b")}


def test_b5_b12_what_came_in_order_is_no_problem() -> None:
    assert out_of_order(ROWS) == []
    assert before_their_parents(ROWS, PARENTS) == []
    assert by_shard(ROWS) == {"a": 2, "b": 1, "c": 2}


@pytest.mark.parametrize(
    ("rows", "keys", "shards"),
    [
        ([ROWS[2], ROWS[0], ROWS[1], *ROWS[3:]], ["x"], []),
        ([*ROWS[:2], *ROWS[3:], ROWS[2]], ["x"], ["c"]),
        ([*ROWS[:3], ROWS[2], *ROWS[3:]], ["x"], []),
        ([ROWS[3], *ROWS[:3], ROWS[4]], ["y"], ["c"]),
    ],
    ids=["another shard's first", "a child before a parent", "twice", "a child before both"],
)
def test_b5_b12_what_came_out_of_order_is_named(rows: list[Row], keys: list[str], shards: list[str]) -> None:
    assert out_of_order(rows) == keys
    assert before_their_parents(rows, PARENTS) == shards


def test_what_came_is_read_back_in_its_order(tmp_path: Path) -> None:
    assert seen(tmp_path) == []
    pages = [[["a", "1", "x"], ["a", "2", "y"]], [["b", "3", "x"]]]
    (tmp_path / "pages.jsonl").write_text("".join(json.dumps(page) + "\n" for page in pages))
    assert seen(tmp_path) == ROWS[:3]


def entry(key: str, *numbers: int, shard: str = "a") -> Entry:
    written = DeliveredObject("data", "bucket", key, 1, len(numbers), 1, "size", ())
    return Entry("delivered", tuple((shard, str(number), 0) for number in numbers), written)


def test_objects_that_share_a_stretch_of_a_shard_or_mix_it_up_are_named() -> None:
    fine = [
        entry("one", 1, 2, 9),
        entry("two", 10, 11),
        entry("other", 5, shard="b"),
        Entry("dropped", (("a", "5", 0),)),
    ]
    assert objects_out_of_order(fine) == []
    assert objects_out_of_order([*fine, entry("three", 8, 12)]) == [
        "three begins before one ends",
        "two begins before three ends",
    ]
    assert objects_out_of_order([entry("one", 2, 1)]) == ["one holds records of a out of order"]


@pytest.mark.parametrize("change", ["a shard that gave nothing", "a step that was not made", "more open"])
def test_the_verdict_is_that_the_stream_became_what_the_plan_makes_of_it(change: str) -> None:
    shards = {f"shard-{number}": () for number in range(17)}
    assert PLAN.count("split") == 4
    assert PLAN.count("merge") == 5
    assert Verdict(shards, dict.fromkeys(shards, 1), 3).equal
    if change == "a shard that gave nothing":
        assert not Verdict(shards, dict.fromkeys(list(shards)[1:], 1), 3).equal
    elif change == "more open":
        assert not Verdict(shards, dict.fromkeys(shards, 1), 4).equal
    else:
        shards.popitem()
        assert not Verdict(shards, dict.fromkeys(shards, 1), 3).equal
