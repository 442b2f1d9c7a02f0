"""Scores are the same to the last bit for any order of arrival, on each runner, and after restarts in between."""

import math
import random

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from streams_of_rows import Script, Seen, rows, run_on, scored

from pipelines.analytics import journal, stages
from pipelines.analytics.forests import Forests
from pipelines.analytics.options import ForestOptions
from pipelines.analytics.order import Lateness
from pipelines.analytics.scoring import ScoreRows
from pipelines.analytics.state import SeriesState
from pipelines.analytics.windows import Aggregate, Tumbling, Windowing

SERIES = ("cpu", "disk", "net")
FORESTS = Forests(ForestOptions(("value", "most"), number_of_trees=20, sub_sample_size=16, time_decay=1000, seed=7))
WINDOWING = Windowing(Tumbling(5_000), (Aggregate("AVG", "value"), Aggregate("MAX", "value", "most")))
LATENESS = Lateness(allowed_ms=30_000, step_ms=5_000)


def story(seconds=300):
    """(series, event time, value, number), in the order of their event time; one series has a level shift."""
    found = []
    for second in range(seconds):
        for at, series in enumerate(SERIES):
            value = math.sin(second / 9 + at) + (50 if series == "disk" and second > 250 else 0)
            found.append((series, second, value, len(found)))
    return found


def disordered(found, seed):
    """The rows as they may come: each up to 25 s behind its place, some twice."""
    chance = random.Random(seed)
    late = sorted(found, key=lambda row: row[1] + chance.uniform(0, 25))
    return late + chance.sample(late, 20)


def script(found, seed):
    """Batches of 40 rows of the disorder, the watermark always behind what is still to come, less the lateness."""
    arrivals = disordered(found, seed)
    played, reached = Script(), 0.0
    for begin in range(0, len(arrivals), 40):
        batch = arrivals[begin : begin + 40]
        played = played.come(*batch)
        to_come = min((row[1] for row in arrivals[begin + 40 :]), default=reached)
        if begin + 40 < len(arrivals) - 20 and to_come + 25 > reached:
            reached = to_come + 25.0
            played = played.until(reached)
    return played


def scores(seen):
    """series -> [(window end, score as hexadecimal)], which is to the last bit."""
    found = {}
    for row in seen.rows("results"):
        found.setdefault(row["series"], []).append((row["event_ms"], row["ANOMALY_SCORE"].hex()))
    return found


@pytest.fixture(scope="module")
def expected():
    """The scores of the rows in order, all at once, without Beam."""
    found = {}
    for series in SERIES:
        state = SeriesState.new(series, WINDOWING, FORESTS)
        state.waiting = [rows(*(row for row in story() if row[0] == series))]
        results = state.advance(series, 1 << 50).results
        found[series] = [(row["event_ms"], row["ANOMALY_SCORE"].hex()) for row in results.to_pylist()]
    return found


def test_the_scores_are_scores(expected):
    assert {series: len(found) for series, found in expected.items()} == dict.fromkeys(SERIES, 60)
    disk = [float.fromhex(score) for _, score in expected["disk"]]
    assert disk[:16] == [0.0] * 16
    assert max(disk[16:50]) < 2 < disk[50]


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("runner", ["prism", "direct"])
def test_scores_are_the_same_bits_on_each_runner_for_each_order_of_arrival(runner, seed, tmp_path, expected):
    seen = Seen(tmp_path)
    run_on(runner, scored(script(story(), seed), ScoreRows(WINDOWING, FORESTS, LATENESS), seen))
    assert seen.rows("late") == []
    assert scores(seen) == expected


