"""HOTSPOTS (C13): parameters and ranges, density and box by brute force, and the windows of the last records."""

import json
import math

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.analytics.hotspots import (
    RESULT_CHARACTERS,
    Hotspot,
    HotspotOptions,
    Hotspots,
    hotspots,
    result_json,
)
from pipelines.runtime.errors import ConfigurationError

GIVEN = {"windowSize": 100, "scanRadius": 0.5, "minimumNumberOfPointsInAHotspot": 5}


def options(columns=("x", "y"), **parameters):
    return HotspotOptions.of(GIVEN | parameters, columns)


@pytest.mark.parametrize("window_size", [100, 1000])
def test_c13_window_size_is_100_to_1000(window_size):
    assert options(windowSize=window_size).window_size == window_size
    for refused in (99, 1001, 100.0, True, "100"):
        with pytest.raises(ConfigurationError, match="windowSize must be a whole number from 100 to 1000"):
            options(windowSize=refused)


@pytest.mark.parametrize("minimum", [2, 100])
def test_c13_minimum_points_are_2_to_the_window_size(minimum):
    assert options(minimumNumberOfPointsInAHotspot=minimum).minimum_points == minimum
    for refused in (1, 101):
        with pytest.raises(
            ConfigurationError, match="minimumNumberOfPointsInAHotspot must be a whole number from 2 to 100"
        ):
            options(minimumNumberOfPointsInAHotspot=refused)


def test_c13_scan_radius_is_above_0():
    assert options(scanRadius=1e-9).scan_radius == 1e-9
    for refused in (0, -1, math.inf, math.nan, "1", True):
        with pytest.raises(ConfigurationError, match="scanRadius must be a number above 0"):
            options(scanRadius=refused)


def test_c13_there_are_no_defaults_and_no_other_parameters():
    for missing in GIVEN:
        with pytest.raises(ConfigurationError, match=f"needs {missing}"):
            HotspotOptions.of({name: value for name, value in GIVEN.items() if name != missing}, ("x",))
    with pytest.raises(ConfigurationError, match="has no parameter radius"):
        options(radius=1)
    for columns in ((), ("x", "x")):
        with pytest.raises(ConfigurationError, match="columns"):
            options(columns)


def brute(points, radius, minimum):
    """Clusters by the definition: core points with their neighbours, joined where core points are neighbours."""
    near = [
        [other for other in range(len(points)) if math.dist(points[at], points[other]) <= radius]
        for at in range(len(points))
    ]
    core = [at for at in range(len(points)) if len(near[at]) >= minimum]
    clusters, left = [], set(core)
    while left:
        reached, grown = {left.pop()}, True
        while grown:
            grown = {other for at in reached for other in near[at] if other in left}
            left -= grown
            reached |= grown
        clusters.append(reached)
    return clusters, near


def test_c13_a_planted_hotspot_has_its_density_and_its_box():
    chance = np.random.default_rng(3)
    noise = chance.uniform(-100, 100, (60, 2))
    planted = chance.uniform(0, 1, (40, 2)) + np.array([10, 20])
    points = np.concatenate([noise[np.linalg.norm(noise - [10.5, 20.5], axis=1) > 3], planted])
    (found,) = hotspots(points, options(minimumNumberOfPointsInAHotspot=10))
    assert found.least == tuple(planted.min(axis=0))
    assert found.most == tuple(planted.max(axis=0))
    assert found.density == 40 / np.prod(planted.max(axis=0) - planted.min(axis=0))


@given(st.lists(st.tuples(st.integers(0, 12), st.integers(0, 12)), min_size=1, max_size=40), st.integers(2, 5))
def test_c13_hotspots_are_those_of_the_definition(found, minimum):
    points = np.array(found, float)
    clusters, near = brute(points, 1.0, minimum)
    ours = hotspots(points, HotspotOptions(("x", "y"), 100, 1.0, minimum))
    assert len(ours) == len(clusters)
    # A point at the edge of two hotspots may be counted to either: boxes lie between core and all that it reaches.
    for cluster in clusters:
        inner = points[sorted(cluster)]
        outer = points[sorted({other for at in cluster for other in near[at]})]
        assert any(
            np.all(hotspot.least <= inner.min(axis=0))
            and np.all(hotspot.most >= inner.max(axis=0))
            and np.all(hotspot.least >= outer.min(axis=0))
            and np.all(hotspot.most <= outer.max(axis=0))
            for hotspot in ours
        )
    assert [hotspot.density for hotspot in ours] == sorted((hotspot.density for hotspot in ours), reverse=True)


def test_c13_a_side_without_length_counts_as_the_scan_radius():
    points = np.array([[3.0, float(n)] for n in range(5)])
    (found,) = hotspots(points, options(scanRadius=1.0, minimumNumberOfPointsInAHotspot=2))
    assert found == Hotspot(5 / (1.0 * 4.0), (3.0, 0.0), (3.0, 4.0))


def results(points):
    return pa.RecordBatch.from_arrays(
        [pa.array(["s"] * len(points)), *(pa.array(column, pa.float64()) for column in zip(*points, strict=True))],
        names=["series", "x", "y"],
    )


