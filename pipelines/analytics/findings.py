"""What an analytics application found, as values for whoever draws it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple


class Scored(NamedTuple):
    """One window of a series.

    Attributes:
        at_ms: where it begins, ms since the epoch.
        value: what was aggregated.
        score: ANOMALY_SCORE; None or 0 while nothing was learnt.
        threshold: what the score had to exceed; None where there is none.
    """

    at_ms: int
    value: float
    score: float | None
    threshold: float | None = None


class Detection(NamedTuple):
    """An anomaly.

    Attributes:
        at_ms: the window in which it begins.
        until_ms: the end of the last window whose score stays above the threshold that was exceeded.
        text: what drove it, in a few words.
        labelled: whether it begins in a labelled window.
    """

    at_ms: int
    until_ms: int
    text: str
    labelled: bool


@dataclass(frozen=True)
class ScoredSeries:
    """One panel: a series over event time.

    Attributes:
        name: of the series.
        windows: in order.
        labels: known anomalies, from and to in ms since the epoch.
        detections: what was found, in order.
    """

    name: str
    windows: Sequence[Scored]
    labels: Sequence[tuple[int, int]] = ()
    detections: Sequence[Detection] = ()


class Box(NamedTuple):
    """A hotspot: density, and its corners in the plane of the points."""

    density: float
    low: tuple[float, float]
    high: tuple[float, float]


@dataclass(frozen=True)
class PointMap:
    """One panel: points in a plane, and where they cluster.

    Attributes:
        name: of the panel.
        axes: what is along, and what is up.
        points: in no order.
        boxes: hotspots.
    """

    name: str
    axes: tuple[str, str]
    points: Sequence[tuple[float, float]]
    boxes: Sequence[Box] = ()


@dataclass(frozen=True)
class Findings:
    """What is drawn, and how it is read.

    Attributes:
        title: a heading.
        text: a sentence or two.
        panels: in order.
    """

    title: str
    text: str
    panels: Sequence[ScoredSeries | PointMap]
