"""`hydrant deliver` beside a producer: objects while it runs, a drain at Ctrl-C, and going on where the last one ended.

The Kinesis stream keeps its records, so it is the witness; the objects are read with boto3 and gzip alone.
"""

import base64
import gzip
import json
import signal
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest
from embedded_aws import BUCKET, LAMBDA, Aws, Position, numbered
from hydrant_command import HANDLER, Running, hydrant

from scenarios.flights import handler
from scenarios.flights.workload import make_workload

DATA, FAILED, BACKUP = "flights/", "errors/", "backup/"


def portions(seed: int, count: int, size: int) -> Iterator[list[tuple[bytes, str]]]:
    records = [(record.data, record.partition_key) for record in make_workload(count, seed).records()]
    for start in range(0, len(records), size):
        yield records[start : start + size]


def kind(data: bytes) -> str:
    """Where a record belongs: by the handler, and by what is known of the one kind of record that it lets through."""
    result = handler.transform({"recordId": "", "data": base64.b64encode(data).decode()})["result"]
    if result == "Ok":
        return FAILED if b'"2013-02-31T25:00:00Z"' in data else DATA
    return {"Dropped": "dropped", "ProcessingFailed": FAILED}[result]


@dataclass
class Story:
    """What was seen over two runs of `hydrant deliver flights` with one positions file."""

    objects_while_putting: list[int] = field(default_factory=list)
    backups_before_the_drain: int = 0
    statuses: list[int] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    at: list[dict[str, Any]] = field(default_factory=list)
    """The positions file after each run."""
    keys: list[set[str]] = field(default_factory=list)
    """The keys of the bucket after each run."""
    put: list[dict[Position, bytes]] = field(default_factory=list)
    """What was in the stream when each run had ended."""

    def read(self, run: int) -> dict[Position, bytes]:
        """The records up to the positions that were left after run number `run`."""
        reached = {shard: int(at["seq"]) for shard, at in self.at[run]["shards"].items()}
        return {place: data for place, data in self.put[run].items() if place[1] <= reached.get(place[0], 0)}


@pytest.fixture(scope="module")
def story(aws: Aws, tmp_path_factory: pytest.TempPathFactory) -> Story:
    story = Story()
    positions = tmp_path_factory.mktemp("deliver") / "positions.json"

    def drained(run: Running, by: signal.Signals) -> None:
        run.signal(by)
        story.statuses.append(run.status())
        story.said.append(run.said)
        story.at.append(json.loads(positions.read_text()))
        story.keys.append(aws.keys(""))
        story.put.append(aws.records("flights"))

    command = ("deliver", "flights", "--handler", str(HANDLER), "--positions", str(positions))
    producer = portions(seed=5, count=300, size=60)
    with hydrant(*command) as run:
        for portion in producer:
            seen = len(aws.keys(DATA))
            story.objects_while_putting.append(seen)
            aws.put("flights", portion)
            if len(story.objects_while_putting) < 4:
                run.until(lambda before=seen: len(aws.keys(DATA)) > before, "another object", 30)
        story.backups_before_the_drain = len(aws.keys(BACKUP))
        drained(
            run, signal.SIGINT
        )  # the last portions were put a moment ago: some of them are read, some buffered, some neither
    between, during = portions(seed=6, count=200, size=110)
    aws.put("flights", between)
    with hydrant(*command) as run:
        before = aws.count(DATA)
        run.until(lambda: aws.count(DATA) > before, "objects of the second run")
        aws.put("flights", during)
        should = Counter(map(kind, aws.records("flights").values()))
        run.until(
            lambda: aws.count(DATA) + aws.count(FAILED) >= should[DATA] + should[FAILED], "every record in objects"
        )
        drained(run, signal.SIGTERM)
    return story


def lineage(aws: Aws, prefix: str, keys: set[str], records: dict[Position, bytes], kinds: set[str]) -> list[Position]:
    """Each record that the objects say they hold, as often as they say it."""
    named: list[Position] = []
    for key in sorted(keys):
        if key.startswith(prefix):
            metadata = aws.s3.head_object(Bucket=BUCKET, Key=key)["Metadata"]
            count = 0
            for shard, of in json.loads(metadata["hydrant-lineage"]).items():
                first, last = int(of["first"]), int(of["last"])
                numbers = [n for (s, n), data in records.items() if s == shard and kind(data) in kinds]
                inside = [n for n in numbers if first <= n <= last]
                assert len(inside) == of["count"], key
                assert {first, last} <= set(inside), key
                named += [(shard, n) for n in inside]
                count += of["count"]
            assert count == int(metadata["hydrant-records"])
    return named


