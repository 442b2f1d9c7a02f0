"""The account: every record put ends in exactly one place, by sequence number."""

import json
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.firehose.chunk import (
    Chunk,
    DeliveredObject,
    ShardLineage,
    lineage,
    sequence_columns,
)
from pipelines.firehose.invocation import Invocation
from pipelines.firehose.ledger import (
    BACKED_UP,
    DELIVERED,
    DROPPED,
    FAILED,
    INVOKED,
    Entry,
    RecordId,
    account,
    read_ledger,
)
from pipelines.kinesis.page import decode_batch, make_page
from pipelines.runtime.errors import InvalidDataError

SHARDS = ("shardId-000000000000", "shardId-000000000001")


def record(number: int) -> RecordId:
    return SHARDS[number % 2], str(4959 * 10**52 + number), 0


@given(outcomes=st.lists(st.sampled_from([DELIVERED, DROPPED, FAILED]), max_size=50))
def test_what_ends_in_one_place_adds_up(outcomes: list[str]) -> None:
    put = [record(number) for number in range(len(outcomes))]
    entries = [Entry(outcome, (where,)) for outcome, where in zip(outcomes, put, strict=True)]
    result = account(put, [*entries, Entry(BACKED_UP, tuple(put))])
    assert result.adds_up
    assert (result.delivered, result.dropped, result.failed) == tuple(
        outcomes.count(outcome) for outcome in (DELIVERED, DROPPED, FAILED)
    )


@given(lost=st.integers(0, 9), doubled=st.integers(0, 9))
def test_a_lost_and_a_doubled_record_are_named_even_when_the_counts_cancel_out(lost: int, doubled: int) -> None:
    put = [record(number) for number in range(10)]
    ended = [where for number, where in enumerate(put) if number != lost]
    again = [put[doubled]] if doubled != lost else [record(99)]
    result = account(put, [Entry(DELIVERED, tuple(ended)), Entry(FAILED, tuple(again))])
    assert not result.adds_up
    assert result.lost == (put[lost],)
    assert result.doubled == tuple(again)


def test_a5_3_several_documents_of_one_record_are_one_delivered_record() -> None:
    put = [record(0)]
    result = account(put, [Entry(DELIVERED, (put[0], put[0]))])
    assert result.adds_up
    assert result.delivered == 1


def test_lineage_is_first_last_and_count_per_shard() -> None:
    pages = [
        make_page(SHARDS[0], [b"a", b"b"], ["k", "k"], ["9", "10"], [1, 2]),
        make_page(SHARDS[1], [b"c"], ["k"], ["7"], [3]),
        make_page(SHARDS[0], [b"d"], ["k"], ["8"], [4]),
    ]
    rows = [Chunk.of_page(page).rows() for page in pages]
    assert lineage(rows) == (ShardLineage(SHARDS[0], "8", "10", 3), ShardLineage(SHARDS[1], "7", "7", 1))
    encoded = decode_batch(sequence_columns(rows))
    assert encoded.column("sequence_number").to_pylist() == ["9", "10", "7", "8"]
    assert encoded.schema.names == ["shard_id", "sequence_number", "sub_sequence_number"]


def test_a5_3_the_rows_of_one_record_count_once_in_the_lineage() -> None:
    page = make_page(SHARDS[0], [b"a", b"a", b"b", b"b"], ["k"] * 4, ["1", "1", "1", "2"], [1] * 4, [0, 0, 1, 0])
    mixed = pa.concat_batches([Chunk.of_page(page).rows(), Chunk.of_page(other_shard(page)).rows()])
    assert lineage([mixed]) == (ShardLineage(SHARDS[0], "1", "2", 3), ShardLineage(SHARDS[1], "1", "2", 3))


def other_shard(page: pa.RecordBatch) -> pa.RecordBatch:
    return page.set_column(page.schema.get_field_index("shard_id"), "shard_id", pa.array([SHARDS[1]] * page.num_rows))


def test_the_ledger_reads_back_what_was_written(tmp_path: Path) -> None:
    delivered = DeliveredObject("data", "b", "k", 10, 2, 30, "size", (ShardLineage(SHARDS[0], "1", "2", 2),))
    line = {"outcome": DELIVERED, "object": delivered.to_json(), "records": {SHARDS[0]: [["1", 0], ["2", 0]]}}
    (tmp_path / "delivered-x.jsonl").write_text(json.dumps(line) + "\n")
    assert list(read_ledger(tmp_path)) == [
        Entry(DELIVERED, ((SHARDS[0], "1", 0), (SHARDS[0], "2", 0)), delivered),
    ]


def test_the_calls_of_the_transform_are_read_back_and_end_nothing(tmp_path: Path) -> None:
    called = Invocation("arn", ("id",), 1, 2, 2, 30, 1, 0, {"Lambda.FunctionError": (1,)}, "size", 3, 4)
    line = {"outcome": INVOKED, "invocation": called.to_json(), "records": {SHARDS[0]: [["1", 0], ["2", 0]]}}
    (tmp_path / "invoked-x.jsonl").write_text(json.dumps(line) + "\n")
    entries = list(read_ledger(tmp_path))
    assert entries == [Entry(INVOKED, ((SHARDS[0], "1", 0), (SHARDS[0], "2", 0)), None, called)]
    assert account([(SHARDS[0], "1", 0)], entries).lost == ((SHARDS[0], "1", 0),)


def test_the_entries_of_one_record_are_found_without_the_others(tmp_path: Path) -> None:
    lines = [{"outcome": DROPPED, "records": {SHARDS[0]: [[number, 0]]}} for number in ("49", "490", "491")]
    (tmp_path / "dropped-x.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert [entry.records for entry in read_ledger(tmp_path, "49")] == [((SHARDS[0], "49", 0),)]


@pytest.mark.parametrize("line", [b"\xff\n", b"{}\n", b"[1]\n", b"not JSON\n"])
def test_a_file_that_is_no_ledger_is_named(tmp_path, line):
    (tmp_path / "a.jsonl").write_bytes(line)
    with pytest.raises(InvalidDataError, match=r"a\.jsonl is no ledger") as raised:
        list(read_ledger(tmp_path))
    assert raised.value.fix
