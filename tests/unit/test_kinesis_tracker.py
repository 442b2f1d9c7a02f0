"""The tracker as Beam's worker drives it: claims, `defer_remainder`, progress."""

import pytest
from apache_beam.runners.sdf_utils import RestrictionTrackerView, ThreadsafeRestrictionTracker
from apache_beam.utils.timestamp import Duration
from hypothesis import given
from hypothesis import strategies as st

from pipelines.kinesis.positions import SHARD_END, TRIM_HORIZON, ShardPosition
from pipelines.kinesis.restriction import Claim, Restriction, ShardInfo, ShardRange
from pipelines.kinesis.tracker import StreamRestrictionTracker


def one(start=TRIM_HORIZON, **more):
    return Restriction((ShardRange("a", start, **more),))


def claim(number, **more):
    return Claim("a", ShardPosition.after(str(number)), **more)


def test_defer_remainder_leaves_what_was_not_claimed_for_later():
    tracker = ThreadsafeRestrictionTracker(StreamRestrictionTracker(one()))
    view = RestrictionTrackerView(tracker)
    assert view.try_claim(claim(3))
    view.defer_remainder(Duration(2))
    assert not view.try_claim(claim(4))
    assert tracker.check_done()
    residual, delay = tracker.deferred_status()
    assert residual == one(ShardPosition.after("3"))
    assert Duration(1) < delay <= Duration(2)


def test_defer_remainder_before_any_claim_leaves_everything():
    tracker = StreamRestrictionTracker(one())
    primary, residual = tracker.try_split(0)
    assert primary.done
    assert residual == one()
    assert tracker.check_done()


@given(numbers=st.lists(st.integers(1, 10**57), min_size=1, unique=True).map(sorted), fraction=st.floats(0, 1))
def test_split_at_any_fraction_is_a_checkpoint_behind_the_last_claim(numbers, fraction):
    tracker = StreamRestrictionTracker(one())
    assert all(tracker.try_claim(claim(number)) for number in numbers)
    last = ShardPosition.after(str(numbers[-1]))
    assert tracker.try_split(fraction) == (one(stop=last), one(last))
    assert tracker.current_restriction() == one(stop=last)
    assert not tracker.try_claim(claim(numbers[-1] + 1))


def test_b12_child_that_joined_goes_to_the_residual():
    tracker = StreamRestrictionTracker(one())
    assert tracker.try_claim(claim(3, ends=True, children=(ShardInfo("b", ("a",)),)))
    primary, residual = tracker.try_split(0)
    assert [shard.shard_id for shard in residual.readable()] == ["b"]
    assert {shard.shard_id: shard.stop for shard in primary.shards} == {"a": SHARD_END, "b": TRIM_HORIZON}


@given(behind=st.lists(st.integers(0, 10**9) | st.none(), min_size=1, max_size=6))
def test_b9_progress_follows_the_distance_from_the_tip(behind):
    tracker = StreamRestrictionTracker(one())
    for number, ms in enumerate(behind, 1):
        assert tracker.try_claim(claim(number, millis_behind=ms))
        progress = tracker.current_progress()
        assert progress.remaining_work == (60_000 if ms is None else max(1, ms))
        assert progress.completed_work >= 0
    assert tracker.try_claim(Claim("a", ends=True))
    assert tracker.current_progress().remaining_work == 0


def test_progress_of_what_was_deferred_is_all_done():
    tracker = StreamRestrictionTracker(one())
    tracker.try_claim(claim(1, millis_behind=5_000))
    tracker.try_split(0)
    assert (tracker.current_progress().completed_work, tracker.current_progress().remaining_work) == (60_000, 0)


def test_reading_has_no_end_of_its_own():
    assert not StreamRestrictionTracker(one()).is_bounded()


def test_work_that_was_left_is_an_error():
    with pytest.raises(ValueError, match="Left unread"):
        StreamRestrictionTracker(one()).check_done()
