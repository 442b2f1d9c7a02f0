"""The record processor of `source_kclpy`: the MultiLangDaemon starts one for each shard, a process each.

`python -m pipelines.cli.benchmarks.source_kclpy_processor FOLDER ACCOUNT`: when it has all records of its shard that
the file ACCOUNT names, it writes its tally into FOLDER.
"""

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from amazon_kclpy import kcl  # type: ignore[import-not-found]
from amazon_kclpy.v3.processor import RecordProcessorBase  # type: ignore[import-not-found]

from pipelines.cli.benchmarks.source_account import Account, ShardTally
from pipelines.runtime.clock import SystemClock


class TallyProcessor(RecordProcessorBase):
    """Counts the records of a shard.

    Args:
        folder: where the tally goes.
        expected: what there is to be counted.
    """

    def __init__(self, folder: Path, expected: Account) -> None:
        self._folder = folder
        self._expected = expected
        self._shard_id = ""
        self._tally = ShardTally()

    def initialize(self, initialize_input: Any) -> None:
        self._shard_id = initialize_input.shard_id

    def process_records(self, process_records_input: Any) -> None:
        records = process_records_input.records
        if not records:
            return
        latest = max(record.approximate_arrival_timestamp for record in records)
        self._tally.add_records(
            [record.binary_data for record in records],
            [record.partition_key for record in records],
            [record.sequence_number for record in records],
            round(latest.timestamp() * 1000),
        )
        if self._tally.records == self._expected.shards[self._shard_id].records:
            told = {
                "tally": vars(self._tally),
                "last_s": SystemClock().monotonic_s(),
                "cpu_s": time.process_time(),
            }
            partial = self._folder / f".{self._shard_id}"
            partial.write_text(json.dumps(told), encoding="utf-8")
            os.replace(partial, self._folder / f"{self._shard_id}.json")

    def lease_lost(self, lease_lost_input: Any) -> None:
        pass

    def shard_ended(self, shard_ended_input: Any) -> None:
        shard_ended_input.checkpointer.checkpoint()

    def shutdown_requested(self, shutdown_requested_input: Any) -> None:
        shutdown_requested_input.checkpointer.checkpoint()


def main(folder: str, account: str) -> None:
    """Speaks the MultiLangDaemon's protocol on standard input and output."""
    expected = Account.from_json(json.loads(Path(account).read_text(encoding="utf-8")))
    kcl.KCLProcess(TallyProcessor(Path(folder), expected)).run()


if __name__ == "__main__":
    main(*sys.argv[1:])
