"""HOTSPOTS: where records lie closer together than elsewhere (C13), by DBSCAN over the last records. Pure.

Of each record it is told which hotspots of the window it lies in: their density, and the box around them.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import orjson
import pyarrow as pa
from sklearn.cluster import DBSCAN

from pipelines.kinesis.page import decode_batch, encode_batch
from pipelines.runtime.errors import ConfigurationError

HOTSPOTS_RESULT: Final = "HOTSPOTS_RESULT"
"""The output column; AWS's page calls it HOTSPOT_RESULTS in its heading, and its queries as here."""
RESULT_CHARACTERS: Final = 10_000
"""HOTSPOTS_RESULT is a VARCHAR of this length."""

_LONGEST_NUMBER: Final = len("-2.2250738585072014e-308,")
_FIELD: Final = pa.field(HOTSPOTS_RESULT, pa.string(), nullable=False)
_PARAMETERS: Final = {
    "windowSize": "window_size",
    "scanRadius": "scan_radius",
    "minimumNumberOfPointsInAHotspot": "minimum_points",
}


@dataclass(frozen=True, slots=True)
class HotspotOptions:
    """What HOTSPOTS is called with (C13). KDA has no defaults.

    Attributes:
        columns: names of the numeric columns in the cursor's order.
        window_size: records considered with each record, itself the last of them, 100 to 1000; windowSize.
        scan_radius: two records at most so far apart are neighbours, more than 0; scanRadius, DBSCAN's eps.
        minimum_points: a record with so many neighbours, itself one of them, makes a hotspot, 2 to `window_size`;
            minimumNumberOfPointsInAHotspot, DBSCAN's min_samples.

    Raises:
        ConfigurationError: a value out of its range, no column, or so many that HOTSPOTS_RESULT may be too short for a
            single hotspot.
    """

    columns: tuple[str, ...]
    window_size: int
    scan_radius: float
    minimum_points: int

    def __post_init__(self) -> None:
        _whole("windowSize", self.window_size, 100, 1000)
        _whole("minimumNumberOfPointsInAHotspot", self.minimum_points, 2, self.window_size)
        radius = self.scan_radius
        if isinstance(radius, bool) or not isinstance(radius, int | float) or not 0 < radius < math.inf:
            message = f"scanRadius must be a number above 0, not {radius!r}"
            raise ConfigurationError(message, "set scanRadius to about the distance between neighbours in a hotspot")
        if not self.columns or len(set(self.columns)) != len(self.columns):
            message = f"HOTSPOTS takes one or more numeric columns, each once, not {list(self.columns)}"
            raise ConfigurationError(message, "select them in the cursor")
        longest = _LONGEST_NUMBER * (2 * len(self.columns) + 1) + len(result_json([Hotspot(0.0, (), ())]))
        if longest > RESULT_CHARACTERS:
            message = (
                f"a hotspot of {len(self.columns):,} columns has up to {longest:,} characters, and {HOTSPOTS_RESULT} "
                f"has {RESULT_CHARACTERS:,}"
            )
            raise ConfigurationError(message, "select fewer numeric columns in the cursor")

    @classmethod
    def of(cls, parameters: Mapping[str, Any], columns: tuple[str, ...]) -> "HotspotOptions":
        """From KDA's names.

        Raises:
            ConfigurationError: an unknown or a missing parameter, or a value that is refused.
        """
        unknown = sorted(set(parameters) - set(_PARAMETERS))
        missing = sorted(set(_PARAMETERS) - set(parameters))
        if unknown or missing:
            what = f"has no parameter {', '.join(unknown)}" if unknown else f"needs {', '.join(missing)}"
            message = f"HOTSPOTS {what}"
            raise ConfigurationError(message, f"give {', '.join(_PARAMETERS)}")
        return cls(columns, **{_PARAMETERS[name]: value for name, value in parameters.items()})


