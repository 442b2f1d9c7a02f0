"""RANDOM_CUT_FOREST on krcf (C11): parameters, the learning phase, centred inputs, refusals, snapshots."""

import math
import random

import krcf
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.analytics.forest import RandomCutForest
from pipelines.analytics.options import ForestOptions
from pipelines.runtime.errors import ConfigurationError, InvalidDataError

NUMBERS = st.one_of(st.floats(-1e6, 1e6), st.sampled_from([math.nan, math.inf, -math.inf, 1e35, 0.0, -0.0]))
SMALL = ForestOptions(("value",), number_of_trees=10, sub_sample_size=16, time_decay=1000, shingle_size=4)


def numbers(count, seed=1):
    chance = random.Random(seed)
    return [math.sin(at / 9) + chance.gauss(0, 0.1) for at in range(count)]


def scores(options, values):
    forest = RandomCutForest(options)
    return [forest.score([value]) for value in values]


def test_c11_defaults():
    found = ForestOptions.of({})
    assert (found.number_of_trees, found.sub_sample_size, found.time_decay, found.shingle_size) == (
        100,
        256,
        100_000,
        1,
    )
    assert found.with_directionality is False  # C12


@pytest.mark.parametrize(
    ("name", "least", "most"),
    [("numberOfTrees", 1, 1000), ("subSampleSize", 10, 1000), ("timeDecay", 1, 2**31 - 1), ("shingleSize", 1, 30)],
)
def test_c11_ranges(name, least, most):
    others = {"subSampleSize": 10} if name == "timeDecay" else {}
    for value in (least - 1, most + 1, float(most), True, "10", None):
        with pytest.raises(ConfigurationError, match=name):
            ForestOptions.of({**others, name: value})
    for value in (11 if name == "timeDecay" else least, most):  # timeDecay must be above subSampleSize
        ForestOptions.of({**others, name: value})


def test_c11_sub_sample_size_is_less_than_time_decay():
    ForestOptions.of({"subSampleSize": 100, "timeDecay": 101})
    with pytest.raises(ConfigurationError, match="must be less than timeDecay"):
        ForestOptions.of({"subSampleSize": 100, "timeDecay": 100})


def test_c11_up_to_30_columns_and_no_unknown_parameter():
    ForestOptions(tuple(f"c{at}" for at in range(30)))
    for columns in ((), tuple(f"c{at}" for at in range(31)), ("a", "a")):
        with pytest.raises(ConfigurationError, match="column"):
            ForestOptions(columns)
    with pytest.raises(ConfigurationError, match="no parameter numberOfTree"):
        ForestOptions.of({"numberOfTree": 100})


@pytest.mark.parametrize(
    ("sub_sample_size", "shingle_size", "learning"),
    [(10, 30, 30), (10, 11, 11), (10, 10, 10), (16, 4, 16), (30, 29, 30)],
)
def test_c11_a_shingle_longer_than_the_sub_sample_has_to_be_whole_before_the_first_score(
    sub_sample_size, shingle_size, learning
):
    options = ForestOptions(
        ("value",), number_of_trees=5, sub_sample_size=sub_sample_size, time_decay=1000, shingle_size=shingle_size
    )
    assert options.learning_records == learning
    found = scores(options, numbers(60))
    assert found[:learning] == [0.0] * learning
    assert all(score > 0 for score in found[learning:])


@pytest.mark.parametrize("shingle_size", [1, 8, 30])
def test_c11_the_first_sub_sample_size_records_score_0_and_the_next_does_not(shingle_size):
    found = scores(ForestOptions(shingle_size=shingle_size, number_of_trees=10), numbers(300))
    assert found[:256] == [0.0] * 256
    assert all(score > 0 for score in found[256:])


def records_until_a_new_level_is_known(time_decay):
    """A level of 2,000 records, then another: so many of it until 50 in turn score about as the old level did."""
    chance = random.Random(5)
    values = [chance.gauss(0, 1) for _ in range(2_000)] + [chance.gauss(20, 1) for _ in range(600)]
    options = ForestOptions(("value",), number_of_trees=50, sub_sample_size=128, time_decay=time_decay)
    found = scores(options, values)
    usual = sum(found[1_500:2_000]) / 500
    assert max(found[2_000:2_010]) > 2 * usual  # the shift is seen at first, whatever the forest forgets
    return next(at for at in range(551) if sum(found[2_000 + at : 2_050 + at]) / 50 < 1.5 * usual)


def test_c11_the_smaller_time_decay_the_sooner_a_new_level_is_known():
    quick, middle, slow = (records_until_a_new_level_is_known(time_decay) for time_decay in (129, 1_000, 100_000))
    assert 2 * quick < middle
    assert 2 * middle < slow


