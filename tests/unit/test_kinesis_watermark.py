"""The watermark: monotone, the slowest shard's, never ahead of a page's timestamp."""

from apache_beam.utils.timestamp import Timestamp
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.kinesis.positions import TRIM_HORIZON, ShardPosition
from pipelines.kinesis.restriction import Restriction, ShardRange
from pipelines.kinesis.until import SLACK_MS
from pipelines.kinesis.watermark import ArrivalWatermark, Marks, MarksCoder, initial_marks

NOW = 1_700_000_000_000


def ms_of(timestamp: Timestamp) -> int:
    return timestamp.micros // 1000


def test_slowest_shard_holds_it_and_an_ended_one_does_not():
    watermark = ArrivalWatermark(Marks())
    watermark.live(["a", "b"])
    watermark.delivered("a", NOW)
    assert ms_of(watermark.current_watermark()) == 0
    watermark.delivered("b", NOW - 5000)
    assert ms_of(watermark.current_watermark()) == NOW - 5000 - SLACK_MS
    watermark.live(["a"])
    assert ms_of(watermark.current_watermark()) == NOW - SLACK_MS


def test_idle_shard_does_not_hold_it_back():
    watermark = ArrivalWatermark(Marks())
    watermark.live(["a", "b"])
    watermark.delivered("a", NOW)
    watermark.caught_up("b", NOW + 10_000)
    assert ms_of(watermark.current_watermark()) == NOW - SLACK_MS


def test_child_goes_on_from_the_watermark():
    watermark = ArrivalWatermark(Marks())
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
    assert ms_of(ArrivalWatermark(timed).current_watermark()) == NOW - SLACK_MS
    unknown = initial_marks(Restriction((ShardRange("a", TRIM_HORIZON),)))
    assert ms_of(ArrivalWatermark(unknown).current_watermark()) == 0


@given(
    st.lists(
        st.tuples(
            st.sampled_from("abc"), st.sampled_from(["page", "idle"]), st.integers(-3000, 20_000), st.integers(0, 3000)
        ),
        max_size=40,
    )
)
@settings(max_examples=150)
def test_no_page_is_late_pages_of_a_shard_are_in_order_and_state_survives(steps):
    watermark = ArrivalWatermark(Marks())
    watermark.live("abc")
    low, last = 0, {}
    for shard, kind, offset, span in steps:
        if kind == "page":
            timestamp = ms_of(watermark.page(shard, NOW + offset))
            assert timestamp >= ms_of(watermark.current_watermark())
            assert timestamp >= last.get(shard, 0)
            assert timestamp >= NOW + offset
            last[shard] = timestamp
            watermark.delivered(shard, NOW + offset + span)
        else:
            watermark.caught_up(shard, NOW + offset)
        assert ms_of(watermark.current_watermark()) >= low
        low = ms_of(watermark.current_watermark())
        coded = MarksCoder().encode(watermark.get_estimator_state())
        watermark = ArrivalWatermark(MarksCoder().decode(coded))
        assert ms_of(watermark.current_watermark()) == low
