"""What the report draws: the city with its hotspots, and each place from near. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import orjson

from pipelines.analytics.findings import Box, Findings, PointMap
from pipelines.analytics.hotspots import HOTSPOTS_RESULT
from scenarios.hotspots.checks import place_of
from scenarios.hotspots.workload import PLACES, Place

AXES: Final = ("longitude", "latitude")
NEAR_DEGREES: Final = 0.004
"""Half the side of what is drawn around a place: about 400 m."""


def draw_findings(results: Sequence[Mapping[str, Any]]) -> Findings:
    """A map of all pickups with the densest hotspot of each place, and one of each place.

    Args:
        results: rows of the application's results.
    """
    points = [(row["longitude"], row["latitude"]) for row in results]
    densest = _densest(results)
    panels = [PointMap("The city", AXES, points, list(densest.values()))]
    for place in PLACES:
        near = [point for point in points if _is_near(point, place)]
        panels.append(PointMap(place.name, AXES, near, [densest[place]] if place in densest else []))
    return Findings(
        "Where pickups cluster",
        "Each dot is a pickup, made up around real places; each frame is the densest hotspot that HOTSPOTS told of at "
        "a place while its hours lasted.",
        panels,
    )


def _densest(results: Sequence[Mapping[str, Any]]) -> dict[Place, Box]:
    found: dict[Place, Box] = {}
    for text in dict.fromkeys(row[HOTSPOTS_RESULT] for row in results):
        for spot in orjson.loads(text)["hotspots"]:
            box = Box(spot["density"], tuple(spot["minValues"]), tuple(spot["maxValues"]))
            place = place_of(box)
            if place is not None and (place not in found or box.density > found[place].density):
                found[place] = box
    return found


def _is_near(point: tuple[float, float], place: Place) -> bool:
    longitude, latitude = point
    return abs(longitude - place.longitude) < NEAR_DEGREES and abs(latitude - place.latitude) < NEAR_DEGREES
