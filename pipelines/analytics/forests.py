"""RANDOM_CUT_FOREST over what windows give: a forest a series (C11). Pure; implements `state.Scoring`."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa

from pipelines.analytics.forest import RandomCutForest
from pipelines.analytics.options import ForestOptions

ANOMALY_SCORE: Final = "ANOMALY_SCORE"
_FIELD: Final = pa.field(ANOMALY_SCORE, pa.float64())


@dataclass(frozen=True)
class Forests:
    """Results -> the same with a last column ANOMALY_SCORE DOUBLE: 0 while the forest learns (C11).

    A result that no forest can take, as a sum that is infinite, has no score (null) and is not learnt.

    Args:
        options: of every forest; `columns` are columns of the results.
    """

    options: ForestOptions

    def schema(self, results: pa.Schema) -> pa.Schema:
        return results.append(_FIELD)

    def start(self, series: str) -> "ForestScorer":
        return ForestScorer(RandomCutForest(self.options))

    def restore(self, series: str, snapshot: bytes) -> "ForestScorer":
        return ForestScorer(RandomCutForest.restore(snapshot, self.options))


class ForestScorer:
    """One series' forest. Implements `state.Scorer`."""

    def __init__(self, forest: RandomCutForest) -> None:
        self._forest = forest

    def score(self, results: pa.RecordBatch) -> pa.RecordBatch:
        columns = [results.column(name).to_numpy() for name in self._forest.options.columns]
        scores = self._forest.score_all(np.column_stack(columns))
        return results.append_column(_FIELD, pa.array(scores, pa.float64()))

    def snapshot(self) -> bytes:
        return self._forest.snapshot()
