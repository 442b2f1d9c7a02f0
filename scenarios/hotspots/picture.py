"""A map of the run: where pickups were, which of them lay in a hotspot, and the densest box of each place. Pure."""

from collections.abc import Sequence
from html import escape
from typing import Final

from scenarios.hotspots.checks import Found, by_place, place_of
from scenarios.hotspots.workload import LATITUDES, LONGITUDES, PLACES, Place

_WIDTH: Final = 720
_HEIGHT: Final = 760
_INSET: Final = 150
_INSET_DEGREES: Final = 0.006
_PLAIN: Final = "#8a94a0"
_FOUND: Final = "#d1495b"
_BOX: Final = "#1b6ca8"


def picture(found: Sequence[Found]) -> str:
    """HTML: the map, and beside it each place from near; nothing where nothing was found."""
    if not found:
        return ""
    lines = {line.place: line for line in by_place(found)}
    parts = [
        "<h2>Where pickups cluster</h2>",
        '<p class="soft">Each dot is a pickup, made up around real places: grey where no hotspot was around it when it '
        "came, red where one was. The squares show each place from near, with the densest box found there.</p>",
        '<div style="display:flex;flex-wrap:wrap;gap:12px">',
        _map(found),
        '<div style="display:flex;flex-direction:column;gap:8px">',
    ]
    for place in PLACES:
        line = lines[place]
        parts.append(f"<div>{_near(place, found)}<br>{escape(place.name)}: {line.found} of {line.pickups} found</div>")
    return "".join([*parts, "</div></div>"])


def _map(found: Sequence[Found]) -> str:
    view = _View(LONGITUDES, LATITUDES, _WIDTH, _HEIGHT)
    dots = "".join(_dot(view, one, 1.6) for one in sorted(found, key=lambda one: bool(one.boxes)))
    names = "".join(
        f'<circle cx="{view.x(place.longitude):.1f}" cy="{view.y(place.latitude):.1f}" r="11" fill="none" '
        f'stroke="{_BOX}" stroke-width="1.5"/><text x="{view.x(place.longitude) + 15:.1f}" '
        f'y="{view.y(place.latitude) + 4:.1f}" font-size="13" fill="currentColor">{escape(place.name)}</text>'
        for place in PLACES
    )
    return _svg(view, dots + names, "Pickups and hotspots on a map")


def _near(place: Place, found: Sequence[Found]) -> str:
    half = _INSET_DEGREES / 2
    view = _View(
        (place.longitude - half / 0.76, place.longitude + half / 0.76),
        (place.latitude - half, place.latitude + half),
        _INSET,
        _INSET,
    )
    near = [
        one
        for one in found
        if view.longitudes[0] <= one.pickup.longitude <= view.longitudes[1]
        and view.latitudes[0] <= one.pickup.latitude <= view.latitudes[1]
    ]
    dots = "".join(_dot(view, one, 1.8) for one in near)
    boxes = [box for one in found for box in one.boxes if place_of(box) == place]
    if boxes:
        _, (west, south), (east, north) = max(boxes, key=lambda box: box[0])
        x, y = view.x(west), view.y(north)
        dots += (
            f'<rect x="{x:.1f}" y="{y:.1f}" width="{view.x(east) - x:.1f}" height="{view.y(south) - y:.1f}" '
            f'fill="none" stroke="{_BOX}" stroke-width="1.5"/>'
        )
    return _svg(view, dots, f"{place.name} from near")


class _View:
    """A piece of the map, and where it is on the paper; narrow enough that a degree is as long everywhere in it."""

    def __init__(
        self, longitudes: tuple[float, float], latitudes: tuple[float, float], width: float, height: float
    ) -> None:
        self.longitudes, self.latitudes, self.width, self.height = longitudes, latitudes, width, height

    def x(self, longitude: float) -> float:
        west, east = self.longitudes
        return (longitude - west) / (east - west) * self.width

    def y(self, latitude: float) -> float:
        south, north = self.latitudes
        return (north - latitude) / (north - south) * self.height


def _dot(view: _View, one: Found, radius: float) -> str:
    colour = _FOUND if one.boxes else _PLAIN
    x, y = view.x(one.pickup.longitude), view.y(one.pickup.latitude)
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius}" fill="{colour}" fill-opacity="0.6"/>'


def _svg(view: _View, inside: str, title: str) -> str:
    return (
        f'<svg viewBox="0 0 {view.width} {view.height}" width="{view.width}" role="img" '
        f'style="border:1px solid {_PLAIN};max-width:100%;height:auto"><title>{escape(title)}</title>{inside}</svg>'
    )
