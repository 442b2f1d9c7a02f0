"""The model Kinesis without HTTP: histories, times, limits. The clock is moved by hand."""

import base64
import hashlib
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kinesis_model import HOUR_S, TOP, Service, code_of, end_of, start_of

from infra.embedded.model.errors import KinesisError
from infra.embedded.model.faults import DropConnectionError

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.integers(1, 8), st.integers(0, TOP)),
        st.tuples(st.just("split"), st.integers(0, 10), st.floats(0.1, 0.9)),
        st.tuples(st.just("merge"), st.integers(0, 10), st.none()),
        st.tuples(st.just("scale"), st.integers(1, 8), st.none()),
        st.tuples(st.just("clock"), st.integers(-50, 50), st.none()),
    ),
    max_size=25,
)


def walk(service: Service, steps: list[Any]) -> list[tuple[str, str]]:
    """Plays `steps`; returns (shard, sequence number) of each record accepted."""
    accepted, scalings = [], 0
    for kind, number, detail in steps:
        shards = service.open_shards()
        one = number % len(shards)
        if kind == "put":
            entries = [
                {"Data": "eA==", "PartitionKey": f"k{i}"} | ({"ExplicitHashKey": str(detail)} if i == 0 else {})
                for i in range(number)
            ]
            answer = service("PutRecords", Records=entries)
            assert answer["FailedRecordCount"] == 0
            accepted += [(r["ShardId"], r["SequenceNumber"]) for r in answer["Records"]]
        elif kind == "split":
            middle = start_of(shards[one]) + int((end_of(shards[one]) - start_of(shards[one])) * detail)
            service("SplitShard", ShardToSplit=shards[one]["ShardId"], NewStartingHashKey=str(middle))
        elif kind == "merge" and one + 1 < len(shards):
            low, high = shards[one]["ShardId"], shards[one + 1]["ShardId"]
            service("MergeShards", ShardToMerge=low, AdjacentShardToMerge=high)
        elif kind == "scale" and -(-len(shards) // 2) <= number <= 2 * len(shards):
            if scalings < 10:
                service("UpdateShardCount", TargetShardCount=number, ScalingType="UNIFORM_SCALING")
                scalings += 1
        elif kind == "clock":
            service.clock.advance(number / 1000)  # back as well, as a machine's clock may
    return accepted


@settings(max_examples=100, deadline=None)
@given(STEPS, st.integers(1, 4))
def test_b5_b12_histories_lose_nothing_double_nothing_and_tile_the_hash_space(steps: list[Any], count: int) -> None:
    service = Service(count)
    accepted = walk(service, steps)
    ranges = [(start_of(s), end_of(s)) for s in service.open_shards()]
    assert ranges[0][0] == 0
    assert ranges[-1][1] == TOP
    assert all(low[1] + 1 == high[0] for low, high in pairwise(ranges))
    shards = {s["ShardId"]: s for s in service.shards()}
    read = []
    for name, shard in shards.items():
        records = service.drain(name)
        numbers = [int(r["SequenceNumber"]) for r in records]
        bounds = shard["SequenceNumberRange"]
        assert numbers == sorted(set(numbers))
        assert all(len(r["SequenceNumber"]) == 56 for r in records)
        assert all(int(bounds["StartingSequenceNumber"]) < n for n in numbers)
        assert all(n < int(bounds.get("EndingSequenceNumber", 10**56)) for n in numbers)
        for parent in (shard.get("ParentShardId"), shard.get("AdjacentParentShardId")):
            if parent is not None:
                ending = int(shards[parent]["SequenceNumberRange"]["EndingSequenceNumber"])
                assert ending < int(bounds["StartingSequenceNumber"])
        read += [(name, r["SequenceNumber"]) for r in records]
    assert sorted(read) == sorted(accepted)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 50), min_size=1, max_size=30), st.data())
def test_b7_every_iterator_type_begins_where_it_says(gaps_ms: list[int], data: st.DataObject) -> None:
    service = Service()
    times = []
    for gap in gaps_ms:
        service.clock.advance(gap / 1000)
        service.put()
        times.append(service.clock.now_ms())
    shard = "shardId-000000000000"
    numbers = [r["SequenceNumber"] for r in service.drain(shard)]
    one = data.draw(st.integers(0, len(numbers) - 1))
    ms = data.draw(st.integers(times[0] - 10, times[-1]))

    def after(kind: str, **more: Any) -> list[str]:
        return [r["SequenceNumber"] for r in service.drain(shard, kind=kind, **more)]

    assert after("AT_SEQUENCE_NUMBER", StartingSequenceNumber=numbers[one]) == numbers[one:]
    assert after("AFTER_SEQUENCE_NUMBER", StartingSequenceNumber=numbers[one]) == numbers[one + 1 :]
    assert after("AT_TIMESTAMP", Timestamp=ms / 1000) == [n for n, t in zip(numbers, times, strict=True) if t >= ms]
    assert after("LATEST") == []
    latest = service.iterator(shard, "LATEST")
    newest = service.put()["SequenceNumber"]
    assert [r["SequenceNumber"] for r in service("GetRecords", ShardIterator=latest)["Records"]] == [newest]


