"""The scorer of a series: season, episodes, both forests, snapshots, and what the graph gets of it."""

import math
import random

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.analytics.episode import LEAST, Episodes
from pipelines.analytics.forest import RandomCutForest
from pipelines.analytics.options import ForestOptions
from pipelines.analytics.season import SLOT_MS, Season
from pipelines.analytics.series import SeriesForests, SeriesScorer
from pipelines.runtime.errors import ConfigurationError, InvalidDataError

DAY = 48
SMALL = ForestOptions(("value",), number_of_trees=20, sub_sample_size=32, time_decay=1000)


def daily(days, noise=0.0):
    chance = random.Random(1)
    return [
        (at * SLOT_MS, 100 * math.sin(2 * math.pi * at / DAY) + noise * chance.gauss(0, 1)) for at in range(days * DAY)
    ]


def test_a_series_that_had_no_value_expects_nothing():
    assert Season().expected(0) is None


def test_a_rhythm_of_days_is_expected_after_some_and_a_level_where_there_is_none():
    season = Season()
    for at_ms, value in daily(10):
        season.learn(at_ms, value)
    for at_ms, value in daily(11)[-DAY:]:
        assert season.expected(at_ms) == pytest.approx(value, abs=1)
    flat, chance = Season(), random.Random(1)
    for at in range(2_000):
        flat.learn(at * SLOT_MS, chance.gauss(50, 1))
    assert flat.expected(2_000 * SLOT_MS) == pytest.approx(50, abs=0.5)


def test_a_rhythm_of_weeks_is_expected():
    season = Season()
    for at in range(10 * 7 * DAY):
        season.learn(at * SLOT_MS, 10.0 if at // DAY % 7 == 6 else 100.0)
    begin = 10 * 7 * DAY
    assert season.expected((begin + 6 * DAY) * SLOT_MS) == pytest.approx(10, abs=1)
    assert season.expected((begin + 2 * DAY) * SLOT_MS) == pytest.approx(100, abs=1)


@given(st.lists(st.floats(0, 10), max_size=400), st.integers(0, 400))
def test_an_episode_begins_where_a_score_is_above_all_that_is_looked_back_on(scores, stop):
    episodes = Episodes()
    for at, score in enumerate(scores):
        if at == stop:
            episodes = Episodes.unpack(episodes.pack())
        past = scores[max(0, at - LEAST) : at]
        assert episodes.begins(score) == (bool(past) and score > max(past))


def test_the_longer_a_series_is_known_the_further_it_is_looked_back():
    def again(seen, gap):
        episodes = Episodes()
        for _ in range(seen):
            episodes.begins(1.0)
        assert episodes.begins(5.0)
        for _ in range(gap):
            episodes.begins(1.0)
        return episodes.begins(4.0)

    assert not again(200, 99)
    assert again(200, 100)
    assert not again(5_000, 400)
    assert again(5_000, 600)
    assert not again(50_000, 1_990)
    assert again(50_000, 2_001)  # and no further than 2,000


def test_a_value_that_is_normal_but_for_its_time_of_day_is_found():
    scorer, found = SeriesScorer(SMALL), []
    rows = daily(20, noise=1.0)
    rows[18 * DAY + 12] = (rows[18 * DAY + 12][0], -100.0)  # where the day's peak is, the day's trough
    for at_ms, value in rows:
        found.append(scorer.add(value, at_ms).score)
    settled = found[10 * DAY :]
    assert settled.index(max(settled)) == 8 * DAY + 12
    forest = RandomCutForest(SMALL)
    alone = [forest.score([value]) for _, value in rows][10 * DAY :]
    assert alone.index(max(alone)) != 8 * DAY + 12  # the forest of values alone does not see it


def test_the_score_is_the_higher_of_two_forests_and_0_for_the_first_sub_sample_size():
    scorer, forest = SeriesScorer(SMALL), RandomCutForest(SMALL)
    for at, (at_ms, value) in enumerate(daily(5, noise=5.0)):
        alone, both = forest.score([value]), scorer.add(value, at_ms)
        assert both.score >= alone
        assert (both.score == 0.0) == (at < 32)
        assert both.episode in (0.0, both.score)


@given(st.sets(st.integers(0, 299), max_size=5))
def test_a_series_goes_on_with_the_same_bits(stops):
    scorer, whole = SeriesScorer(SMALL), SeriesScorer(SMALL)
    for at, (at_ms, value) in enumerate(daily(7, noise=5.0)[:300]):
        if at in stops:
            scorer = SeriesScorer.restore(scorer.snapshot(), SMALL)
        assert scorer.add(value, at_ms) == whole.add(value, at_ms)


def test_a_snapshot_of_a_series_has_at_most_1_2_mb():
    scorer, chance = SeriesScorer(ForestOptions(("value",))), random.Random(1)
    for at in range(2_000):
        scorer.add(chance.gauss(0, 1), at * SLOT_MS)
    assert 100_000 < len(scorer.snapshot()) <= 1_200_000


@pytest.mark.parametrize("bad", [math.nan, math.inf, 1e31])
def test_a_value_that_no_forest_can_take_is_refused_and_changes_nothing(bad):
    scorer, other = SeriesScorer(SMALL), SeriesScorer(SMALL)
    for at_ms, value in daily(2, noise=5.0):
        if at_ms:
            with pytest.raises(InvalidDataError):
                scorer.add(bad, at_ms)
        assert scorer.add(value, at_ms) == other.add(value, at_ms)


def test_a_value_that_one_of_the_forests_cannot_take_is_learnt_by_neither():
    scorer, other = SeriesScorer(SMALL), SeriesScorer(SMALL)
    for each in (scorer, other):
        each.add(0.0, 0)
        for at in range(1, 600):
            each.add(9e29, at * SLOT_MS)
    with pytest.raises(InvalidDataError):
        scorer.add(-9e29, 600 * SLOT_MS)  # 9e29 from the first value, and 1.8e30 from what is expected
    assert scorer.snapshot() == other.snapshot()


def test_several_columns_and_broken_snapshots_are_refused():
    with pytest.raises(ConfigurationError, match="one number"):
        SeriesScorer(ForestOptions(("a", "b")))
    snapshot = SeriesScorer(SMALL).snapshot()
    for broken in (b"", snapshot[:100], snapshot[:-10]):
        with pytest.raises(InvalidDataError, match="no snapshot"):
            SeriesScorer.restore(broken, SMALL)


def test_the_graph_gets_three_columns_and_null_where_there_is_no_number():
    rows = daily(3, noise=5.0)
    values = [value for _, value in rows]
    values[5] = math.inf
    values[120] = 5_000.0
    batch = pa.record_batch({"event_ms": pa.array([at for at, _ in rows], pa.int64()), "value": values})
    scoring = SeriesForests(SMALL, threshold=2.0)
    scored = scoring.start("s").score(batch)
    assert scored.schema == scoring.schema(batch.schema)
    columns = {name: scored.column(name).to_pylist() for name in ("ANOMALY_SCORE", "episode_score", "anomaly")}
    assert (columns["ANOMALY_SCORE"][5], columns["episode_score"][5], columns["anomaly"][5]) == (None, None, False)
    assert columns["anomaly"][120]
    assert columns["anomaly"] == [(one or 0.0) >= 2.0 for one in columns["episode_score"]]
    halves = scoring.start("s")
    first = halves.score(batch.slice(0, 70))
    second = scoring.restore("s", halves.snapshot()).score(batch.slice(70))
    assert [*first.to_pylist(), *second.to_pylist()] == scored.to_pylist()
