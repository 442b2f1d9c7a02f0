"""`hydrant bench nab`: the scorer against NAB's published figures, the corpus, the baselines, what is handed on."""

import io
import json
import shutil
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from pipelines.cli.benchmarks import nab, nab_baselines, nab_published, nab_report
from pipelines.cli.benchmarks.nab_beam import in_file_order, rows_of
from pipelines.cli.benchmarks.nab_corpus import Corpus, Series, load, shared
from pipelines.cli.benchmarks.nab_score import Profile, best_threshold, label, normalised, outcome
from pipelines.runtime.errors import AccountError, InvalidDataError, NotFoundError

PUBLISHED = json.loads((shared() / nab_published.FILE).read_text())
STANDARD = Profile(1.0, 1.0, 0.11)
START = datetime(2014, 4, 1, tzinfo=UTC)


def times(count):
    return [START + timedelta(minutes=5 * at) for at in range(count)]


def labelled(count, *windows):
    every = times(count)
    return label(every, [(every[first], every[last]) for first, last in windows])


@pytest.fixture(scope="module")
def corpus():
    return load(shared())


@pytest.mark.parametrize("profile", ["standard", "reward_low_FP_rate", "reward_low_FN_rate"])
def test_a_published_detectors_detections_score_what_was_published_of_each_series(corpus, profile):
    published = PUBLISHED["profiles"][profile]["series"]
    assert len(published) == 31
    for name, one in published.items():
        scores = np.zeros(one["rows"])
        scores[one["detections"]] = 1.0
        found = outcome(corpus.series[name].labelled, scores, 1.0, corpus.profiles[profile])
        assert found.score == pytest.approx(one["score"], abs=1e-9), name


@pytest.mark.parametrize("profile", ["standard", "reward_low_FP_rate", "reward_low_FN_rate"])
def test_a_published_detectors_total_normalises_to_the_published_score(corpus, profile):
    published, costs = PUBLISHED["profiles"][profile], corpus.profiles[profile]
    windows = round(-published["null_total"] / costs.false_negative)
    assert normalised(published["total"], windows, costs) == pytest.approx(published["normalised"], abs=1e-9)


def test_the_published_detector_is_scored_on_these_series_beside_what_was_published_of_all(corpus):
    told = nab_published.figures(shared(), corpus)
    reached = told[nab_published.FOREST]
    for profile, costs in corpus.profiles.items():
        published = PUBLISHED["profiles"][profile]["series"]  # the sums that NAB's own scorer gave
        by_nab = normalised(sum(one["score"] for one in published.values()), 57, costs)
        assert reached[profile] == pytest.approx(by_nab, abs=1e-9)
    rounded = {name: round(reached[name], 1) for name in corpus.profiles}
    assert rounded == {"standard": 52.0, "reward_low_FP_rate": 38.3, "reward_low_FN_rate": 60.5}
    whole = told[nab_published.WHOLE]
    assert (round(whole["standard"], 1), whole["series"]) == (51.7, 58)
    assert "left_out" not in told


def other_corpus(tmp_path, *, published):
    """A folder of the layout whose series are none of those in the project; with the published file or without."""
    folder = tmp_path / "other"
    (folder / "data/some").mkdir(parents=True)
    begin = START.replace(tzinfo=None)
    rows = [f"{begin + timedelta(minutes=5 * at)},{50.0 if at == 150 else at % 7}" for at in range(200)]
    for name in ("a", "b"):
        (folder / f"data/some/{name}.csv").write_text("\n".join(["timestamp,value", *rows]))
    window = [str(begin + timedelta(minutes=5 * at)) for at in (145, 160)]
    (folder / "windows.json").write_text(json.dumps({f"some/{name}.csv": [window] for name in "ab"}))
    shutil.copy(shared() / "profiles.json", folder)
    if published:
        shutil.copytree(shared() / "published", folder / "published")
    return folder


@pytest.mark.parametrize(
    ("published", "reason"),
    [
        (False, "has no published/random_cut_forest.json: nothing was published of its series"),
        (True, "is not of this corpus: it has nothing of some/a.csv"),
    ],
)
def test_of_other_series_nothing_published_is_scored_and_it_is_said(tmp_path, published, reason):
    result = nab.run(other_corpus(tmp_path, published=published), lambda _: None, ours=silent)
    assert nab_published.FOREST not in result
    assert reason in result["left_out"][nab_published.FOREST]
    assert round(result[nab_published.WHOLE]["standard"], 1) == 51.7
    assert result["windowed_gaussian"]["standard"] > 90  # which was run on these
    printed = shown(result)
    assert "published_random_cut_forest is left out" in printed
    assert "Published of all 58 series of NAB: 51.7, 38.4, 59.7" in printed


