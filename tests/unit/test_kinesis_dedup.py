"""Doubles: remembered for the horizon, forgotten after it, in memory as in state, also when a bundle fails."""

import copy

import pyarrow as pa
import pytest
from apache_beam.utils.timestamp import Timestamp
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.kinesis import dedup
from pipelines.kinesis.aggregation import DEDUP_PAGE_SCHEMA
from pipelines.kinesis.aggregation_format import hash_key
from pipelines.kinesis.dedup import RemoveDuplicates, Seen
from pipelines.kinesis.page import PAGE_SCHEMA, make_page
from pipelines.runtime.errors import ConfigurationError


def page_of(names, arrival_ms=1000, keys=None, shard_id="shardId-0"):
    size = len(names)
    keys = keys or [f"key-{name}" for name in names]
    page = make_page(shard_id, [str(name).encode() for name in names], keys, ["1"] * size, [arrival_ms] * size)
    return page.append_column(DEDUP_PAGE_SCHEMA.field("dedup_key"), pa.array(names, pa.string()))


def test_names_are_new_once_and_none_always():
    seen = Seen(10_000)
    assert seen.see(["a", None, "b", "a"], 0)[0] == [True, True, True, False]
    assert seen.see(["b", "c", None], 9_000)[0] == [False, True, True]
    assert seen.see([None], 0) == ([True], b"")
    assert seen.see(["a"], 0) == ([False], b"")


@given(
    pages=st.lists(
        st.tuples(st.lists(st.one_of(st.none(), st.integers(0, 20).map(str)), max_size=8), st.integers(0, 2000)),
        max_size=25,
    ),
    horizon_ms=st.integers(2, 1500),
    reloads=st.sets(st.integers(0, 25)),
)
@settings(max_examples=300)
def test_a_double_within_the_horizon_is_found_and_names_past_one_and_a_half_are_forgotten(pages, horizon_ms, reloads):
    """Pages come in any order of arrival; the watermark is the earliest of those to come."""
    seen, state = Seen(horizon_ms), []
    first = {}
    low_ms = 0
    for index, (names, ms) in enumerate(pages):
        arrival_ms = low_ms + ms
        is_new, addition = seen.see(names, arrival_ms)
        state += [addition] if addition else []
        for name, new in zip(names, is_new, strict=True):
            if name is None:
                assert new
            elif new:
                # what was known for certain is not new
                assert name not in first or low_ms - first[name] > horizon_ms
                first[name] = arrival_ms
            else:
                assert name in first
                assert low_ms - first[name] <= 1.5 * horizon_ms + 2
        low_ms += ms // 3
        due_ms = seen.due_ms()
        while due_ms is not None and due_ms <= low_ms:
            seen.forget(due_ms)
            state = list(seen.pack())
            assert seen.due_ms() is None or seen.due_ms() > due_ms
            due_ms = seen.due_ms()
        if index in reloads:
            seen = Seen(horizon_ms)
            seen.load(state)


def test_a_horizon_counts_from_the_arrival():
    seen = Seen(1000)
    seen.see(["a"], 499)
    assert seen.due_ms() == 1500  # the end of its half horizon, and a horizon
    seen.forget(1499)
    assert seen.see(["a"], 0)[0] == [False]
    seen.forget(1500)
    assert seen.see(["a"], 0)[0] == [True]


def test_b3_pages_are_cut_by_ranges_of_hash_keys_in_order():
    names = [str(number) for number in range(200)]
    page = page_of(names)
    cut = dict(dedup._CutFn(4).process(page))
    assert sorted(cut) == [0, 1, 2, 3]
    for bucket, part in cut.items():
        for key in part.column("partition_key").to_pylist():
            assert bucket * 2**126 <= hash_key(key) < (bucket + 1) * 2**126
        numbers = [int(name) for name in part.column("dedup_key").to_pylist()]
        assert numbers == sorted(numbers)
    assert sum(part.num_rows for part in cut.values()) == 200
    (whole,) = [part for _, part in dedup._CutFn(1).process(page)]
    assert whole is page


def test_pages_without_names_are_refused_with_the_option_that_reads_them():
    with pytest.raises(ConfigurationError, match="without the column dedup_key") as raised:
        list(dedup._CutFn(4).process(page_of(["a"]).select(PAGE_SCHEMA.names)))
    assert "dedup_keys=True" in raised.value.fix


