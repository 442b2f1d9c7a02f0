"""Splits and merges of the scenario's stream, one after the other, while records are put."""

import random
import threading
from dataclasses import dataclass
from typing import Any, Final

from pipelines.runtime.aws import aws_errors, client
from pipelines.runtime.clock import Clock, SystemClock
from pipelines.runtime.errors import EndpointDownError

SPLIT, MERGE = "split", "merge"
_ACTIVE_WITHIN_S: Final = 120.0


@dataclass(frozen=True)
class OpenShard:
    """A shard that takes records, and the hash keys it takes, both ends included."""

    shard_id: str
    first: int
    last: int


class Resharding(threading.Thread):
    """Makes the next step of a plan whenever `begin` says so.

    Args:
        stream: name of the Kinesis stream.
        plan: SPLIT or MERGE, in order.
        seed: which shards are taken, and where they are split.
        clock: for waiting until the stream is ACTIVE again.
    """

    def __init__(self, stream: str, plan: tuple[str, ...], seed: int, clock: Clock | None = None) -> None:
        super().__init__(name="resharding", daemon=True)
        self.error: Exception | None = None
        self._stream = stream
        self._plan = plan
        self._rng = random.Random(seed)
        self._clock = clock or SystemClock()
        self._begun = threading.Semaphore(0)
        self._done = threading.Semaphore(0)
        self._cancelled = False

    def begin(self) -> None:
        """The next step may be made."""
        self._begun.release()

    def wait(self) -> None:
        """Returns when one more step has been made.

        Raises:
            Exception: what a step failed with.
        """
        self._done.acquire()
        if self.error is not None:
            raise self.error

    def cancel(self) -> None:
        """No further step is made."""
        self._cancelled = True
        self._begun.release()
        self.join(_ACTIVE_WITHIN_S)

    def run(self) -> None:
        try:
            for step in self._plan:
                self._begun.acquire()
                if self._cancelled:
                    return
                self._make(step)
                self._done.release()
        except Exception as error:
            self.error = error
        finally:
            self._done.release(len(self._plan))

    def _make(self, step: str) -> None:
        kinesis = client("kinesis")
        shards = open_shards(kinesis, self._stream)
        with aws_errors(f"Kinesis stream {self._stream}"):
            if step == SPLIT:
                shard = splittable(shards, self._rng)
                at = shard.first + round((shard.last - shard.first) * self._rng.uniform(0.3, 0.7))
                kinesis.split_shard(StreamName=self._stream, ShardToSplit=shard.shard_id, NewStartingHashKey=str(at))
            else:
                left = self._rng.randrange(len(shards) - 1)
                kinesis.merge_shards(
                    StreamName=self._stream,
                    ShardToMerge=shards[left].shard_id,
                    AdjacentShardToMerge=shards[left + 1].shard_id,
                )
        self._wait_until_active(kinesis)

    def _wait_until_active(self, kinesis: Any) -> None:
        give_up_s = self._clock.monotonic_s() + _ACTIVE_WITHIN_S
        while self._clock.monotonic_s() < give_up_s:
            with aws_errors(f"Kinesis stream {self._stream}"):
                summary = kinesis.describe_stream_summary(StreamName=self._stream)["StreamDescriptionSummary"]
            if summary["StreamStatus"] == "ACTIVE":
                return
            self._clock.sleep(0.1)
        message = f"Kinesis stream {self._stream} is not ACTIVE {_ACTIVE_WITHIN_S:.0f} s after a split or merge."
        raise EndpointDownError(message, fix="look at the stream in the console, or start the stand-in again")


def splittable(shards: list[OpenShard], rng: random.Random) -> OpenShard:
    """One of the shards that take the most hash keys, to the tenth: so the first splits take the first shards."""
    widest = max(shard.last - shard.first for shard in shards)
    return rng.choice([shard for shard in shards if shard.last - shard.first > 0.9 * widest])


def open_shards(kinesis: Any, stream: str) -> list[OpenShard]:
    """The shards that take records now, by hash key."""
    return sorted((shard for shard, is_open in _shards(kinesis, stream) if is_open), key=lambda shard: shard.first)


def _shards(kinesis: Any, stream: str) -> list[tuple[OpenShard, bool]]:
    with aws_errors(f"Kinesis stream {stream}"):
        pages = kinesis.get_paginator("list_shards").paginate(StreamName=stream)
        listed = [shard for page in pages for shard in page["Shards"]]
    return [
        (
            OpenShard(
                shard["ShardId"],
                int(shard["HashKeyRange"]["StartingHashKey"]),
                int(shard["HashKeyRange"]["EndingHashKey"]),
            ),
            "EndingSequenceNumber" not in shard["SequenceNumberRange"],
        )
        for shard in listed
    ]


def parents(kinesis: Any, stream: str) -> dict[str, tuple[str, ...]]:
    """Every shard of the stream with the shards that it was made of (B12)."""
    with aws_errors(f"Kinesis stream {stream}"):
        pages = kinesis.get_paginator("list_shards").paginate(StreamName=stream)
        return {
            shard["ShardId"]: tuple(
                shard[name] for name in ("ParentShardId", "AdjacentParentShardId") if shard.get(name)
            )
            for page in pages
            for shard in page["Shards"]
        }
