"""The table of differences and the scan for calls: all of it that needs no stand-in."""

from pathlib import Path
from typing import Final

import pytest
from call_differences import ROWS, Differences, table
from calls import Call, Recorder, calls_in, calls_to_try
from targets import EMBEDDED, LOCALSTACK, MOTO, TARGETS

PAGE: Final = Path(__file__).parents[2] / "docs" / "integration.md"


def test_the_page_shows_the_table() -> None:
    fix = "put what `.venv/bin/python tests/integration/call_differences.py` prints into docs/integration.md"
    assert table() in PAGE.read_text(), fix
    assert len(table().splitlines()) == len(ROWS) + 2
    assert all(line.count("|") == 7 for line in table().splitlines()), "a cell has a bar"


def test_every_row_has_a_name_of_its_own_and_says_who_says_so() -> None:
    assert len({row.id for row in ROWS}) == len(ROWS)
    assert all(row.targets and set(row.targets) <= set(TARGETS) for row in ROWS)
    assert all(row.aws.endswith(")") for row in ROWS)


def test_a_row_counts_as_met_where_it_holds() -> None:
    known = Differences()
    before = known.unmet(LOCALSTACK)
    assert not known.on(EMBEDDED, "even-ranges")
    assert known.on(LOCALSTACK, "even-ranges")
    assert set(before) - set(known.unmet(LOCALSTACK)) == {"even-ranges"}
    with pytest.raises(StopIteration):
        known.on(MOTO, "no such row")


def test_calls_are_found_by_what_is_called_and_by_names_in_text() -> None:
    source = 'kinesis.list_shards(StreamName="x")\npages = s3.get_paginator("list_objects_v2")\nother.listing()\n'
    assert set(calls_in(source, "a.py")) == {
        Call("a.py", "list_shards", "kinesis.list_shards", 1),
        Call("a.py", "list_objects_v2", "list_objects_v2", 2),
    }


def test_a_call_that_no_test_has_made_is_missing() -> None:
    calls = calls_to_try()
    files = {call.file for call in calls}
    assert {"infra/provisioning.py", "pipelines/kinesis/service.py", "pipelines/lake/catalog.py"} <= files
    recorder = Recorder({(MOTO, service, call.operation, call.file) for call in calls for service in call.services})
    assert recorder.missing(MOTO) == []
    assert recorder.missing(EMBEDDED) == calls
    recorder.made = {made for made in recorder.made if made[2:] != ("list_shards", "pipelines/kinesis/service.py")}
    assert [(call.file, call.operation) for call in recorder.missing(MOTO)] == [
        ("pipelines/kinesis/service.py", "list_shards")
    ]
