"""The watermark: monotone, the slowest shard's, never ahead of a page's timestamp; event time of the records' own."""

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from apache_beam.utils.timestamp import Timestamp
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.kinesis.page import make_page
from pipelines.kinesis.positions import TRIM_HORIZON, ShardPosition
from pipelines.kinesis.restriction import Restriction, ShardRange
from pipelines.kinesis.until import SLACK_MS
from pipelines.kinesis.watermark import ARRIVAL_TIME, EventTime, Marks, MarksCoder, ShardWatermark, initial_marks
from pipelines.runtime.errors import ConfigurationError

NOW = 1_700_000_000_000


def ms_of(timestamp: Timestamp) -> int:
    return timestamp.micros // 1000


def test_slowest_shard_holds_it_and_an_ended_one_does_not():
    watermark = ShardWatermark(Marks())
    watermark.live(["a", "b"])
    watermark.delivered("a", NOW)
    assert ms_of(watermark.current_watermark()) == 0
    watermark.delivered("b", NOW - 5000)
    assert ms_of(watermark.current_watermark()) == NOW - 5000 - SLACK_MS
    watermark.live(["a"])
    assert ms_of(watermark.current_watermark()) == NOW - SLACK_MS


def test_idle_shard_does_not_hold_it_back():
    watermark = ShardWatermark(Marks())
    watermark.live(["a", "b"])
    watermark.delivered("a", NOW)
    watermark.caught_up("b", NOW + 10_000)
    assert ms_of(watermark.current_watermark()) == NOW - SLACK_MS


def test_child_goes_on_from_the_watermark():
    watermark = ShardWatermark(Marks())
    watermark.live(["a"])
    watermark.delivered("a", NOW)
    watermark.current_watermark()
    watermark.live(["b", "c"])
    assert ms_of(watermark.current_watermark()) == NOW - SLACK_MS
    watermark.caught_up("b", NOW + 9000)
    assert ms_of(watermark.current_watermark()) == NOW - SLACK_MS


def test_initial_watermark_is_the_starting_time_and_never_unknown():
    at = ShardPosition("AT_TIMESTAMP", timestamp_ms=NOW)
    timed = initial_marks(Restriction((ShardRange("a", at), ShardRange("b", at, waits_for=("a",)))))
    assert ms_of(ShardWatermark(timed).current_watermark()) == NOW - SLACK_MS
    unknown = initial_marks(Restriction((ShardRange("a", TRIM_HORIZON),)))
    assert ms_of(ShardWatermark(unknown).current_watermark()) == 0


@given(
    st.lists(
        st.tuples(
            st.sampled_from("abc"), st.sampled_from(["page", "idle"]), st.integers(-3000, 20_000), st.integers(0, 3000)
        ),
        max_size=40,
    )
)
@settings(max_examples=150)
@pytest.mark.parametrize("slack_ms", [0, SLACK_MS, 60_000])
def test_no_page_is_late_pages_of_a_shard_are_in_order_and_state_survives(slack_ms, steps):
    watermark = ShardWatermark(Marks(), slack_ms)
    watermark.live("abc")
    low, last = 0, {}
    for shard, kind, offset, span in steps:
        if kind == "page":
            timestamp = ms_of(watermark.page(shard, NOW + offset))
            assert timestamp >= ms_of(watermark.current_watermark())
            assert timestamp > last.get(shard, -1)
            assert timestamp >= NOW + offset
            last[shard] = timestamp
            watermark.delivered(shard, NOW + offset + span)
        else:
            watermark.caught_up(shard, NOW + offset)
        assert ms_of(watermark.current_watermark()) >= low
        low = ms_of(watermark.current_watermark())
        coded = MarksCoder().encode(watermark.get_estimator_state())
        watermark = ShardWatermark(MarksCoder().decode(coded), slack_ms)
        assert ms_of(watermark.current_watermark()) == low


def test_a_page_of_the_same_time_is_a_millisecond_behind_the_one_before_it():
    watermark = ShardWatermark(Marks())
    watermark.live(["a", "b"])
    assert [ms_of(watermark.page("a", NOW)) for _ in range(3)] == [NOW, NOW + 1, NOW + 2]
    assert ms_of(watermark.page("b", NOW)) == NOW
    assert ms_of(watermark.page("a", NOW + 1)) == NOW + 3
    assert ms_of(watermark.page("a", NOW + 9)) == NOW + 9
    again = ShardWatermark(MarksCoder().decode(MarksCoder().encode(watermark.get_estimator_state())))
    again.live(["a", "b"])
    assert ms_of(again.page("a", NOW)) == NOW + 10


def test_a_page_before_the_watermark_is_raised_to_it():
    watermark = ShardWatermark(Marks())
    watermark.live(["a"])
    watermark.delivered("a", NOW)
    assert ms_of(watermark.page("a", NOW - 60_000)) == NOW - SLACK_MS == ms_of(watermark.current_watermark())


def test_what_is_known_of_an_ended_shard_is_forgotten():
    watermark = ShardWatermark(Marks())
    watermark.live(["a", "b"])
    watermark.page("a", NOW)
    watermark.delivered("a", NOW)
    watermark.live(["b"])
    assert watermark.get_estimator_state() == Marks(0, {"b": 0}, {})


def test_slack_is_kept_behind_the_latest_time_and_behind_the_wall_clock():
    watermark = ShardWatermark(Marks(), slack_ms=60_000)
    watermark.live(["a"])
    watermark.delivered("a", NOW)
    assert ms_of(watermark.current_watermark()) == NOW - 60_000
    watermark.caught_up("a", NOW + 30_000)
    assert ms_of(watermark.current_watermark()) == NOW - 30_000


