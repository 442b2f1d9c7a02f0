"""How the Numenta Anomaly Benchmark scores a detector, by its published description (Lavin and Ahmad, 2015). Pure.

A labelled window earns once, by its earliest detection: nearly 1 at its left edge, falling to nearly 0 at its right; a
window without a detection costs. A detection outside costs, less the closer it lies behind a window. The first rows of
a series are not scored. One threshold holds for the whole corpus: the one under which the corpus scores best. The sum
is put on a scale on which a detector that says nothing has 0, one that finds each window at once and nothing else 100.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import numpy as np
import numpy.typing as npt

from pipelines.runtime.errors import InvalidDataError

_Floats = npt.NDArray[np.float64]

PROBATION: Final = 0.15
"""Share of a series that is not scored: a detector may learn there."""
_PROBATION_ROWS: Final = 5000
"""A series longer than this has no longer probation."""
_STEEPNESS: Final = 5.0
_FAR_BEHIND: Final = 3.0
"""So many windows' widths behind a window, a detection costs all it can."""
_OUTSIDE: Final = -1


@dataclass(frozen=True, slots=True)
class Profile:
    """What hits, misses and false alarms weigh for one kind of user.

    Attributes:
        true_positive: earned by a window that is found at its left edge.
        false_negative: what a missed window costs.
        false_positive: the most that a detection outside every window costs.
    """

    true_positive: float
    false_negative: float
    false_positive: float


@dataclass(frozen=True, slots=True)
class Labelled:
    """A series' rows as the scorer sees them, made by `label`.

    Attributes:
        position: of each row, from 0.987 at a window's left edge over 0 at its right edge to -1 far behind one.
        window: of each row, the number of the window that it lies in, -1 outside.
        probation: how many rows at the start are not scored.
    """

    position: npt.NDArray[np.float64]
    window: npt.NDArray[np.int64]
    probation: int

    @property
    def windows(self) -> list[int]:
        """The windows that can be found: those with a scored row."""
        return [int(number) for number in np.unique(self.window[self.probation :]) if number != _OUTSIDE]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a detector reached on one series at one threshold.

    Attributes:
        score: not normalised.
        found: windows with at least one detection.
        missed: windows without.
        false_alarms: detections outside every window.
    """

    score: float
    found: int
    missed: int
    false_alarms: int


def label(times: Sequence[datetime], windows: Sequence[tuple[datetime, datetime]]) -> Labelled:
    """The rows of a series beside its labelled windows.

    Args:
        times: of the rows, in the series' order.
        windows: first and last row's time of each window, in order, none overlapping another.

    Raises:
        InvalidDataError: a window does not begin and end at rows of the series, in that order.
    """
    rows = len(times)
    position = np.full(rows, -1.0)
    window = np.full(rows, _OUTSIDE, dtype=np.int64)
    behind = 0
    for number, (start, end) in enumerate(windows):
        try:
            first = times.index(start, behind)
            last = times.index(end, first)
        except ValueError as error:
            message = f"the window from {start} to {end} does not begin and end at rows of its series"
            raise InvalidDataError(message, "label the series with the times of its own rows") from error
        width = last - first + 1
        inside = np.arange(first, last + 1)
        position[inside] = _sigmoid(-(last - inside + 1) / width)
        window[inside] = number
        behind = last + 1
        after = np.arange(behind, rows)
        position[after] = _sigmoid((after - last) / max(width - 1, 1))
    return Labelled(position, window, math.floor(PROBATION * min(rows, _PROBATION_ROWS)))


def _sigmoid(relative: _Floats) -> _Floats:
    """How much a row earns: 0.987 at -1, the left edge, 0 at the right edge, -1 from 3 on."""
    value = 2.0 / (1.0 + np.exp(_STEEPNESS * np.minimum(relative, _FAR_BEHIND))) - 1.0
    return np.where(relative > _FAR_BEHIND, -1.0, value)


def outcome(series: Labelled, scores: Sequence[float], threshold: float, profile: Profile) -> Outcome:
    """What detections at every scored row whose score reaches `threshold` are worth on one series."""
    hit = np.asarray(scores, dtype=np.float64)[series.probation :] >= threshold
    position, window = series.position[series.probation :], series.window[series.probation :]
    alarms = hit & (window == _OUTSIDE)
    total = profile.false_positive * float(position[alarms].sum())
    found = 0
    for number in series.windows:
        hits = position[hit & (window == number)]
        found += bool(hits.size)
        total += profile.true_positive * float(hits.max()) / _best() if hits.size else -profile.false_negative
    return Outcome(total, found, len(series.windows) - found, int(alarms.sum()))


def _best() -> float:
    return float(_sigmoid(np.array([-1.0]))[0])


def best_threshold(
    corpus: Mapping[str, Labelled], scores: Mapping[str, Sequence[float]], profile: Profile
) -> tuple[float, float]:
    """The threshold under which the corpus scores best, and that score, not normalised.

    Every score that occurs is tried, and one above all of them, which detects nothing.
    """
    levels, gains, windows = [], [], []
    first_window = 0
    for name, series in corpus.items():
        levels.append(np.asarray(scores[name], dtype=np.float64)[series.probation :])
        window = series.window[series.probation :]
        inside = window != _OUTSIDE
        position = series.position[series.probation :]
        gains.append(np.where(inside, profile.true_positive * position / _best(), profile.false_positive * position))
        windows.append(np.where(inside, window + first_window, _OUTSIDE))
        first_window += int(series.window.max(initial=_OUTSIDE)) + 1
    level, gain, window = np.concatenate(levels), np.concatenate(gains), np.concatenate(windows)
    known = sorted({int(number) for number in window if number != _OUTSIDE})
    earned = dict.fromkeys(known, -profile.false_negative)
    total = -profile.false_negative * len(known)
    best, best_at = total, math.nextafter(float(level.max()), math.inf)
    order = np.argsort(-level, kind="stable")
    for rank, row in enumerate(order):
        number = int(window[row])
        if number == _OUTSIDE:
            total += float(gain[row])
        elif gain[row] > earned[number]:
            total += float(gain[row]) - earned[number]
            earned[number] = float(gain[row])
        is_last_of_level = rank + 1 == len(order) or level[order[rank + 1]] != level[row]
        if is_last_of_level and total > best:
            best, best_at = total, float(level[row])
    return best_at, best


def normalised(total: float, windows: int, profile: Profile) -> float:
    """A corpus' score on the scale from 0, which is no detection at all, to 100, which is perfection."""
    nothing = -profile.false_negative * windows
    return 100.0 * (total - nothing) / (profile.true_positive * windows - nothing)