def test_a2_objects_appear_while_the_producer_still_puts(story: Story) -> None:
    assert story.objects_while_putting[0] == 0
    first, second, third = story.objects_while_putting[1:4]
    assert 0 < first < second < third


@pytest.mark.parametrize("run", [0, 1])
@pytest.mark.parametrize(("prefix", "kinds"), [(DATA, {DATA}), (FAILED, {FAILED}), (BACKUP, {DATA, FAILED, "dropped"})])
def test_ctrl_c_drains_and_the_next_run_neither_loses_nor_doubles(
    aws: Aws, story: Story, run: int, prefix: str, kinds: set[str]
) -> None:
    named = lineage(aws, prefix, story.keys[run], story.put[run], kinds)
    should = [place for place, data in story.read(run).items() if kind(data) in kinds]
    assert sorted(named) == sorted(should)


def test_ctrl_c_flushes_the_buffer_whose_minute_is_not_over(aws: Aws, story: Story) -> None:
    assert story.backups_before_the_drain == 0
    backed_up: dict[str, list[tuple[int, bytes]]] = {}
    for key in story.keys[1]:
        if key.startswith(BACKUP):
            metadata = aws.s3.head_object(Bucket=BUCKET, Key=key)["Metadata"]
            ((shard, of),) = json.loads(metadata["hydrant-lineage"]).items()
            backed_up.setdefault(shard, []).append((int(of["first"]), gzip.decompress(aws.body(key))))
    for shard, bodies in backed_up.items():
        records = sorted((n, data) for (s, n), data in story.put[1].items() if s == shard)
        assert b"".join(body for _, body in sorted(bodies)) == b"".join(data for _, data in records)


def test_both_runs_end_well_and_account_for_everything(aws: Aws, story: Story) -> None:
    assert story.statuses == [0, 0]
    assert all("Draining" in said and "Traceback" not in said for said in story.said)
    assert story.read(1) == story.put[1]
    dropped = sum(kind(data) == "dropped" for data in story.put[1].values())
    assert dropped > 0
    assert aws.count(DATA) + aws.count(FAILED) + dropped == len(story.put[1]) == aws.count(BACKUP)


def test_x15_records_from_before_the_delivery_stream_was_created_are_not_delivered(
    aws: Aws, stream: str, tmp_path: Path
) -> None:
    aws.put(stream, numbered(0, 20))
    empty = tmp_path / "positions.json"
    empty.write_text('{"shards": {}}')
    runs = {"late": (), "late-from-no-positions": ("--positions", str(empty))}
    for name in runs:
        aws.delivery_stream(name, stream)
    aws.put(stream, numbered(20, 50))
    with ExitStack() as stack:
        running = [stack.enter_context(hydrant("deliver", name, *more)) for name, more in runs.items()]
        for each, name in zip(running, runs, strict=True):
            each.until(lambda name=name: sum(aws.lines(f"{name}/").values()) >= 30, "what was put afterwards")
        for each in running:
            each.signal()
        assert [each.status() for each in running] == [0, 0]
    for name in runs:
        assert aws.lines(f"{name}/") == Counter(b"%d" % n for n in range(20, 50))
    assert list(json.loads(empty.read_text())["shards"]) == ["shardId-000000000000"]


def test_a_second_ctrl_c_ends_it_at_once_and_the_positions_are_as_they_were(
    aws: Aws, stream: str, tmp_path: Path
) -> None:
    aws.delivery_stream("slow", stream, ProcessingConfiguration=LAMBDA)
    called, positions = tmp_path / "called", tmp_path / "positions.json"
    (tmp_path / "slow.py").write_text(
        "import pathlib, time\n\n"
        "def handler(event, context):\n"
        f"    pathlib.Path({str(called)!r}).touch()\n"
        "    time.sleep(50)\n"
    )
    aws.put(stream, numbered(0, 3))
    with hydrant("deliver", "slow", "--handler", f"{tmp_path}/slow.py:handler", "--positions", str(positions)) as run:
        run.until(called.exists, "a call of the handler")
        children = run.children()
        run.signal()
        run.until_it_says("Draining")
        run.signal()
        assert run.status(within_s=15) == 130
        assert "Traceback" not in run.said
        assert psutil.wait_procs(children, timeout=15)[1] == []
    assert not positions.exists()
    assert aws.keys("slow") == set()