def told(scored):
    return [json.loads(text)["hotspots"] for text in scored["HOTSPOTS_RESULT"].to_pylist()]


def test_c13_all_input_columns_and_the_result_come_out_arrays_in_the_cursors_order():
    scoring = Hotspots(options(("y", "x"), scanRadius=2.0, minimumNumberOfPointsInAHotspot=2))
    batch = results([(0.0, 10.0), (1.0, 10.5)])
    scored = scoring.start("").score(batch)
    assert scored.schema == scoring.schema(batch.schema)
    assert scored.schema.names == ["series", "x", "y", "HOTSPOTS_RESULT"]
    assert scored.select(batch.schema.names).equals(batch)
    assert told(scored) == [[], [{"density": 4.0, "minValues": [10.0, 0.0], "maxValues": [10.5, 1.0]}]]


def test_c13_only_hotspots_around_the_record_are_told_of():
    crowd = [(n / 10, n / 10) for n in range(10)]
    found = told(Hotspots(options()).start("").score(results([*crowd, (50.0, 50.0), (0.45, 0.41)])))
    assert found[9][0]["maxValues"] == [0.9, 0.9]
    assert found[10] == []
    assert found[11][0]["density"] == pytest.approx(11 / 0.81)


def test_c13_the_window_is_the_last_records_and_this_one():
    scorer = Hotspots(options(minimumNumberOfPointsInAHotspot=3)).start("")
    far = [(1000.0 * n, 0.0) for n in range(1, 98)]
    first = told(scorer.score(results([(0.0, 0.0), (0.1, 0.1), *far, (0.2, 0.2)])))
    assert len(first[-1]) == 1  # the 100th: the first two are still there
    assert told(scorer.score(results([(0.3, 0.3)])))[0][0]["minValues"] == [0.1, 0.1]
    assert told(scorer.score(results([(9e9, 0.0), (8e9, 0.0), (0.25, 0.25)])))[-1][0]["minValues"] == [0.2, 0.2]


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=150), st.integers(0, 150))
def test_c13_any_cut_into_batches_and_a_restart_give_the_same_results(points, cut):
    scoring = Hotspots(options(scanRadius=1.0))
    points = [(float(x), float(y)) for x, y in points]
    whole = scoring.start("").score(results(points))["HOTSPOTS_RESULT"].to_pylist()
    scorer, got = scoring.start(""), []
    for part in (points[:cut], points[cut:]):
        if part:
            got += scorer.score(results(part))["HOTSPOTS_RESULT"].to_pylist()
            scorer = scoring.restore("", scorer.snapshot())
    assert got == whole


def test_c13_a_result_fits_its_varchar_and_keeps_the_densest():
    many = [Hotspot(1000.0 - n, (0.123456789,) * 20, (0.987654321,) * 20) for n in range(100)]
    text = result_json(many)
    assert 9_000 < len(text) <= RESULT_CHARACTERS
    kept = json.loads(text)["hotspots"]
    assert [hotspot["density"] for hotspot in kept] == [1000.0 - n for n in range(len(kept))]
    assert result_json([]) == '{"hotspots":[]}'


def test_c13_one_hotspot_of_as_many_columns_as_are_taken_fits_whatever_its_numbers():
    columns = tuple(f"c{at}" for at in range(198))
    HotspotOptions(columns, 100, 1.0, 2)
    longest = -2.2250738585072014e-308
    text = result_json([Hotspot(longest, (longest,) * 198, (longest,) * 198)] * 2)
    assert len(text) <= RESULT_CHARACTERS
    assert len(json.loads(text)["hotspots"]) == 1
    with pytest.raises(ConfigurationError, match="a hotspot of 199 columns has up to 10,035 characters") as error:
        HotspotOptions((*columns, "more"), 100, 1.0, 2)
    assert "fewer" in error.value.fix


def test_c13_what_is_no_point_lies_in_no_hotspot_and_is_in_the_way_of_none():
    options = HotspotOptions(("x", "y"), window_size=100, scan_radius=1.0, minimum_points=3)
    points = [(1.0, 1.0), (1.1, 1.0), (1.0, 1.1)]
    odd = [points[0], (math.inf, 1.0), points[1], (1.0, math.nan), (1e200, 1.0), points[2]]
    told = [Hotspots(options).start("a").score(batch_of(rows))["HOTSPOTS_RESULT"].to_pylist() for rows in (points, odd)]
    assert [told[1][at] for at in (0, 2, 5)] == told[0]
    assert {told[1][at] for at in (1, 3, 4)} == {'{"hotspots":[]}'}


def test_c13_a_density_is_a_number_however_small_the_radius():
    options = HotspotOptions(("x", "y"), window_size=100, scan_radius=1e-170, minimum_points=2)
    told = Hotspots(options).start("a").score(batch_of([(1.0, 1.0)] * 3))["HOTSPOTS_RESULT"].to_pylist()
    (found,) = json.loads(told[-1])["hotspots"]
    assert 0 < found["density"] < math.inf


def batch_of(rows):
    columns = [pa.array([row[at] for row in rows], pa.float64()) for at in range(2)]
    return pa.RecordBatch.from_arrays(columns, names=["x", "y"])
