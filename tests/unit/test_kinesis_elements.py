"""The elements that the sink takes, and the names that it gives their records."""

import pyarrow as pa
import pytest

from pipelines.kinesis.aggregation import DEDUP_PAGE_SCHEMA
from pipelines.kinesis.elements import BY_POSITION, check_dedup_key, records_of
from pipelines.kinesis.page import make_page
from pipelines.kinesis.put import Record
from pipelines.kinesis.records import records
from pipelines.runtime.errors import ConfigurationError

PAGE = make_page("shardId-7", [b"1", b"2"], ["a", "b"], ["40", "40"], [5, 5], [0, 1])
NAMED = PAGE.append_column(DEDUP_PAGE_SCHEMA.field("dedup_key"), pa.array(["one", None], pa.string()))
PLAIN = [Record(b"1", "a"), Record(b"2", "b")]
POSITIONS = ["shardId-7:40:0", "shardId-7:40:1"]


@pytest.mark.parametrize("elements", [[PAGE], list(records(PAGE)), PLAIN, [("a", b"1"), ("b", b"2")]])
def test_every_kind_of_element_is_the_same_records(elements):
    assert [record for element in elements for record in records_of(element, None)] == PLAIN
    named = [record for element in elements for record in records_of(element, lambda r: r.partition_key * 2)]
    assert named == [Record(b"1", "a", None, "aa"), Record(b"2", "b", None, "bb")]


def test_what_was_read_is_named_by_position():
    for elements in ([PAGE], [NAMED], list(records(PAGE))):
        named = [record for element in elements for record in records_of(element, BY_POSITION)]
        assert [record.dedup_key for record in named] == POSITIONS
        assert [record.data for record in named] == [b"1", b"2"]


def test_names_and_hash_keys_that_are_there_stay():
    assert [record.dedup_key for record in records_of(NAMED, None)] == ["one", None]
    record = Record(b"1", "a", "7", "name")
    assert list(records_of(record, None)) == [record]
    assert list(records_of(record, lambda r: r.dedup_key + "!")) == [Record(b"1", "a", "7", "name!")]


@pytest.mark.parametrize(
    "element",
    [b"bytes", "text", None, ("key", "text"), (b"key", b"data"), ("a",), ("a", b"", 1), Record("text", "key")],
)
def test_elements_of_another_kind_are_named_with_those_there_are(element):
    with pytest.raises(ConfigurationError, match=f"an element of type {type(element).__name__}") as raised:
        list(records_of(element, None))
    assert "(partition_key: str, data: bytes)" in raised.value.fix


def test_position_names_no_record_that_was_not_read():
    for element in (PLAIN[0], ("a", b"1")):
        with pytest.raises(ConfigurationError, match="BY_POSITION"):
            list(records_of(element, BY_POSITION))


def test_dedup_key_is_a_function_or_position():
    for good in (None, BY_POSITION, str):
        assert check_dedup_key(good) is good
    for bad in ("by_position", 7, ""):
        with pytest.raises(ConfigurationError, match="dedup_key is"):
            check_dedup_key(bad)