@pytest.mark.parametrize("rows", [1, 40, 10_000])
@pytest.mark.parametrize("runner", ["prism", "direct"])
def test_scores_are_the_same_bits_when_every_bundle_is_a_restart(runner, rows, tmp_path, expected, monkeypatch):
    """Nothing is kept beside the state: each bundle restores each series from the bytes that those before it wrote.

    With 1 each bundle writes a snapshot, with 10,000 none does, and all rows are gone through again.
    """
    restored = []
    recall = stages.SeriesFn._recall
    monkeypatch.setattr(stages, "LIVE_SERIES", 0)
    monkeypatch.setattr(journal, "LONGEST_ROWS", rows)
    monkeypatch.setattr(
        stages.SeriesFn, "_recall", lambda self, *given: restored.append(given[0]) or recall(self, *given)
    )
    seen = Seen(tmp_path)
    run_on(runner, scored(script(story(), 1), ScoreRows(WINDOWING, FORESTS, LATENESS), seen))
    assert scores(seen) == expected
    assert len(restored) > 30


@pytest.mark.parametrize("runner", ["prism", "direct"])
def test_a_bounded_input_in_any_order_gives_the_same_bits(runner, tmp_path, expected):
    arrivals = disordered(story(), 5)
    batches = [rows(*arrivals[begin : begin + 100]) for begin in range(0, len(arrivals), 100)]
    seen = Seen(tmp_path)
    run_on(runner, scored(batches, ScoreRows(WINDOWING, FORESTS, Lateness(30_000, 3_600_000)), seen))
    assert scores(seen) == expected


@pytest.mark.parametrize("runner", ["prism", "direct"])
@pytest.mark.parametrize("rows", [1, 100])
def test_a_series_is_written_down_once_a_bundle_at_most_and_then_only_for_so_many_rows(
    runner, rows, tmp_path, monkeypatch
):
    packed, advanced = [], []
    pack, advance = SeriesState.pack, SeriesState.advance
    monkeypatch.setattr(journal, "LONGEST_ROWS", rows)
    monkeypatch.setattr(SeriesState, "pack", lambda self: packed.append(1) or pack(self))
    monkeypatch.setattr(SeriesState, "advance", lambda self, *given: advanced.append(1) or advance(self, *given))
    seen = Seen(tmp_path)
    run_on(runner, scored(script(story(), 1), ScoreRows(WINDOWING, FORESTS, LATENESS), seen))
    assert 0 < len(packed) <= min(len(advanced), len(story()) / rows)
    assert len(advanced) < len(story()) / 3


@settings(max_examples=60)
@given(seed=st.integers(0, 10**6), cuts=st.lists(st.integers(0, 300), max_size=6, unique=True), restart=st.booleans())
def test_scores_are_equal_for_any_order_of_arrival_within_the_lateness(expected, seed, cuts, restart):
    """The pure core: rows in any order, as long as none comes behind the mark; marks and restarts fall anywhere."""
    chance, series = random.Random(seed), "disk"
    found = [row for row in story() if row[0] == series]
    state, results = SeriesState.new(series, WINDOWING, FORESTS), []
    for mark in [*sorted(cuts), 1_000]:
        # What lies before the mark must have come by now; anything else may have.
        come = [row for row in found if row[1] < mark or chance.random() < 0.2]
        found = [row for row in found if row not in come]
        chance.shuffle(come)
        if come:
            came = state.released.arrive(rows(*come))
            assert came.late.num_rows == came.doubles == 0
            state.waiting.append(came.waiting)
        step = state.advance(series, mark * 1000)
        results += [step.results] if step.results is not None else []
        if restart:
            waiting = state.waiting
            state = SeriesState.unpack(series, state.pack(), WINDOWING, FORESTS)
            state.waiting = waiting
    got = pa.Table.from_batches(results).to_pylist()
    assert [(row["event_ms"], row["ANOMALY_SCORE"].hex()) for row in got] == expected[series]


def test_another_order_of_the_same_rows_would_give_other_scores(expected):
    """What the sorting is for: unsorted, the scores differ."""
    found = [row for row in story() if row[0] == "disk"]
    random.Random(1).shuffle(found)
    state = SeriesState.new("disk", WINDOWING, FORESTS)
    # The values are disordered, the times are not: as if they had been scored as they came.
    moved = [(series, second, value, second) for second, (series, _, value, _) in enumerate(found)]
    state.waiting = [rows(*moved)]
    got = [row["ANOMALY_SCORE"].hex() for row in state.advance("disk", 1 << 50).results.to_pylist()]
    assert got != [score for _, score in expected["disk"]]
