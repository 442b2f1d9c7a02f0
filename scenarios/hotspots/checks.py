"""What was found, held against where the pickups were made up: the places, their hours, and the scattered rest."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import orjson

from pipelines.analytics.hotspots import HOTSPOTS_RESULT
from pipelines.analytics.scoring import RESULTS
from pipelines.analytics.stages import BAD, LATE, ORDERED
from scenarios.hotspots.application import OPTIONS
from scenarios.hotspots.workload import EVERY_MS, PLACES, Pickup, Place, Workload
from scenarios.observed import kept

WARM_UP: Final = OPTIONS.window_size
"""So many pickups after a place's hours begin, its pickups fill the window as they will; or half of its hours after."""
NEAR_DEGREES: Final = 0.01
"""A hotspot is at a place if the middle of its box is no further off: about 1 km."""
FOUND_SHARE: Final = 0.95
"""Of the pickups at a place in its hours, at least so many are to be in a hotspot."""
FALSE_SHARE: Final = 0.02
"""Of the scattered ones, so many may be: a place has some of them by chance."""


Box = tuple[float, Sequence[float], Sequence[float]]
"""Of a hotspot: its density, and the least and the largest longitude and latitude."""


@dataclass(frozen=True)
class Found:
    """What was told of one pickup.

    Attributes:
        pickup: the pickup.
        boxes: of the hotspots that it lies in.
    """

    pickup: Pickup
    boxes: Sequence[Box]


def findings(workload: Workload, folder: Path) -> list[Found]:
    """What was told of each pickup, by its time; those of which nothing was told are missing."""
    told = {row["event_ms"]: row for row in kept(folder, RESULTS)}
    return [Found(pickup, _boxes(told[pickup.at_ms])) for pickup in workload.pickups if pickup.at_ms in told]


def _boxes(row: Mapping[str, Any]) -> list[Box]:
    """Of the hotspots that a result tells of."""
    spots = orjson.loads(row[HOTSPOTS_RESULT])["hotspots"]
    return [(spot["density"], spot["minValues"], spot["maxValues"]) for spot in spots]


def place_of(box: Box) -> Place | None:
    """The place at which a hotspot is."""
    _, least, most = box
    longitude, latitude = ((low + high) / 2 for low, high in zip(least, most, strict=True))
    for place in PLACES:
        if abs(place.longitude - longitude) < NEAR_DEGREES and abs(place.latitude - latitude) < NEAR_DEGREES:
            return place
    return None


@dataclass(frozen=True)
class Line:
    """Of one place: its pickups once the window was filled, how many were in a hotspot there, and the densest."""

    place: Place
    pickups: int
    found: int
    density: float


def by_place(found: Sequence[Found]) -> list[Line]:
    """A line for each place, in the order of their hours."""
    lines = []
    for place in PLACES:
        here = [one for one in found if one.pickup.place == place]
        times = [one.pickup.at_ms for one in here] or [0]
        warm_up_ms = min(WARM_UP * EVERY_MS, (max(times) - min(times)) // 2)
        filled = [one for one in here if one.pickup.at_ms >= min(times) + warm_up_ms]
        spots = [box for one in here for box in one.boxes if place_of(box) == place]
        there = sum(any(place_of(box) == place for box in one.boxes) for one in filled)
        lines.append(Line(place, len(filled), there, max((box[0] for box in spots), default=0.0)))
    return lines


def stands(results: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The results that the function is to be told of: of each place the first by time that tells of a hotspot there.

    Its hotspot stays until the place's hours are over, and does not come again.
    """
    first: dict[Place, Mapping[str, Any]] = {}
    for row in sorted(results, key=lambda row: row["event_ms"]):
        for box in _boxes(row):
            place = place_of(box)
            if place is not None:
                first.setdefault(place, row)
    return list(first.values())


def problems(workload: Workload, found: Sequence[Found], placed: Counter[tuple[str, str]], folder: Path) -> list[str]:
    """Sentences about what is wrong; none when all is well.

    Args:
        workload: what was put.
        found: of `findings`.
        placed: shard and sequence number of every record that was put.
        folder: that of `kept`.
    """
    wrong = []
    outputs: Mapping[str, list[dict[str, Any]]] = {name: kept(folder, name) for name in (ORDERED, LATE, BAD)}
    ends = Counter((row["shard_id"], row["sequence_number"]) for rows in outputs.values() for row in rows)
    if ends != placed:
        wrong.append(
            f"{sum((placed - ends).values()):,} records are missing, {sum((ends - placed).values()):,} too many"
        )
    bad = len(workload) - len(workload.pickups)
    if len(outputs[BAD]) != bad or outputs[LATE]:
        wrong.append(
            f"{len(outputs[BAD])} records are bad, {bad} should be; {len(outputs[LATE])} are late, none should"
        )
    if len(found) != len(workload.pickups):
        wrong.append(f"of {len(found):,} pickups something was told, {len(workload.pickups):,} should be")
    times = [row["event_ms"] for row in outputs[ORDERED]]
    if times != sorted(times):
        wrong.append("pickups were not taken in the order of their times")
    for line in by_place(found):
        if line.found < FOUND_SHARE * line.pickups or not line.density:
            wrong.append(f"{line.found} of {line.pickups} pickups at {line.place.name} were found to be in a hotspot")
    scattered = [one for one in found if one.pickup.place is None]
    chance = sum(bool(one.boxes) for one in scattered)
    if chance > FALSE_SHARE * len(scattered):
        wrong.append(f"{chance} of {len(scattered)} scattered pickups were found to be in a hotspot")
    elsewhere = sum(place_of(box) is None for one in found for box in one.boxes)
    if elsewhere:
        wrong.append(f"{elsewhere} hotspots are at no place")
    return wrong