@pytest.mark.parametrize("key", ["a", "UA-N14228", "ключ", "🛫", "k" * 256])
def test_b3_the_md5_of_the_key_read_big_endian_chooses_the_shard(key: str) -> None:
    service = Service(16)
    expected = int(hashlib.md5(key.encode("utf-8")).hexdigest(), 16) // 2**124
    assert service.put(key=key)["ShardId"] == f"shardId-{expected:012d}"


def test_b4_a_stream_begins_with_even_ranges() -> None:
    assert [(start_of(s), end_of(s)) for s in Service(3).shards()] == [
        (0, 113427455640312821154458202477256070484),
        (113427455640312821154458202477256070485, 226854911280625642308916404954512140969),
        (226854911280625642308916404954512140970, TOP),
    ]


def test_b3_an_explicit_hash_key_overrides_up_to_the_last_one() -> None:
    service = Service(4)
    assert service.put(ExplicitHashKey="0")["ShardId"].endswith("0")
    assert service.put(ExplicitHashKey=str(TOP))["ShardId"].endswith("3")
    with pytest.raises(KinesisError, match="ExplicitHashKey must be in the range") as error:
        service.put(ExplicitHashKey=str(TOP + 1))
    assert code_of(error) == "InvalidArgumentException"


def test_b7_an_iterator_expires_after_five_minutes() -> None:
    service = Service()
    iterator = service.iterator()
    service.clock.advance(300)
    assert service("GetRecords", ShardIterator=iterator)["Records"] == []
    service.clock.advance(0.001)
    with pytest.raises(KinesisError, match="Iterator expired") as error:
        service("GetRecords", ShardIterator=iterator)
    assert code_of(error) == "ExpiredIteratorException"


def test_b7_a_time_ahead_of_the_clock_is_refused() -> None:
    service = Service()
    with pytest.raises(KinesisError, match="cannot be greater than the currentTimestampInMillis"):
        service.iterator(kind="AT_TIMESTAMP", Timestamp=service.clock.now_ms() / 1000 + 1)


def test_b7_tokens_are_good_for_one_thing_only() -> None:
    service = Service(2)
    token = service("ListShards", MaxResults=1)["NextToken"]
    iterator = service.iterator()
    for wrong in (token, "nonsense", "é", iterator[:20] + "A" + iterator[21:]):
        with pytest.raises(KinesisError, match="Invalid ShardIterator") as error:
            service("GetRecords", ShardIterator=wrong)
        assert code_of(error) == "InvalidArgumentException"
    with pytest.raises(KinesisError, match="Invalid NextToken"):
        service("ListShards", NextToken=iterator)


def test_b7_a_number_of_another_shard_is_refused() -> None:
    service = Service(2)
    number = service.put(ExplicitHashKey="0")["SequenceNumber"]
    with pytest.raises(KinesisError, match="did not come from this stream"):
        service.iterator("shardId-000000000001", "AT_SEQUENCE_NUMBER", StartingSequenceNumber=number)


def test_b8_an_answer_holds_ten_mebibytes() -> None:
    service = Service()
    for _ in range(12):
        service.put(bytes(1_048_000))
    answer = service("GetRecords", ShardIterator=service.iterator())
    assert len(answer["Records"]) == 10
    assert answer["MillisBehindLatest"] == 1  # not caught up, though nothing has waited for a millisecond
    rest = service("GetRecords", ShardIterator=answer["NextShardIterator"])
    assert (len(rest["Records"]), rest["MillisBehindLatest"]) == (2, 0)


def test_b9_behind_is_the_age_of_the_next_record() -> None:
    service = Service()
    service.put()
    service.clock.advance(1.5)
    service.put()
    service.clock.advance(2)
    answer = service("GetRecords", ShardIterator=service.iterator(), Limit=1)
    assert answer["MillisBehindLatest"] == 2000
    assert answer["Records"][0]["ApproximateArrivalTimestamp"] == 1_700_000_000.0


