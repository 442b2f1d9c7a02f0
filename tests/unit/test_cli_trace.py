"""`hydrant trace` without services: conditions on records, the folder of a run, several delivery streams."""

import json
import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from pipelines.cli.follow import follow
from pipelines.cli.main import app
from pipelines.cli.run_folder import PUT, PUT_SCHEMA, STREAMS, PutLog, RunFolder
from pipelines.cli.where import matching
from pipelines.firehose.chunk import DeliveredObject, ShardLineage
from pipelines.firehose.config import DeliveryStreamConfig, S3Backup, S3Destination
from pipelines.firehose.invocation import Invocation
from pipelines.kinesis.put import Placed, Record
from pipelines.runtime.clock import ManualClock
from pipelines.runtime.errors import ConfigurationError, InvalidDataError, NotFoundError

SHARD = "shardId-000000000000"


def put(documents: Sequence[Any]) -> pa.Table:
    data = [each if isinstance(each, bytes) else json.dumps(each).encode() for each in documents]
    count = len(data)
    columns = [data, [f"key-{n % 2}" for n in range(count)], [SHARD] * count, [str(9 + n) for n in range(count)]]
    return pa.Table.from_arrays(list(map(pa.array, [*columns, [1_000] * count])), schema=PUT_SCHEMA)


# --- conditions


@pytest.mark.parametrize(
    ("condition", "rows"),
    [
        ("flight = 1545", [0, 2]),
        ("flight = '1545'", [0, 2]),
        ("flight > 1000 AND carrier = 'UA'", [0]),
        ("delay > 10", [3]),
        ("delay = 'NA'", [1]),
        ("delay = 'NA' OR flight = 1545", [0, 1, 2]),
        ("flight LIKE '15%'", [0, 2]),
        ("FLIGHT = 7", [3]),
        ("partition_key = 'key-1' AND flight = 7", [3]),
        ("sequence_number = 11", [2]),
        ("shard_id = 'shardId-000000000000' AND flight = 12", [1]),
        ("data LIKE '%not json%'", [4]),
        ("carrier IS NULL", [2, 4, 5]),
        ("(place->>'$.x') = '1'", [2]),
        ("canceled", [1]),
        ("flight = 7 -- a comment", [3]),
        ("price >= 1.5", [3]),
        ("big = 9007199254740993", [0]),
    ],
)
def test_a_condition_holds_for_the_records_it_says(condition: str, rows: list[int]) -> None:
    records = put([
        {"flight": "1545", "carrier": "UA", "delay": "3", "big": 9007199254740993},
        {"flight": "12", "carrier": "UA", "delay": "NA", "canceled": True},
        {"flight": 1545, "delay": "-1", "place": {"x": 1}},
        {"flight": "7", "carrier": "AA", "delay": "11", "canceled": False, "price": "1.5", "big": 9007199254740992},
        b"not json",
        b"[1]",
    ])  # fmt: skip
    assert matching(records, condition) == rows


@pytest.mark.parametrize(
    "condition", ["flights = 1", "flight =", "", "1; DROP TABLE records", "read_text('/etc/passwd') = ''"]
)
def test_what_is_no_condition_is_refused_with_what_there_is(condition: str) -> None:
    with pytest.raises(ConfigurationError, match="flight, partition_key") as refused:
        matching(put([{"flight": "1"}]), condition)
    assert "\n" not in str(refused.value)


def test_a_condition_on_files_reads_none(tmp_path: Path) -> None:
    (tmp_path / "secret.csv").write_text("a\n1\n")
    with pytest.raises(ConfigurationError):
        matching(put([{"a": "1"}]), f"a IN (SELECT a FROM '{tmp_path}/secret.csv')")


@given(
    numbers=st.lists(st.integers(-(10**6), 10**6), min_size=1, max_size=9), texts=st.lists(st.sampled_from(["NA", ""]))
)
def test_equality_with_a_number_finds_every_record_that_holds_it(numbers: list[int], texts: list[str]) -> None:
    values = [*map(str, numbers), *texts[: len(numbers)], numbers[0]]
    found = matching(put([{"n": value} for value in values]), f"n = {numbers[0]}")
    assert found == [row for row, value in enumerate(values) if str(value) == str(numbers[0])]


# --- the folder of a run


