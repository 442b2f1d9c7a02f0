"""The late-data battery on Prism and on Beam's own runner: exact results, late rows and order for each history.

Windows are of a minute, the lateness is ten seconds, and rows are released in steps of a second.
"""

import pytest
from streams_of_rows import Script, Seen, run_on, scored

from pipelines.analytics.order import Lateness
from pipelines.analytics.scoring import ScoreRows
from pipelines.analytics.windows import Aggregate, Session, Stagger, Tumbling, Windowing

MINUTES = Windowing(Tumbling(60_000), (Aggregate("SUM", "value"),))
LATENESS = Lateness(allowed_ms=10_000, step_ms=1_000)


@pytest.fixture(params=["prism", "direct"])
def runner(request):
    return request.param


@pytest.fixture
def outcome(runner, tmp_path):
    """Runs a script; gives what came out."""

    def play(script, windowing=MINUTES, lateness=LATENESS, **options):
        seen = Seen(tmp_path)
        run_on(runner, scored(script, ScoreRows(windowing, lateness=lateness, tells_of_order=True, **options), seen))
        return seen

    return play


def results(seen):
    """(series, the window's end in seconds, records, sum)."""
    return [
        (series, end_ms / 1000, *rest) for series, end_ms, *rest in seen.of("results", "event_ms", "records", "value")
    ]


def ordered(seen):
    """(series, event time in seconds, value), as the rows were released."""
    return [(series, time_ms / 1000, value) for series, time_ms, value in seen.of("ordered", "event_ms", "value")]


def late(seen):
    """(series, event time, up to where the series was released, by how much too late), in seconds."""
    found = seen.of("late", "event_ms", "released_ms", "late_ms")
    return [(series, *(ms / 1000 for ms in times)) for series, *times in found]


def test_rows_out_of_order_are_in_order_in_their_windows(outcome):
    seen = outcome(Script().come(("a", 30, 1.0), ("a", 10, 2.0), ("a", 70, 4.0)).come(("a", 20, 8.0)).until(200))
    assert ordered(seen) == [("a", 10, 2.0), ("a", 20, 8.0), ("a", 30, 1.0), ("a", 70, 4.0)]
    assert results(seen) == [("a", 60, 3, 11.0), ("a", 120, 1, 4.0)]
    assert late(seen) == []


def test_rows_of_one_time_are_in_the_order_of_their_numbers(outcome):
    seen = outcome(Script().come(("a", 5, 1.0, 7), ("a", 5, 2.0, 3)).come(("a", 5, 4.0, 5)).until(100))
    assert ordered(seen) == [("a", 5, 2.0), ("a", 5, 4.0), ("a", 5, 1.0)]


def test_late_within_the_lateness_is_sorted_in(outcome):
    # The watermark is at 69.9 s: the minute is over, and held open for what is ten seconds late.
    seen = outcome(Script().come(("a", 10, 1.0)).until(69.9).come(("a", 59.9, 2.0)).until(200))
    assert results(seen) == [("a", 60, 2, 3.0)]
    assert late(seen) == []


def test_late_beyond_the_lateness_is_told_of_with_its_account_and_changes_no_result(outcome):
    seen = outcome(
        Script().come(("a", 10, 1.0)).until(70).come(("a", 59.9, 2.0), ("a", 60, 4.0)).until(100).come(("a", 3, 8.0))
    )
    assert results(seen) == [("a", 60, 1, 1.0), ("a", 120, 1, 4.0)]
    assert late(seen) == [("a", 59.9, 60, 0.1), ("a", 3, 61, 58)]
    (first, second) = seen.rows("late")
    assert (first["value"], first["sequence_number"]) == (2.0, str(10**20 + 1))
    assert (second["value"], second["sequence_number"]) == (8.0, str(10**20 + 3))


def test_a_row_that_is_behind_the_watermark_but_not_behind_its_series_is_not_late(outcome):
    # Nothing of b was computed without it. It is scored at once.
    seen = outcome(Script().come(("a", 10, 1.0)).until(500).come(("b", 10, 2.0)).until(600))
    assert results(seen) == [("a", 60, 1, 1.0), ("b", 60, 1, 2.0)]
    assert late(seen) == []


def test_idle_series_do_not_hold_up_the_others_and_close_their_own_windows(outcome):
    script = Script().come(("a", 10, 1.0), ("idle", 5, 1.0))
    for minute in range(1, 4):
        script = script.come(("a", 60 * minute + 10, 1.0)).until(60 * minute + 15)
    seen = outcome(script.until(1_000).come(("idle", 1_001, 2.0)).until(2_000))
    assert results(seen) == [
        ("a", 60, 1, 1.0), ("a", 120, 1, 1.0), ("a", 180, 1, 1.0), ("a", 240, 1, 1.0),
        ("idle", 60, 1, 1.0), ("idle", 1_020, 1, 2.0),
    ]  # fmt: skip
    # The window of the idle series was closed by the watermark, beside that of the other.
    order = [(row["series"], row["event_ms"]) for row in seen.rows("results")]
    assert order.index(("idle", 60_000)) < order.index(("a", 120_000))


