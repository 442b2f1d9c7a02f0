"""Windows over ordered rows: the guide's worked examples, and every cut into batches gives the same bits."""

import math
import struct
from itertools import pairwise

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.analytics import open_windows
from pipelines.analytics.rows import rows_schema
from pipelines.analytics.windows import (
    Aggregate,
    Session,
    Sliding,
    SlidingRows,
    Stagger,
    Tumbling,
    Windowing,
    each_row,
)
from pipelines.runtime.errors import ConfigurationError

MINUTE = 60_000
ALL = tuple(Aggregate(f, "value", f.lower()) for f in ("COUNT", "SUM", "AVG", "MIN", "MAX", "FIRST", "LAST"))
WINDOWS = [Tumbling(10), Stagger(10), Session(4), Sliding(10), SlidingRows(3)]


def rows(times, values=None):
    values = [1.0] * len(times) if values is None else values
    size = len(times)
    return pa.RecordBatch.from_arrays(
        [
            pa.array(["s"] * size, pa.string()),
            pa.array(times, pa.int64()),
            pa.array(["shard"] * size, pa.string()),
            pa.array([str(n) for n in range(size)], pa.string()),
            pa.array([0] * size, pa.int64()),
            pa.array(values, pa.float64()),
        ],
        schema=rows_schema(["value"]),
    )


def results(windowing, times, values=None, mark_ms=1 << 50):
    fed = open_windows.start(windowing).feed("s", rows(times, values), mark_ms)
    return [tuple(row.values())[1:] for row in fed.to_pylist()]


def counted(window, times, mark_ms=1 << 50):
    """(end, records) of each window."""
    found = results(Windowing(window, (Aggregate("COUNT", "value"),)), times, mark_ms=mark_ms)
    return [(end_ms, records) for end_ms, _, _, records, _ in found]


def at(clock):
    hours, minutes, seconds = map(int, clock.split(":"))
    return (hours * 3600 + minutes * 60 + seconds) * 1000


ROWTIMES = ["11:00:20", "11:00:30", "11:01:05", "11:01:15"]
"""The guide's four rows; the event time of each is ten seconds earlier, so its minute is 11:00 of the first three."""
BY_EVENT_MINUTE = {"11:00": ROWTIMES[:3], "11:01": ROWTIMES[3:]}


def test_c8_tumbling_gives_the_rows_of_the_guides_worked_example():
    found = {
        (end_ms, minute, records)
        for minute, clocks in BY_EVENT_MINUTE.items()
        for end_ms, records in counted(Tumbling(MINUTE), [at(clock) for clock in clocks])
    }
    assert found == {(at("11:01:00"), "11:00", 2), (at("11:02:00"), "11:00", 1), (at("11:02:00"), "11:01", 1)}


def test_c9_stagger_gives_the_rows_of_the_guides_worked_example():
    found = {
        (end_ms, minute, records)
        for minute, clocks in BY_EVENT_MINUTE.items()
        for end_ms, records in counted(Stagger(MINUTE), [at(clock) for clock in clocks])
    }
    assert found == {(at("11:01:20"), "11:00", 3), (at("11:02:15"), "11:01", 1)}


def test_c10_sliding_gives_one_result_a_row_of_it_and_what_the_range_before_it_holds():
    windowing = Windowing(Sliding(5_000), (Aggregate("SUM", "value"),))
    times = [0, 2_000, 5_000, 5_001, 20_000]
    assert results(windowing, times, [1.0, 2.0, 4.0, 8.0, 16.0]) == [
        (0, -5_000, "ON_TIME", 1, 1.0),
        (2_000, -3_000, "ON_TIME", 2, 3.0),
        (5_000, 0, "ON_TIME", 3, 7.0),  # what is as old as the range is in
        (5_001, 1, "ON_TIME", 3, 14.0),
        (20_000, 15_000, "ON_TIME", 1, 16.0),
    ]


def test_c10_sliding_over_rows_counts_those_before_it():
    windowing = Windowing(SlidingRows(2), (Aggregate("AVG", "value"),))
    assert results(windowing, [1, 2, 3, 4], [3.0, 6.0, 9.0, 12.0]) == [
        (1, 1, "ON_TIME", 1, 3.0),
        (2, 1, "ON_TIME", 2, 4.5),
        (3, 1, "ON_TIME", 3, 6.0),
        (4, 2, "ON_TIME", 3, 9.0),
    ]


def test_c10_no_result_when_rows_only_leave_a_sliding_window():
    windows = open_windows.start(Windowing(Sliding(5_000), (Aggregate("SUM", "value"),)))
    assert windows.feed("s", rows([0]), 1).num_rows == 1
    assert windows.due_ms() is None
    assert windows.feed("s", None, 1 << 40).num_rows == 0


def test_a_session_ends_its_gap_behind_its_last_row():
    # 10 and 14 are as far apart as the gap: two sessions. 14 and 17 are nearer.
    assert counted(Session(4), [10, 14, 17, 30]) == [(14, 1), (21, 2), (34, 1)]


