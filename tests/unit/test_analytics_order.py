"""Order within the lateness, late rows, doubles: plain functions over batches."""

import pyarrow as pa
import pytest
from apache_beam.transforms.window import GlobalWindow
from hypothesis import given
from hypothesis import strategies as st

from pipelines.analytics.order import REMEMBERED, Lateness, Released, in_order, oldest_ms, without_doubles
from pipelines.analytics.rows import LATEST_MS, rows_schema
from pipelines.runtime.errors import ConfigurationError


def rows(*described):
    """(event_ms, shard, sequence number, sub-sequence number) each."""
    columns = list(zip(*described, strict=True)) if described else [[]] * 4
    return pa.RecordBatch.from_arrays(
        [
            pa.array(["s"] * len(described), pa.string()),
            pa.array(columns[0], pa.int64()),
            pa.array(columns[1], pa.string()),
            pa.array([str(number) for number in columns[2]], pa.string()),
            pa.array(columns[3], pa.int64()),
            pa.array([float(number) for number in columns[2]], pa.float64()),
        ],
        schema=rows_schema(["value"]),
    )


def places(batch):
    names = ("event_ms", "shard_id", "sequence_number", "sub_sequence_number")
    return [(row[names[0]], row[names[1]], int(row[names[2]]), row[names[3]]) for row in batch.to_pylist()]


some_rows = st.lists(
    st.tuples(st.integers(0, 50), st.sampled_from("ab"), st.integers(0, 200), st.integers(0, 1)), max_size=25
)


@given(some_rows)
def test_rows_are_in_the_order_of_time_then_shard_then_number_as_an_integer_then_sub_number(found):
    assert places(in_order(rows(*found))) == sorted(found)


@given(some_rows)
def test_each_record_is_there_once_the_first_of_its_copies(found):
    kept, doubles = without_doubles(rows(*found))
    first = {}
    for row in found:
        first.setdefault(row[1:], row)
    assert places(kept) == list(first.values())
    assert doubles == len(found) - len(first)


@given(some_rows.map(lambda found: list({row[1:]: row for row in found}.values())), st.randoms(), st.integers(0, 60))
def test_what_is_released_does_not_depend_on_the_order_of_arrival_nor_on_the_batches(found, random, mark_ms):
    shuffled = list(found)
    random.shuffle(shuffled)
    cut = random.randint(0, len(found))
    one, other = Released(), Released()
    released, rest, _ = one.release([rows(*found)], mark_ms)
    again, rest_again, _ = other.release([rows(*shuffled[:cut]), rows(*shuffled[cut:])], mark_ms)
    assert places(released) == places(again) == sorted(row for row in found if row[0] < mark_ms)
    assert sorted(places(rest)) == sorted(places(rest_again)) == sorted(row for row in found if row[0] >= mark_ms)


def test_late_is_what_lies_before_the_mark_and_the_account_says_by_how_much():
    series = Released(mark_ms=100)
    came = series.arrive(rows((99, "a", 1, 0), (100, "a", 2, 0), (40, "a", 3, 0)))
    assert places(came.waiting) == [(100, "a", 2, 0)]
    late = [(row["sequence_number"], row["released_ms"], row["late_ms"]) for row in came.late.to_pylist()]
    assert late == [("1", 100, 1), ("3", 100, 60)]
    assert came.doubles == 0


def test_nothing_is_late_for_a_series_that_has_released_nothing():
    came = Released().arrive(rows((0, "a", 1, 0)))
    assert (came.waiting.num_rows, came.late.num_rows) == (1, 0)


@pytest.mark.parametrize("restored", [False, True])
def test_a_double_of_what_was_released_is_no_late_row(restored):
    series = Released()
    series.release([rows((5, "a", 1, 0), (6, "a", 1, 1))], 10)
    if restored:
        series = Released.unpack(series.mark_ms, series.pack())
    came = series.arrive(rows((5, "a", 1, 0), (6, "a", 1, 2)))
    assert came.doubles == 1
    assert places(came.waiting) == []
    assert [row["sub_sequence_number"] for row in came.late.to_pylist()] == [2]


def test_so_many_rows_are_remembered_and_no_more():
    series = Released()
    series.release([rows(*((1, "a", number, 0) for number in range(REMEMBERED + 2)))], 2)
    series.release([rows((2, "a", 9_999_999, 0))], 3)
    came = series.arrive(rows((1, "a", 0, 0), (1, "a", 2, 0), (1, "a", 3, 0), (2, "a", 9_999_999, 0)))
    # 1,024 of the first two bunches are known: not numbers 0 to 2.
    assert [row["sequence_number"] for row in came.late.to_pylist()] == ["0", "2"]
    assert came.doubles == 2
    assert len(series.pack()) == 4 + (REMEMBERED + 2) * 12  # two late ones are remembered besides


def test_a_late_row_that_comes_twice_is_told_of_once_also_by_who_restores_the_series():
    series = Released()
    series.release([rows((5, "a", 1, 0))], 10)
    first = series.arrive(rows((3, "a", 2, 0), (3, "a", 2, 0), (4, "a", 3, 0)))
    assert [row["sequence_number"] for row in first.late.to_pylist()] == ["2", "3"]
    assert first.doubles == 1
    restored = Released.unpack(10, series.pack())
    journalled = Released(10)
    journalled.told(first.digests)
    for one in (series, restored, journalled):
        again = one.arrive(rows((4, "a", 3, 0), (3, "a", 4, 0), (3, "a", 2, 0)))
        assert [row["sequence_number"] for row in again.late.to_pylist()] == ["4"]
        assert again.doubles == 2


@given(st.integers(0, 10**6), st.integers(0, 10**5), st.integers(1, 10**5))
def test_the_timer_stands_at_the_first_step_at_which_the_mark_is_reached(mark_ms, allowed_ms, step_ms):
    lateness = Lateness(allowed_ms, step_ms)
    fire_ms = lateness.fire_ms(mark_ms)
    assert fire_ms % step_ms == 0
    assert lateness.mark_ms(fire_ms) >= mark_ms > lateness.mark_ms(fire_ms - step_ms)


@pytest.mark.parametrize(("allowed_ms", "step_ms"), [(-1, 1), (0, 0), (LATEST_MS + 1, 1), (0, LATEST_MS + 1)])
def test_a_lateness_that_makes_no_sense_is_refused(allowed_ms, step_ms):
    with pytest.raises(ConfigurationError, match="Lateness"):
        Lateness(allowed_ms, step_ms)


def test_the_longest_lateness_ends_where_beams_time_has_room_for_a_timer():
    last_ms = GlobalWindow().max_timestamp().micros // 1000
    longest_window_ends_ms = 2 * LATEST_MS
    assert Lateness(LATEST_MS, LATEST_MS).fire_ms(longest_window_ends_ms) < last_ms


def test_oldest_of_nothing_is_nothing():
    assert oldest_ms([]) is None
    assert oldest_ms([rows()]) is None
    assert oldest_ms([rows((7, "a", 1, 0)), rows((5, "a", 2, 0))]) == 5