def test_b10_a_drained_parent_names_its_children() -> None:
    service = Service(2)
    service.put(ExplicitHashKey="0")
    service("MergeShards", ShardToMerge="shardId-000000000000", AdjacentShardToMerge="shardId-000000000001")
    answer = service("GetRecords", ShardIterator=service.iterator())
    assert len(answer["Records"]) == 1
    assert "NextShardIterator" not in answer
    assert answer["ChildShards"] == [
        {
            "ShardId": "shardId-000000000002",
            "ParentShards": ["shardId-000000000000", "shardId-000000000001"],
            "HashKeyRange": {"StartingHashKey": "0", "EndingHashKey": str(TOP)},
        }
    ]
    with pytest.raises(KinesisError, match="already been merged or split"):
        service("SplitShard", ShardToSplit="shardId-000000000000", NewStartingHashKey="100")


def test_b11_scaling_doubles_and_halves_and_no_more_than_ten_times_a_day() -> None:
    service = Service(2)
    for target in (5, 0, 1_000):
        with pytest.raises(KinesisError) as error:
            service("UpdateShardCount", TargetShardCount=target, ScalingType="UNIFORM_SCALING")
        assert code_of(error) == ("ValidationException" if target == 0 else "LimitExceededException")
    for turn in range(10):
        target = 3 if turn % 2 else 4
        service("UpdateShardCount", TargetShardCount=target, ScalingType="UNIFORM_SCALING")
        widths = [end_of(s) - start_of(s) for s in service.open_shards()]
        assert len(widths) == target
        assert max(widths) - min(widths) <= 1
    with pytest.raises(KinesisError, match="10 times within 24 hours"):
        service("UpdateShardCount", TargetShardCount=4, ScalingType="UNIFORM_SCALING")
    service.clock.advance(24 * HOUR_S)
    service("UpdateShardCount", TargetShardCount=4, ScalingType="UNIFORM_SCALING")
    assert len(service.open_shards()) == 4


def test_b11_scaling_works_where_a_range_is_one_off_the_even_one() -> None:
    service = Service()
    service("SplitShard", ShardToSplit="shardId-000000000000", NewStartingHashKey=str(2**127 - 1))
    service("UpdateShardCount", TargetShardCount=2, ScalingType="UNIFORM_SCALING")
    assert [(start_of(s), end_of(s)) for s in service.open_shards()] == [(0, 2**127 - 1), (2**127, TOP)]


def test_b11_a_stream_is_creating_then_active_and_updating_while_it_takes_records() -> None:
    service = Service(settle_ms=2_000)
    fresh = {"StreamName": "fresh"}
    service("CreateStream", **fresh, ShardCount=1)

    def status(**named: str) -> str:
        return str(service("DescribeStreamSummary", **named)["StreamDescriptionSummary"]["StreamStatus"])

    assert status(**fresh) == "CREATING"
    with pytest.raises(KinesisError, match="Stream fresh under account 123456789012 not found"):
        service.put(StreamName="fresh")
    assert status() == "ACTIVE"
    service("SplitShard", ShardToSplit="shardId-000000000000", NewStartingHashKey="1000")
    assert status() == "UPDATING"
    service.put()
    with pytest.raises(KinesisError, match="not ACTIVE, instead in state UPDATING") as error:
        service("SplitShard", ShardToSplit="shardId-000000000001", NewStartingHashKey="100")
    assert code_of(error) == "ResourceInUseException"
    service.clock.advance(2)
    assert (status(), status(**fresh)) == ("ACTIVE", "ACTIVE")


@pytest.mark.parametrize("key", ["0", "1", str(TOP)])
def test_b11_a_split_leaves_both_children_more_than_one_hash_key(key: str) -> None:
    with pytest.raises(KinesisError, match="is not both greater than one plus") as error:
        Service()("SplitShard", ShardToSplit="shardId-000000000000", NewStartingHashKey=key)
    assert code_of(error) == "InvalidArgumentException"


def test_b13_a_trimmed_position_moves_to_the_horizon_and_a_longer_retention_brings_nothing_back() -> None:
    service = Service()
    old = service.put()["SequenceNumber"]
    service.clock.advance(23 * HOUR_S)
    young = service.put()["SequenceNumber"]
    service.clock.advance(HOUR_S + 1)
    iterator = service.iterator(kind="AT_SEQUENCE_NUMBER", StartingSequenceNumber=old)
    assert [r["SequenceNumber"] for r in service("GetRecords", ShardIterator=iterator)["Records"]] == [young]
    service("IncreaseStreamRetentionPeriod", RetentionPeriodHours=48)
    assert [r["SequenceNumber"] for r in service.drain("shardId-000000000000")] == [young]
    service.clock.advance(47 * HOUR_S - 2)
    assert len(service.drain("shardId-000000000000")) == 1
    service("DecreaseStreamRetentionPeriod", RetentionPeriodHours=24)
    assert service.drain("shardId-000000000000") == []


