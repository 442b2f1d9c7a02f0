"""One read of a shard: what is known is left out, what is missing is told, what is aggregated comes apart."""

import pytest
from kinesis_fake import HASH_KEYS, FakeKinesis, client_error

from pipelines.kinesis.aggregate import aggregate
from pipelines.kinesis.fetch import Fetcher, Shard, Unpacking, with_page
from pipelines.kinesis.lineage import ShardInfo
from pipelines.kinesis.positions import TRIM_HORIZON, ShardPosition
from pipelines.kinesis.put import Record
from pipelines.kinesis.service import StreamService
from pipelines.runtime.clock import ManualClock
from pipelines.runtime.errors import ExpiredIteratorError, NotFoundError

NAME = "shardId-000000000000"
SHARD = Shard(NAME)
after, at = ShardPosition.after, ShardPosition.at


@pytest.fixture
def stream() -> FakeKinesis:
    return FakeKinesis(ManualClock(), page_records=10)


@pytest.fixture
def fetcher(stream) -> Fetcher:
    return Fetcher(StreamService("flights", stream))


def numbers(fetched):
    return [] if fetched.answer.page is None else fetched.answer.page["sequence_number"].to_pylist()


def places(fetched):
    """(sequence number, sub-sequence number, data) of each record."""
    if fetched.answer.page is None:
        return []
    page = fetched.answer.page
    names = ("sequence_number", "sub_sequence_number", "data")
    return list(zip(*(page[name].to_pylist() for name in names), strict=True))


def test_a_new_iterator_at_a_known_record_leaves_it_out_and_finds_no_gap(stream, fetcher):
    put = stream.put(NAME, 4)
    fetched = fetcher.fetch(SHARD, None, after(put[1]), None)
    assert numbers(fetched) == put[2:]
    assert fetched.answer.failures == ()
    assert fetched.answer.reached == put[3]
    assert fetched.answer.data_bytes == sum(map(len, put[2:]))
    assert (fetched.expected, fetched.retries) == (None, 0)


def test_a_known_record_alone_is_nothing_new(stream, fetcher):
    put = stream.put(NAME, 2)
    fetched = fetcher.fetch(SHARD, None, after(put[1]), None)
    assert (fetched.answer.page, fetched.answer.data_bytes, fetched.answer.reached) == (None, 0, "")
    assert (fetched.answer.failures, fetched.expected) == ((), None)
    assert fetched.answer.next_iterator == f"{NAME}|2"


def test_a_record_to_begin_at_is_kept(stream, fetcher):
    put = stream.put(NAME, 3)
    fetched = fetcher.fetch(SHARD, None, at(put[1]), None)
    assert (numbers(fetched), fetched.answer.failures) == (put[1:], ())


def test_b13_a_trimmed_record_is_a_gap_up_to_the_first_one_there_is(stream, fetcher):
    put = stream.put(NAME, 5)
    stream.trim(NAME, 3)
    fetched = fetcher.fetch(SHARD, None, after(put[1]), None)
    assert numbers(fetched) == put[3:]
    (gap,) = fetched.answer.failures
    assert (gap.kind, gap.stream, gap.shard_id, gap.after, gap.up_to) == ("TRIMMED", "flights", NAME, put[1], put[3])
    assert gap.is_gap


def test_b13_no_gap_is_found_where_nothing_was_read_before(stream, fetcher):
    put = stream.put(NAME, 5)
    stream.trim(NAME, 3)
    fetched = fetcher.fetch(SHARD, None, TRIM_HORIZON, None)
    assert (numbers(fetched), fetched.answer.failures) == (put[3:], ())


def test_b13_all_trimmed_to_the_end_of_a_closed_shard_is_a_gap(stream, fetcher):
    put = stream.put(NAME, 2)
    stream.trim(NAME, 2)
    stream.close(NAME)
    fetched = fetcher.fetch(SHARD, None, after(put[0]), None)
    (gap,) = fetched.answer.failures
    assert (gap.kind, gap.after, gap.up_to) == ("TRIMMED", put[0], "")
    assert (fetched.answer.page, fetched.answer.next_iterator) == (None, None)


