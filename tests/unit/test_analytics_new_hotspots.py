"""Each hotspot is told of once, with the first record in it, and a restored scorer goes on as the one before it."""

import itertools

import numpy as np
import orjson
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from pipelines.analytics.hotspots import HOTSPOTS_RESULT, HotspotOptions, Hotspots
from pipelines.analytics.new_hotspots import NEW_HOTSPOT, Appearances, NewHotspots

WINDOW = 100
SCORING = NewHotspots(Hotspots(HotspotOptions(("x", "y"), WINDOW, 0.5, 5)))


def results(points: np.ndarray) -> pa.RecordBatch:
    return pa.RecordBatch.from_pydict({"x": points[:, 0], "y": points[:, 1]})


def box(low: float, high: float) -> tuple[list[float], list[float]]:
    return [low], [high]


def told(*records: list[tuple[list[float], list[float]]], window: int = 3) -> list[bool]:
    appearances = Appearances(window)
    return [appearances.begins(around) for around in records]


def test_a_hotspot_is_new_with_its_first_record_alone() -> None:
    assert told([], [box(0, 1)], [box(0, 1)], [], [box(0, 1)]) == [False, True, False, False, False]


def test_boxes_that_have_a_point_in_common_are_one_hotspot_as_it_moves() -> None:
    assert told([box(0, 1)], [box(1, 2)], [box(2, 3)], [box(3, 4)], [box(0, 1)]) == [True, False, False, False, True]
    assert told([box(0, 1)], [box(1.001, 2)]) == [True, True]


def test_hotspots_that_merge_and_split_again_are_not_told_of_again() -> None:
    one, other, both = box(0, 1), box(5, 6), box(0, 6)
    assert told([one], [other], [both], [one], [other], window=100) == [True, True, False, False, False]


def test_whichever_of_its_hotspots_a_record_is_said_to_lie_in_first() -> None:
    for around in ([box(0, 3), box(3, 4)], [box(3, 4), box(0, 3)]):
        assert told([box(0, 1)], around) == [True, True]


def test_a_record_in_two_begins_when_one_of_them_is_new() -> None:
    assert told([box(0, 1)], [box(0, 1), box(5, 6)], [box(5, 6)]) == [True, True, False]
    assert told([box(0, 1), box(5, 6)], [box(0, 6)], [box(5, 6)]) == [True, False, False]


def test_a_hotspot_is_forgotten_when_no_record_of_the_window_lay_in_it() -> None:
    assert told([box(0, 1)], [], [], [box(0, 1)], window=4)[-1] is False
    assert told([box(0, 1)], [], [], [box(0, 1)], window=3)[-1] is True


def test_all_dimensions_must_overlap() -> None:
    appearances = Appearances(9)
    assert appearances.begins([([0, 0], [1, 1])])
    assert appearances.begins([([0, 5], [1, 6])])
    assert not appearances.begins([([1, 1], [2, 2])])


BOXES = st.builds(lambda low, size: box(low, low + size), st.integers(0, 20), st.integers(0, 3))


@given(st.lists(st.lists(BOXES, max_size=3), max_size=30), st.integers(1, 12))
def test_it_is_what_a_search_through_all_records_of_the_window_finds(
    records: list[list[tuple[list[float], list[float]]]], window: int
) -> None:
    def points_of(of: tuple[list[float], list[float]]) -> set[int]:
        return set(range(int(of[0][0]), int(of[1][0]) + 1))  # all boxes begin and end at whole numbers

    expected = []
    for number, around in enumerate(records):
        before = [points_of(other) for other in itertools.chain(*records[max(0, number - window + 1) : number])]
        expected.append(any(all(points_of(one).isdisjoint(other) for other in before) for one in around))
    assert told(*records, window=window) == expected


def known(appearances: Appearances) -> int:
    return len(orjson.loads(appearances.pack())[1])


def test_what_it_holds_is_bounded_by_the_window() -> None:
    wanders, stays, grows = Appearances(50), Appearances(50), Appearances(50)
    for number in range(500):
        wanders.begins([box(number, number + 1)])
        stays.begins([box(0, 1)])
        grows.begins([box(-number, number)])
    assert (known(wanders), known(stays), known(grows)) == (50, 1, 1)
    for _ in range(50):
        wanders.begins([])
    assert known(wanders) == 0


@given(st.lists(st.lists(BOXES, max_size=3), min_size=1, max_size=20), st.data())
def test_what_is_packed_anywhere_goes_on_the_same(
    records: list[list[tuple[list[float], list[float]]]], data: st.DataObject
) -> None:
    cut = data.draw(st.integers(0, len(records)))
    appearances = Appearances(5)
    before = [appearances.begins(around) for around in records[:cut]]
    restored = Appearances.unpack(appearances.pack(), 5)
    assert before + [restored.begins(around) for around in records[cut:]] == told(*records, window=5)


def points() -> np.ndarray:
    """Two places, the second behind the first, and scattered points between."""
    rng = np.random.default_rng(1)
    scattered = rng.uniform(-50, 50, (300, 2))
    at = np.repeat([[0.0, 0.0], [20.0, 20.0]], 150, axis=0) + rng.normal(0, 0.1, (300, 2))
    return np.where(rng.random((300, 1)) < 0.5, at, scattered)


def test_two_places_are_told_of_once_each() -> None:
    scored = SCORING.start("").score(results(points()))
    assert scored.schema == SCORING.schema(results(points()).schema)
    assert scored.column(HOTSPOTS_RESULT).to_pylist().count('{"hotspots":[]}') < 200
    new = [at for at, is_new in enumerate(scored.column(NEW_HOTSPOT).to_pylist()) if is_new]
    assert len(new) == 2
    assert new[0] < 30
    assert 150 < new[1] < 180


def test_a_restored_scorer_gives_the_same_whatever_the_batches() -> None:
    whole = SCORING.start("").score(results(points()))
    scorer, parts = SCORING.start(""), []
    for begin in range(0, 300, 7):
        parts.append(scorer.score(results(points()[begin : begin + 7])))
        scorer = SCORING.restore("", scorer.snapshot())
    assert pa.Table.from_batches(parts).to_pylist() == whole.to_pylist()
