"""The scenario's workload, and its checks: what is spoiled on purpose is noticed."""

import base64
import json
from collections import Counter

import numpy as np
import orjson
import pytest

from pipelines.analytics.hotspots import hotspots, result_json
from pipelines.analytics.new_hotspots import NEW_HOTSPOT
from pipelines.analytics.rows import RowFormat, parse_page
from pipelines.analytics.scoring import RESULTS
from pipelines.analytics.stages import BAD, ORDERED
from pipelines.analytics.state import SeriesState
from pipelines.analytics.windows import each_row
from pipelines.kinesis.page import make_page
from pipelines.runtime.errors import ConfigurationError
from scenarios.hotspots import checks, handler
from scenarios.hotspots.application import LAYOUT, OPTIONS, SCORING
from scenarios.hotspots.picture import draw_findings
from scenarios.hotspots.workload import LEAST, PLACES, make_workload

COUNT = 2_000


@pytest.fixture(scope="module")
def workload():
    return make_workload(COUNT, 3)


def given(workload):
    """What the application gives, without Beam."""
    data = [record.data for record in workload.records()]
    size = len(data)
    page = make_page("shard", data, ["k"] * size, [str(10**20 + n) for n in range(size)], [0] * size)
    rows, bad = parse_page(page, LAYOUT)
    state = SeriesState.new("", each_row(LAYOUT.values), SCORING)
    state.waiting = [rows]
    step = state.advance("", 1 << 50)
    return {
        RESULTS: step.results.to_pylist(),
        ORDERED: step.rows.to_pylist(),
        BAD: bad.drop_columns("data").to_pylist(),
    }


@pytest.fixture(scope="module")
def outputs(workload):
    return given(workload)


@pytest.fixture
def verify(workload, outputs, tmp_path):
    """Keeps outputs, changed or not, and asks for the problems."""

    def ask(**changed):
        for name, rows in (outputs | changed).items():
            (tmp_path / f"{name}-1.jsonl").write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in rows))
        placed = Counter((row["shard_id"], row["sequence_number"]) for name in (ORDERED, BAD) for row in outputs[name])
        return checks.problems(workload, checks.findings(workload, tmp_path), placed, tmp_path)

    return ask


def test_pickups_are_out_of_order_and_a_few_records_are_none(workload):
    put = [each.at_ms for each in workload.puts if not isinstance(each, bytes)]
    assert put != sorted(put)
    assert len(put) == COUNT
    assert len(workload) - COUNT == 4
    assert [record.data for record in make_workload(COUNT, 3).records()] == [r.data for r in workload.records()]
    assert [record.data for record in make_workload(COUNT, 4).records()] != [r.data for r in workload.records()]
    assert json.loads(next(workload.records()).data).keys() == {"at", "longitude", "latitude"}
    assert isinstance(LAYOUT, RowFormat)


def test_what_the_application_gives_has_no_problems(verify):
    assert verify() == []


def test_what_is_spoiled_is_noticed(verify, outputs):
    nothing = result_json([])
    results, ordered = outputs[RESULTS], outputs[ORDERED]
    (lost,) = verify(**{ORDERED: ordered[1:]})
    assert lost.startswith("1 records are missing, 0 too many")
    (doubled,) = verify(**{ORDERED: [*ordered, ordered[-1]]})
    assert doubled.startswith("0 records are missing, 1 too many")
    (disorder,) = verify(**{ORDERED: ordered[::-1]})
    assert "order of their times" in disorder
    assert any("something was told" in said for said in verify(**{RESULTS: results[:-1]}))
    blind = verify(**{RESULTS: [row | {"HOTSPOTS_RESULT": nothing} for row in results]})
    assert sum("pickups at" in said for said in blind) == len(PLACES)
    everywhere = next(row["HOTSPOTS_RESULT"] for row in results if row["HOTSPOTS_RESULT"] != nothing)
    keen = verify(**{RESULTS: [row | {"HOTSPOTS_RESULT": everywhere} for row in results]})
    assert any("scattered pickups" in said for said in keen)
    astray = orjson.dumps({"hotspots": [{"density": 1.0, "minValues": [-73.9, 40.7], "maxValues": [-73.9, 40.7]}]})
    (at_no_place,) = verify(**{RESULTS: [results[0] | {"HOTSPOTS_RESULT": astray.decode()}, *results[1:]]})
    assert at_no_place == "1 hotspots are at no place"