def folder_of(path: Path, names: Sequence[str] = ("one",), *, backup: bool = False) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    streams = {}
    for name in names:
        backed_up = S3Backup("bucket", "role") if backup else None
        config = DeliveryStreamConfig(name, f"arn:{name}", S3Destination("bucket", "role", backup=backed_up))
        streams[name] = {"config": asdict(config), "table": None}
        (path / "ledger" / name).mkdir(parents=True)
    where = {"AWS_ENDPOINT_URL": "http://127.0.0.1:9", "AWS_REGION": "us-east-1"}
    described = {
        "scenario": "flights",
        "target": "embedded",
        "began_ms": 0,
        "stream": "s",
        "where": where,
        "delivery_streams": streams,
    }
    (path / STREAMS).write_text(json.dumps(described))
    log = PutLog(path, ManualClock())
    for begin in (0, 2):
        records = [Record(f"record {n}\n".encode(), f"key-{n % 2}") for n in range(begin, begin + 2)]
        log.add(records, [Placed(SHARD, str(100 + n)) for n in range(begin, begin + 2)])
    log.close()
    return path


def write(path: Path, name: str, outcome: str, numbers: Sequence[int], **more: Any) -> None:
    line = {"outcome": outcome, **more, "records": {SHARD: [[str(number), 0] for number in numbers]}}
    with (path / "ledger" / name / f"{outcome}-x.jsonl").open("a") as file:
        file.write(json.dumps(line) + "\n")


def written(kind: str, count: int) -> dict[str, Any]:
    shards = (ShardLineage(SHARD, "100", "103", count),)
    return DeliveredObject(
        kind, "bucket", f"{kind}/a", 10, count, 30, "size", shards, opened_ms=5, flushed_ms=9
    ).to_json()


def test_the_records_of_a_run_that_broke_off_are_read_as_far_as_they_go(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "run")
    assert RunFolder.read(folder).put.column("sequence_number").to_pylist() == ["100", "101", "102", "103"]
    whole = (folder / PUT).read_bytes()
    (folder / PUT).write_bytes(whole[: len(whole) - 100])
    assert RunFolder.read(folder).put.column("sequence_number").to_pylist() == ["100", "101"]
    (folder / PUT).unlink()
    with pytest.raises(NotFoundError, match="hydrant run flights"):
        _ = RunFolder.read(folder).put


@pytest.mark.parametrize("begins", [0, 3, 100])
def test_a_run_that_has_put_nothing_yet_is_one_without_the_record(tmp_path: Path, begins: int) -> None:
    """The file is there before the first record is; Arrow crashes on a column without a batch."""
    folder = folder_of(tmp_path / "run")
    PutLog(folder, ManualClock()).close()
    (folder / PUT).write_bytes((folder / PUT).read_bytes()[:begins])
    for arguments in (("49",), ("--where", "partition_key = 'k'"), ("\udcff",)):
        said = CliRunner().invoke(app, ["trace", *arguments, "--run", str(folder)])
        assert isinstance(said.exception, NotFoundError), said.exception
        assert "0 of 0 records" in str(said.exception)


def test_a_file_that_is_no_log_of_records_is_named(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "run")
    (folder / PUT).write_bytes(b"not Arrow")
    said = CliRunner().invoke(app, ["trace", "49", "--run", str(folder)])
    assert isinstance(said.exception, InvalidDataError)
    assert "put.arrow cannot be read" in str(said.exception)


@pytest.mark.parametrize(
    "condition",
    ["flight=-1) UNION SELECT 99999999 WHERE (1=1", "1=1); SELECT (1", "1=1) UNION SELECT NULL WHERE (1=1", ""],
)
def test_a_condition_that_is_more_than_a_condition_is_refused(condition: str) -> None:
    with pytest.raises(ConfigurationError, match="--where cannot be answered") as raised:
        matching(put([{"flight": 1}]), condition)
    assert raised.value.fix


def test_the_latest_run_is_the_one_that_began_last(tmp_path: Path) -> None:
    for age_s, name in enumerate(("a-new", "z-old")):
        os.utime(folder_of(tmp_path / name) / STREAMS, (1_000 - age_s,) * 2)
    (tmp_path / "no run").mkdir()
    assert RunFolder.latest(tmp_path).path.name == "a-new"


def test_without_a_run_the_error_names_the_command_that_makes_one(tmp_path: Path) -> None:
    for attempt in (lambda: RunFolder.latest(tmp_path / "none"), lambda: RunFolder.read(tmp_path)):
        with pytest.raises(NotFoundError, match="Fix: `hydrant run flights --keep`"):
            attempt()
    (tmp_path / STREAMS).write_text("{")
    with pytest.raises(InvalidDataError, match="cannot be read"):
        RunFolder.read(tmp_path)