def test_b13_an_iterator_stays_at_its_record_while_older_ones_are_trimmed() -> None:
    service = Service()
    service.put()
    service.clock.advance(HOUR_S)
    young = service.put()["SequenceNumber"]
    service.clock.advance(23 * HOUR_S - 10)
    following = service("GetRecords", ShardIterator=service.iterator(), Limit=1)["NextShardIterator"]
    service.clock.advance(20)
    assert [r["SequenceNumber"] for r in service("GetRecords", ShardIterator=following)["Records"]] == [young]


def test_b12_an_expired_shard_vanishes_and_its_child_stays() -> None:
    service = Service()
    service("SplitShard", ShardToSplit="shardId-000000000000", NewStartingHashKey="1000")
    service.clock.advance(24 * HOUR_S)
    assert len(service.shards()) == 3
    service.clock.advance(0.001)
    assert [s["ShardId"][-1] for s in service.shards()] == ["1", "2"]
    with pytest.raises(KinesisError, match="Could not find shard shardId-000000000000") as error:
        service.iterator("shardId-000000000000")
    assert code_of(error) == "ResourceNotFoundException"


def test_b15_filters_by_time_and_place() -> None:
    service = Service()
    born = service.clock.now_ms() / 1000
    service.clock.advance(10)
    service("SplitShard", ShardToSplit="shardId-000000000000", NewStartingHashKey="1000")
    service.clock.advance(10)

    def of(kind: str, **more: Any) -> list[int]:
        return [int(s["ShardId"][-3:]) for s in service.shards(ShardFilter={"Type": kind} | more)]

    assert of("AT_LATEST") == [1, 2]
    assert of("AT_TRIM_HORIZON") == [0]
    assert of("FROM_TRIM_HORIZON") == [0, 1, 2]
    assert of("AFTER_SHARD_ID", ShardId="shardId-000000000001") == [2]
    assert of("AT_TIMESTAMP", Timestamp=born + 5) == [0]
    assert of("AT_TIMESTAMP", Timestamp=born + 15) == [1, 2]
    assert of("FROM_TIMESTAMP", Timestamp=born) == [0, 1, 2]
    assert of("FROM_TIMESTAMP", Timestamp=born + 15) == [1, 2]
    for kind in ("AFTER_SHARD_ID", "AT_TIMESTAMP", "FROM_TIMESTAMP"):
        with pytest.raises(KinesisError, match=f"{kind} needs a"):
            of(kind)


def test_list_shards_pages_keep_their_filter_and_their_tokens_expire() -> None:
    service = Service(5)
    service("MergeShards", ShardToMerge="shardId-000000000001", AdjacentShardToMerge="shardId-000000000002")
    answer = service("ListShards", MaxResults=1, ShardFilter={"Type": "AT_LATEST"})
    found = list(answer["Shards"])
    while token := answer.get("NextToken"):
        with pytest.raises(KinesisError, match="cannot be provided together"):
            service("ListShards", NextToken=token, StreamName="s")
        answer = service("ListShards", NextToken=token, MaxResults=1)
        found += answer["Shards"]
        last = token
    assert [int(s["ShardId"][-1]) for s in found] == [0, 3, 4, 5]
    service.clock.advance(301)
    with pytest.raises(KinesisError) as error:
        service("ListShards", NextToken=last)
    assert code_of(error) == "ExpiredNextTokenException"


def test_b6_a_shard_takes_a_thousand_records_and_a_mebibyte_a_second() -> None:
    service = Service(limited=True)
    small = [{"Data": "eA==", "PartitionKey": "k"}] * 500
    assert [service("PutRecords", Records=small)["FailedRecordCount"] for _ in range(3)] == [0, 0, 500]
    service.clock.advance(0.1)
    answer = service("PutRecords", Records=small)
    assert answer["FailedRecordCount"] == 400
    assert {r.get("ErrorCode") for r in answer["Records"]} == {None, "ProvisionedThroughputExceededException"}
    service.clock.advance(1)
    service.put(bytes(1_000_000))
    with pytest.raises(KinesisError, match="Rate exceeded for shard"):
        service.put(bytes(100_000))
    service.clock.advance(1)
    service.put(bytes(100_000))


