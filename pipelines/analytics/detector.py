"""RANDOM_CUT_FOREST as a detector of Beam's own `apache_beam.ml.anomaly`.

    rows | AnomalyDetection(ForestDetector(features=["value"]))

Beam keeps the detector in state by pickling it, for every element: 1.5 MB and some milliseconds each. `ScoreRows` keeps
one snapshot a bundle at most; this class is for pipelines that are built on Beam's transform.
"""

import math
from collections.abc import Sequence
from numbers import Real
from typing import Any

import apache_beam as beam
from apache_beam.ml.anomaly.base import AnomalyDetector
from apache_beam.ml.anomaly.specifiable import specifiable
from apache_beam.ml.anomaly.thresholds import FixedThreshold

from pipelines.analytics.forest import RandomCutForest
from pipelines.analytics.options import ForestOptions
from pipelines.analytics.series import THRESHOLD
from pipelines.runtime.errors import InvalidDataError


@specifiable(
    on_demand_init=False, just_in_time_init=False
)  # its state is pickled, and wrong parameters are refused here
class ForestDetector(AnomalyDetector):
    """Scores `beam.Row`s of numbers; the forest's columns are the fields of the first row it sees, in their order.

    `score_one` gives NaN, Beam's sign for "not ready", for each of the first subSampleSize rows, or shingleSize if that
    is more (KDA's function gives 0, C11), and None for a row that no forest can take; `learn_one` leaves such a row
    out.

    Args:
        parameters: of RANDOM_CUT_FOREST by KDA's names (C11).
        seed: of the forest's random choices.
        kwargs: of Beam's AnomalyDetector: features, model_id, threshold_criterion; a score of 3.2 is an outlier by
            default.

    Raises:
        ConfigurationError: a parameter is unknown or out of its range.
    """

    def __init__(self, parameters: dict[str, Any] | None = None, seed: int = 1, **kwargs: Any) -> None:
        kwargs.setdefault("threshold_criterion", FixedThreshold(THRESHOLD))
        super().__init__(**kwargs)
        self._parameters = dict(parameters or {})
        self._seed = seed
        self._forest: RandomCutForest | None = None
        ForestOptions.of(self._parameters)  # refuses what is wrong before anything runs

    def learn_one(self, x: beam.Row) -> None:
        try:
            forest = self._of(x)
            forest.learn(_vector(x, forest.options.columns))
        except InvalidDataError:
            return

    def score_one(self, x: beam.Row) -> float | None:
        forest = self._of(x)
        try:
            score = forest.peek(_vector(x, forest.options.columns))
        except InvalidDataError:
            return None
        return score if forest.seen >= forest.options.learning_records else math.nan

    def _of(self, row: beam.Row) -> RandomCutForest:
        if self._forest is None:
            self._forest = RandomCutForest(ForestOptions.of(self._parameters, tuple(row.as_dict()), self._seed))
        return self._forest

    def __getstate__(self) -> dict[str, Any]:
        held = self._forest
        snapshot = (held.options, held.snapshot()) if held else None
        return {**self.__dict__, "_forest": snapshot}

    def __setstate__(self, state: dict[str, Any]) -> None:
        snapshot = state.pop("_forest")
        self.__dict__.update(state)
        self._forest = RandomCutForest.restore(snapshot[1], snapshot[0]) if snapshot else None


def _vector(row: beam.Row, columns: Sequence[str]) -> list[float]:
    """The row's numbers by name, whatever their order; what is none, or missing, is NaN, which the forest refuses.

    Numbers are Python's and numpy's.
    """
    values = [row.as_dict().get(name) for name in columns]
    return [float(value) if isinstance(value, Real) else math.nan for value in values]
