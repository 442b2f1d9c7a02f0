"""A forest without its boxes is the same forest: they are computed again to the last bit."""

import random

import krcf
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.analytics.boxes import with_boxes, without_boxes
from pipelines.analytics.forest import RandomCutForest
from pipelines.analytics.journal import LONGEST_BYTES
from pipelines.analytics.options import ForestOptions
from pipelines.analytics.series import SeriesScorer
from pipelines.runtime.errors import InvalidDataError

VALUES = {
    "any": lambda chance: chance.gauss(0, 1) * 10 ** chance.randint(-6, 9),
    "rounded": lambda chance: round(chance.gauss(0, 1), 1),
    "few": lambda chance: float(chance.randint(0, 3)),
    "one": lambda chance: 7.5,
}


def forest(columns=1, shingle_size=1, trees=5, sample_size=32):
    options = {
        "dimensions": columns,
        "shingle_size": shingle_size,
        "num_trees": trees,
        "sample_size": sample_size,
        "output_after": sample_size,
        "random_seed": 7,
        "lambda": 0.001,
    }
    return krcf.RandomCutForest(options)


@settings(max_examples=60)
@given(
    columns=st.integers(1, 3),
    shingle_size=st.sampled_from([1, 2, 8]),
    rows=st.sampled_from([0, 1, 2, 5, 31, 32, 33, 64, 200, 700]),
    kind=st.sampled_from(sorted(VALUES)),
    seed=st.integers(0, 10**6),
)
def test_the_restored_forest_scores_and_learns_to_the_last_bit_what_the_other_does(
    columns, shingle_size, rows, kind, seed
):
    chance = random.Random(seed)
    points = [[VALUES[kind](chance) for _ in range(columns)] for _ in range(rows + 150)]
    one = forest(columns, shingle_size)
    for point in points[:rows]:
        one.update(point)
    other = krcf.RandomCutForest.from_msgpack(with_boxes(without_boxes(one.to_msgpack())))
    for point in points[rows:]:
        assert one.score(point) == other.score(point)
        assert one.attribution(point) == other.attribution(point)
        one.update(point)
        other.update(point)


@pytest.mark.parametrize(("columns", "shingle_size"), [(1, 1), (1, 8), (3, 1), (2, 4)])
def test_where_all_nodes_are_in_use_the_bytes_are_the_same_and_far_fewer_without(columns, shingle_size):
    chance, one = random.Random(3), forest(columns, shingle_size, trees=20, sample_size=256)
    for _ in range(1_500):
        one.update([chance.gauss(0, 1) for _ in range(columns)])
    packed = one.to_msgpack()
    stripped = without_boxes(packed)
    assert with_boxes(stripped) == packed
    boxes = 20 * 256 * (2 * columns * shingle_size * 5 + 9)  # MessagePack: five bytes a float32, nine a float64
    assert len(packed) - len(stripped) == pytest.approx(boxes, rel=0.01)


@pytest.mark.parametrize("broken", [b"", b"\x80", b"\xc1", b"\x81\xa3rcf\x80"])
def test_bytes_that_are_no_forest_are_refused(broken):
    with pytest.raises(InvalidDataError, match="no forest"):
        with_boxes(broken)


@pytest.mark.parametrize(
    "change", [lambda at: (at, b"\xc0"), lambda at: (at + 3, b"\xcb"), lambda at: (at, b"\xdc\xff\xff")]
)
def test_boxes_that_are_laid_out_otherwise_are_refused(change):
    packed = forest().to_msgpack()
    at, other = change(packed.index(b"bounding_box_data") + len("bounding_box_data"))
    with pytest.raises(InvalidDataError, match="no forest"):
        without_boxes(packed[:at] + other + packed[at + len(other) :])


def test_a_tree_without_its_place_for_boxes_is_refused():
    stripped = without_boxes(forest().to_msgpack())
    with pytest.raises(InvalidDataError, match="no forest"):
        with_boxes(stripped.replace(b"bounding_box_data", b"bounding_box_dada", 1))


LONG = 100_000
"""So many records are as many as timeDecay: the trees' samples have little in common any more."""


def test_a_forest_of_shingle_size_8_has_1_2_mb_at_most_with_its_journal_after_100_000_records():
    one, chance = RandomCutForest(ForestOptions(("value",), shingle_size=8)), random.Random(1)
    for _ in range(LONG):
        one.learn([chance.gauss(0, 1)])
    assert 700_000 < len(one.snapshot()) <= 1_200_000 - LONGEST_BYTES


def test_a_series_of_two_forests_has_1_25_mb_at_most_with_its_journal():
    one, chance = SeriesScorer(ForestOptions(("value",))), random.Random(1)
    for _ in range(LONG // 2):  # these have reached their size by then
        one._values.learn([chance.gauss(0, 1)])
        one._strays.learn([chance.gauss(0, 1)])
    for number in range(1_000):
        one.add(chance.gauss(0, 1), 300_000 * number)
    assert 900_000 < len(one.snapshot()) <= 1_250_000 - LONGEST_BYTES
