"""KPL aggregates in pages, against AWS's own Python implementation of the format (PyPI aws-kinesis-agg) (B16, B17)."""

import base64
import hashlib
import sys

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.kinesis import aggregation
from pipelines.kinesis.aggregate import KPL_MAX_BYTES, Aggregator, aggregate
from pipelines.kinesis.aggregation import DEDUP_PAGE_SCHEMA, deaggregate
from pipelines.kinesis.aggregation_format import unseal
from pipelines.kinesis.page import PAGE_SCHEMA, decode_batch, encode_batch, make_page
from pipelines.kinesis.put import Record
from pipelines.runtime.errors import ConfigurationError

MAGIC = bytes.fromhex("f3899ac2")
SHARD = "shardId-000000000003"
TOP = 2**128 - 1

KEYS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=9) | st.sampled_from(["a", "b", "é☃"])
HASH_KEYS = st.integers(0, TOP).map(str) | st.sampled_from(["0", "17", str(TOP)])
RECORDS = st.builds(
    Record,
    st.binary(max_size=300),
    KEYS,
    st.none() | HASH_KEYS,
    st.none() | st.text(st.characters(exclude_categories=["Cs"]), max_size=9),
)
# What is no aggregate, but may begin like one.
PLAIN = st.builds(
    lambda kept, rest: MAGIC[:kept] + rest, st.integers(0, 4), st.binary(max_size=40) | st.binary(min_size=17)
)


def hash_key(record):
    """B3, as the specification has it."""
    if record.explicit_hash_key is not None:
        return int(record.explicit_hash_key)
    return int.from_bytes(hashlib.md5(record.partition_key.encode()).digest(), "big")


def page_of(*data, keys=None):
    """A page of the `data`, each with a number and a time of its own."""
    numbers = [str(10**20 + place) for place in range(len(data))]
    keys = keys or [f"outer-{place}" for place in range(len(data))]
    return make_page(SHARD, data, keys, numbers, [10**12 + place for place in range(len(data))])


def rows_of(items, hash_range=(0, TOP)):
    """What `page_of` the items should give: bytes for a plain record, a list of Records for an aggregate."""
    rows = []
    for place, item in enumerate(items):
        outer = {"sequence_number": str(10**20 + place), "shard_id": SHARD, "arrival_ms": 10**12 + place}
        if isinstance(item, bytes):
            rows.append(
                {"data": item, "partition_key": f"outer-{place}", "sub_sequence_number": 0, "dedup_key": None} | outer
            )
        else:
            rows += [
                {
                    "data": record.data,
                    "partition_key": record.partition_key,
                    "sub_sequence_number": sub,
                    "dedup_key": record.dedup_key,
                }
                | outer
                for sub, record in enumerate(item)
                if hash_range[0] <= hash_key(record) <= hash_range[1]
            ]
    return rows


def without_dedup(rows):
    return [{name: value for name, value in row.items() if name != "dedup_key"} for row in rows]


def sealed(message):
    return MAGIC + message + hashlib.md5(message).digest()


ITEMS = st.lists(PLAIN | st.lists(RECORDS, min_size=1, max_size=5), max_size=8)


@given(items=ITEMS, cut=st.tuples(st.integers(0, 8), st.integers(0, 8)), bounds=st.tuples(HASH_KEYS, HASH_KEYS))
@settings(max_examples=200, deadline=None)
def test_b16_b17_pages_of_plain_records_and_aggregates_give_every_record_in_order(items, cut, bounds):
    page = page_of(*(item if isinstance(item, bytes) else aggregate(item).data for item in items))
    start, stop = sorted(cut)
    part = page.slice(start, stop - start)
    some = sorted(map(int, bounds))
    cases = [
        (page, items, 0, None),
        (part, items[start:stop], start, None),
        (decode_batch(encode_batch(part)), items[start:stop], start, None),
        (part, items[start:stop], start, tuple(some)),
    ]
    for given_, kept, first, hash_range in cases:
        # Plain bytes in front take the places that were cut off.
        expected = rows_of([b""] * first + kept, hash_range or (0, TOP))[first:]
        for dedup_keys in (False, True):
            result = deaggregate(given_, hash_range, dedup_keys=dedup_keys)
            assert result.schema.equals(DEDUP_PAGE_SCHEMA if dedup_keys else PAGE_SCHEMA)
            result.validate(full=True)
            assert result.to_pylist() == (expected if dedup_keys else without_dedup(expected))
            assert decode_batch(encode_batch(result)).equals(result)