@pytest.mark.parametrize(("count", "seed"), [(1_000, 1), (1_500, 5)])
def test_each_place_is_a_new_stand_once(count, seed):
    results = given(make_workload(count, seed))[RESULTS]
    stands = checks.stands(results)
    assert [row for row in results if row[NEW_HOTSPOT]] == stands
    for at, (place, row) in enumerate(zip(PLACES, stands, strict=True)):
        box = orjson.loads(row["HOTSPOTS_RESULT"])["hotspots"][0]
        assert checks.place_of((0.0, box["minValues"], box["maxValues"])) == place
        begin = at * len(results) // len(PLACES)
        assert row in results[begin + OPTIONS.minimum_points : begin + len(results) // len(PLACES)]


def said(*data):
    """What the function says to records with this data."""
    records = [{"recordId": str(n), "data": base64.b64encode(each)} for n, each in enumerate(data)]
    answer = handler.lambda_handler({"records": records}, None)
    return [(each["recordId"], each["result"]) for each in answer["records"]]


def test_c15_the_function_tells_where_the_densest_new_stand_is(capsys):
    spots = [{"density": 2.0, "minValues": [-74.0, 40.0], "maxValues": [-73.5, 41.0]}]
    spots += [{"density": 1.0, "minValues": [0, 0], "maxValues": [1, 1]}]
    pickup = {"event_ms": 7, "HOTSPOTS_RESULT": json.dumps({"hotspots": spots})}
    none = pickup | {"HOTSPOTS_RESULT": result_json([])}
    refused = [b"no JSON", b"[]", b"{}", json.dumps(none).encode()]
    assert said(json.dumps(pickup).encode(), *refused) == [
        ("0", "Ok"), *((str(n), "DeliveryFailed") for n in range(1, 5)),
    ]  # fmt: skip
    (line,) = capsys.readouterr().out.splitlines()
    assert json.loads(line) == {"stand": {"since_ms": 7, "longitude": -73.75, "latitude": 40.5}}


def test_the_maps_have_every_pickup_and_the_densest_hotspot_of_each_place(outputs):
    city, *places = draw_findings(outputs[RESULTS]).panels
    assert len(city.points) == COUNT
    assert len(city.boxes) == len(PLACES)
    for place, panel in zip(PLACES, places, strict=True):
        (box,) = panel.boxes
        assert panel.name == place.name
        assert box.low[0] < place.longitude < box.high[0]
        assert box.low[1] < place.latitude < box.high[1]
        assert 100 < len(panel.points) < COUNT / 3


def test_a_hotspot_at_a_place_is_one_that_brute_force_finds(outputs):
    points = np.array([(row["longitude"], row["latitude"]) for row in outputs[RESULTS]])
    at = 399  # the last of the first place's hours
    window = points[at + 1 - OPTIONS.window_size : at + 1]
    near = np.linalg.norm(window[:, None] - window[None], axis=2) <= OPTIONS.scan_radius
    core = near.sum(axis=1) >= OPTIONS.minimum_points
    members = near[core].any(axis=0)
    (spot,) = hotspots(window, OPTIONS)
    assert spot.least == tuple(window[members].min(axis=0))
    assert spot.most == tuple(window[members].max(axis=0))
    assert abs(spot.least[0] - PLACES[0].longitude) < checks.NEAR_DEGREES


def test_too_few_pickups_are_refused():
    assert len(make_workload(LEAST, 1).pickups) == LEAST
    with pytest.raises(ConfigurationError, match="put 1000 records or more"):
        make_workload(LEAST - 1, 1)
