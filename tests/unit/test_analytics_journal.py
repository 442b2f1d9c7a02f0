"""The journal of a series: what is written down between snapshots is read again in the order in which it was added."""

import random

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.analytics import journal as module
from pipelines.analytics.journal import LONGEST_BYTES, LONGEST_ROWS, Entry, Journal
from pipelines.analytics.rows import rows_schema
from pipelines.kinesis.page import encode_batch

SCHEMA = rows_schema(["value"])
texts = st.text(max_size=8)
row = st.tuples(texts, st.integers(0, 2**53), texts, texts, st.integers(0, 9), st.floats(allow_nan=False))


def batch(rows):
    arrays = [pa.array(column, field.type) for column, field in zip(zip(*rows, strict=True), SCHEMA, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=SCHEMA)


batches = st.lists(row, min_size=1, max_size=5).map(batch)
entries = st.one_of(
    st.builds(Entry, st.integers(-(2**62), 2**62), st.one_of(st.none(), batches)),
    st.builds(Entry, st.integers(0, 2**62), st.none(), st.binary(min_size=12, max_size=24)),
)


@given(added=st.lists(entries, max_size=12), seed=st.integers(0, 99), cut=st.integers(0, 12))
def test_what_was_added_is_read_in_its_order_however_the_bag_gives_it_and_the_journal_goes_on(added, seed, cut):
    journal, packed = Journal(), []
    for at, entry in enumerate(added):
        if at == cut:  # another process takes over
            journal, _ = Journal.read(random.Random(seed).sample(packed, len(packed)))
        packed.append(journal.add(entry))
    again, found = Journal.read(random.Random(seed + 1).sample(packed, len(packed)))
    assert found == added
    assert again.is_empty == journal.is_empty == (not added)


def one(number, value=0.5):
    number_of_record = str(49_590_338 * 10**40 + number)
    return batch([("disk-1", 1_400_000_000_000 + number, "shardId-000000000000", number_of_record, 0, value)])


def test_single_rows_take_a_tenth_of_what_a_batch_of_one_takes():
    chance, journal = random.Random(1), Journal()
    packed = [journal.add(Entry(number, one(number, chance.random()))) for number in range(250)]
    assert None not in packed
    assert sum(map(len, packed[1:])) < 0.12 * len(encode_batch(one(0))) * len(packed)


def test_a_journal_ends_at_so_many_rows_and_steps_without_rows_count(monkeypatch):
    monkeypatch.setattr(module, "LONGEST_BYTES", 10**9)
    journal = Journal()
    assert journal.add(Entry(1, one(1))) is not None
    for number in range(LONGEST_ROWS - 2):
        assert journal.add(Entry(number)) is not None
    assert journal.add(Entry(9)) is None


@pytest.mark.parametrize("restored", [False, True])
def test_a_journal_ends_before_it_has_more_than_so_many_bytes(monkeypatch, restored):
    monkeypatch.setattr(module, "LONGEST_ROWS", 10**9)
    chance, journal, packed = random.Random(1), Journal(), []
    while (entry := journal.add(Entry(len(packed), one(len(packed), chance.random())))) is not None:
        packed.append(entry)
        if restored:
            journal, _ = Journal.read(packed) if len(packed) % 100 == 0 else (journal, None)
    assert 0.99 * LONGEST_BYTES < sum(map(len, packed)) <= LONGEST_BYTES