@given(data=st.lists(PLAIN, max_size=9), cut=st.tuples(st.integers(0, 9), st.integers(0, 9)))
@settings(deadline=None)
def test_b16_a_page_without_an_aggregate_is_returned_as_it_is(data, cut):
    page = page_of(*data).slice(min(cut), max(cut) - min(cut))
    assert deaggregate(page) is page
    assert deaggregate(page, (0, 0)) is page
    added = deaggregate(page, dedup_keys=True)
    assert added.schema.equals(DEDUP_PAGE_SCHEMA)
    assert added.column("dedup_key").null_count == page.num_rows
    assert added.drop_columns("dedup_key").equals(page)


def test_b16_only_what_begins_with_the_magic_number_is_looked_at(monkeypatch):
    looked_at = []
    monkeypatch.setattr(aggregation, "unseal", looked_at.append)
    long = bytes(40)
    candidates = [MAGIC + long, MAGIC + bytes(17)]
    others = [b"", MAGIC, MAGIC + bytes(16), b"\x00" + MAGIC + long, MAGIC[:3] + long, MAGIC[1:] + long, long + MAGIC]
    deaggregate(page_of(*others, *candidates, *others))
    assert looked_at == candidates
    for at in range(4):
        other = bytearray(candidates[0])
        other[at] ^= 0x40
        deaggregate(page_of(bytes(other)))
    assert looked_at == candidates


TWO = [Record(b"one", "key"), Record(b"two", "other", explicit_hash_key="17", dedup_key="d2"), Record(b"", "key")]
# Field by field: tag and length, then content; the numbers of fields are those of the published format.
GOLDEN = (
    b"\x0a\x03key\x0a\x05other"  # partition_key_table
    b"\x12\x0217"  # explicit_hash_key_table
    b"\x1a\x07\x08\x00\x1a\x03one"
    b"\x1a\x1a\x08\x01\x10\x00\x1a\x03two\x22\x0f\x0a\x09dedup_key\x12\x02d2"
    b"\x1a\x04\x08\x00\x1a\x00"
)


def test_b16_an_aggregate_is_byte_for_byte_what_the_format_says():
    put = aggregate(TWO)
    assert put.data[:4] == MAGIC
    assert put.data[-16:] == hashlib.md5(GOLDEN).digest()
    assert put.data[4:-16] == GOLDEN
    assert deaggregate(page_of(sealed(GOLDEN)), dedup_keys=True).to_pylist() == rows_of([TWO])


def test_b17_user_records_share_the_sequence_number_and_are_numbered_from_zero():
    page = page_of(aggregate(TWO).data, b"plain", aggregate(TWO[:1]).data, aggregate(TWO[1:]).data)
    result = deaggregate(page).to_pydict()
    assert result["sub_sequence_number"] == [0, 1, 2, 0, 0, 0, 1]
    assert [int(number) - 10**20 for number in result["sequence_number"]] == [0, 0, 0, 1, 2, 3, 3]
    assert [ms - 10**12 for ms in result["arrival_ms"]] == [0, 0, 0, 1, 2, 3, 3]
    assert set(result["shard_id"]) == {SHARD}
    assert result["partition_key"] == ["key", "other", "key", "outer-1", "key", "other", "key"]


