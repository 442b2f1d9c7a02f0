"""The token bucket: never more than a bucketful and what flowed in since, and no less to whoever waits."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.runtime.bucket import TokenBucket

RATES = st.floats(0.1, 1e6)
SIZES = st.floats(1, 1e6)


@given(RATES, SIZES, st.lists(st.tuples(st.floats(0.001, 2), st.floats(0, 10)), min_size=2, max_size=30))
def test_no_window_gets_more_than_a_bucketful_and_what_flowed_in(rate, size, asked):
    """Amounts are parts of the bucket's size. One larger than the bucket stands for a bucketful of its window."""
    now_s = 100.0
    bucket = TokenBucket.full(rate, size, now_s)
    grants = []
    for part, pause_s in asked:
        now_s += pause_s
        now_s += bucket.wait_s(part * size, now_s)
        bucket.take(part * size)
        grants.append((now_s, part * size))
    for begin, (from_s, _) in enumerate(grants):
        granted = 0.0
        for to_s, amount in grants[begin:]:
            granted += amount
            # Times are exact to 1e-9 s or so.
            assert granted <= max(size, amount) + rate * (to_s - from_s + 1e-6) + 1e-6 * size


@given(RATES, SIZES, st.floats(0, 1), st.floats(0, 1))
def test_waits_as_long_as_it_takes_and_no_longer(rate, size, first, second):
    bucket = TokenBucket.full(rate, size, 0)
    bucket.take(first * size)
    assert bucket.wait_s(second * size, 0) == pytest.approx(max(0, first + second - 1) * size / rate, abs=1e-6)


def test_golden_values():
    bucket = TokenBucket.full(rate=5, size=2, now_s=10)
    assert bucket.wait_s(2, 10) == 0
    bucket.take(2)
    assert bucket.wait_s(1, 10) == pytest.approx(0.2)
    assert bucket.wait_s(1, 10.1) == pytest.approx(0.1)
    assert bucket.wait_s(1, 10.2) == pytest.approx(0)
    assert bucket.wait_s(2, 99) == 0  # no more than a bucketful is saved up
    bucket.take(12)
    assert bucket.wait_s(0, 99) == pytest.approx(2)  # what was taken beyond the bucket is paid first
    assert bucket.wait_s(50, 99) == pytest.approx(2.4)  # a full bucket is enough


def test_asking_takes_nothing():
    bucket = TokenBucket.full(rate=1, size=1, now_s=0)
    assert [bucket.wait_s(1, 0) for _ in range(5)] == [0] * 5


def test_a_bucket_that_holds_nothing_makes_each_wait_for_what_was_taken_before():
    """As a shard's bytes are taken: how large an answer is, is known when it has come (B8)."""
    bucket = TokenBucket.full(rate=10, size=0, now_s=0)
    assert bucket.wait_s(0, 50) == 0
    bucket.take(5)
    assert bucket.wait_s(0, 50) == pytest.approx(0.5)
    assert bucket.wait_s(0, 50.2) == pytest.approx(0.3)
    assert bucket.wait_s(0, 50.5) == pytest.approx(0)


def test_time_that_goes_back_gives_nothing():
    bucket = TokenBucket.full(rate=1, size=1, now_s=10)
    bucket.take(1)
    assert bucket.wait_s(1, 9) == pytest.approx(1)