def publish(folder, series):
    """Gives the folder published detections of these series, the same for each profile; says which profiles."""
    profiles = list(json.loads((folder / "profiles.json").read_text()))
    published = {"profiles": {name: {"series": series, "normalised": 0} for name in profiles}}
    (folder / nab_published.FILE).parent.mkdir()
    (folder / nab_published.FILE).write_text(json.dumps(published))
    return profiles


def silent(corpus):
    return {name: [0.0] * len(one.values) for name, one in corpus.series.items()}


def shown(result):
    console = Console(width=300, record=True, file=io.StringIO())
    for table in nab_report.tables(result):
        console.print(table)
    return console.export_text()


def test_a_corpus_with_a_published_file_of_its_own_is_scored_and_shown(tmp_path):
    folder = other_corpus(tmp_path, published=False)
    detections = {"some/a.csv": [145], "some/b.csv": []}  # one window found at once, one missed
    series = {name: {"rows": 200, "detections": rows} for name, rows in detections.items()}
    profiles = publish(folder, series)
    result = nab.run(folder, lambda _: None, ours=silent)
    reached = {name: result[nab_published.FOREST][name] for name in profiles}
    assert reached == pytest.approx(dict.fromkeys(profiles, 50.0))
    assert "published_random_cut_forest" in shown(result)
    assert "left out" not in shown(result)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda one: one.update(rows=199), "some/a.csv has 200 rows here and 199 there"),
        (lambda one: one.update(detections=[200]), "some/a.csv has no row 200"),
    ],
)
def test_published_detections_of_other_rows_are_left_out(tmp_path, change, reason):
    folder = other_corpus(tmp_path, published=False)
    series = {f"some/{name}.csv": {"rows": 200, "detections": []} for name in "ab"}
    change(series["some/a.csv"])
    publish(folder, series)
    told = nab_published.figures(folder, load(folder))
    assert nab_published.FOREST not in told
    assert reason in told["left_out"][nab_published.FOREST]


def test_published_detections_that_cannot_be_read_are_an_error(tmp_path):
    folder = other_corpus(tmp_path, published=False)
    (folder / "published").mkdir()
    (folder / nab_published.FILE).write_text('{"profiles": {"standard": {}}}')
    with pytest.raises(InvalidDataError, match="cannot be read as published detections"):
        nab_published.figures(folder, load(folder))


def test_an_early_detection_earns_more_than_a_late_one_and_only_the_earliest_counts():
    series = labelled(100, (40, 59))
    early, late, both = np.zeros(100), np.zeros(100), np.zeros(100)
    early[40], late[58], both[[40, 58]] = 1, 1, 1
    values = [outcome(series, scores, 1.0, STANDARD).score for scores in (early, late, both)]
    assert values[0] == pytest.approx(1.0)
    assert 0 < values[1] < 0.3
    assert values[2] == values[0]


def test_a_false_alarm_costs_less_the_closer_it_lies_behind_a_window():
    series = labelled(200, (40, 49))
    costs = []
    for row in (35, 50, 52, 150):
        scores = np.zeros(200)
        scores[row] = 1
        costs.append(outcome(series, scores, 1.0, STANDARD).score + 1.0)  # the window is missed
    assert costs[0] == pytest.approx(-0.11)
    assert costs[3] == pytest.approx(-0.11)
    assert costs[0] < costs[2] < costs[1] < 0


def test_the_first_fifteen_percent_are_not_scored_and_at_most_750_rows():
    assert labelled(100).probation == 15
    assert labelled(4032).probation == 604
    assert labelled(15_902).probation == 750
    scores = np.ones(100)
    scores[15:] = 0
    assert outcome(labelled(100), scores, 1.0, STANDARD).score == 0


def test_a_window_that_is_not_of_the_series_is_refused():
    with pytest.raises(InvalidDataError, match="does not begin and end at rows"):
        label(times(10), [(START + timedelta(minutes=1), START + timedelta(minutes=5))])


