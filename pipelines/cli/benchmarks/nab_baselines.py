"""Detectors that `hydrant bench nab` runs beside ours: row by row, each row scored before it is learnt."""

import math
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final

from pipelines.runtime.errors import NotFoundError

_GAUSSIAN_ROWS: Final = 6400
"""NAB's own windowed Gaussian looks this far back."""
_REFRESH: Final = 10
_SEED: Final = 42


def null(values: Sequence[float]) -> list[float]:
    """Says nothing."""
    return [0.0] * len(values)


def windowed_gaussian(values: Sequence[float]) -> list[float]:
    """How improbable a value is under the normal distribution of the last rows: -log10 of the two-sided tail."""
    window: deque[float] = deque(maxlen=_GAUSSIAN_ROWS)
    mean, spread, scores = 0.0, 0.0, []
    for row, value in enumerate(values):
        distance = abs(value - mean) / spread if spread else 0.0
        tail = math.erfc(distance / math.sqrt(2))
        scores.append(-math.log10(tail) if tail > 0 else 400.0 + distance)
        window.append(value)
        if row % _REFRESH == 0:
            mean = math.fsum(window) / len(window)
            spread = math.sqrt(math.fsum((one - mean) ** 2 for one in window) / len(window))
    return scores


def beam_zscore(values: Sequence[float]) -> list[float]:
    """Beam's ml.anomaly ZScore as it comes: mean and deviation of the last 1,000 rows."""
    from apache_beam.ml.anomaly.detectors.zscore import ZScore

    return _beam(ZScore(), values)


def beam_robust_zscore(values: Sequence[float]) -> list[float]:
    """Beam's ml.anomaly RobustZScore as it comes: median and median deviation of the last 1,000 rows."""
    from apache_beam.ml.anomaly.detectors.robust_zscore import RobustZScore

    return _beam(RobustZScore(), values)


def _beam(detector: Any, values: Sequence[float]) -> list[float]:
    import apache_beam as beam

    scores = []
    for value in values:
        row = beam.Row(value=value)
        score = detector.score_one(row)
        scores.append(0.0 if score is None or not math.isfinite(score) else float(score))
        detector.learn_one(row)
    return scores


def half_space_trees(values: Sequence[float]) -> list[float]:
    """River's HalfSpaceTrees as it comes, behind its MinMaxScaler, since it takes numbers from 0 to 1.

    Raises:
        NotFoundError: river is not installed.
    """
    try:
        from river import anomaly, preprocessing
    except ImportError as error:
        message = "the benchmark's baseline half_space_trees needs river"
        raise NotFoundError(message, "pip install river") from error
    scaler: Any = preprocessing.MinMaxScaler()
    trees: Any = anomaly.HalfSpaceTrees(seed=_SEED)
    scores = []
    for value in values:
        scaler.learn_one({"value": value})
        scaled = scaler.transform_one({"value": value})
        scores.append(float(trees.score_one(scaled)))
        trees.learn_one(scaled)
    return scores


DETECTORS: Final[dict[str, Callable[[Sequence[float]], list[float]]]] = {
    "null": null,
    "windowed_gaussian": windowed_gaussian,
    "beam_zscore": beam_zscore,
    "beam_robust_zscore": beam_robust_zscore,
    "half_space_trees": half_space_trees,
}
