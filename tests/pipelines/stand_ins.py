"""What the pipeline tests talk to: the model Kinesis and moto on loopback, and pipelines on a runner with a deadline.

The fixtures of conftest.py make these; a name is never used twice, so tests share the processes.
"""

import json
import time
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import count
from typing import Any

import apache_beam as beam
from apache_beam.options.pipeline_options import DebugOptions

from pipelines.kinesis.put import Placed, Record, batches, put_records
from pipelines.runtime.aws import client
from pipelines.runtime.launch import Snapshot, run_pipeline
from pipelines.runtime.options import HydrantOptions

_NUMBERS = count(1)


def fresh(prefix: str) -> str:
    """A name that no other test of this session uses."""
    return f"{prefix}-{next(_NUMBERS)}"


@dataclass
class KinesisStandIn:
    """The model Kinesis on the wire; the environment of the test leads to it."""

    endpoint: str

    @cached_property
    def client(self) -> Any:
        return client("kinesis")

    def stream(self, shards: int = 1) -> str:
        """The name of a new, empty, ACTIVE stream."""
        name = fresh("stream")
        self.client.create_stream(StreamName=name, ShardCount=shards)
        return name

    def put(self, stream: str, records: Sequence[Record]) -> list[Placed]:
        return [place for batch in batches(records) for place in put_records(self.client, stream, batch)]

    def open_shards(self, stream: str) -> list[dict[str, Any]]:
        """The shards that take records, in the order of their hash key ranges."""
        shards = self.client.list_shards(StreamName=stream)["Shards"]
        is_open = [shard for shard in shards if "EndingSequenceNumber" not in shard["SequenceNumberRange"]]
        return sorted(is_open, key=lambda shard: int(shard["HashKeyRange"]["StartingHashKey"]))

    def split(self, stream: str, shard_id: str) -> None:
        """Splits an open shard in the middle of its range."""
        (shard,) = [shard for shard in self.open_shards(stream) if shard["ShardId"] == shard_id]
        begin, end = (int(shard["HashKeyRange"][f"{which}HashKey"]) for which in ("Starting", "Ending"))
        middle = str((begin + end + 1) // 2)
        self.client.split_shard(StreamName=stream, ShardToSplit=shard_id, NewStartingHashKey=middle)

    def order(self, faults: Mapping[str, Any]) -> None:
        """Puts `faults` in force (`infra.embedded.model.faults.Faults.order`) instead of what was."""
        request = urllib.request.Request(f"{self.endpoint}/_faults", json.dumps(faults).encode(), method="POST")
        urllib.request.urlopen(request, timeout=10).close()


@dataclass
class Aws:
    """All stand-ins, with clients; the environment of the test leads to them."""

    kinesis: KinesisStandIn
    endpoint: str

    @cached_property
    def s3(self) -> Any:
        return client("s3")

    @cached_property
    def glue(self) -> Any:
        return client("glue")

    @cached_property
    def firehose(self) -> Any:
        return client("firehose")

    def bucket(self) -> str:
        """The name of a new, empty bucket."""
        name = fresh("bucket")
        self.s3.create_bucket(Bucket=name)
        return name

    def keys(self, bucket: str, prefix: str = "") -> list[str]:
        """The keys of all objects below `prefix`."""
        pages = self.s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
        return [found["Key"] for page in pages for found in page.get("Contents", [])]

    def body(self, bucket: str, key: str) -> bytes:
        return self.s3.get_object(Bucket=bucket, Key=key)["Body"].read()


class DeadlineError(Exception):
    """A pipeline was still running when its test gave up on it."""


@dataclass
class Run:
    """Runs pipelines on `runner`. Each call ends: by itself, by an error, or by DeadlineError.

    `snapshots` holds the metrics of the last call, tick by tick.
    """

    runner: str
    snapshots: list[Snapshot] = field(default_factory=list)

    def __call__(
        self,
        build: Callable[[beam.Pipeline], Any],
        *,
        on_tick: Callable[[Snapshot], None] | None = None,
        deadline_s: float = 90.0,
        options: Sequence[str] = (),
        splits: bool = False,
    ) -> Snapshot:
        """`run_pipeline`; `on_tick` is called about five times a second, and may act on the stand-ins.

        `splits` lets the runner split bundles under way, which the product forbids Prism for the sake of state.
        """
        give_up_s = time.monotonic() + deadline_s
        self.snapshots = []

        def tick(snapshot: Snapshot) -> None:
            self.snapshots.append(snapshot)
            if time.monotonic() > give_up_s:
                message = f"still running after {deadline_s} s: {snapshot}"
                raise DeadlineError(message)
            if on_tick is not None:
                on_tick(snapshot)

        chosen = HydrantOptions.for_runner(self.runner, options)
        if splits:
            chosen.view_as(DebugOptions).experiments.remove("prism_disable_sdf_split")
        return run_pipeline(build, chosen, on_tick=tick)