def test_b6_a_record_refused_for_its_bytes_costs_no_record() -> None:
    service = Service(limited=True)
    service.put(bytes(1_048_000))
    large = [{"Data": base64.b64encode(bytes(1024)).decode(), "PartitionKey": "k"}] * 500
    assert [service("PutRecords", Records=large)["FailedRecordCount"] for _ in range(2)] == [500, 500]
    assert service.put()["ShardId"] == "shardId-000000000000"


def test_b7_b8_a_shard_answers_five_calls_a_second_and_rests_after_a_large_answer() -> None:
    service = Service(limited=True)
    for _ in range(11):
        service.put(bytes(1_048_000))
        service.clock.advance(1)
    iterator = service.iterator()
    for _ in range(4):
        service.iterator()
    with pytest.raises(KinesisError, match="Rate exceeded"):
        service.iterator()
    following = service("GetRecords", ShardIterator=iterator)["NextShardIterator"]
    service.clock.advance(4.9)
    with pytest.raises(KinesisError) as error:
        service("GetRecords", ShardIterator=following)
    assert code_of(error) == "ProvisionedThroughputExceededException"
    service.clock.advance(0.2)
    following = service("GetRecords", ShardIterator=following)["NextShardIterator"]
    service.clock.advance(2)
    for _ in range(5):
        following = service("GetRecords", ShardIterator=following)["NextShardIterator"]
    with pytest.raises(KinesisError):
        service("GetRecords", ShardIterator=following)


def test_b6_a_shard_gives_two_thousand_records_a_second() -> None:
    service = Service(limited=True)
    small = [{"Data": "eA==", "PartitionKey": "k"}] * 500
    for _ in range(8):
        assert service("PutRecords", Records=small)["FailedRecordCount"] == 0
        service.clock.advance(0.5)
    following = service("GetRecords", ShardIterator=service.iterator(), Limit=2_000)["NextShardIterator"]
    following = service("GetRecords", ShardIterator=following, Limit=1_000)["NextShardIterator"]
    service.clock.advance(0.499)
    with pytest.raises(KinesisError, match="Rate exceeded for shard") as error:
        service("GetRecords", ShardIterator=following)
    assert code_of(error) == "ProvisionedThroughputExceededException"
    service.clock.advance(0.001)
    assert len(service("GetRecords", ShardIterator=following)["Records"]) == 1_000


def test_without_limits_nothing_is_throttled() -> None:
    service = Service()
    small = [{"Data": "eA==", "PartitionKey": "k"}] * 500
    assert [service("PutRecords", Records=small)["FailedRecordCount"] for _ in range(4)] == [0] * 4


def test_ordered_faults_happen_as_often_as_ordered() -> None:
    service = Service()
    service.kinesis.faults.order({
        "fail": [{"operation": "GetRecords", "code": "InternalFailure", "status": 500, "times": 2}],
        "drop": [{"operation": "ListShards"}],
        "throttle": {"fraction": 0.5, "seed": 7},
        "latency_s": 0.25,
    })  # fmt: skip
    iterator = service.iterator()
    for _ in range(2):
        with pytest.raises(KinesisError) as error:
            service("GetRecords", ShardIterator=iterator)
        assert (error.value.code, error.value.status) == ("InternalFailure", 500)
    service("GetRecords", ShardIterator=iterator)
    with pytest.raises(DropConnectionError):
        service("ListShards")
    assert len(service.shards()) == 1
    entries = [{"Data": "eA==", "PartitionKey": "k"}] * 200
    failed = service("PutRecords", Records=entries)["FailedRecordCount"]
    assert 60 < failed < 140
    assert service.clock.slept_s == [0.25] * 7
    service.kinesis.faults.order({})
    assert len(service.drain("shardId-000000000000")) == 200 - failed


def test_b2_ordered_refusals_of_entries_have_a_code() -> None:
    service = Service()
    entries = [{"Data": "eA==", "PartitionKey": "k"}] * 3
    for more, code in (
        ({}, "ProvisionedThroughputExceededException"),
        ({"code": "InternalFailure"}, "InternalFailure"),
    ):
        service.kinesis.faults.order({"throttle": {"fraction": 1.0} | more})
        answer = service("PutRecords", Records=entries)
        assert answer["FailedRecordCount"] == 3
        assert {record["ErrorCode"] for record in answer["Records"]} == {code}


def test_a_recreated_stream_knows_no_iterator_of_the_old_one() -> None:
    service = Service()
    iterator = service.iterator()
    service("DeleteStream")
    with pytest.raises(KinesisError, match="Stream s under account 123456789012 not found"):
        service("GetRecords", ShardIterator=iterator)
    service.clock.advance(1)
    service("CreateStream", ShardCount=1)
    with pytest.raises(KinesisError, match="was deleted"):
        service("GetRecords", ShardIterator=iterator)
