"""The scenario `hotspots` by the command: the hotspot of every place is found, and the report has maps."""

from pathlib import Path

import pytest
from hydrant_command import run_json

from scenarios.hotspots.workload import PLACES


@pytest.mark.parametrize(("records", "seed"), [(1_000, 1), (1_500, 2)])
def test_every_place_is_found_and_each_record_accounted_for(records: int, seed: int) -> None:
    status, document, said = run_json("hotspots", "--records", str(records), "--seed", str(seed))
    assert (status, document["problems"]) == (0, []), said
    account = document["deliveries"]["hotspots"]["account"]
    assert account["put"] == account["delivered"] == records + -(-(records - 250) // 500)
    places = document["query"]["places"]
    assert list(places) == [place.name for place in PLACES]
    assert all(told["in_a_hotspot"] >= 0.95 * told["pickups"] > 10 for told in places.values())
    page = Path(document["folder"], "report.html").read_text()
    assert all(place.name in page for place in PLACES)
