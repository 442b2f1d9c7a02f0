"""The scenario cloudwatch without Beam: what its screen shows while it runs, and the account at its end."""

import io

import pytest
from rich.console import Console

from pipelines.analytics.explanation import Attribution, explanation
from scenarios.cloudwatch import checks
from scenarios.cloudwatch.application import WINDOW_MS
from scenarios.cloudwatch.found import series
from scenarios.cloudwatch.scenario import Verdict
from scenarios.cloudwatch.screen import screen
from scenarios.cloudwatch.workload import METRICS
from scenarios.destinations import Answer

BEGIN_MS = 1_397_088_000_000  # 2014-04-10
FIRST, SECOND = METRICS[0], METRICS[4]
WHY = explanation([Attribution("mean", 0.2, 0.1), Attribution("most", 0.5, 3.2)], directionality=True)


def result(series, window, score, *, anomaly=False, threshold=2.0):
    start_ms = BEGIN_MS + window * WINDOW_MS
    return {
        "series": series,
        "event_ms": start_ms + WINDOW_MS,
        "window_start_ms": start_ms,
        "mean": 1234.5 + window,
        "ANOMALY_SCORE": score,
        "ANOMALY_EXPLANATION": WHY,
        "threshold": threshold,
        "anomaly": anomaly,
    }


def shown(results, width=80):
    console = Console(width=width, file=io.StringIO())
    console.print(screen(results))
    return [line.rstrip() for line in console.file.getvalue().splitlines()]


def cells(line):
    return line.split()


def test_before_the_first_window_nothing_is_shown():
    assert screen([]) is None


def test_each_series_has_a_line_with_its_latest_window_in_whatever_order_results_are_kept():
    rows = [result(FIRST, 3, 1.456), result(SECOND, 0, None), result(FIRST, 1, 9.0), result(FIRST, 2, 0.0)]
    lines = shown(rows)
    assert lines[0] == ""
    assert cells(lines[1]) == ["Series", "Latest", "window", "Mean", "Score"]
    assert [line.split(" ")[0] for line in lines[2:]] == list(METRICS)
    (first,) = [line for line in lines if line.startswith(FIRST)]
    assert cells(first) == [FIRST, "10", "Apr", "01:30", "1,238", "1.46"]
    (second,) = [line for line in lines if line.startswith(SECOND)]
    assert cells(second) == [SECOND, "10", "Apr", "00:00", "1,234", "none"]
    assert sum(cells(line) == [line] for line in lines[2:]) == len(METRICS) - 2  # nothing of the others yet


def test_below_stand_the_anomalies_what_drove_each_in_which_direction_and_how_long_it_lasts():
    scores = {0: 0.0, 1: 3.0, 2: 2.5, 3: 1.0, 4: 4.0, 5: 2.1}
    rows = [result(FIRST, window, score, anomaly=window in (1, 4)) for window, score in scores.items()]
    lines = shown(rows)
    assert cells(lines[-3]) == ["Anomalies:", "2", "Begins", "Mean", "Score", "Driven", "by", "Lasts"]
    again, ended = lines[-2:]  # the latest first
    assert cells(ended) == [FIRST, "10", "Apr", "00:30", "1,236", "3.00", "most", "LOW", "1.0", "h"]
    assert cells(again) == [FIRST, "10", "Apr", "02:00", "1,238", "4.00", "most", "LOW", "1.0", "h", "so", "far"]


def test_of_many_anomalies_the_last_eight_are_shown_and_eighty_columns_are_enough():
    rows = [result(name, window, 3.0, anomaly=True) for name in METRICS for window in range(4)]
    lines = shown(rows)
    at = next(index for index, line in enumerate(lines) if line.startswith("Anomalies: last 8 of 32"))
    assert [cells(line)[0] for line in lines[at + 1 :]] == sorted(METRICS)  # the last window of each
    assert max(map(len, lines)) <= 80
    assert not any("…" in line for line in lines)


def place(number):
    return ("shardId-000000000000", str(number), 0)


def kept(*numbers):
    return [
        dict(zip(("shard_id", "sequence_number", "sub_sequence_number"), place(number), strict=True))
        for number in numbers
    ]


@pytest.mark.parametrize(
    ("pages", "doubles", "problems"),
    [
        ([3, 2], 0, []),
        ([3, 2, 3], 3, []),
        ([3], 0, ["2 records were never read"]),
    ],
)
def test_what_was_read_beyond_what_was_put_was_dropped(pages, doubles, problems):
    put = [place(number) for number in range(5)]
    assert checks.account(put, {"ordered": kept(0, 1, 2), "late": kept(3), "bad": kept(4)}) == []
    assert checks.dropped(put, pages) == (doubles, problems)


def test_the_verdict_tells_what_was_late_and_what_was_dropped():
    answer = Answer("SELECT 1", equal=True, scanned_bytes=1)
    verdict = Verdict([], in_windows=32_929, late=25, bad=11, dropped=1_480, answer=answer)
    assert verdict.table().title == "32,929 records in windows + 25 late + 11 bad; 1,480 doubles dropped"
    told = verdict.to_json()
    assert {name: told[name] for name in ("in_windows", "late", "bad", "dropped")} == {
        "in_windows": 32_929,
        "late": 25,
        "bad": 11,
        "dropped": 1_480,
    }


@pytest.mark.parametrize(
    ("first", "last", "inside"),
    [
        (2 * WINDOW_MS, 3 * WINDOW_MS, [False, True]),  # that at 1 lasts into the label, and is not in it
        (1 * WINDOW_MS, 2 * WINDOW_MS, [True, False]),
        (WINDOW_MS + 1, 3 * WINDOW_MS - 1, [False, False]),
        (3 * WINDOW_MS, 3 * WINDOW_MS, [False, True]),
        (0, WINDOW_MS - 1, [False, False]),
    ],
)
def test_what_hits_a_label_and_what_is_elsewhere_are_told_by_where_an_anomaly_begins(first, last, inside):
    scores = [0.0, 3.0, 2.5, 5.0, 2.5, 1.0]
    rows = [result(FIRST, window, score, anomaly=window in (1, 3)) for window, score in enumerate(scores)]
    panel = series(FIRST, rows, [(BEGIN_MS + first, BEGIN_MS + last)])
    assert [detection.labelled for detection in panel.detections] == inside
    verdict = Verdict([panel], 6, 0, 0, 0, Answer("SELECT 1", equal=True, scanned_bytes=1))
    (told,) = verdict.to_json()["series"].values()
    assert told["labelled_windows_hit"] == any(inside)
    elsewhere = list(verdict.table().columns[4].cells)
    assert elsewhere == [str(inside.count(False))]