@pytest.mark.parametrize("time_decay", [17, 200, 2_000])
def test_c11_the_core_forgets_with_lambda_1_through_time_decay(time_decay):
    options = ForestOptions(("value",), number_of_trees=10, sub_sample_size=16, time_decay=time_decay)
    values = numbers(2_000)
    found = scores(options, values)

    def core(decay):
        bare = krcf.RandomCutForest(
            {
                "dimensions": 1, "shingle_size": 1, "num_trees": 10, "sample_size": 16, "output_after": 16,
                "random_seed": options.seed, "lambda": decay,
            }
        )  # fmt: skip
        told = []
        for value in values:
            told.append(bare.score([value - values[0]]))
            bare.update([value - values[0]])
        return told[16:]

    assert found[16:] == pytest.approx(core(1 / time_decay), rel=1e-6)  # kept boxes can round otherwise
    for other in (2 / time_decay, 0.5 / time_decay, 1e-7):
        assert found[16:] != pytest.approx(core(other), rel=1e-6)


def test_h8_planted_heart_rates_rank_at_the_top():
    chance = random.Random(3)
    values = [chance.uniform(60, 100) for _ in range(2_000)]
    planted = {600, 1_100, 1_700}
    for at in planted:
        values[at] = chance.uniform(150, 200)
    found = scores(ForestOptions(), values)
    assert set(sorted(range(2_000), key=found.__getitem__)[-3:]) == planted


def test_a_large_offset_costs_no_digit_though_the_core_is_float32():
    exact = [round(value * 1024) / 1024 for value in numbers(200)]  # sums with the offset have no rounding of their own
    assert scores(SMALL, exact) == scores(SMALL, [value + 2.0**40 for value in exact])


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, 1e31])
def test_a_value_that_no_forest_can_take_is_refused_and_changes_nothing(bad):
    forest, other = RandomCutForest(SMALL), RandomCutForest(SMALL)
    for value in numbers(40):
        forest.score([value])
        other.score([value])
        with pytest.raises(InvalidDataError, match="value"):
            forest.score([bad])
        with pytest.raises(InvalidDataError, match="value"):
            forest.attribute([bad])
    assert forest.score([0.5]) == other.score([0.5]) > 0
    with pytest.raises(InvalidDataError, match="2 values for 1 columns"):
        forest.score([1.0, 2.0])


def test_peek_and_learn_are_score_in_two_steps():
    whole, parts = RandomCutForest(SMALL), RandomCutForest(SMALL)
    for value in numbers(60):
        peeked = parts.peek([value])
        assert parts.peek([value]) == peeked == whole.score([value])
        parts.learn([value])


@settings(max_examples=20)
@given(st.lists(st.integers(0, 99), max_size=6), st.integers(1, 2**31))
def test_a_forest_goes_on_with_the_same_bits_wherever_it_was_taken_down(stops, seed):
    options = ForestOptions(("a", "b"), 10, 16, 1000, 4, seed=seed)
    forest, whole = RandomCutForest(options), RandomCutForest(options)
    for at, value in enumerate(numbers(100)):
        if at in stops:
            forest = RandomCutForest.restore(forest.snapshot(), options)
        assert forest.score([value, -value]) == whole.score([value, -value])


def test_another_seed_gives_other_scores():
    other = ForestOptions(("value",), 10, 16, 1000, 4, seed=2)
    assert scores(SMALL, numbers(60)) != scores(other, numbers(60))


def test_a_snapshot_of_100_trees_and_shingle_size_8_has_at_most_1_2_mb():
    forest = RandomCutForest(ForestOptions(shingle_size=8))
    chance = random.Random(1)
    for _ in range(1_500):
        forest.score([chance.gauss(0, 1)])
    assert 100_000 < len(forest.snapshot()) <= 1_200_000


def test_what_is_no_snapshot_or_of_other_options_is_refused():
    forest = RandomCutForest(SMALL)
    forest.score([1.0])
    snapshot = forest.snapshot()
    for broken in (b"", snapshot[:20], snapshot[:-5], snapshot[:90], b"x" + snapshot[1:]):
        with pytest.raises(InvalidDataError, match="no snapshot"):
            RandomCutForest.restore(broken, SMALL)
    with pytest.raises(ConfigurationError, match="other options"):
        RandomCutForest.restore(snapshot, ForestOptions(("value",), 10, 16, 1000, 5))
    with pytest.raises(ConfigurationError, match="other options"):
        RandomCutForest.restore(snapshot, ForestOptions(("a", "b"), 10, 16, 1000, 4))


@settings(deadline=None, max_examples=40)
@given(
    st.lists(st.tuples(NUMBERS, NUMBERS), max_size=40),
    st.integers(0, 40),
)
def test_many_records_at_once_are_the_same_bits_as_one_after_the_other(rows, cut):
    """Also where some are refused: before there is a centre, and behind."""
    options = ForestOptions(("a", "b"), sub_sample_size=10, number_of_trees=5, shingle_size=2)
    alone, together = RandomCutForest(options), RandomCutForest(options)
    expected = []
    for row in rows:
        try:
            expected.append(alone.score(row))
        except InvalidDataError:
            expected.append(None)
    matrix = np.array(rows, np.float64).reshape(len(rows), 2)
    assert together.score_all(matrix[:cut]) + together.score_all(matrix[cut:]) == expected
    assert together.seen == alone.seen
    assert together.snapshot() == alone.snapshot()
