"""The scenario `hotspots` by the command: the hotspot of every place is found, and the report has maps."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from scenarios.hotspots.workload import PLACES

HYDRANT = str(Path(sys.executable).parent / "hydrant")


@pytest.mark.parametrize(("records", "seed"), [(1_000, 1), (1_500, 2)])
def test_every_place_is_found_and_each_record_accounted_for(records: int, seed: int) -> None:
    command = [HYDRANT, "run", "hotspots", "--records", str(records), "--seed", str(seed), "--json"]
    ended = subprocess.run(command, check=False, capture_output=True, text=True, timeout=200)
    document = json.loads(ended.stdout)
    assert (ended.returncode, document["problems"]) == (0, []), ended.stderr
    account = document["deliveries"]["hotspots"]["account"]
    assert account["put"] == account["delivered"] == records + -(-(records - 250) // 500)
    places = document["query"]["places"]
    assert list(places) == [place.name for place in PLACES]
    assert all(told["in_a_hotspot"] >= 0.95 * told["pickups"] > 10 for told in places.values())
    page = Path(document["folder"], "report.html").read_text()
    assert all(place.name in page for place in PLACES)