def test_each_row_by_itself_keeps_its_numbers():
    assert results(each_row(["value"]), [5, 7], [0.1, -2.5]) == [(5, 5, "ON_TIME", 1, 0.1), (7, 7, "ON_TIME", 1, -2.5)]


def test_every_function_of_a_window():
    (found,) = results(Windowing(Tumbling(10), ALL), [1, 2, 9], [2.0, -1.0, 5.0])
    assert found == (10, 0, "ON_TIME", 3, 3.0, 6.0, 2.0, -1.0, 5.0, 2.0, 5.0)


@pytest.mark.parametrize(("window", "end_ms"), [(Tumbling(10), 10), (Stagger(10), 13), (Session(4), 9)])
def test_a_window_is_closed_by_the_mark_at_its_end_and_not_before(window, end_ms):
    windows = open_windows.start(Windowing(window, ALL))
    assert windows.feed("s", rows([3, 5]), end_ms - 1).num_rows == 0
    assert windows.due_ms() == end_ms
    closed = windows.feed("s", None, end_ms)
    assert (closed.num_rows, closed["records"][0].as_py(), windows.due_ms()) == (1, 2, None)


def test_early_is_told_and_changes_nothing():
    windows = open_windows.start(Windowing(Tumbling(10), (Aggregate("SUM", "value"),)))
    windows.feed("s", rows([1], [1.0]), 2)
    early = windows.early("s", rows([4, 12], [2.0, 4.0])).to_pylist()
    assert [(row["pane"], row["event_ms"], row["value"]) for row in early] == [("EARLY", 10, 3.0), ("EARLY", 20, 4.0)]
    final = windows.feed("s", rows([4], [2.0]), 10).to_pylist()
    assert [(row["pane"], row["value"]) for row in final] == [("ON_TIME", 3.0)]


numbers = st.floats(-1e6, 1e6, allow_nan=False).map(float)
ordered = st.lists(st.tuples(st.integers(0, 80), numbers), min_size=1, max_size=30).map(
    lambda found: sorted(found, key=lambda pair: pair[0])
)


def brute(window, times):
    """Which rows each window has, row by row, by the definitions: (start, end) -> positions."""
    found, open_window = {}, None
    for at_, time in enumerate(times):
        match window:
            case Tumbling(size):
                span = (time - time % size, time - time % size + size)
            case Stagger(size):
                if open_window is None or time >= open_window[1]:
                    open_window = (time, time + size)
                span = open_window
            case Session(gap):
                previous = times[at_ - 1] if at_ else None
                begin = time if previous is None or time - previous >= gap else open_window[0]
                found.pop(open_window, None) if open_window and begin == open_window[0] else None
                open_window = span = (begin, time + gap)
                found[span] = [n for n in range(at_ + 1) if times[n] >= begin]
                continue
        found.setdefault(span, []).append(at_)
    return found


@given(data=ordered, window=st.sampled_from(WINDOWS[:3]))
def test_windows_have_the_rows_that_their_definitions_say(data, window):
    times, values = [time for time, _ in data], [value for _, value in data]
    found = results(Windowing(window, ALL), times, values)
    expected = [
        (end, begin, "ON_TIME", len(at_), float(len(at_)), sum(values[n] for n in at_))
        for (begin, end), at_ in sorted(brute(window, times).items())
    ]
    assert [row[:5] for row in found] == [row[:5] for row in expected]
    for row, other in zip(found, expected, strict=True):
        assert math.isclose(row[5], other[5], rel_tol=1e-9, abs_tol=1e-6)


def whole_and_parts(data, window, cuts, restored):
    """The results of all rows at once, and of the same rows cut at these marks, with or without a restart at each."""
    windowing = Windowing(window, ALL)
    times, values = [time for time, _ in data], [value for _, value in data]
    whole = open_windows.start(windowing).feed("s", rows(times, values), 1000)
    windows, parts = open_windows.start(windowing), []
    for begin, end in pairwise([-1, *sorted(cuts), 1000]):
        part = [n for n, time in enumerate(times) if begin <= time < end]
        batch = rows([times[n] for n in part], [values[n] for n in part]) if part else None
        parts.append(windows.feed("s", batch, end))
        if restored:
            windows = open_windows.restore(windowing, windows.pack())
    return whole, parts


@given(data=ordered, window=st.sampled_from(WINDOWS), cuts=st.sets(st.integers(0, 81)), restored=st.booleans())
def test_every_cut_into_batches_and_every_restart_gives_the_same_bits(data, window, cuts, restored):
    whole, parts = whole_and_parts(data, window, cuts, restored)
    assert pa.Table.from_batches(parts).combine_chunks().equals(pa.Table.from_batches([whole]))


ODD = st.sampled_from([math.nan, -math.nan, math.inf, -math.inf, 0.0, -0.0, 1.5, -1.5, 1e308, -1e308, 5e-324])


def bits(batches):
    """Each result with its numbers as their bytes, in which -0.0 is not 0.0 and NaN is NaN."""
    found = [row.values() for batch in batches for row in batch.to_pylist()]
    return [tuple(struct.pack(">d", each) if isinstance(each, float) else each for each in row) for row in found]


