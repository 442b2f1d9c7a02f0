"""The parameters of RANDOM_CUT_FOREST and RANDOM_CUT_FOREST_WITH_EXPLANATION, their defaults and ranges (C11, C12)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from pipelines.runtime.errors import ConfigurationError

MAX_COLUMNS: Final = 30
"""How many numeric columns the function takes (C11)."""

RANGES: Final[dict[str, tuple[str, int, int]]] = {
    "numberOfTrees": ("number_of_trees", 1, 1000),
    "subSampleSize": ("sub_sample_size", 10, 1000),
    "timeDecay": ("time_decay", 1, 2**31 - 1),
    "shingleSize": ("shingle_size", 1, 30),
}
"""KDA's name of each whole-number parameter, ours, the least and the most (C11)."""

_DIRECTIONALITY: Final = "withDirectionality"


@dataclass(frozen=True, slots=True)
class ForestOptions:
    """What RANDOM_CUT_FOREST is called with (C11), and the seed that makes it repeatable.

    Attributes:
        columns: names of the numeric columns in the cursor's order, 1 to 30.
        number_of_trees: the score is the mean over them; numberOfTrees.
        sub_sample_size: records a tree keeps, and records before the first score, unless a shingle is longer, see
            `learning_records`; subSampleSize.
        time_decay: records in which a record's weight falls by the factor e; timeDecay.
        shingle_size: consecutive records that make one point; shingleSize.
        with_directionality: whether an explanation says in which direction a column went (C12); withDirectionality.
        seed: of the forest's random choices; KDA has none and draws anew in each run.

    Raises:
        ConfigurationError: a value out of its range, no column or too many, a column twice, or subSampleSize not below
            timeDecay (C11).
    """

    columns: tuple[str, ...] = ("VALUE",)
    number_of_trees: int = 100
    sub_sample_size: int = 256
    time_decay: int = 100_000
    shingle_size: int = 1
    with_directionality: bool = False
    seed: int = 1

    def __post_init__(self) -> None:
        for name, (attribute, least, most) in RANGES.items():
            value = getattr(self, attribute)
            if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
                message = f"{name} must be a whole number from {least} to {most}, not {value!r}"
                raise ConfigurationError(message, f"set {name} to a value in that range")
        if self.sub_sample_size >= self.time_decay:
            message = f"subSampleSize ({self.sub_sample_size}) must be less than timeDecay ({self.time_decay})"
            raise ConfigurationError(message, "lower subSampleSize or raise timeDecay")
        if not isinstance(self.with_directionality, bool):
            message = f"{_DIRECTIONALITY} must be true or false, not {self.with_directionality!r}"
            raise ConfigurationError(message, f"set {_DIRECTIONALITY} to true or false")
        if not 1 <= len(self.columns) <= MAX_COLUMNS:
            message = f"RANDOM_CUT_FOREST takes 1 to {MAX_COLUMNS} numeric columns, not {len(self.columns)}"
            raise ConfigurationError(message, "select fewer columns in the cursor, at least one of them numeric")
        if len(set(self.columns)) != len(self.columns):
            message = f"a column is given twice: {', '.join(self.columns)}"
            raise ConfigurationError(message, "name each column once")

    @property
    def learning_records(self) -> int:
        """How many records at a series' beginning have the score 0.

        C11 has subSampleSize. Before there are shingleSize records there is no shingle that could be scored, so it is
        that many where it is more.
        """
        return max(self.sub_sample_size, self.shingle_size)

    @classmethod
    def of(cls, parameters: Mapping[str, Any], columns: tuple[str, ...] = ("VALUE",), seed: int = 1) -> "ForestOptions":
        """From KDA's names; what is not given has KDA's default.

        Args:
            parameters: by KDA's names: numberOfTrees, subSampleSize, timeDecay, shingleSize, withDirectionality.
            columns: names of the numeric columns in the cursor's order.
            seed: of the forest's random choices.

        Raises:
            ConfigurationError: an unknown parameter, or a value that is refused.
        """
        unknown = sorted(set(parameters) - set(RANGES) - {_DIRECTIONALITY})
        if unknown:
            message = f"RANDOM_CUT_FOREST has no parameter {', '.join(unknown)}"
            raise ConfigurationError(message, f"use {', '.join(RANGES)} or {_DIRECTIONALITY}")
        ours = {RANGES[name][0]: value for name, value in parameters.items() if name in RANGES}
        return cls(columns, **ours, with_directionality=parameters.get(_DIRECTIONALITY, False), seed=seed)
