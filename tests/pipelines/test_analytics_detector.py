"""ForestDetector inside Beam's own AnomalyDetection transform."""

import math
import pickle
import random

import apache_beam as beam
import numpy as np
import pytest
from apache_beam.ml.anomaly.transforms import AnomalyDetection
from apache_beam.testing.util import assert_that

from pipelines.analytics.detector import ForestDetector
from pipelines.analytics.forest import RandomCutForest
from pipelines.analytics.options import ForestOptions
from pipelines.runtime.errors import ConfigurationError

PARAMETERS = {"numberOfTrees": 10, "subSampleSize": 16}


def values():
    chance = random.Random(1)
    return [chance.gauss(0, 1) for _ in range(60)] + [50.0]


def test_in_beams_transform_it_scores_as_the_function_does_and_labels_the_outlier():
    forest = RandomCutForest(ForestOptions.of(PARAMETERS, ("value",)))
    expected = {value: forest.score([value]) for value in values()}

    def check(results):
        assert len(results) == 61
        for key, result in results:
            (prediction,) = result.predictions
            value = result.example.value
            assert (key, prediction.model_id) == ("cpu", "rcf")
            if expected[value] == 0.0:
                assert math.isnan(prediction.score)
                assert prediction.label == -2  # Beam's label of a detector that is not ready
            else:
                assert prediction.score == expected[value]
                assert prediction.label == int(value == 50.0)

    with beam.Pipeline("DirectRunner") as pipeline:
        rows = pipeline | beam.Create([("cpu", beam.Row(value=value, note="x")) for value in values()])
        found = rows | AnomalyDetection(ForestDetector(PARAMETERS, features=["value"], model_id="rcf"))
        assert_that(found, check)


def test_pickled_between_any_two_rows_it_goes_on_with_the_same_bits():
    detector, other = ForestDetector(PARAMETERS), ForestDetector(PARAMETERS)
    for value in values():
        row = beam.Row(value=value)
        detector = pickle.loads(pickle.dumps(detector))
        first, second = detector.score_one(row), other.score_one(row)
        assert first == second or (math.isnan(first) and math.isnan(second))
        detector.learn_one(row)
        other.learn_one(row)


@pytest.mark.parametrize("bad", [math.nan, math.inf, None, "1"])
def test_a_row_that_is_no_number_has_no_score_and_is_not_learnt(bad):
    detector = ForestDetector(PARAMETERS)
    for value in values():
        detector.learn_one(beam.Row(value=value))
        assert detector.score_one(beam.Row(value=bad)) is None
        detector.learn_one(beam.Row(value=bad))
    assert detector.score_one(beam.Row(value=0.5)) > 0


@pytest.mark.parametrize("number", [np.int8, np.int64, np.uint16, np.float16, np.float32, np.float64])
def test_numbers_of_numpy_score_as_those_of_python_that_they_are_equal_to(number):
    detector, other = ForestDetector(PARAMETERS), ForestDetector(PARAMETERS)
    for value in [*range(20), *range(20, 0, -1), 50]:
        row, python = beam.Row(value=number(value)), beam.Row(value=value)
        score = detector.score_one(row)
        assert score is not None
        assert score == other.score_one(python) or (math.isnan(score) and math.isnan(other.score_one(python)))
        detector.learn_one(row)
        other.learn_one(python)
    assert score > 1


def test_it_is_not_ready_before_there_is_a_whole_shingle():
    detector, found = ForestDetector({"numberOfTrees": 5, "subSampleSize": 10, "shingleSize": 30}), []
    for value in values():
        found.append(detector.score_one(beam.Row(value=value)))
        detector.learn_one(beam.Row(value=value))
    assert [at for at, score in enumerate(found) if math.isnan(score)] == list(range(30))
    assert all(score > 0 for score in found[30:])


def test_parameters_are_refused_where_the_detector_is_made():
    with pytest.raises(ConfigurationError, match="numberOfTrees"):
        ForestDetector({"numberOfTrees": 0})