@given(
    data=st.lists(st.tuples(st.integers(0, 40), ODD), min_size=1, max_size=25).map(
        lambda found: sorted(found, key=lambda row: row[0])
    ),
    window=st.sampled_from(WINDOWS),
    cuts=st.sets(st.integers(0, 41)),
    restored=st.booleans(),
)
def test_nan_infinity_and_both_zeros_give_the_same_bits_for_every_cut_and_every_restart(data, window, cuts, restored):
    whole, parts = whole_and_parts(data, window, cuts, restored)
    assert bits(parts) == bits([whole])


@given(st.lists(ODD, min_size=1, max_size=6), st.integers(0, 6))
def test_min_and_max_are_those_of_ieee_754_whatever_the_order_and_know_one_zero(values, turned):
    window = Windowing(Tumbling(10), ALL)
    least, most = results(window, [1] * len(values), values)[0][7:9]
    if any(map(math.isnan, values)):
        assert math.isnan(least)
        assert math.isnan(most)
    else:
        assert (least, most) == (min(values), max(values))
        assert all(math.copysign(1, each) == 1 for each in (least, most) if each == 0)
    other = [*values[turned:], *values[:turned]][::-1]
    again = open_windows.start(window).feed("s", rows([1] * len(other), other), 10)
    first = open_windows.start(window).feed("s", rows([1] * len(values), values), 10)
    assert bits([again.select(["min", "max"])]) == bits([first.select(["min", "max"])])


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1.0, math.nan, 3.0], [3.0, math.nan, math.nan, math.nan, math.nan, 1.0, 3.0]),
        ([1.0, math.inf], [2.0, math.inf, math.inf, 1.0, math.inf, 1.0, math.inf]),
        ([math.inf, -math.inf], [2.0, math.nan, math.nan, -math.inf, math.inf, math.inf, -math.inf]),
        ([-0.0], [1.0, -0.0, -0.0, 0.0, 0.0, -0.0, -0.0]),
    ],
)
def test_what_windows_make_of_numbers_that_are_none(values, expected):
    for window in (Tumbling(10), SlidingRows(9)):
        found = open_windows.start(Windowing(window, ALL)).feed("s", rows([1] * len(values), values), 10)
        last = found.select([one.label for one in ALL]).slice(found.num_rows - 1)
        assert bits([last]) == [tuple(struct.pack(">d", each) for each in expected)]


@pytest.mark.parametrize("window", [Tumbling(0), Stagger(-1), Session(0), Sliding(-1), SlidingRows(-1)])
def test_a_length_that_is_none_is_refused(window):
    with pytest.raises(ConfigurationError, match="no window"):
        Windowing(window, ALL)


@pytest.mark.parametrize("kind", [Tumbling, Stagger, Session, Sliding])
def test_a_length_beyond_the_year_9999_is_refused_and_one_up_to_there_gives_results(kind):
    latest_ms = 253_402_300_799_999
    with pytest.raises(ConfigurationError, match="9999"):
        Windowing(kind(latest_ms + 1), ALL)
    windows = open_windows.start(Windowing(kind(latest_ms), ALL))
    last = windows.feed("s", rows([latest_ms - 1, latest_ms]), latest_ms + 1)
    last = windows.feed("s", None, windows.due_ms()) if windows.due_ms() is not None else last
    assert last.column("records").to_pylist()[-1] == (1 if kind is Tumbling else 2)


@pytest.mark.parametrize(
    "aggregates",
    [
        (),
        (Aggregate("SUM", "a"), Aggregate("AVG", "a")),
        (Aggregate("SUM", "a", "pane"),),
        (Aggregate("COUNT", "series"),),
    ],
)
def test_aggregates_need_names_of_their_own(aggregates):
    with pytest.raises(ConfigurationError, match="aggregates are called"):
        Windowing(Tumbling(1), aggregates)


def test_an_unknown_function_is_refused():
    with pytest.raises(ConfigurationError, match="MEDIAN"):
        Windowing(Tumbling(1), (Aggregate("MEDIAN", "value"),))


@pytest.mark.parametrize("window", [Sliding(10), SlidingRows(3)])
def test_columns_that_are_carried_come_with_the_result_of_each_row(window):
    windowing = Windowing(window, (Aggregate("COUNT", "value"),), carried=(pa.field("name", pa.string()),))
    windows = open_windows.start(windowing)
    found = []
    for times, names in (([1, 5], ["a", None]), ([8], ["c"])):
        batch = rows(times).append_column("name", pa.array(names))
        found += windows.feed("s", batch, max(times) + 1).to_pylist()
    assert [(row["name"], row["value"]) for row in found] == [("a", 1.0), (None, 2.0), ("c", 3.0)]
    assert windows.feed("s", None, 100).schema == windowing.schema


def test_windows_of_several_rows_carry_no_columns():
    with pytest.raises(ConfigurationError, match="no result for each row"):
        Windowing(Tumbling(1), (Aggregate("COUNT", "value"),), carried=(pa.field("name", pa.string()),))
