"""PutRecords: batches within AWS's limits, failed entries put again alone, after pauses that grow (B2)."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kinesis_fake import client_error, connection_error

from pipelines.kinesis import put
from pipelines.kinesis.put import MAX_ENTRIES, Placed, Record, batches, put_records
from pipelines.runtime.clock import ManualClock
from pipelines.runtime.errors import EndpointDownError, NotFoundError, ThrottledError

MIB = 1 << 20


class Client:
    """Takes what `refuses(call, entry)` does not refuse; numbers are given out in the order of arrival."""

    def __init__(self, refuses=lambda call, data: False, faults=()) -> None:
        self.refuses, self.faults = refuses, list(faults)
        self.requests = []
        self.stored = []

    def put_records(self, StreamName, Records):
        self.requests.append([entry["Data"] for entry in Records])
        if self.faults:
            raise self.faults.pop(0)
        answers = []
        for entry in Records:
            if self.refuses(len(self.requests), entry["Data"]):
                answers.append({"ErrorCode": "ProvisionedThroughputExceededException", "ErrorMessage": "slow down"})
            else:
                self.stored.append(entry["Data"])
                answers.append({"ShardId": "shardId-0", "SequenceNumber": str(len(self.stored))})
        return {"FailedRecordCount": 0, "Records": answers}


def records(count):
    return [Record(b"%d" % number, "key") for number in range(count)]


@given(sizes=st.lists(st.integers(0, 5 * MIB), max_size=12), small=st.integers(0, 1300), key=st.text("aé☃", min_size=1))
@settings(max_examples=60, deadline=None)
def test_b2_batches_hold_the_limits_and_keep_every_record_in_order(sizes, small, key):
    given_ = [Record(bytes(size), key) for size in sizes] + [Record(b"", key)] * small
    cut = list(batches(given_))
    assert [record for batch in cut for record in batch] == given_
    for batch, following in zip(cut, [*cut[1:], None], strict=False):
        size = sum(len(record.data) + len(key.encode()) for record in batch)
        assert 1 <= len(batch) <= 500
        assert size <= 10 * MIB
        if following:  # no smaller than it must be
            assert len(batch) == 500 or size + following[0].size > 10 * MIB


def test_b2_a_batch_may_be_as_large_as_aws_takes():
    assert [len(batch) for batch in batches(records(2 * MAX_ENTRIES + 1))] == [500, 500, 1]
    exactly = [Record(bytes(MIB - 1), "k")] * 10
    assert [len(batch) for batch in batches([*exactly, Record(b"", "k")])] == [10, 1]


@given(refused=st.sets(st.tuples(st.integers(1, 5), st.integers(0, 19)), max_size=60))
@settings(max_examples=100)
def test_b2_only_failed_entries_are_put_again_and_answers_keep_their_order(refused):
    client = Client(lambda call, data: (call, int(data)) in refused)
    batch = records(20)
    placed = put_records(client, "s", batch, ManualClock())
    assert placed == [Placed("shardId-0", str(client.stored.index(record.data) + 1)) for record in batch]
    assert sorted(client.stored) == sorted(record.data for record in batch)
    for call, (request, following) in enumerate(zip(client.requests, client.requests[1:], strict=False), 1):
        assert following == [data for data in request if (call, int(data)) in refused]


def test_b6_pauses_between_attempts_have_full_jitter_under_a_growing_limit(monkeypatch):
    limits = []
    monkeypatch.setattr(put.random, "uniform", lambda low, high: limits.append((low, high)) or high / 2)
    clock = ManualClock()
    put_records(Client(lambda call, data: call <= 9), "s", records(1), clock)
    assert clock.slept_s == [high / 2 for _, high in limits]
    assert {low for low, _ in limits} == {0}
    assert [high for _, high in limits] == pytest.approx([0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5, 5, 5])


def test_entries_that_are_never_taken_end_it_with_their_number():
    with pytest.raises(ThrottledError, match="refuses 2 of 5 records") as raised:
        put_records(Client(lambda call, data: data in (b"1", b"4")), "s", records(5), ManualClock())
    assert "UpdateShardCount" in raised.value.fix


def test_calls_that_fail_for_a_while_are_made_again():
    faults = [connection_error(), client_error("InternalFailure", "PutRecords", 500)]
    client = Client(faults=faults)
    assert len(put_records(client, "s", records(3), ManualClock())) == 3
    assert len(client.requests) == 3


def test_calls_that_fail_for_good_end_it():
    missing = Client(faults=[client_error("ResourceNotFoundException", "PutRecords")])
    with pytest.raises(NotFoundError, match="Kinesis stream s"):
        put_records(missing, "s", records(1), ManualClock())
    assert len(missing.requests) == 1
    with pytest.raises(EndpointDownError):
        put_records(Client(faults=[connection_error() for _ in range(99)]), "s", records(1), ManualClock())


def test_an_answer_of_another_length_is_not_taken_for_success():
    class Short(Client):
        def put_records(self, StreamName, Records):
            return {"Records": super().put_records(StreamName, Records)["Records"][:-1]}

    with pytest.raises(ValueError, match="zip"):
        put_records(Short(), "s", records(2), ManualClock())
