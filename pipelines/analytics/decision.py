"""When a score is an anomaly: a decision on top of scores, from a series' own past alone. Pure.

A score repeats itself through an episode, and what is a high one differs from series to series.
"""

import math
import struct
from dataclasses import dataclass
from typing import Final

import pyarrow as pa

from pipelines.analytics.episode import Episodes
from pipelines.analytics.forests import ANOMALY_SCORE
from pipelines.analytics.parts import join, split
from pipelines.analytics.state import Scorer, Scoring
from pipelines.runtime.errors import ConfigurationError

ANOMALY: Final = "anomaly"
"""Whether the result begins an anomaly."""
THRESHOLD: Final = "threshold"
"""What the score had to exceed; null before there was a score."""
FIELDS: Final = (pa.field(THRESHOLD, pa.float64()), pa.field(ANOMALY, pa.bool_(), nullable=False))

_HEAD: Final = struct.Struct("<qdd")


@dataclass(frozen=True, slots=True)
class Decision:
    """An anomaly is a score above all of the series' last tenth (`Episodes`), and `deviations` above the mean of all.

    The first condition tells of an episode once, at its beginning, and again only where it grows worse; the second one
    takes the threshold from the series' own history, so that it fits any scale of scores, as those of a forest of other
    columns and shingle size. Both know the past alone. On NAB, where one threshold for all series can be chosen for
    one scale, the second condition beside the first gives 70.8 to 71.6, and that one threshold 72.7 (docs/anomaly.md).

    Attributes:
        deviations: standard deviations of the series' scores so far.

    Raises:
        ConfigurationError: `deviations` is negative.
    """

    deviations: float = 3.0

    def __post_init__(self) -> None:
        if not self.deviations >= 0:
            message = f"Decision has deviations={self.deviations}."
            raise ConfigurationError(message, fix="give deviations >= 0, e.g. Decision(3.0)")


class Decider:
    """Decides for one series, score by score. Mean and variance by Welford's recurrence."""

    def __init__(self, decision: Decision) -> None:
        self._decision = decision
        self._episodes = Episodes()
        self._count, self._mean, self._squares = 0, 0.0, 0.0

    @property
    def threshold(self) -> float | None:
        """What the next score must exceed; None while there were fewer than two."""
        bar = self._episodes.bar
        if self._count < 2 or bar is None:
            return None
        spread = math.sqrt(self._squares / (self._count - 1))
        return max(bar, self._mean + self._decision.deviations * spread)

    def decide(self, score: float) -> bool:
        """Whether `score` is an anomaly; it belongs to the past afterwards."""
        threshold = self.threshold
        self._episodes.begins(score)
        self._count += 1
        step = score - self._mean
        self._mean += step / self._count
        self._squares += step * (score - self._mean)
        return threshold is not None and score > threshold

    def pack(self) -> bytes:
        """All of it; `unpack` is the inverse."""
        return _HEAD.pack(self._count, self._mean, self._squares) + self._episodes.pack()

    @classmethod
    def unpack(cls, packed: bytes, decision: Decision) -> "Decider":
        decider = cls(decision)
        decider._count, decider._mean, decider._squares = _HEAD.unpack_from(packed)
        decider._episodes = Episodes.unpack(packed[_HEAD.size :])
        return decider


@dataclass(frozen=True)
class Decided:
    """Scored results -> the same with the columns `threshold` and `anomaly`. Implements `state.Scoring`.

    A result without a score, and one of the learning phase with a score of 0 (C11), is no anomaly and no past.

    Args:
        scoring: gives ANOMALY_SCORE.
        decision: on each series.
    """

    scoring: Scoring
    decision: Decision = Decision()

    def schema(self, results: pa.Schema) -> pa.Schema:
        scored = self.scoring.schema(results)
        for field in FIELDS:
            scored = scored.append(field)
        return scored

    def start(self, series: str) -> "DecidedScorer":
        return DecidedScorer(self.scoring.start(series), Decider(self.decision))

    def restore(self, series: str, snapshot: bytes) -> "DecidedScorer":
        decider, scorer = split(snapshot, 2)
        return DecidedScorer(self.scoring.restore(series, scorer), Decider.unpack(decider, self.decision))


class DecidedScorer:
    """One series. Implements `state.Scorer`."""

    def __init__(self, scorer: Scorer, decider: Decider) -> None:
        self._scorer = scorer
        self._decider = decider

    def score(self, results: pa.RecordBatch) -> pa.RecordBatch:
        scored = self._scorer.score(results)
        thresholds, decided = [], []
        for score in scored.column(ANOMALY_SCORE).to_pylist():
            thresholds.append(self._decider.threshold)
            decided.append(bool(score) and self._decider.decide(score))
        for field, values in zip(FIELDS, (thresholds, decided), strict=True):
            scored = scored.append_column(field, pa.array(values, field.type))
        return scored

    def snapshot(self) -> bytes:
        return join(self._decider.pack(), self._scorer.snapshot())
