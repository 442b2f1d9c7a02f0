"""The tracker as Beam's worker drives it: claims, `defer_remainder`, shards handed over, progress."""

import random

import pytest
from apache_beam.runners.sdf_utils import RestrictionTrackerView, ThreadsafeRestrictionTracker
from apache_beam.utils.timestamp import Duration
from hypothesis import given, settings
from hypothesis import strategies as st
from shard_tree import ShardTree

from pipelines.kinesis import restriction as restrictions
from pipelines.kinesis.lineage import ShardInfo
from pipelines.kinesis.positions import SHARD_END, TRIM_HORIZON, ShardPosition, StartingPosition
from pipelines.kinesis.restriction import Claim, Restriction, ShardRange
from pipelines.kinesis.tracker import StreamRestrictionTracker


def one(start=TRIM_HORIZON, **more):
    return Restriction((ShardRange("a", start, **more),))


def claim(number, shard="a", **more):
    return Claim(shard, ShardPosition.after(str(number)), **more)


def several(*shards, **behind):
    """Shards to read from their beginning; `behind` is how many milliseconds, and so bytes, one has to its tip."""
    return Restriction(tuple(ShardRange(shard, TRIM_HORIZON, millis_behind=behind.get(shard)) for shard in shards))


def names(restriction):
    return [shard.shard_id for shard in restriction.shards]


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


@given(numbers=st.lists(st.integers(1, 10**57), min_size=1, unique=True).map(sorted))
def test_split_at_nothing_is_a_checkpoint_behind_the_last_claim(numbers):
    tracker = StreamRestrictionTracker(one())
    assert all(tracker.try_claim(claim(number)) for number in numbers)
    last = ShardPosition.after(str(numbers[-1]))
    assert tracker.try_split(0) == (one(stop=last), one(last))
    assert tracker.current_restriction() == one(stop=last)
    assert not tracker.try_claim(claim(numbers[-1] + 1))
    assert tracker.try_split(0) is None


@given(fraction=st.floats(0, 1, exclude_min=True), claims=st.integers(0, 3))
def test_a_single_shard_is_not_split_at_a_fraction_and_goes_on(fraction, claims):
    """There is no half of a shard: two would have to read it."""
    tracker = StreamRestrictionTracker(one())
    assert all(tracker.try_claim(claim(number)) for number in range(1, claims + 1))
    assert tracker.try_split(fraction) is None
    assert tracker.current_restriction() == one()
    assert tracker.try_claim(claim(claims + 1))


def test_b12_child_that_joined_goes_to_the_residual():
    tracker = StreamRestrictionTracker(one())
    assert tracker.try_claim(claim(3, ends=True, children=(ShardInfo("b", ("a",)),)))
    primary, residual = tracker.try_split(0)
    assert [shard.shard_id for shard in residual.readable()] == ["b"]
    assert {shard.shard_id: shard.stop for shard in primary.shards} == {"a": SHARD_END, "b": TRIM_HORIZON}


def test_shards_that_nobody_claimed_from_are_handed_over_whole():
    whole = several("a", "b", "c", "d", a=100, b=100, c=100, d=100)
    tracker = StreamRestrictionTracker(whole)
    assert tracker.try_claim(claim(1, "b", millis_behind=100))
    primary, residual = tracker.try_split(0.5)
    assert (names(primary), names(residual)) == (["a", "b"], ["c", "d"])
    assert residual == Restriction(whole.shards[2:])
    assert primary == Restriction(whole.shards[:2]) == tracker.current_restriction()
    # It goes on with what it kept, and is refused what it gave away.
    assert tracker.try_claim(claim(2, "b"))
    assert tracker.try_claim(claim(1, "a"))
    with pytest.raises(ValueError, match="Left unread"):
        tracker.check_done()
    assert not tracker.try_claim(claim(1, "c"))
    assert not tracker.try_claim(claim(2, "a"))
    assert tracker.try_split(0.5) is None
    first, left = tracker.try_split(0)
    assert names(left) == ["a", "b"]
    assert [(shard.start, shard.stop) for shard in first.shards] == [
        (TRIM_HORIZON, ShardPosition.after("1")),
        (TRIM_HORIZON, ShardPosition.after("2")),
    ]