@pytest.mark.parametrize(("horizon_s", "buckets"), [(0, 1), (-1, 1), (1, 0)])
def test_arguments_that_make_no_sense_are_refused(horizon_s, buckets):
    with pytest.raises(ConfigurationError, match="horizon_s"):
        RemoveDuplicates(horizon_s, buckets=buckets)


class Cell:
    """A state cell, counting its reads."""

    def __init__(self) -> None:
        self.value, self.reads = None, 0

    def read(self):
        self.reads += 1
        return self.value if self.value is not None else None

    def write(self, value):
        self.value = value


class Bag(Cell):
    def read(self):
        self.reads += 1
        return list(self.value or [])

    def add(self, value):
        self.value = [*(self.value or []), value]

    def clear(self):
        self.value = None


class Timer:
    def __init__(self) -> None:
        self.at = []

    def set(self, timestamp):
        self.at.append(timestamp.micros // 1000)


class Bucket:
    """One key of a runner: its state, which a bundle that fails leaves as it was."""

    def __init__(self, fn) -> None:
        self.fn, self.head, self.names, self.timer = fn, Cell(), Bag(), Timer()

    def see(self, page):
        pages = list(self.fn.process((3, page), self.head, self.names, self.timer))
        return [name.decode() for page in pages for name in page.column("data").to_pylist()]

    def failing(self, page):
        kept = copy.deepcopy((self.head.value, self.names.value))
        self.see(page)
        self.head.value, self.names.value = kept

    def fire(self, ms):
        self.fn.on_forget(3, Timestamp(micros=ms * 1000), self.head, self.names, self.timer)


def new_fn(horizon_ms=1000):
    fn = dedup._SeenFn(horizon_ms)
    fn.setup()
    return fn


@pytest.fixture
def bucket():
    return Bucket(new_fn())


def test_later_copies_go_and_pages_lose_the_column(bucket):
    (page,) = bucket.fn.process((3, page_of(["a", "b", "a", None, None])), bucket.head, bucket.names, bucket.timer)
    assert page.schema == PAGE_SCHEMA
    assert page.column("data").to_pylist() == [b"a", b"b", b"None", b"None"]
    assert bucket.see(page_of(["b", "a"])) == []


def test_a_page_costs_one_read_of_the_head(bucket):
    for number in range(10):
        bucket.see(page_of([str(number), "again"]))
    assert (bucket.head.reads, bucket.names.reads) == (10, 1)
    bucket.see(page_of([None, None]))
    assert (bucket.head.reads, bucket.names.reads) == (10, 1)


def test_a_bundle_that_fails_loses_nothing_when_it_is_processed_again(bucket):
    assert bucket.see(page_of(["a"])) == ["a"]
    bucket.failing(page_of(["a", "b"]))
    assert bucket.see(page_of(["a", "b"])) == ["b"]


def test_a_bucket_that_another_worker_had_in_between_is_read_again(bucket):
    elsewhere = Bucket(new_fn())
    bucket.see(page_of(["a"]))
    elsewhere.head, elsewhere.names = bucket.head, bucket.names
    assert elsewhere.see(page_of(["a", "b"])) == ["b"]
    assert bucket.see(page_of(["a", "b", "c"])) == ["c"]
    assert elsewhere.see(page_of(["c", "d"])) == ["d"]


def test_state_is_cut_down_when_the_timer_fires(bucket):
    for ms in (0, 600, 1200):
        bucket.see(page_of([f"at-{ms}"], ms))
    assert bucket.timer.at == [1500]
    bucket.fire(1500)
    assert bucket.timer.at == [1500, 2000]
    assert sum(map(len, bucket.names.value)) == 2 * (8 + 16)
    again = Bucket(new_fn())
    again.head, again.names = copy.deepcopy((bucket.head, bucket.names))
    for one in (bucket, again):
        assert one.see(page_of(["at-0", "at-600", "at-1200"], 1300)) == ["at-0"]
    for ms in (2000, 2500):
        bucket.fire(ms)
    assert bucket.names.value is None
    bucket.see(page_of(["next"], 9000))
    assert bucket.timer.at[-1] == 10500


def test_an_earlier_arrival_moves_the_timer_forward(bucket):
    bucket.see(page_of(["late"], 5000))
    bucket.see(page_of(["early"], 700))
    bucket.see(page_of(["later"], 9000))
    assert bucket.timer.at == [6500, 2000]
