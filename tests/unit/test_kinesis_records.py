"""Pages as single records."""

import pyarrow as pa
from apache_beam.utils.timestamp import Timestamp
from kinesis_fake import FakeKinesis

from pipelines.kinesis.aggregate import aggregate
from pipelines.kinesis.fetch import Fetcher, Shard
from pipelines.kinesis.page import PAGE_SCHEMA, make_page
from pipelines.kinesis.positions import TRIM_HORIZON
from pipelines.kinesis.put import Record
from pipelines.kinesis.records import KinesisRecord, records, timestamped_records
from pipelines.kinesis.service import StreamService
from pipelines.kinesis.watermark import EventTime
from pipelines.runtime.clock import ManualClock

SHARD = "shardId-000000000000"


def test_b17_a_page_with_aggregates_gives_its_user_records_in_order():
    clock = ManualClock(1_700_000_000_123)
    stream = FakeKinesis(clock, page_records=10)
    (first,) = stream.put(SHARD, data=b"plain")
    (second,) = stream.put(SHARD, data=aggregate([Record(b"", "k-ä"), Record(b"b", "k2")]).data)
    (third,) = stream.put(SHARD, data=b"\xf3\x89\x9a\xc2 looks like one, and is none")
    fetched = Fetcher(StreamService("flights", stream)).fetch(Shard(SHARD), None, TRIM_HORIZON, None)
    at_ms = 1_700_000_000_123
    assert list(records(fetched.answer.page)) == [
        KinesisRecord(b"plain", f"key-{first}", first, 0, SHARD, at_ms),
        KinesisRecord(b"", "k-ä", second, 0, SHARD, at_ms),
        KinesisRecord(b"b", "k2", second, 1, SHARD, at_ms),
        KinesisRecord(b"\xf3\x89\x9a\xc2 looks like one, and is none", f"key-{third}", third, 0, SHARD, at_ms),
    ]


def test_a_record_has_the_columns_of_a_page():
    assert list(KinesisRecord._fields) == PAGE_SCHEMA.names


def test_a_slice_gives_its_own_records_and_an_empty_page_none():
    page = make_page(SHARD, [b"a", b"b", b"c"], ["k"] * 3, ["1", "2", "3"], [5, 6, 7])
    assert list(records(page.slice(1, 1))) == [KinesisRecord(b"b", "k", "2", 0, SHARD, 6)]
    assert list(records(page.slice(3))) == []


def test_timestamped_records_have_their_own_time_and_none_is_before_its_page():
    page = make_page(SHARD, [b"a", b"b", b"c"], ["k"] * 3, ["1", "2", "3"], [5_000, 6_000, 70_000])
    stamped = list(timestamped_records(page, Timestamp(5.5)))
    assert [value.value for value in stamped] == list(records(page))
    assert [value.timestamp for value in stamped] == [Timestamp(5.5), Timestamp(6), Timestamp(70)]


def test_timestamped_records_have_the_event_time_of_a_field():
    page = make_page(SHARD, [b"a", b"b"], ["k"] * 2, ["1", "2"], [5_000, 6_000])
    event_time = EventTime(lambda page: pa.array([1_000, None], pa.int64()))
    stamped = timestamped_records(page, Timestamp(1), event_time)
    assert [value.timestamp for value in stamped] == [Timestamp(1), Timestamp(6)]
