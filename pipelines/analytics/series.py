"""The anomaly scorer of a series of one number: two forests, and what is told of an episode. Pure.

One forest knows the values, the other how far they lie from what the time of day or of the week lets expect
(`season`). A value is as anomalous as the forest finds to which it is the stranger.
"""

import struct
from dataclasses import dataclass
from typing import Final

import pyarrow as pa

from pipelines.analytics.episode import Episodes
from pipelines.analytics.forest import RandomCutForest
from pipelines.analytics.forests import ANOMALY_SCORE
from pipelines.analytics.options import ForestOptions
from pipelines.analytics.parts import join, split
from pipelines.analytics.rows import EVENT_MS
from pipelines.analytics.season import Season
from pipelines.runtime.errors import ConfigurationError, InvalidDataError

EPISODE_SCORE: Final = "episode_score"
"""The ANOMALY_SCORE where it begins an episode, else 0."""
ANOMALY: Final = "anomaly"
"""Whether the episode's score reaches the threshold."""
FIELDS: Final = (
    pa.field(ANOMALY_SCORE, pa.float64()),
    pa.field(EPISODE_SCORE, pa.float64()),
    pa.field(ANOMALY, pa.bool_(), nullable=False),
)
THRESHOLD: Final = 3.2
"""The round number nearest to the threshold under which the shared half of NAB scores best."""


@dataclass(frozen=True, slots=True)
class Score:
    """What one value is.

    Attributes:
        score: 0.0 while it learns (C11), see `ForestOptions.learning_records`.
        episode: the score if it is above all of the series' last tenth, else 0.0.
    """

    score: float
    episode: float


class SeriesScorer:
    """One series, value by value in event time's order; it knows the past alone.

    Args:
        options: of both forests; one column, shingleSize 1 is what it was measured with.

    Raises:
        ConfigurationError: more than one column.
    """

    def __init__(self, options: ForestOptions) -> None:
        if len(options.columns) != 1:
            message = f"a series has one number, not {len(options.columns)} columns"
            raise ConfigurationError(message, "name one column, or use RANDOM_CUT_FOREST for several")
        self._options = options
        self._values, self._strays = RandomCutForest(options), RandomCutForest(options)
        self._season, self._episodes = Season(), Episodes()

    def add(self, value: float, event_ms: int) -> Score:
        """The score of a value; it is learnt afterwards.

        Args:
            value: the number.
            event_ms: its time, ms since the epoch.

        Raises:
            InvalidDataError: no finite number, or one that float32 cannot hold; nothing is learnt.
        """
        expected = self._season.expected(event_ms)
        stray = [0.0 if expected is None else value - expected]
        self._strays.centred(stray)  # refused by one, learnt by none
        known = self._values.score([value])
        score = max(known, self._strays.score(stray))
        self._season.learn(event_ms, value)
        return Score(score, score if self._episodes.begins(score) else 0.0)

    def snapshot(self) -> bytes:
        """Everything it is, about 1 MB with 100 trees. See `restore`."""
        parts = [part.pack() for part in (self._season, self._episodes)]
        parts += [forest.snapshot() for forest in (self._values, self._strays)]
        return join(*parts)

    @classmethod
    def restore(cls, snapshot: bytes, options: ForestOptions) -> "SeriesScorer":
        """The scorer that `snapshot` was called on: from here on it gives the same bits.

        Raises:
            InvalidDataError: the bytes are no snapshot of a series.
            ConfigurationError: it was made with other options.
        """
        scorer = cls(options)
        try:
            season, episodes, *forests = split(snapshot, 4)
            scorer._season, scorer._episodes = Season.unpack(season), Episodes.unpack(episodes)
        except struct.error as error:
            message = "the bytes are no snapshot of a series"
            raise InvalidDataError(message, "start the series without the old state") from error
        scorer._values, scorer._strays = (RandomCutForest.restore(part, options) for part in forests)
        return scorer


@dataclass(frozen=True)
class SeriesForests:
    """Results -> the same with ANOMALY_SCORE, episode_score and anomaly. Implements `state.Scoring`.

    A value that no forest can take has no scores (null), is no anomaly and is not learnt.

    Args:
        options: `columns` names the one column of the results that is scored.
        threshold: from which episode_score on it is an anomaly.
    """

    options: ForestOptions
    threshold: float = THRESHOLD

    def schema(self, results: pa.Schema) -> pa.Schema:
        for field in FIELDS:
            results = results.append(field)
        return results

    def start(self, series: str) -> "ScoredSeries":
        return ScoredSeries(SeriesScorer(self.options), self)

    def restore(self, series: str, snapshot: bytes) -> "ScoredSeries":
        return ScoredSeries(SeriesScorer.restore(snapshot, self.options), self)


class ScoredSeries:
    """One series. Implements `state.Scorer`."""

    def __init__(self, scorer: SeriesScorer, scoring: SeriesForests) -> None:
        self._scorer = scorer
        self._scoring = scoring

    def score(self, results: pa.RecordBatch) -> pa.RecordBatch:
        values = results.column(self._scoring.options.columns[0]).to_pylist()
        found = [self._one(*row) for row in zip(values, results.column(EVENT_MS).to_pylist(), strict=True)]
        columns = (
            [one.score if one else None for one in found],
            [one.episode if one else None for one in found],
            [one is not None and one.episode >= self._scoring.threshold for one in found],
        )
        for field, column in zip(FIELDS, columns, strict=True):
            results = results.append_column(field, pa.array(column, field.type))
        return results

    def snapshot(self) -> bytes:
        return self._scorer.snapshot()

    def _one(self, value: float, event_ms: int) -> Score | None:
        try:
            return self._scorer.add(value, event_ms)
        except InvalidDataError:
            return None
