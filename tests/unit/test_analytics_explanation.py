"""ANOMALY_EXPLANATION (C12): its form, and that it explains."""

import json
import random
import re

import pyarrow as pa
import pytest

from pipelines.analytics.explanation import (
    EXPLANATION_CHARACTERS,
    Attribution,
    ExplainedForest,
    ExplainedForests,
    driver,
    explanation,
)
from pipelines.analytics.forest import RandomCutForest
from pipelines.analytics.forests import Forests
from pipelines.analytics.options import ForestOptions
from pipelines.runtime.errors import ConfigurationError

COLUMNS = ("Systolic", "Diastolic")
OPTIONS = ForestOptions(COLUMNS, sub_sample_size=32, number_of_trees=30, with_directionality=True)


def batch_of(rows) -> pa.RecordBatch:
    arrays = [pa.array([row[at] for row in rows], pa.float64()) for at in range(len(COLUMNS))]
    return pa.RecordBatch.from_arrays(arrays, names=list(COLUMNS))


def pressure(count, seed=1):
    rng = random.Random(seed)
    return [(rng.gauss(120, 5), rng.gauss(80, 4)) for _ in range(count)]


def test_c12_the_text_is_by_column_in_order_with_numbers_as_text_of_four_decimals():
    shares = [Attribution("Systolic", 0.1435, 0.2357), Attribution("Diastolic", 0.25, 0.0823)]
    assert explanation(shares, directionality=True) == (
        '{"Systolic":{"DIRECTION":"LOW","STRENGTH":"0.0922","ATTRIBUTION_SCORE":"0.3792"},'
        '"Diastolic":{"DIRECTION":"HIGH","STRENGTH":"0.1677","ATTRIBUTION_SCORE":"0.3323"}}'
    )
    assert driver(explanation(shares, directionality=True)) == ("Systolic", "LOW", 0.3792)


def test_c12_directionality_is_told_where_it_is_asked_for():
    assert explanation([Attribution("A", 1, 2)], directionality=False) == '{"A":{"ATTRIBUTION_SCORE":"3.0000"}}'
    assert not ForestOptions().with_directionality
    assert driver(explanation([Attribution("A", 1, 2)], directionality=False)) == ("A", "", 3.0)


def test_c12_the_learning_phase_has_strength_0_and_direction_low():
    scored = ExplainedForests(OPTIONS).start("a").score(batch_of(pressure(32)))
    assert scored["ANOMALY_SCORE"].to_pylist() == [0.0] * 32
    share = {"DIRECTION": "LOW", "STRENGTH": "0.0000", "ATTRIBUTION_SCORE": "0.0000"}
    assert {json.dumps(json.loads(text)) for text in scored["ANOMALY_EXPLANATION"].to_pylist()} == {
        json.dumps(dict.fromkeys(COLUMNS, share))
    }


def test_c12_attributions_sum_to_the_score_and_scores_are_those_without_explanation():
    rows = [*pressure(200), (190.0, 80.0), (120.0, 20.0)]
    scored = ExplainedForests(OPTIONS).start("a").score(batch_of(rows))
    assert scored["ANOMALY_SCORE"] == Forests(OPTIONS).start("a").score(batch_of(rows))["ANOMALY_SCORE"]
    for score, text in zip(*(scored[name].to_pylist() for name in scored.schema.names[2:]), strict=True):
        shares = [float(of["ATTRIBUTION_SCORE"]) for of in json.loads(text).values()]
        assert sum(shares) == pytest.approx(score, abs=2e-4)  # each is rounded to four decimals
        assert re.fullmatch(r'(\{|,"[A-Z]\w+":\{|[\w":.,{}])+', text)


