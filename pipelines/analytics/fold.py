"""What is computed of a window's numbers: the same to the last bit however its rows are cut into batches. Pure."""

import math
from collections.abc import Sequence

import numpy as np

from pipelines.analytics.windows import Function


def total(numbers: np.ndarray) -> float:
    """The sum, one added behind the other."""
    with np.errstate(invalid="ignore", over="ignore"):
        return _plain(np.add.accumulate(numbers)[-1])


def least(numbers: Sequence[float] | np.ndarray) -> float:
    """The least: NaN where one is, and 0.0 for -0.0, which no order tells apart from it.

    So it does not matter in which order, and in how many parts, the numbers are looked at.
    """
    return _extreme(np.minimum, numbers)


def most(numbers: Sequence[float] | np.ndarray) -> float:
    """The largest, as `least`."""
    return _extreme(np.maximum, numbers)


def _extreme(which: np.ufunc, numbers: Sequence[float] | np.ndarray) -> float:
    return _plain(which.reduce(numbers)) + 0.0


def _plain(number: float) -> float:
    """`number`, and of all the NaNs that there are always the same."""
    return math.nan if math.isnan(number) else float(number)


def slid(function: Function, column: np.ndarray, begins: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Of each row the aggregate of its sliding window.

    Args:
        function: the aggregate's.
        column: the numbers of all rows.
        begins: of each row, the first of its window.
        at: of each row, its place: the last of its window.
    """
    match function:
        case "COUNT":
            return (at - begins + 1).astype(np.float64)
        case "FIRST":
            return column[begins]
        case "LAST":
            return column[at]
    windows = (column[begin : end + 1] for begin, end in zip(begins, at, strict=True))
    match function:
        case "MIN":
            return np.array([least(window) for window in windows], np.float64)
        case "MAX":
            return np.array([most(window) for window in windows], np.float64)
    sums = np.array([total(window) for window in windows], np.float64)
    return sums if function == "SUM" else sums / (at - begins + 1)
