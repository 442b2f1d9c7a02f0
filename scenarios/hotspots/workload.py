"""What the scenario puts: taxi pickups, made up by a seed around real places of New York.

No pickup of it ever happened. Places and their coordinates are real, and so is that each has its hours; how pickups
scatter around a place, how many there are, and those that are nowhere near one, are the generator's. So it is known
which hotspots there are, and when.
"""

import json
import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from pipelines.kinesis.put import Record
from pipelines.runtime.errors import ConfigurationError

BEGIN_MS: Final = round(datetime(2014, 10, 6, 6, tzinfo=UTC).timestamp() * 1000)
EVERY_MS: Final = 10_000
"""A pickup every ten seconds."""
DISORDER_MS: Final = 60_000
"""So much later than its time a pickup is put at most."""
LEAST: Final = 1_000
BAD_EVERY: Final = 500
BAD: Final = b'{"at": "2014-10-06T07:00:00Z", "longitude": null, "latitude": 40.7}'

LONGITUDES: Final = (-74.02, -73.76)
LATITUDES: Final = (40.62, 40.83)
"""Where pickups are scattered."""
SPREAD_DEGREES: Final = 0.0006
"""Standard deviation around a place: about 60 m."""
SHARE: Final = 0.5
"""Of the pickups, so many are at the place whose hours it is."""


@dataclass(frozen=True)
class Place:
    """A place where many taxis are taken."""

    name: str
    longitude: float
    latitude: float


PLACES: Final = (
    Place("Penn Station", -73.9935, 40.7506),
    Place("Grand Central", -73.9772, 40.7527),
    Place("LaGuardia Airport", -73.8740, 40.7769),
    Place("Kennedy Airport", -73.7781, 40.6413),
    Place("Union Square", -73.9904, 40.7359),
)
"""In the order of their hours: each has a fifth of the workload."""


@dataclass(frozen=True)
class Pickup:
    """One pickup.

    Attributes:
        at_ms: when, ms since the epoch.
        longitude: degrees.
        latitude: degrees.
        place: where it was made up around; None for one that is scattered.
    """

    at_ms: int
    longitude: float
    latitude: float
    place: Place | None

    def record(self) -> Record:
        """As it is put; spread over the shards."""
        at = datetime.fromtimestamp(self.at_ms / 1000, UTC).isoformat()
        text = {"at": at, "longitude": self.longitude, "latitude": self.latitude}
        return Record(json.dumps(text).encode(), f"taxi-{self.at_ms // EVERY_MS % 97}")


@dataclass(frozen=True)
class Workload:
    """Records to put, in their order: pickups, and bytes that are none."""

    puts: Sequence[Pickup | bytes]

    def __len__(self) -> int:
        return len(self.puts)

    def records(self) -> Iterator[Record]:
        """The records in the order in which they are put."""
        for put in self.puts:
            yield put.record() if isinstance(put, Pickup) else Record(put, "taxi-0")

    @property
    def pickups(self) -> list[Pickup]:
        """The pickups in the order of their times."""
        return sorted((put for put in self.puts if isinstance(put, Pickup)), key=lambda pickup: pickup.at_ms)


def make_workload(count: int, seed: int) -> Workload:
    """`count` pickups, disordered, and some records that are none.

    Raises:
        ConfigurationError: so few that no place would have a hotspot.
    """
    if count < LEAST:
        message = f"{count} pickups are too few for hotspots at {len(PLACES)} places."
        raise ConfigurationError(message, fix=f"put {LEAST} records or more")
    rng = random.Random(seed)
    timed: list[tuple[float, int, Pickup | bytes]] = []
    for number in range(count):
        place = PLACES[number * len(PLACES) // count] if rng.random() < SHARE else None
        pickup = _pickup(BEGIN_MS + number * EVERY_MS, place, rng)
        timed.append((pickup.at_ms + rng.uniform(0, DISORDER_MS), number, pickup))
        if number % BAD_EVERY == BAD_EVERY // 2:
            timed.append((pickup.at_ms, -number, BAD))
    return Workload([put for *_, put in sorted(timed, key=lambda entry: entry[:2])])


def _pickup(at_ms: int, place: Place | None, rng: random.Random) -> Pickup:
    if place is None:
        longitude, latitude = rng.uniform(*LONGITUDES), rng.uniform(*LATITUDES)
    else:  # a degree of longitude is shorter than one of latitude, by the cosine of it
        longitude = rng.gauss(place.longitude, SPREAD_DEGREES / math.cos(math.radians(place.latitude)))
        latitude = rng.gauss(place.latitude, SPREAD_DEGREES)
    return Pickup(at_ms, round(longitude, 6), round(latitude, 6), place)