def test_a_clock_that_jumps_ahead_and_stays_there_leaves_nothing_out(outcome):
    day = 86_400
    seen = outcome(
        Script().come(("a", 10, 1.0), ("a", day + 10, 2.0)).until(day + 5).come(("a", day + 8, 4.0)).until(2 * day)
    )
    assert results(seen) == [("a", 60, 1, 1.0), ("a", day + 60, 2, 6.0)]
    assert late(seen) == []


def test_a_clock_that_jumps_ahead_and_back_makes_late_what_its_series_has_passed(outcome):
    day = 86_400
    script = Script().come(("a", 10, 1.0), ("b", 10, 1.0), ("a", day, 2.0)).until(day + 100)
    script = script.come(("a", 20, 4.0), ("a", day + 101, 8.0), ("b", 70, 16.0)).until(day + 500)
    seen = outcome(script)
    assert results(seen) == [
        ("a", 60, 1, 1.0), ("a", day + 60, 1, 2.0), ("a", day + 120, 1, 8.0),
        ("b", 60, 1, 1.0), ("b", 120, 1, 16.0),
    ]  # fmt: skip
    assert late(seen) == [("a", 20, day + 60, day + 40)]


def test_a_clock_that_jumps_back_within_the_lateness_is_nothing_but_disorder(outcome):
    seen = outcome(
        Script().come(("a", 30, 1.0)).until(31).come(("a", 22, 2.0)).until(32).come(("a", 33, 4.0)).until(99)
    )
    assert ordered(seen) == [("a", 22, 2.0), ("a", 30, 1.0), ("a", 33, 4.0)]
    assert late(seen) == []


def test_doubles_are_given_once_whether_they_come_before_or_after_the_first_is_released(outcome):
    script = Script().come(("a", 10, 1.0, 1), ("a", 10, 1.0, 1)).come(("a", 10, 1.0, 1), ("a", 11, 2.0, 2)).until(80)
    seen = outcome(script.come(("a", 11, 2.0, 2), ("a", 12, 4.0, 3)).until(200))
    assert ordered(seen) == [("a", 10, 1.0), ("a", 11, 2.0)]
    assert results(seen) == [("a", 60, 2, 3.0)]
    assert late(seen) == [("a", 12, 60, 48)]  # it is no double: nobody has seen it


def test_the_end_of_input_closes_everything(outcome):
    seen = outcome(Script().come(("a", 100, 1.0), ("b", 10, 2.0)))
    assert results(seen) == [("a", 120, 1, 1.0), ("b", 60, 1, 2.0)]


def test_c9_stagger_windows_open_with_the_first_row_by_event_time_not_by_arrival(outcome):
    script = Script().come(("a", 80, 1.0)).come(("a", 25, 2.0)).come(("a", 84.9, 4.0), ("a", 85, 8.0)).until(400)
    seen = outcome(script, Windowing(Stagger(60_000), (Aggregate("SUM", "value"),)))
    assert results(seen) == [("a", 85, 3, 7.0), ("a", 145, 1, 8.0)]


def test_session_windows_end_when_the_watermark_says_that_nothing_fills_the_gap(outcome):
    script = Script().come(("a", 0, 1.0), ("a", 50, 2.0)).until(55).come(("a", 46, 4.0)).until(80).come(("a", 90, 8.0))
    seen = outcome(script.until(400), Windowing(Session(30_000), (Aggregate("SUM", "value"),)))
    # 46 s comes late within the lateness: sessions are [0, 30), [46, 80), and 90 s opens the last.
    assert results(seen) == [("a", 30, 1, 1.0), ("a", 80, 2, 6.0), ("a", 120, 1, 8.0)]


def test_early_results_are_marked_and_the_final_one_comes_once(outcome):
    script = (
        Script()
        .come(("a", 10, 1.0))
        .until(1)
        .come(("a", 5, 2.0), ("a", 61, 4.0))
        .until(62)
        .come(("a", 55, 8.0))
        .until(300)
    )
    seen = outcome(script, early=True)
    early = seen.of("early", "event_ms", "pane", "records", "value")
    assert early == [
        ("a", 60_000, "EARLY", 1, 1.0),
        ("a", 60_000, "EARLY", 2, 3.0),
        ("a", 120_000, "EARLY", 1, 4.0),
        ("a", 60_000, "EARLY", 3, 11.0),
    ]
    assert seen.of("results", "event_ms", "pane", "records", "value") == [
        ("a", 60_000, "ON_TIME", 3, 11.0),
        ("a", 120_000, "ON_TIME", 1, 4.0),
    ]


def test_each_row_is_in_a_window_or_late_and_nothing_vanishes(outcome):
    script = Script()
    for turn in range(20):
        times = [(turn * 37 + 11 * n) % 300 for n in range(10)]
        script = script.come(*(("ab"[n % 2], time, 1.0) for n, time in enumerate(times))).until(turn * 12 + 1)
    seen = outcome(script)
    assert sum(records for _, _, records, _ in results(seen)) + len(late(seen)) == 200
    assert len(late(seen)) > 20
    places = [row["sequence_number"] for output in ("ordered", "late") for row in seen.rows(output)]
    assert sorted(places) == [str(10**20 + number) for number in range(200)]
    for series in "ab":
        times = [time for name, time, _ in ordered(seen) if name == series]
        assert times == sorted(times)
