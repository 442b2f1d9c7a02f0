"""`hydrant deliver` beside a producer: objects while it runs, a drain at Ctrl-C, and going on where the last one ended.

The Kinesis stream keeps its records, so it is the witness; the objects are read with boto3 and gzip alone.
"""

import base64
import gzip
import json
import os
import signal
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import psutil
import pytest
from hydrant_command import HANDLER, assert_one_sentence, hydrant, until

from infra.embedded.target import EmbeddedTarget
from infra.provisioning import provision
from scenarios.flights import handler
from scenarios.flights.workload import make_workload

Position = tuple[str, int]
"""Shard id and sequence number."""

SCENARIO = Path(handler.__file__).parent
BUCKET = "hydrant-flights"
ROLE = "arn:aws:iam::000000000000:role/firehose"
DATA, FAILED, BACKUP = "flights/", "errors/", "backup/"


@dataclass
class Aws:
    """Clients of the stand-ins, and what the tests ask them."""

    kinesis: Any
    s3: Any
    firehose: Any
    glue: Any

    def put(self, stream: str, records: list[tuple[bytes, str]]) -> None:
        entries = [{"Data": data, "PartitionKey": key} for data, key in records]
        assert self.kinesis.put_records(StreamName=stream, Records=entries)["FailedRecordCount"] == 0

    def records(self, stream: str) -> dict[Position, bytes]:
        """Everything that is in the stream."""
        found = {}
        for shard in self.kinesis.list_shards(StreamName=stream)["Shards"]:
            of = {"StreamName": stream, "ShardId": shard["ShardId"], "ShardIteratorType": "TRIM_HORIZON"}
            page = self.kinesis.get_records(ShardIterator=self.kinesis.get_shard_iterator(**of)["ShardIterator"])
            while page["Records"]:
                for record in page["Records"]:
                    found[shard["ShardId"], int(record["SequenceNumber"])] = record["Data"]
                page = self.kinesis.get_records(ShardIterator=page["NextShardIterator"])
        return found

    def keys(self, prefix: str) -> set[str]:
        return {one["Key"] for one in self.s3.list_objects_v2(Bucket=BUCKET, Prefix=prefix).get("Contents", [])}

    def body(self, key: str) -> bytes:
        return self.s3.get_object(Bucket=BUCKET, Key=key)["Body"].read()

    def lines(self, prefix: str) -> Counter[bytes]:
        """The lines of all GZIP objects under `prefix`."""
        return Counter(line for key in self.keys(prefix) for line in gzip.decompress(self.body(key)).splitlines())

    def metadata(self, prefix: str) -> list[dict[str, str]]:
        return [self.s3.head_object(Bucket=BUCKET, Key=key)["Metadata"] for key in sorted(self.keys(prefix))]

    def count(self, prefix: str) -> int:
        """Records in objects, by the objects' own word."""
        return sum(int(metadata["hydrant-records"]) for metadata in self.metadata(prefix))

    def delivery_stream(self, name: str, stream: str, interval_s: int = 1, **changes: Any) -> None:
        """One that writes the records of `stream` as they are, in GZIP objects."""
        destination = {
            "RoleARN": ROLE,
            "BucketARN": f"arn:aws:s3:::{BUCKET}",
            "Prefix": f"{name}/",
            "ErrorOutputPrefix": f"{name}-errors/!{{firehose:error-output-type}}/",
            "BufferingHints": {"SizeInMBs": 64, "IntervalInSeconds": interval_s},
            "CompressionFormat": "GZIP",
        }
        self.firehose.create_delivery_stream(
            DeliveryStreamName=name,
            DeliveryStreamType="KinesisStreamAsSource",
            KinesisStreamSourceConfiguration={
                "KinesisStreamARN": f"arn:aws:kinesis:us-east-1:000000000000:stream/{stream}",
                "RoleARN": ROLE,
            },
            ExtendedS3DestinationConfiguration=destination | changes,
        )


@pytest.fixture(scope="module")
def aws() -> Iterator[Aws]:
    with EmbeddedTarget().started():
        session = boto3.session.Session()
        clients = Aws(*(session.client(service) for service in ("kinesis", "s3", "firehose", "glue")))
        provision(SCENARIO / "aws")
        yield clients


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
    at: list[dict[str, str]] = field(default_factory=list)
    """The positions file after each run."""
    keys: list[set[str]] = field(default_factory=list)
    """The keys of the bucket after each run."""
    put: list[dict[Position, bytes]] = field(default_factory=list)
    """What was in the stream when each run had ended."""

    def read(self, run: int) -> dict[Position, bytes]:
        """The records up to the positions that were left after run number `run`."""
        reached = {shard: int(number) for shard, number in self.at[run].items()}
        return {place: data for place, data in self.put[run].items() if place[1] <= reached.get(place[0], 0)}


@pytest.fixture(scope="module")
def story(aws: Aws, tmp_path_factory: pytest.TempPathFactory) -> Story:
    story = Story()
    positions = tmp_path_factory.mktemp("deliver") / "positions.json"

    def drained(run: Any) -> None:
        run.signal()
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
                until(lambda before=seen: len(aws.keys(DATA)) > before, "another object", 30)
        story.backups_before_the_drain = len(aws.keys(BACKUP))
        drained(run)  # the last portions were put a moment ago: some of them are read, some buffered, some neither
    between, during = portions(seed=6, count=200, size=110)
    aws.put("flights", between)
    with hydrant(*command) as run:
        before = aws.count(DATA)
        until(lambda: aws.count(DATA) > before, "objects of the second run")
        aws.put("flights", during)
        should = Counter(map(kind, aws.records("flights").values()))
        until(lambda: aws.count(DATA) + aws.count(FAILED) == should[DATA] + should[FAILED], "every record in objects")
        drained(run)
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
@pytest.mark.parametrize(
    ("prefix", "kinds"), [(DATA, {DATA}), (FAILED, {FAILED}), (BACKUP, {DATA, FAILED, "dropped"})]
)
def test_ctrl_c_drains_and_the_next_run_neither_loses_nor_doubles(
    aws: Aws, story: Story, run: int, prefix: str, kinds: set[str]
) -> None:
    named = lineage(aws, prefix, story.keys[run], story.put[run], kinds)
    should = [place for place, data in story.read(run).items() if kind(data) in kinds]
    assert sorted(named) == sorted(should)


def test_ctrl_c_flushes_the_buffer_whose_minute_is_not_over(aws: Aws, story: Story) -> None:
    assert story.backups_before_the_drain == 0
    backed_up = aws.lines(BACKUP)
    assert backed_up == Counter(line for data in story.read(1).values() for line in data.splitlines())


def test_both_runs_end_well_and_account_for_everything(aws: Aws, story: Story) -> None:
    assert story.statuses == [0, 0]
    assert all("Draining" in said and "Traceback" not in said for said in story.said)
    assert story.read(1) == story.put[1]
    dropped = sum(kind(data) == "dropped" for data in story.put[1].values())
    assert dropped > 0
    assert aws.count(DATA) + aws.count(FAILED) + dropped == len(story.put[1]) == aws.count(BACKUP)