@given(records=st.lists(RECORDS, min_size=1, max_size=4), data=st.data())
@settings(max_examples=300, deadline=None)
def test_b16_an_aggregate_that_was_damaged_stays_as_it_is(records, data):
    whole = aggregate(records).data
    damaged = bytearray(whole)
    for at in data.draw(st.sets(st.integers(0, 8 * len(whole) - 1), min_size=1, max_size=3), label="bits"):
        damaged[at // 8] ^= 1 << at % 8
    kept = data.draw(st.integers(0, len(whole) - 1), label="kept")
    page = page_of(bytes(damaged), whole[:kept], whole + b"\x00", whole[1:])
    assert deaggregate(page, (0, 0)) is page


@pytest.mark.parametrize(
    "message",
    [
        pytest.param(b"", id="no message at all"),
        pytest.param(b"\x0a\x03ke", id="cut off"),
        pytest.param(b"\x0a\x01k\x1a\x02\x08\x00", id="no data"),
        pytest.param(b"\x0a\x01k\x1a\x02\x1a\x00", id="no partition_key_index"),
        pytest.param(b"\x0a\x01k\x1a\x08\x08\x00\x1a\x00\x22\x02\x12\x00", id="a tag without a key"),
        pytest.param(b"\x0a\x01k\x1a\x04\x08\x01\x1a\x00", id="index outside of the partition keys"),
        pytest.param(b"\x1a\x04\x08\x00\x1a\x00", id="no partition keys"),
        pytest.param(b"\x0a\x01k\x1a\x0d\x08" + b"\xff" * 9 + b"\x01\x1a\x00", id="index of 2^64 - 1"),
        pytest.param(b"\x0a\x01k\x1a\x06\x08\x00\x10\x00\x1a\x00", id="no explicit hash keys"),
        pytest.param(b"\x0a\x01k\x12\x011\x1a\x06\x08\x00\x10\x01\x1a\x00", id="index outside of the hash keys"),
        pytest.param(b"\x0a\x01k\x12\x03one\x1a\x06\x08\x00\x10\x00\x1a\x00", id="a hash key that is no number"),
        pytest.param(b"\x0a\x01k\x12\x00\x1a\x06\x08\x00\x10\x00\x1a\x00", id="an empty hash key"),
        pytest.param(b"\x0a\x01k\x12\x02-1\x1a\x06\x08\x00\x10\x00\x1a\x00", id="a negative hash key"),
        pytest.param(b"\x0a\x01k\x12\x02\xd9\xa3\x1a\x06\x08\x00\x10\x00\x1a\x00", id="a hash key in Arabic digits"),
        pytest.param(b"\x0a\x01k\x12\x28" + b"9" * 40 + b"\x1a\x06\x08\x00\x10\x00\x1a\x00", id="40 digits"),
        pytest.param(b"\x0a\x01\xff\x1a\x04\x08\x00\x1a\x00", id="a key that is not UTF-8"),
        pytest.param(b"\x0a\x01k\x1b", id="no protobuf"),
    ],
)
def test_b16_what_cannot_be_read_with_a_right_md5_stays_as_it_is(message):
    page = page_of(sealed(message), aggregate(TWO).data)
    for hash_range in (None, (0, TOP)):
        result = deaggregate(page, hash_range)
        assert result.slice(0, 1).equals(page.slice(0, 1))
        assert result.num_rows == 1 + len(TWO)


@pytest.mark.parametrize("data", [sealed(b""), MAGIC, b"", MAGIC + hashlib.md5(b"").digest()[:15]])
def test_b16_what_is_too_short_is_no_aggregate(data):
    assert unseal(data) is None
    assert deaggregate(page_of(data))["data"].to_pylist() == [data]


def test_b16_an_aggregate_of_no_records_leaves_nothing():
    empty = sealed(b"\x0a\x03key")
    assert deaggregate(page_of(empty)).num_rows == 0
    assert deaggregate(page_of(empty), dedup_keys=True).schema.equals(DEDUP_PAGE_SCHEMA)
    assert deaggregate(page_of(b"a", empty, b"b"))["data"].to_pylist() == [b"a", b"b"]


def test_b16_fields_and_tags_that_are_not_known_are_passed_over():
    unknown = b"\x7a\x02hi"
    tags = b"\x22\x05\x0a\x01t\x12\x00" + b"\x22\x0b\x0a\x09dedup_key" + b"\x22\x10\x0a\x09dedup_key\x12\x03yes"
    record = b"\x08\x00\x1a\x01x" + tags + unknown
    page = page_of(sealed(b"\x0a\x03key\x1a" + bytes([len(record)]) + record + unknown))
    assert deaggregate(page, dedup_keys=True).to_pylist() == rows_of([[Record(b"x", "key", dedup_key="yes")]])


def test_b16_an_aggregate_in_an_aggregate_is_not_unpacked():
    inner = aggregate(TWO).data
    outer = aggregate([Record(b"a", "k"), Record(inner, "k")]).data
    once = deaggregate(page_of(outer))
    assert once["data"].to_pylist() == [b"a", inner]
    assert once["sub_sequence_number"].to_pylist() == [0, 1]


def test_b3_b16_user_records_of_another_shard_are_dropped_and_the_others_keep_their_places():
    # MD5 of "a" is 0cc1..., of "b" 92eb..., of "c" 4a8a...
    records = [
        Record(b"0", "b"),
        Record(b"1", "a"),
        Record(b"2", "a", explicit_hash_key=str(2**127)),
        Record(b"3", "b", explicit_hash_key=str(2**127 - 1)),
        Record(b"4", "c"),
    ]
    page = page_of(aggregate(records).data, b"plain", aggregate(records[:1]).data)
    low, high = deaggregate(page, (0, 2**127 - 1)), deaggregate(page, (2**127, TOP))
    assert low["data"].to_pylist() == [b"1", b"3", b"4", b"plain"]
    assert low["sub_sequence_number"].to_pylist() == [1, 3, 4, 0]
    assert high["data"].to_pylist() == [b"0", b"2", b"plain", b"0"]
    assert high["sub_sequence_number"].to_pylist() == [0, 2, 0, 0]
    a = int("0cc175b9c0f1b6a831c399e269772661", 16)
    for hash_range, kept in [((a, a), [b"1"]), ((a + 1, a + 1), []), ((a - 1, a - 1), []), (None, list(b"01234"))]:
        data = deaggregate(page_of(aggregate(records).data), hash_range)["data"].to_pylist()
        assert data == ([bytes([value]) for value in kept] if hash_range is None else kept)


def test_b3_b16_dedup_keys_stay_with_their_records_when_others_are_dropped():
    records = [Record(b"%d" % place, key, dedup_key=f"{place}{key}") for place, key in enumerate("abcab")]
    result = deaggregate(page_of(aggregate(records).data), (0, 2**127), dedup_keys=True)
    assert result["dedup_key"].to_pylist() == ["0a", "2c", "3a"]


@given(records=st.lists(RECORDS, min_size=1, max_size=30), max_bytes=st.integers(0, 900))
@settings(max_examples=300, deadline=None)
def test_b1_b16_an_aggregator_takes_what_fits_and_knows_its_size_to_the_byte(records, max_bytes):
    aggregator = Aggregator(max_bytes)
    taken = []
    for record in records:
        before = aggregator.size
        fits = aggregate([*taken, record]).size <= max_bytes
        assert aggregator.add(record) == fits
        if fits:
            taken.append(record)
        else:
            assert aggregator.size == before
        assert aggregator.records == tuple(taken)
        if taken:
            assert aggregator.finish() == aggregate(taken)
            assert aggregator.size == aggregator.finish().size
    assert aggregator.size <= max_bytes


@pytest.mark.parametrize("data_bytes", [0, 1, 118, 119, 120, 121, 122, 127, 128, 16_383, 16_384])
@pytest.mark.parametrize("keys", [1, 127, 128, 129, 130])
def test_b16_sizes_hold_where_numbers_grow_by_a_byte(data_bytes, keys):
    aggregator = Aggregator(1 << 30)
    for place in range(keys):
        assert aggregator.add(Record(bytes(data_bytes), f"k{place}", explicit_hash_key=str(place)))
    assert aggregator.size == aggregator.finish().size


def test_b1_without_a_limit_of_its_own_an_aggregator_has_the_kpls():
    aggregator, at_the_limit = Aggregator(), Aggregator(KPL_MAX_BYTES)
    while aggregator.add(Record(bytes(1000), "k")):
        at_the_limit.add(Record(bytes(1000), "k"))
    assert len(aggregator.records) == len(at_the_limit.records) == 50
    assert KPL_MAX_BYTES == 51_200


def test_b16_an_aggregate_is_put_as_its_first_record_would_be():
    plain, explicit = Record(b"x", "key", dedup_key="d"), Record(b"y", "other", explicit_hash_key="17")
    for first, second in ((plain, explicit), (explicit, plain)):
        put = aggregate([first, second])
        assert (put.partition_key, put.explicit_hash_key) == (first.partition_key, first.explicit_hash_key)
        assert put.dedup_key is None
        assert hash_key(put) == hash_key(first)
        assert aggregate([first, second], explicit_hash_key="5") == Record(put.data, first.partition_key, "5")


def test_b16_nothing_is_no_aggregate():
    with pytest.raises(ValueError, match="no records"):
        Aggregator().finish()
    with pytest.raises(ValueError, match="no records"):
        aggregate([])
    assert Aggregator().size == 0


@pytest.mark.parametrize(
    ("record", "message"),
    [
        (Record(b"", ""), "partition key has 0 characters"),
        (Record(b"", "é" * 257), "partition key has 257 characters"),
        (Record(b"", "\ud800"), "surrogate"),
        *(
            (Record(b"", "k", key), "must be in the range")
            for key in (str(2**128), "-1", "07", "", "1_0", " 1", "x", "²")
        ),
    ],
)
def test_b3_what_kinesis_would_refuse_is_not_hidden_in_an_aggregate(record, message):
    aggregator = Aggregator()
    with pytest.raises(ConfigurationError, match=message):
        aggregator.add(record)
    assert aggregator.records == ()


def test_b3_the_longest_key_and_the_largest_hash_key_are_taken():
    records = [Record(b"x", "é" * 256, str(TOP))]
    assert deaggregate(page_of(aggregate(records).data), (TOP, TOP)).to_pylist() == without_dedup(rows_of([records]))


@pytest.fixture(scope="module")
def theirs():
    """aws_kinesis_agg, whose modules find each other by putting their folder in front of everything else."""
    path = list(sys.path)
    from aws_kinesis_agg import aggregator, deaggregator

    sys.path[:] = path
    return aggregator.AggRecord, deaggregator.iter_deaggregate_records


INTEROP = st.lists(RECORDS, min_size=1, max_size=20)


@given(records=INTEROP)
@settings(max_examples=200, deadline=None)
def test_b16_b17_aggregates_of_aws_kinesis_agg_are_read(theirs, records):
    their_aggregate, _ = theirs
    made = their_aggregate()
    for record in records:
        assert made.add_user_record(record.partition_key, record.data, record.explicit_hash_key)
    partition_key, explicit_hash_key, data = made.get_contents()
    assert deaggregate(page_of(data)).to_pylist() == without_dedup(rows_of([records]))
    bounds = (2**127, TOP)
    assert deaggregate(page_of(data), bounds).to_pylist() == without_dedup(rows_of([records], bounds))
    ours = aggregate([Record(record.data, record.partition_key, record.explicit_hash_key) for record in records])
    assert (ours.data, ours.partition_key, ours.explicit_hash_key) == (data, partition_key, explicit_hash_key)


@given(records=INTEROP, explicit=st.booleans())
@settings(max_examples=200, deadline=None)
def test_b16_b17_aws_kinesis_agg_reads_our_aggregates(theirs, records, explicit):
    # It takes a record without explicit hash key for one with the first of the table, so all have one or none has.
    records = [
        Record(record.data, record.partition_key, str(hash_key(record)) if explicit else None, record.dedup_key)
        for record in records
    ]
    _, their_deaggregate = theirs
    put = {
        "Data": aggregate(records).data,
        "SequenceNumber": "49",
        "PartitionKey": "p",
        "ApproximateArrivalTimestamp": 1.5,
    }
    read = [row["kinesis"] for row in their_deaggregate([put], data_format="Boto3")]
    assert [
        (base64.b64decode(row["data"]), row["partitionKey"], row["explicitHashKey"], row["subSequenceNumber"])
        for row in read
    ] == [(record.data, record.partition_key, record.explicit_hash_key, sub) for sub, record in enumerate(records)]
    assert {row["sequenceNumber"] for row in read} == {"49"}


def test_b16_a_page_may_come_from_buffers_that_begin_elsewhere():
    data = pa.array([b"cut off", aggregate(TWO).data, b"", b"end"], pa.binary())
    page = page_of(b"", b"", b"", b"").set_column(0, PAGE_SCHEMA.field(0), data).slice(1)
    expected = rows_of([b"", TWO, b"", b"end"])[1:]
    assert deaggregate(page, dedup_keys=True).to_pylist() == expected
