"""The contestants of `hydrant bench source` that run in this environment.

`python -m pipelines.cli.benchmarks.source_readers CONTESTANT ENDPOINT OUT` reads the whole stream once and writes what
it was given, and when it had the last of it, to the file OUT; ENDPOINT is what the endpoint said of itself, as JSON.
"""

import json
import sys
from typing import Any, Final

from pipelines.cli.benchmarks.replay_stream import STREAM
from pipelines.cli.benchmarks.source_account import Account, ShardTally, finish
from pipelines.runtime.aws import client
from pipelines.runtime.clock import SystemClock

PAGE: Final = 10_000


def ours(ends: dict[str, str]) -> tuple[Account, float]:
    """`ReadFromKinesis` on Prism, one worker process."""
    from pipelines.cli.benchmarks.source_beam import read_all

    return read_all(STREAM, ends)


def boto3_loop(ends: dict[str, str]) -> tuple[Account, float]:
    """`get_records` as it comes: one thread, the shards in turns, nothing else."""
    kinesis = client("kinesis")
    tallies = {shard_id: ShardTally() for shard_id in ends}
    iterators: dict[str, str] = {}
    for shard_id in ends:
        answer = kinesis.get_shard_iterator(StreamName=STREAM, ShardId=shard_id, ShardIteratorType="TRIM_HORIZON")
        iterators[shard_id] = answer["ShardIterator"]
    while iterators:
        for shard_id, iterator in list(iterators.items()):
            answer = kinesis.get_records(ShardIterator=iterator, Limit=PAGE)
            if answer["Records"]:
                _add(tallies[shard_id], answer["Records"])
            iterators[shard_id] = answer["NextShardIterator"]
            if answer["MillisBehindLatest"] == 0:
                del iterators[shard_id]
    return Account.of(tallies), SystemClock().monotonic_s()


def _add(tally: ShardTally, records: list[dict[str, Any]]) -> None:
    latest = max(record["ApproximateArrivalTimestamp"] for record in records)
    tally.add_records(
        [record["Data"] for record in records],
        [record["PartitionKey"] for record in records],
        [record["SequenceNumber"] for record in records],
        round(latest.timestamp() * 1000),
    )


CONTESTANTS: Final = {"ours": ours, "boto3_loop": boto3_loop}


def main(contestant: str, endpoint: str, out: str) -> None:
    """Runs one contestant."""
    if contestant == "ours":  # what it imports, before its clock starts; `measure` tells the time with imports, too
        import pipelines.cli.benchmarks.source_beam  # noqa: F401
    clock = SystemClock()
    ends = json.loads(endpoint)["ends"]
    started_s = clock.monotonic_s()
    account, last_s = CONTESTANTS[contestant](ends)
    finish(account, clock.monotonic_s() - started_s, last_s, out)


if __name__ == "__main__":
    main(*sys.argv[1:])