def test_event_time_of_the_records_begins_anywhere():
    """Where reading begins by arrival says nothing of the times in the records."""
    at = ShardPosition("AT_TIMESTAMP", timestamp_ms=NOW)
    marks = initial_marks(Restriction((ShardRange("a", at), ShardRange("b", at, waits_for=("a",)))), by_arrival=False)
    assert marks == Marks(0, {"a": 0})


def page_of(data, arrival_ms):
    count = len(data)
    return make_page("a", data, ["k"] * count, [str(n) for n in range(1, count + 1)], arrival_ms)


def seconds_in_data(page):
    """As a user writes it: the record's own seconds, null where there are none."""
    text = page.column("data").cast(pa.string())
    return pc.multiply(pc.if_else(pc.equal(text, ""), None, text).cast(pa.int64()), 1000)


@pytest.mark.parametrize(
    ("data", "arrival_ms", "span"),
    [
        ([b"5", b"3", b"4"], [9_000, 9_001, 9_002], (3_000, 5_000)),
        ([b"5", b"", b"6"], [9_000, 9_001, 9_002], (5_000, 9_001)),
        ([b"", b""], [9_000, 9_001], (9_000, 9_001)),
        ([b"-7"], [9_000], (-7_000, -7_000)),
    ],
)
def test_event_time_is_the_records_and_where_they_have_none_that_of_arrival(data, arrival_ms, span):
    assert EventTime(seconds_in_data).span_ms(page_of(data, arrival_ms)) == span


@pytest.mark.parametrize(
    "times",
    [
        pa.chunked_array([[3_000], [5_000]]),
        pa.array([3_000.0, 5_000.0]),
        pa.array([3_000, 5_000], pa.int32()),
        pa.array([3, 5], pa.timestamp("s")),
        pa.array([3_000_999, 5_000_999], pa.timestamp("us", "UTC")),
        pa.chunked_array([pa.array([3_000, 5_000], pa.timestamp("ms", "Europe/Berlin"))]),
    ],
    ids=["chunked", "floats", "int32", "seconds", "microseconds", "with a zone"],
)
def test_event_time_may_come_in_other_forms(times):
    assert EventTime(lambda _: times).span_ms(page_of([b"", b""], [9_000, 9_000])) == (3_000, 5_000)


@pytest.mark.parametrize(
    ("seconds", "arrival_ms", "times"),
    [
        ([1, 99], [2_000, 3_000], [1_000, 3_000]),
        ([98, 99], [2_000, 3_000], [2_000, 3_000]),
        ([2, 3], [2_000, 3_000], [2_000, 3_000]),
        ([10**12, 1], [2_000, 3_000], [2_000, 1_000]),  # nanoseconds, perhaps
    ],
)
def test_event_time_behind_the_arrival_counts_as_that(seconds, arrival_ms, times):
    page = page_of([b"%d" % second for second in seconds], arrival_ms)
    assert EventTime(seconds_in_data).times_ms(page).to_pylist() == times
    assert EventTime(seconds_in_data).span_ms(page) == (min(times), max(times))


def test_one_wrong_clock_makes_nothing_late_that_follows():
    """A record of next year, and then the others: they are not behind the watermark, also of a reader that lags."""
    event_time = EventTime(seconds_in_data, slack_ms=2_000)
    watermark = ShardWatermark(Marks(), event_time.slack_ms)
    watermark.live(["a"])
    for second in range(100, 110):
        data = [b"99999"] if second == 104 else [b"%d" % second]
        page = page_of(data, [second * 1000])
        span_ms = event_time.span_ms(page)
        assert ms_of(watermark.current_watermark()) <= second * 1000 - 2_000 or second == 100
        assert second * 1000 <= ms_of(watermark.page("a", span_ms[0])) <= second * 1000 + 1
        watermark.delivered("a", span_ms[1])


def test_a_replay_takes_no_time_from_records_that_have_none():
    replay = EventTime(seconds_in_data, follows_clock=False)
    assert replay.span_ms(page_of([b"5", b"", b"6"], [9_000] * 3)) == (5_000, 6_000)
    assert replay.span_ms(page_of([b"", b""], [9_000] * 2)) is None
    watermark = ShardWatermark(Marks(7_000, {"a": 7_000}))
    assert [ms_of(watermark.page("a", None)) for _ in range(2)] == [7_000, 7_001]
    assert ms_of(watermark.page("a", 9_000)) == 9_000


def test_event_time_of_nothing_but_nulls_is_arrival():
    assert EventTime(lambda page: pa.nulls(page.num_rows)).span_ms(page_of([b"", b""], [1, 2])) == (1, 2)
    assert ARRIVAL_TIME.span_ms(page_of([b"", b""], [2, 1])) == (1, 2)
    assert ARRIVAL_TIME.slack_ms == SLACK_MS


@pytest.mark.parametrize(
    "times",
    [
        None,
        [1, 2],
        pa.array([1]),
        pa.array([1, 2, 3]),
        pa.scalar(1),
        pa.array(["now", "then"]),
        pa.array([1.5, 2.5]),
        pa.array([[1], [2]]),
    ],
    ids=["nothing", "a list", "too few", "too many", "a scalar", "texts", "fractions", "lists"],
)
def test_a_function_that_gives_no_time_a_record_is_named(times):
    with pytest.raises(ConfigurationError, match=r"EventTime\.of gave .* for a page of 2 records") as raised:
        EventTime(lambda _: times).span_ms(page_of([b"", b""], [1, 2]))
    assert "int64" in raised.value.fix


def test_slack_is_not_negative():
    with pytest.raises(ConfigurationError, match="slack_ms=-1"):
        EventTime(seconds_in_data, slack_ms=-1)