@pytest.mark.parametrize(
    ("fraction", "kept"),
    [(0.01, ["a"]), (0.1, ["a"]), (0.299, ["a"]), (0.3, ["a", "b"]), (0.6, ["a", "b", "c"]), (0.999, ["a", "b", "c"])],
)
def test_fraction_is_of_the_bytes_that_are_left(fraction, kept):
    tracker = StreamRestrictionTracker(several("a", "b", "c", "d", a=100, b=200, c=300, d=400))
    primary, residual = tracker.try_split(fraction)
    assert (names(primary), names(residual)) == (kept, [shard for shard in "abcd" if shard not in kept])


def test_split_at_everything_leaves_nothing_to_hand_over():
    tracker = StreamRestrictionTracker(several("a", "b", a=100, b=100))
    assert tracker.try_split(1.0) is None
    assert names(tracker.current_restriction()) == ["a", "b"]


def test_what_was_claimed_from_is_kept_however_small_the_fraction():
    tracker = StreamRestrictionTracker(several("a", "b", "c"))
    assert tracker.try_claim(claim(1, "c"))
    assert tracker.try_claim(claim(1, "a"))
    primary, residual = tracker.try_split(0.001)
    assert (names(primary), names(residual)) == (["a", "c"], ["b"])
    assert tracker.try_split(0.001) is None


def test_what_has_ended_is_no_reason_to_keep_another():
    """All groups but one are done or untouched: one is kept, as the primary goes on with something."""
    tracker = StreamRestrictionTracker(several("a", "b", "c"))
    assert tracker.try_claim(Claim("a", ends=True))
    primary, residual = tracker.try_split(0.001)
    assert (names(primary), names(residual)) == (["a", "b"], ["c"])
    assert tracker.try_claim(Claim("b", ends=True))
    assert tracker.check_done()
    tracker = StreamRestrictionTracker(Restriction((*one(SHARD_END).shards, *several("b", "c").shards)))
    primary, residual = tracker.try_split(0.001)
    assert (names(primary), names(residual)) == (["a", "b"], ["c"])


def test_b12_shards_that_wait_for_one_another_are_handed_over_together():
    whole = Restriction((
        ShardRange("a", TRIM_HORIZON),
        ShardRange("b", TRIM_HORIZON),
        ShardRange("c", TRIM_HORIZON, waits_for=("b", "d")),
        ShardRange("d", TRIM_HORIZON),
    ))  # fmt: skip
    tracker = StreamRestrictionTracker(whole)
    primary, residual = tracker.try_split(0.01)
    assert (names(primary), names(residual)) == (["a"], ["b", "c", "d"])
    # And they are kept together, when one of them was claimed from.
    tracker = StreamRestrictionTracker(whole)
    assert tracker.try_claim(claim(1, "d"))
    primary, residual = tracker.try_split(0.01)
    assert (names(primary), names(residual)) == (["b", "c", "d"], ["a"])


def test_b12_a_child_whose_parent_was_claimed_from_is_not_handed_over():
    """Read again, the primary would come to the parent's end and to the child."""
    whole = Restriction((ShardRange("a", TRIM_HORIZON), ShardRange("b", TRIM_HORIZON, waits_for=("a",))))
    tracker = StreamRestrictionTracker(whole)
    assert tracker.try_claim(claim(1, "a", ends=True, children=(ShardInfo("b", ("a",)), ShardInfo("c", ("a",)))))
    assert tracker.try_split(0.01) is None


def test_nothing_is_handed_over_where_order_is_not_kept_by_a_gate():
    tracker = StreamRestrictionTracker(several("a", "b", "c"), splittable=False)
    assert tracker.try_claim(claim(1))
    for fraction in (0.001, 0.5, 1.0):
        assert tracker.try_split(fraction) is None
    assert tracker.try_claim(claim(2))
    _, residual = tracker.try_split(0)
    assert names(residual) == ["a", "b", "c"]


def test_nothing_is_handed_over_behind_a_checkpoint_a_refusal_or_the_end():
    tracker = StreamRestrictionTracker(several("a", "b"))
    tracker.try_split(0)
    assert tracker.try_split(0.5) is None
    tracker = StreamRestrictionTracker(several("a", "b"))
    assert not tracker.try_claim(claim(1, "elsewhere"))
    assert tracker.try_split(0.5) is None
    assert tracker.try_split(0) is not None
    tracker = StreamRestrictionTracker(one())
    assert tracker.try_claim(Claim("a", ends=True))
    assert tracker.try_split(0) is None