@dataclass(frozen=True, slots=True)
class Hotspot:
    """A hotspot of a window.

    Attributes:
        density: records in it by the volume of its box. A side on which all of them are equal counts as scanRadius.
        least: the least value of each column.
        most: the largest of each column.
    """

    density: float
    least: tuple[float, ...]
    most: tuple[float, ...]

    def holds(self, point: np.ndarray) -> bool:
        """Whether `point` lies in the box."""
        return bool(np.all(point >= self.least) and np.all(point <= self.most))

    def to_json(self) -> dict[str, Any]:
        """As HOTSPOTS_RESULT tells of it."""
        return {"density": self.density, "minValues": self.least, "maxValues": self.most}


def hotspots(points: np.ndarray, options: HotspotOptions) -> list[Hotspot]:
    """The hotspots of `points` (records by columns), the densest first."""
    if len(points) < options.minimum_points:
        return []
    labels = DBSCAN(eps=options.scan_radius, min_samples=options.minimum_points).fit(points).labels_
    found = [_hotspot(points[labels == label], options) for label in range(int(labels.max()) + 1)]
    return sorted(found, key=lambda hotspot: (-hotspot.density, hotspot.least))


def _hotspot(members: np.ndarray, options: HotspotOptions) -> Hotspot:
    least, most = members.min(axis=0), members.max(axis=0)
    sides = np.where(most > least, most - least, options.scan_radius)
    volume = max(float(np.prod(sides)), _LEAST_VOLUME)
    return Hotspot(len(members) / volume, tuple(least.tolist()), tuple(most.tolist()))


def result_json(found: list[Hotspot]) -> str:
    """HOTSPOTS_RESULT; the least dense of `found` are left out where it would be longer than a VARCHAR(10000) (C13).

    One always fits: `HotspotOptions` sees to that.
    """
    while True:
        text = orjson.dumps({"hotspots": [hotspot.to_json() for hotspot in found]}).decode()
        if len(text) <= RESULT_CHARACTERS or not found:
            return text
        found = found[:-1]


@dataclass(frozen=True)
class Hotspots:
    """Results -> the same with a last column HOTSPOTS_RESULT (C13). Implements `state.Scoring`.

    Give it `each_row(columns)` as windows, so that each record is one result.

    Args:
        options: `columns` are columns of the results.
    """

    options: HotspotOptions

    def schema(self, results: pa.Schema) -> pa.Schema:
        return results.append(_FIELD)

    def start(self, series: str) -> "HotspotScorer":
        return HotspotScorer(self.options, np.empty((0, len(self.options.columns)), np.float64))

    def restore(self, series: str, snapshot: bytes) -> "HotspotScorer":
        columns = [column.to_numpy() for column in decode_batch(snapshot).columns]
        return HotspotScorer(self.options, np.stack(columns, axis=1))


_FARTHEST: Final = 1e150
"""Squares of distances between points must be finite."""
_LEAST_VOLUME: Final = 1e-300
"""A density must be finite, as JSON has no infinity."""


class HotspotScorer:
    """The last records of one series. Implements `state.Scorer`."""

    def __init__(self, options: HotspotOptions, points: np.ndarray) -> None:
        self._options = options
        self._points = points

    def score(self, results: pa.RecordBatch) -> pa.RecordBatch:
        new = np.stack([results.column(name).to_numpy() for name in self._options.columns], axis=1)
        # What is no number lies in no hotspot, and would be in the way of all others.
        is_point = (np.abs(new) <= _FARTHEST).all(axis=1)
        points = np.concatenate([self._points, new[is_point]])
        ends = len(self._points) + np.cumsum(is_point)
        told = [
            self._tell(points[:end]) if good else result_json([])
            for good, end in zip(is_point.tolist(), ends.tolist(), strict=True)
        ]
        self._points = points[-self._options.window_size :].copy()
        return results.append_column(_FIELD, pa.array(told, pa.string()))

    def snapshot(self) -> bytes:
        columns = [pa.array(np.ascontiguousarray(column)) for column in self._points.T]
        return encode_batch(pa.RecordBatch.from_arrays(columns, names=list(self._options.columns)))

    def _tell(self, points: np.ndarray) -> str:
        around = hotspots(points[-self._options.window_size :], self._options)
        return result_json([hotspot for hotspot in around if hotspot.holds(points[-1])])


def _whole(name: str, value: Any, least: int, most: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        message = f"{name} must be a whole number from {least} to {most}, not {value!r}"
        raise ConfigurationError(message, f"set {name} to a value in that range")