def test_b8_empty_answers_keep_what_is_expected_until_something_comes(stream, fetcher):
    put = stream.put(NAME, 2)
    stream.trim(NAME, 2)
    position = after(put[0])
    first = fetcher.fetch(SHARD, None, position, None)
    second = fetcher.fetch(SHARD, first.answer.next_iterator, position, first.expected)
    assert [(one.answer.page, one.answer.failures, one.expected) for one in (first, second)] == [
        (None, (), position),
        (None, (), position),
    ]
    new = stream.put(NAME, 1)
    third = fetcher.fetch(SHARD, second.answer.next_iterator, position, second.expected)
    assert (numbers(third), third.expected) == (new, None)
    assert [(gap.after, gap.up_to) for gap in third.answer.failures] == [(put[0], new[0])]


def test_an_iterator_at_hand_begins_behind_the_known_record(stream, fetcher):
    put = stream.put(NAME, 4)
    fetched = fetcher.fetch(SHARD, f"{NAME}|2", after(put[1]), None)
    assert (numbers(fetched), fetched.answer.failures) == (put[2:], ())
    assert stream.calls == ["get_records"]


def test_b7_an_expired_iterator_is_made_anew_at_the_position(stream, fetcher):
    put = stream.put(NAME, 4)
    stream.faults = [client_error("ExpiredIteratorException")]
    fetched = fetcher.fetch(SHARD, f"{NAME}|2", after(put[1]), None)
    assert (numbers(fetched), fetched.answer.failures, fetched.retries) == (put[2:], (), 1)
    assert stream.calls == ["get_records", "get_shard_iterator", "get_records"]


def test_b7_a_new_iterator_that_has_expired_is_left_to_the_caller(stream, fetcher, monkeypatch):
    def expired(**_):
        raise client_error("ExpiredIteratorException")

    monkeypatch.setattr(stream, "get_records", expired)
    with pytest.raises(ExpiredIteratorError):
        fetcher.fetch(SHARD, None, TRIM_HORIZON, None)


# Aggregates.


@pytest.fixture
def put(stream) -> list[str]:
    """A plain record, an aggregate of three, a plain record."""
    users = [Record(data, f"key-{data.decode()}", dedup_key=f"dedup-{data.decode()}") for data in (b"a", b"bb", b"ccc")]
    return [
        *stream.put(NAME, data=b"first"),
        *stream.put(NAME, data=aggregate(users).data),
        *stream.put(NAME, data=b"last"),
    ]


USERS = [(0, b"a"), (1, b"bb"), (2, b"ccc")]


@pytest.mark.parametrize(
    ("place", "sub", "kept"),
    [
        (at, None, 0),
        (at, 0, 0),
        (at, 1, 1),
        (at, 2, 2),
        (at, 3, 3),
        (after, 0, 1),
        (after, 1, 2),
        (after, 2, 3),
        (after, None, 3),
    ],
)
def test_b17_reading_begins_inside_of_an_aggregate(fetcher, put, place, sub, kept):
    fetched = fetcher.fetch(SHARD, None, place(put[1], sub), None)
    assert places(fetched) == [*((put[1], *user) for user in USERS[kept:]), (put[2], 0, b"last")]
    assert fetched.answer.data_bytes == sum(len(data) for _, data in USERS[kept:]) + len(b"last")
    assert fetched.answer.failures == ()


def test_b17_behind_the_last_user_record_nothing_is_left_and_the_aggregate_is_passed(stream, fetcher, put):
    stream.page_records = 1
    fetched = fetcher.fetch(SHARD, None, after(put[1], 2), None)
    assert (places(fetched), fetched.answer.reached, fetched.answer.data_bytes) == ([], put[1], 0)
    rest = fetcher.fetch(SHARD, fetched.answer.next_iterator, fetched.answer.end, fetched.expected)
    assert places(rest) == [(put[2], 0, b"last")]