@pytest.mark.parametrize(
    ("odd", "column", "direction"),
    [((190, 80), "Systolic", "HIGH"), ((60, 80), "Systolic", "LOW"), ((120, 150), "Diastolic", "HIGH")],
)
def test_c12_the_column_that_went_off_drives_the_score_in_its_direction(odd, column, direction):
    scored = ExplainedForests(OPTIONS).start("a").score(batch_of([*pressure(300), odd]))
    scores = scored["ANOMALY_SCORE"].to_pylist()
    assert scores[-1] > 1.5 * max(scores[:-1])
    name, told, share = driver(scored["ANOMALY_EXPLANATION"][-1].as_py())
    assert (name, told) == (column, direction)
    assert share > 0.7 * scores[-1]


def test_what_no_forest_can_take_has_no_score_and_is_not_learnt():
    rows = pressure(60)
    with_infinity = [*rows[:50], (float("inf"), 80.0), *rows[50:]]
    scoring = ExplainedForests(OPTIONS)
    whole, odd = scoring.start("a").score(batch_of(rows)), scoring.start("a").score(batch_of(with_infinity))
    assert odd["ANOMALY_SCORE"][50].as_py() is None
    assert odd["ANOMALY_EXPLANATION"][50].as_py() is None
    assert odd["ANOMALY_SCORE"].to_pylist()[51:] == whole["ANOMALY_SCORE"].to_pylist()[50:]


def test_c12_a_restored_forest_explains_the_same_to_the_last_bit():
    rows, scoring = pressure(120), ExplainedForests(OPTIONS)
    scorer = scoring.start("a")
    scorer.score(batch_of(rows[:70]))
    again = scoring.restore("a", scorer.snapshot())
    assert again.score(batch_of(rows[70:])).equals(scorer.score(batch_of(rows[70:])))


def test_no_results_have_the_columns_too():
    scored = ExplainedForests(OPTIONS).start("a").score(batch_of([]))
    assert scored.schema.names == [*COLUMNS, "ANOMALY_SCORE", "ANOMALY_EXPLANATION"]


def longest_explanation(columns):
    """Of a forest that scores as high as a forest can: equal records, and then one as far off as can be."""
    options = ForestOptions(columns, sub_sample_size=1000, number_of_trees=5, with_directionality=True)
    forest = RandomCutForest(options)
    for _ in range(1_000):
        forest.learn([1.0] * len(columns))
    batch = pa.RecordBatch.from_arrays([pa.array([1e30])] * len(columns), names=list(columns))
    scored = ExplainedForest(forest).score(batch)
    return scored["ANOMALY_SCORE"][0].as_py(), scored["ANOMALY_EXPLANATION"][0].as_py()


@pytest.mark.parametrize(("length", "at_most"), [(8, 2_431), (128, 6_031), (256, 9_871), (609, 20_461)])
def test_c12_the_explanation_of_30_columns_fits_its_varchar(length, at_most):
    columns = tuple(f"c{at:02}".ljust(length, "x") for at in range(30))
    score, text = longest_explanation(columns)
    assert 9 < score < 10  # at most log2(1 + subSampleSize)
    assert len(text) == at_most <= EXPLANATION_CHARACTERS == 20_480


@pytest.mark.parametrize(
    ("columns", "characters"),
    [
        ([f"c{at:02}".ljust(610, "x") for at in range(30)], "20,491"),
        (["\n" * 4_000, *(f"{at}" * 4_200 for at in range(3))], "20,893"),  # JSON has two characters for one
    ],
)
def test_c12_columns_whose_explanation_could_be_too_long_are_refused_before_anything_runs(columns, characters):
    with pytest.raises(ConfigurationError, match=f"takes up to {characters} characters, and it has 20,480") as error:
        ExplainedForests(ForestOptions(tuple(columns), with_directionality=True))
    assert "shorter names" in error.value.fix
    ExplainedForests(ForestOptions(tuple(columns[1:]), with_directionality=True))


def test_c12_without_direction_an_explanation_is_shorter():
    columns = tuple(f"c{at:02}".ljust(640, "x") for at in range(30))
    ExplainedForests(ForestOptions(columns))
    with pytest.raises(ConfigurationError, match="ANOMALY_EXPLANATION"):
        ExplainedForests(ForestOptions(columns, with_directionality=True))
