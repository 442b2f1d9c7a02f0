"""An argument of a wrong kind is named where it is given, with what to give instead."""

from datetime import UTC, datetime

import pytest

from pipelines.kinesis import (
    EventTime,
    ExportPositions,
    ReadFromKinesis,
    ShardPosition,
    StartingPosition,
    WriteToKinesis,
)
from pipelines.runtime.errors import ConfigurationError

NOW = datetime(2026, 11, 26, tzinfo=UTC)


def no_function(page):
    return page


@pytest.mark.parametrize(
    "give",
    [
        lambda: StartingPosition.after({"s": 123}),
        lambda: StartingPosition.after({"s": ("1", 2, 3)}),
        lambda: StartingPosition.after({"s": ("1", "2")}),
        lambda: StartingPosition.after({"s": ("1", True)}),
        lambda: StartingPosition.after({"s": ("1", -1)}),
        lambda: StartingPosition.after({"s": None}),
        lambda: StartingPosition.after("123"),
        lambda: StartingPosition.after({"s": "1"}, otherwise_ms="now"),
        lambda: StartingPosition.at("LATEST"),
        lambda: StartingPosition.at({"s": b"1"}),
        lambda: StartingPosition.at([("s", "1")]),
        lambda: StartingPosition.at_timestamp(NOW),
        lambda: StartingPosition.at_timestamp(round(NOW.timestamp())),
        lambda: StartingPosition.at_timestamp(NOW.timestamp()),
        lambda: StartingPosition.at_timestamp(-1),
        lambda: StartingPosition.at_timestamp(True),
        lambda: EventTime("arrival"),
        lambda: EventTime(no_function, slack_ms="10"),
        lambda: EventTime(no_function, slack_ms=-1),
        lambda: ReadFromKinesis(None),
        lambda: ReadFromKinesis(""),
        lambda: ReadFromKinesis("s", start=None),
        lambda: ReadFromKinesis("s", until="later"),
        lambda: ReadFromKinesis("s", event_time=no_function),
        lambda: ReadFromKinesis("s", consumer=b"name"),
        lambda: ReadFromKinesis("s", consumer=""),
        lambda: ReadFromKinesis("s", desired_num_splits="4"),
        lambda: ReadFromKinesis("s", desired_num_splits=0),
        lambda: WriteToKinesis(None),
        lambda: WriteToKinesis("s", retry_s="60"),
        lambda: WriteToKinesis("s", retry_s=float("nan")),
        lambda: WriteToKinesis("s", retry_s=-1),
        lambda: WriteToKinesis("s", aggregation_max_bytes="51200"),
        lambda: WriteToKinesis("s", aggregation_max_bytes=0),
        lambda: WriteToKinesis("s", dedup_key=7),
    ],
)
def test_a_wrong_argument_is_refused_with_its_fix(give):
    with pytest.raises(ConfigurationError) as raised:
        give()
    assert raised.value.fix


def test_what_is_right_is_taken():
    at = ShardPosition.at("9", 1)
    start = StartingPosition.after({"a": "1", "b": ("2", 0), "c": ("3", None), "d": at}, 1_700_000_000_000)
    assert start.positions == {
        "a": ShardPosition.after("1"),
        "b": ShardPosition.after("2", 0),
        "c": ShardPosition.after("3"),
        "d": at,
    }
    assert start.timestamp_ms == 1_700_000_000_000
    assert StartingPosition.at_timestamp(0).timestamp_ms == 0


def test_a_folder_that_is_not_there_is_named_on_the_worker(tmp_path):
    exporter = ExportPositions(tmp_path / "missing")._fn
    with pytest.raises(ConfigurationError, match="missing, is not there") as raised:
        exporter.setup()
    assert raised.value.fix == f"mkdir -p {tmp_path / 'missing'}"