def test_b13_the_place_in_a_trimmed_aggregate_takes_nothing_from_what_follows(stream, fetcher, put):
    stream.trim(NAME, 2)
    fetched = fetcher.fetch(SHARD, None, after(put[1], 1), None)
    assert places(fetched) == [(put[2], 0, b"last")]
    assert [(gap.kind, gap.after, gap.up_to) for gap in fetched.answer.failures] == [("TRIMMED", put[1], put[2])]


def test_b16_aggregates_stay_as_they_are_where_they_are_not_to_be_taken_apart(stream, put):
    fetcher = Fetcher(StreamService("flights", stream), Unpacking(deaggregate=False))
    fetched = fetcher.fetch(SHARD, None, TRIM_HORIZON, None)
    raw = [record[1] for record in stream.shards[NAME].records]
    assert places(fetched) == [(number, 0, data) for number, data in zip(put, raw, strict=True)]
    assert fetched.answer.data_bytes == sum(map(len, raw))


def test_b16_dedup_keys_are_a_column_where_they_are_asked_for(stream, put):
    fetched = Fetcher(StreamService("flights", stream), Unpacking(dedup_keys=True)).fetch(
        SHARD, None, after(put[1], 0), None
    )
    assert fetched.answer.page["dedup_key"].to_pylist() == ["dedup-bb", "dedup-ccc", None]


def test_b16_an_aggregate_of_another_shards_records_leaves_no_page(stream, fetcher):
    (number,) = stream.put(NAME, data=aggregate([Record(b"x", "k", str(HASH_KEYS - 1))]).data)
    fetched = fetcher.fetch(Shard(NAME, (0, HASH_KEYS // 2 - 1)), None, TRIM_HORIZON, None)
    assert (fetched.answer.page, fetched.answer.data_bytes, fetched.answer.reached) == (None, 0, number)


def test_a_page_of_fewer_records_counts_their_bytes(stream, fetcher, put):
    answer = fetcher.fetch(SHARD, None, TRIM_HORIZON, None).answer
    assert with_page(answer, answer.page.slice(2, 2)).data_bytes == len(b"bbccc")
    assert with_page(answer, answer.page.slice(0, 0)).page is None


# Shards that are gone.


def test_b12_an_expired_shard_ends_with_its_heirs(stream, fetcher):
    put = stream.put(NAME, 2)
    low, high = stream.split(NAME)
    stream.expire(NAME)
    heirs = tuple(ShardInfo(child, (NAME,), False, stream.shards[child].hash_range) for child in (low, high))
    fetched = fetcher.fetch(Shard(NAME, (0, HASH_KEYS - 1)), None, after(put[0]), None)
    assert (fetched.answer.page, fetched.answer.next_iterator, fetched.expected) == (None, None, None)
    assert fetched.answer.children == heirs
    (lost,) = fetched.answer.failures
    assert (lost.kind, lost.stream, lost.shard_id, lost.after, lost.up_to) == ("EXPIRED", "flights", NAME, put[0], "")
    assert put[0] in lost.message


def test_b12_a_shard_that_expired_while_it_was_read_is_found_by_its_iterator(stream, fetcher):
    stream.put(NAME, 1)
    stream.split(NAME)
    stream.expire(NAME)
    fetched = fetcher.fetch(SHARD, f"{NAME}|0", TRIM_HORIZON, None)
    assert [(lost.kind, lost.after) for lost in fetched.answer.failures] == [("EXPIRED", "")]
    assert "TRIM_HORIZON" in fetched.answer.failures[0].message


def test_b12_a_shard_that_is_still_listed_has_not_expired(stream, fetcher):
    stream.put(NAME, 1)
    stream.faults = [client_error("ResourceNotFoundException", "GetShardIterator")]
    with pytest.raises(NotFoundError, match="is listed and cannot be read"):
        fetcher.fetch(SHARD, None, TRIM_HORIZON, None)


def test_a_stream_that_is_gone_is_no_expired_shard(stream, fetcher):
    stream.faults = [client_error("ResourceNotFoundException")] * 2
    with pytest.raises(NotFoundError) as error:
        fetcher.fetch(SHARD, None, TRIM_HORIZON, None)
    assert "list-streams" in error.value.fix