@given(seed=st.integers(0, 2**32), shards=st.integers(1, 4), size=st.integers(0, 60))
@settings(max_examples=300, deadline=None)
def test_primary_and_residual_are_the_original_at_any_split(seed, shards, size):
    """Claims, reshards, splits in any order: each page is one part's, and a part that is repeated finds the same."""
    chance = random.Random(seed)
    tree = ShardTree(shards)
    for _ in range(size):
        getattr(tree, chance.choice(("put", "put", "put", "split", "merge")))(chance.randrange(99))
    whole = restrictions.initial(tree.listed(), StartingPosition("TRIM_HORIZON"))
    tree.end()
    every = [(shard_id, number) for shard_id, node in tree.nodes.items() for number in node.pages]
    parts, read = [whole], []
    while parts:
        part = parts.pop(chance.randrange(len(parts)))
        claimed, primary, residuals = run(tree, part, chance)
        read += claimed
        for residual in residuals:
            assert not residual.done
            assert {shard.shard_id for shard in residual.readable()}
        parts += residuals
        # Read again from its beginning, the primary is what was claimed, to the page.
        again, _, none = run(tree, primary, chance, splits=False)
        assert (sorted(again), none) == (sorted(claimed), [])
    assert sorted(read) == sorted(every)


def run(tree, part, chance, splits=True):
    """One `process()` call on `part`: the pages claimed, what it had claimed at its end, what it left to others."""
    tracker, left = StreamRestrictionTracker(part), part
    claimed, residuals = [], []
    while not left.done:
        shard = chance.choice(left.readable())
        following = limited(tree, left, shard)
        if not tracker.try_claim(following):
            # Given away, that shard or all. What is still here goes on in the next call.
            assert splits
            deferred = tracker.try_split(0)
            residuals += [deferred[1]] if deferred else []
            break
        left = left.after(following)
        if following.position:
            claimed.append((shard.shard_id, int(following.position.sequence_number)))
        if splits and chance.random() < 0.3:
            split = tracker.try_split(chance.choice((0, 0.01, 0.5, 0.99)))
            if split is not None:
                assert split[0] == tracker.current_restriction()
                residuals.append(split[1])
                if chance.random() < 0.5:
                    left = left.only({shard.shard_id for shard in split[0].shards})
    assert tracker.check_done()
    return claimed, tracker.current_restriction(), residuals


def limited(tree, left, shard):
    """The next claim in `shard`, which ends at its stop."""
    following = tree.next_claim(left, shard)
    if shard.stop not in (None, SHARD_END) and following.position == shard.stop:
        return Claim(shard.shard_id, following.position, ends=True)
    return following


@given(behind=st.lists(st.integers(0, 10**9) | st.none(), min_size=1, max_size=6), size=st.integers(0, 10**7))
def test_b9_progress_follows_the_bytes_and_the_distance_from_the_tip(behind, size):
    tracker = StreamRestrictionTracker(one())
    for number, ms in enumerate(behind, 1):
        assert tracker.try_claim(claim(number, millis_behind=ms, data_bytes=size))
        progress = tracker.current_progress()
        assert progress.remaining_work == (60_000 if ms is None else max(1, ms))
        assert progress.completed_work == number * size
    assert tracker.try_claim(Claim("a", ends=True))
    assert tracker.current_progress().remaining_work == 0


def test_progress_of_what_was_deferred_is_all_done():
    tracker = StreamRestrictionTracker(one())
    tracker.try_claim(claim(1, millis_behind=5_000, data_bytes=60))
    tracker.try_split(0)
    assert (tracker.current_progress().completed_work, tracker.current_progress().remaining_work) == (60, 0)


def test_progress_leaves_out_what_was_handed_over():
    tracker = StreamRestrictionTracker(several("a", "b", a=100, b=300))
    tracker.try_split(0.01)
    assert tracker.current_progress().remaining_work == 100


def test_reading_has_no_end_of_its_own():
    assert not StreamRestrictionTracker(one()).is_bounded()
    assert StreamRestrictionTracker(one(stop=ShardPosition.after("9"))).is_bounded()


def test_work_that_was_left_is_an_error():
    with pytest.raises(ValueError, match="Left unread"):
        StreamRestrictionTracker(one()).check_done()