@given(st.lists(st.integers(0, 5), min_size=60, max_size=60), st.lists(st.integers(0, 5), min_size=40, max_size=40))
def test_no_threshold_scores_better_than_the_one_that_is_chosen(first, second):
    series = {"a": labelled(60, (20, 25), (40, 44)), "b": labelled(40, (30, 35))}
    scores = {"a": [float(one) for one in first], "b": [float(one) for one in second]}
    at, best = best_threshold(series, scores, STANDARD)

    def total(threshold):
        return sum(outcome(series[name], scores[name], threshold, STANDARD).score for name in series)

    assert total(at) == pytest.approx(best)
    assert best == pytest.approx(max(total(threshold) for threshold in (0, 1, 2, 3, 4, 5, 6)))


def test_perfection_is_100_and_silence_is_0(corpus):
    silent = {name: [0.0] * len(one.values) for name, one in corpus.series.items()}
    perfect = {name: list(np.zeros(len(one.values))) for name, one in corpus.series.items()}
    for name, one in corpus.series.items():
        for window in one.labelled.windows:
            perfect[name][int(np.argmax(one.labelled.window == window))] = 1.0
    assert set(nab.score(corpus, silent)[0].values()) == {0.0}
    assert nab.score(corpus, perfect)[0] == pytest.approx(dict.fromkeys(corpus.profiles, 100.0))


def test_the_corpus_is_31_series_with_57_windows(corpus):
    assert len(corpus.series) == 31
    assert sum(len(one.labelled.windows) for one in corpus.series.values()) == 57
    assert sum(len(one.values) for one in corpus.series.values()) == 179_391


def test_a_corpus_without_windows_or_with_a_broken_row_is_refused(tmp_path):
    with pytest.raises(NotFoundError, match=r"windows\.json"):
        load(tmp_path)
    folder = tmp_path / "nab"
    shutil.copytree(shared(), folder)
    path = next(folder.glob("data/*/*.csv"))
    path.write_text("timestamp,value\n2014-04-01 00:00:00,much\n")
    with pytest.raises(InvalidDataError, match="cannot be read as a corpus"):
        load(folder)


def small():
    chance = np.random.default_rng(1)
    values = chance.normal(size=200)
    values[150] = 30.0
    every = times(200)
    ms = tuple(round(time.timestamp() * 1000) for time in every)
    made = {f"some/{name}.csv": Series(ms, tuple(values), labelled(200, (145, 160))) for name in "abc"}
    return Corpus(made, {"standard": STANDARD})


@pytest.mark.parametrize("name", sorted(nab_baselines.DETECTORS))
def test_no_baseline_looks_ahead(name):
    values = small().series["some/a.csv"].values
    whole = nab_baselines.DETECTORS[name](values)
    assert len(whole) == len(values)
    assert nab_baselines.DETECTORS[name](values[:120]) == whole[:120]


@pytest.mark.parametrize("name", ["windowed_gaussian", "beam_zscore", "beam_robust_zscore", "half_space_trees"])
def test_every_baseline_but_null_finds_a_plain_peak(name):
    scores = nab_baselines.DETECTORS[name](small().series["some/a.csv"].values)
    assert scores[150] == max(scores[30:])


def test_each_half_is_scored_at_the_threshold_that_the_other_half_chooses():
    made = small()
    scores = {name: [0.0] * 200 for name in made.series}
    scores["some/a.csv"][145] = 5.0  # found at once, at a threshold of 5
    scores["some/b.csv"][145] = 3.0
    scores["some/c.csv"][145] = 5.0
    assert nab.halves(made, scores) == pytest.approx({"even": 100.0, "odd": 0.0})


def test_scores_come_back_in_the_order_of_the_file_and_a_missing_one_is_an_error():
    ms = (300_000, 0, 600_000, 0)
    made = Corpus({"x": Series(ms, (1.0, 2.0, 3.0, 4.0), labelled(4))}, {})
    rows = next(rows_of("x", made.series["x"]))
    assert rows.column("value").to_pylist() == [1.0, 2.0, 3.0, 4.0]
    found = [(0, 0.2), (0, 0.4), (300_000, 0.1), (600_000, 0.3)]
    assert in_file_order(made, {"x": found}) == {"x": [0.1, 0.2, 0.3, 0.4]}
    with pytest.raises(AccountError, match="4 rows, and 3 results"):
        in_file_order(made, {"x": found[:3]})
