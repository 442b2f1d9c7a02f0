"""PyPI's `async-kinesis`, as `hydrant bench source` runs it: in an environment of its own.

`python -m pipelines.cli.benchmarks.source_async_kinesis ENDPOINT OUT`, as `source_readers`. Its consumer hands out the
data alone, not partition key, sequence number or arrival, so that less is asked of it than of the others. Its own
limit of one read a second and shard is lifted.
"""

import asyncio
import json
import sys
import zlib
from typing import Any

from kinesis import Consumer  # type: ignore[import-not-found]
from kinesis.aggregators import SimpleAggregator  # type: ignore[import-not-found]
from kinesis.processors import Processor  # type: ignore[import-not-found]

from pipelines.cli.benchmarks.replay_stream import STREAM
from pipelines.cli.benchmarks.source_account import Account, finish
from pipelines.runtime.clock import SystemClock


class DataProcessor(Processor, SimpleAggregator):
    """Leaves the data as they are."""

    def deserialize(self, data: bytes) -> bytes:
        return data


async def read(endpoint: str, records: int) -> Account:
    """Reads until `records` records were handed out, or none is for half a minute."""
    account = Account(crc_sum=0)
    consumer = Consumer(
        STREAM,
        endpoint_url=endpoint,
        region_name="us-east-1",
        processor=DataProcessor(),
        shard_fetch_rate=1_000,
        idle_timeout=30,
    )
    async with consumer:
        async for data in consumer:
            account.records += 1
            account.data_bytes += len(data)
            account.crc_sum += zlib.crc32(data)  # type: ignore[operator]
            if account.records == records:
                break
    return account


def main(endpoint: str, out: str) -> None:
    """Runs it."""
    clock = SystemClock()
    described: dict[str, Any] = json.loads(endpoint)
    started_s = clock.monotonic_s()
    account = asyncio.run(read(described["endpoint"], described["account"]["records"]))
    ended_s = clock.monotonic_s()
    finish(account, ended_s - started_s, ended_s, out)


if __name__ == "__main__":
    main(*sys.argv[1:])
