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


@dataclass(frozen=True)
class Found:
    """What was told of one pickup.

    Attributes:
        pickup: the pickup.
        boxes: of the hotspots that it lies in: density, least and largest longitude and latitude.
    """

    pickup: Pickup
    boxes: Sequence[tuple[float, Sequence[float], Sequence[float]]]


def findings(workload: Workload, folder: Path) -> list[Found]:
    """What was told of each pickup, by its time; those of which nothing was told are missing."""
    told = {row["event_ms"]: row for row in kept(folder, RESULTS)}
    return [
        Found(pickup, [
            (spot["density"], spot["minValues"], spot["maxValues"])
            for spot in orjson.loads(told[pickup.at_ms][HOTSPOTS_RESULT])["hotspots"]
        ])
        for pickup in workload.pickups
        if pickup.at_ms in told
    ]  # fmt: skip


def place_of(box: tuple[float, Sequence[float], Sequence[float]]) -> Place | None:
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