def test_the_environment_leads_to_the_runs_services_and_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = RunFolder.read(folder_of(tmp_path / "run"))
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    before = dict(os.environ)
    with run.services():
        assert os.environ["AWS_ENDPOINT_URL"] == "http://127.0.0.1:9"
        assert os.environ["AWS_ACCESS_KEY_ID"] == "test"  # a stand-in takes any; nobody's own are sent to it
    assert dict(os.environ) == before
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:4566")
    with run.services():
        assert "AWS_ENDPOINT_URL" not in os.environ  # whoever has set something means it


# --- following a record


def test_a_record_is_followed_through_each_delivery_stream(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "run", ("one", "two", "three"), backup=True)
    called = Invocation("arn:f", ("a", "b"), 1, 2, 3, 30, 1, 1, {"Lambda.FunctionError": (2,)}, "end", 0, 1)
    write(folder, "one", "invoked", [100, 101, 102], invocation=called.to_json())
    write(folder, "one", "dropped", [101])
    write(folder, "one", "failed", [102], object=written("processing-failed", 1))
    write(folder, "one", "backed_up", [103, 100, 101, 102], object=written("backup", 4))
    write(folder, "two", "delivered", [101, 102, 102], object=written("data", 2))
    run = RunFolder.read(folder)
    with run.services():
        document = follow(run, 2)
    one, two, three = document["deliveries"]
    assert document["record"]["data"] == "record 2\n"
    assert (one["outcomes"], two["outcomes"], three["outcomes"]) == (["failed"], ["delivered"], [])
    assert [(each["result"], each["code"], each["place"]) for each in one["invocations"]] == [
        ("ProcessingFailed", "Lambda.FunctionError", 2)
    ]
    assert [(each["kind"], each["rows"]) for each in one["objects"]] == [("processing-failed", [0]), ("backup", [3])]
    assert [each["rows"] for each in two["objects"]] == [[1, 2]]  # two rows of one record
    assert three["objects"] == three["invocations"] == []
    assert [sentence.partition(":")[0] for sentence in document["gone"]] == ["Kinesis", "S3"]
    json.dumps(document)


def say(*arguments: str) -> Any:
    return CliRunner().invoke(app, ["trace", *arguments], env={"COLUMNS": "160"})


def test_the_screen_says_what_the_document_says(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "run", ("one", "two"))
    called = Invocation(
        "arn:x:function:f", (), 1_000, 2_500, 3, 30, 0, 1, {"Lambda.FunctionError": (0, 2)}, "end", 0, 1
    )
    write(folder, "one", "invoked", [100, 101, 102], invocation=called.to_json())
    write(folder, "one", "dropped", [101])
    result = say("101", "--run", str(folder))
    assert result.exit_code == 0
    for words in (
        "stream s, shardId-000000000000, partition key key-1", "sequence number 101", "9 bytes", "record 1",
        "delivery stream one: dropped", "not called: the record is larger than Lambda takes", "1,500 ms",
        "result Dropped; the batch: 1 Dropped, 2 Lambda.FunctionError", "delivery stream two: nowhere",
        "Kinesis: the stand-in of this run does not answer any more", "`hydrant run flights --keep` keeps",
    ):  # fmt: skip
        assert words in result.stdout, words


def test_data_with_markup_is_printed_as_it_is(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "run")
    log = PutLog(folder, ManualClock())
    log.add([Record(b"[red]x[/nothing]", "[bold]")] * 2, [Placed(SHARD, "1"), Placed(SHARD, "2")])
    log.close()
    assert "[red]x[/nothing]" in say("2", "--run", str(folder)).stdout
    choice = say("[bold]", "--run", str(folder))
    assert choice.stdout.splitlines()[1].split() == ["1", "[bold]", "[red]x[/nothing]"]
    assert isinstance(choice.exception, ConfigurationError)


def test_several_records_are_a_document_too(tmp_path: Path) -> None:
    result = say("key-1", "--run", str(folder_of(tmp_path / "run")), "--json")
    document = json.loads(result.stdout)
    assert document["matches"] == 2
    assert [each["sequence_number"] for each in document["first"]] == ["101", "103"]
    assert isinstance(result.exception, ConfigurationError)


@pytest.mark.parametrize("arguments", [(), ("101", "--where", "n = 1")])
def test_one_of_record_and_condition_is_asked_for(arguments: tuple[str, ...]) -> None:
    assert say(*arguments).exit_code == 2
