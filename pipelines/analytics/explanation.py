"""ANOMALY_EXPLANATION (C12): which column drove a score of RANDOM_CUT_FOREST, and in which direction. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import orjson
import pyarrow as pa

from pipelines.analytics.forest import RandomCutForest
from pipelines.analytics.forests import ANOMALY_SCORE
from pipelines.analytics.options import ForestOptions
from pipelines.runtime.errors import ConfigurationError, InvalidDataError

ANOMALY_EXPLANATION: Final = "ANOMALY_EXPLANATION"
EXPLANATION_CHARACTERS: Final = 20_480
"""ANOMALY_EXPLANATION is a VARCHAR of this length (C12)."""
FIELDS: Final = (pa.field(ANOMALY_SCORE, pa.float64()), pa.field(ANOMALY_EXPLANATION, pa.string()))


@dataclass(frozen=True, slots=True)
class Attribution:
    """What one column gave to a score.

    Attributes:
        column: its name.
        high: how much came from its value being higher than what the forest knows.
        low: how much from its being lower.
    """

    column: str
    high: float
    low: float

    @property
    def score(self) -> float:
        """The column's share; those of all columns add up to the ANOMALY_SCORE (C12)."""
        return self.high + self.low

    @property
    def direction(self) -> Literal["HIGH", "LOW"]:
        """LOW while the forest learns (C12)."""
        return "HIGH" if self.high > self.low else "LOW"

    @property
    def strength(self) -> float:
        """How far the one direction outweighs the other; AWS does not say how it computes STRENGTH."""
        return abs(self.high - self.low)


def explanation(attributions: Sequence[Attribution], *, directionality: bool) -> str:
    """The JSON text of ANOMALY_EXPLANATION: by column, numbers as text with four decimals (C12).

    Args:
        attributions: in the order of the cursor's columns.
        directionality: whether DIRECTION and STRENGTH are told (withDirectionality).
    """
    told = {}
    for found in attributions:
        direction = {"DIRECTION": found.direction, "STRENGTH": f"{found.strength:.4f}"} if directionality else {}
        told[found.column] = {**direction, "ATTRIBUTION_SCORE": f"{found.score:.4f}"}
    return orjson.dumps(told).decode()


def require_fit(columns: Sequence[str], *, directionality: bool) -> None:
    """Refuses columns whose explanation would not always fit into its VARCHAR(20480) (C12).

    A score is below 10, as it is at most log2(1 + subSampleSize): each number has six characters, so the names alone
    decide. That of 30 columns has at most 6,031 characters where each name has 128, 9,871 where it has 256, and is too
    long from 610 on.

    Args:
        columns: as the explanation names them.
        directionality: whether it tells DIRECTION and STRENGTH.

    Raises:
        ConfigurationError: it would be longer.
    """
    longest = explanation([Attribution(name, 9.9999, 0.0) for name in columns], directionality=directionality)
    if len(longest) > EXPLANATION_CHARACTERS:
        message = (
            f"{ANOMALY_EXPLANATION} names every column, which with these {len(columns):,} takes up to {len(longest):,} "
            f"characters, and it has {EXPLANATION_CHARACTERS:,}"
        )
        raise ConfigurationError(message, "give the columns shorter names, or fewer columns to one forest")


def driver(explained: str) -> tuple[str, str, float]:
    """The column that gave most to a score, its DIRECTION ("" where it is not told), and its ATTRIBUTION_SCORE."""
    columns = orjson.loads(explained)
    name = max(columns, key=lambda column: float(columns[column]["ATTRIBUTION_SCORE"]))
    return name, columns[name].get("DIRECTION", ""), float(columns[name]["ATTRIBUTION_SCORE"])


@dataclass(frozen=True)
class ExplainedForests:
    """Results -> the same with the columns ANOMALY_SCORE DOUBLE and ANOMALY_EXPLANATION VARCHAR (C12).

    Implements `state.Scoring`. A result that no forest can take has neither (null), and is not learnt.

    Args:
        options: of every forest; `columns` are columns of the results.

    Raises:
        ConfigurationError: the columns' names are too long for an explanation, see `require_fit`.
    """

    options: ForestOptions

    def __post_init__(self) -> None:
        require_fit(self.options.columns, directionality=self.options.with_directionality)

    def schema(self, results: pa.Schema) -> pa.Schema:
        for field in FIELDS:
            results = results.append(field)
        return results

    def start(self, series: str) -> "ExplainedForest":
        return ExplainedForest(RandomCutForest(self.options))

    def restore(self, series: str, snapshot: bytes) -> "ExplainedForest":
        return ExplainedForest(RandomCutForest.restore(snapshot, self.options))


class ExplainedForest:
    """One series' forest. Implements `state.Scorer`."""

    def __init__(self, forest: RandomCutForest) -> None:
        self._forest = forest

    def score(self, results: pa.RecordBatch) -> pa.RecordBatch:
        columns = [results.column(name).to_pylist() for name in self._forest.options.columns]
        found = [self._explained(vector) for vector in zip(*columns, strict=True)]
        for field, values in zip(FIELDS, zip(*found, strict=True) if found else ([], []), strict=True):
            results = results.append_column(field, pa.array(values, field.type))
        return results

    def snapshot(self) -> bytes:
        return self._forest.snapshot()

    def _explained(self, vector: tuple[float, ...]) -> tuple[float | None, str | None]:
        options = self._forest.options
        try:
            score, high, low = self._forest.attribute(vector)
        except InvalidDataError:
            return None, None
        shares = [Attribution(*share) for share in zip(options.columns, high, low, strict=True)]
        return score, explanation(shares, directionality=options.with_directionality)
