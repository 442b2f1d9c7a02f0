"""What a contestant of `hydrant bench source` was given, so that each can be held to have been given everything.

Only the standard library: contestants that run in environments of their own import it, too.
"""

import json
import sys
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

Text = bytes | memoryview


@dataclass
class ShardTally:
    """The records of one shard, in the order in which they came.

    Attributes:
        records: how many.
        data_bytes: sum of the lengths of their data.
        data: CRC-32 of all data, one behind the other.
        keys: the same of the partition keys.
        numbers: the same of the sequence numbers.
        arrival_ms: the latest arrival.
    """

    records: int = 0
    data_bytes: int = 0
    data: int = 0
    keys: int = 0
    numbers: int = 0
    arrival_ms: int = 0

    def add(self, count: int, data: Text, keys: Text, numbers: Text, arrival_ms: int) -> None:
        """Counts a page: its records' data, partition keys and sequence numbers, each one behind the other."""
        self.records += count
        self.data_bytes += len(data)
        self.data = zlib.crc32(data, self.data)
        self.keys = zlib.crc32(keys, self.keys)
        self.numbers = zlib.crc32(numbers, self.numbers)
        self.arrival_ms = max(self.arrival_ms, arrival_ms)

    def add_records(self, data: Sequence[bytes], keys: Iterable[str], numbers: Iterable[str], arrival_ms: int) -> None:
        """Counts a page given as lists."""
        self.add(len(data), b"".join(data), "".join(keys).encode(), "".join(numbers).encode(), arrival_ms)


@dataclass
class Account:
    """All that was read.

    Attributes:
        shards: by shard id; empty for a client that does not say where a record comes from.
        crc_sum: sum of the CRC-32 of each record's data, in whatever order they came; None when not taken.
        records: how many.
        data_bytes: sum of the lengths of their data.
    """

    shards: dict[str, ShardTally] = field(default_factory=dict)
    crc_sum: int | None = None
    records: int = 0
    data_bytes: int = 0

    @classmethod
    def of(cls, shards: Mapping[str, ShardTally]) -> "Account":
        """The account of `shards`."""
        records, size = sum(s.records for s in shards.values()), sum(s.data_bytes for s in shards.values())
        return cls(dict(shards), None, records, size)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, members: Mapping[str, Any]) -> "Account":
        """The inverse of `to_json`."""
        shards = {shard_id: ShardTally(**tally) for shard_id, tally in members["shards"].items()}
        return cls(shards, members["crc_sum"], members["records"], members["data_bytes"])

    def problem(self, expected: "Account") -> str:
        """In what this account differs from `expected`, which has everything; empty when in nothing."""
        if self.records != expected.records:
            return f"{self.records:,} of {expected.records:,} records were delivered"
        if self.data_bytes != expected.data_bytes:
            return f"{self.data_bytes:,} of {expected.data_bytes:,} bytes were delivered"
        if not self.shards and self.crc_sum != expected.crc_sum:
            return "the data differ"
        for shard_id, tally in self.shards.items():
            if tally != expected.shards[shard_id]:
                return f"{shard_id} differs: {tally}, expected {expected.shards[shard_id]}"
        return ""


def finish(account: Account, seconds: float, last_s: float, out: str, cpu_s: float | None = None) -> None:
    """The end of a contestant: tells `measure` that it is done, and the bench in the file `out` what it was given.

    Args:
        account: what it was given.
        seconds: wall time it took, a runner's start included.
        last_s: `monotonic_s`, a clock that all processes share, when the last record was delivered.
        out: path of the file.
        cpu_s: CPU seconds, where `measure` cannot see them.
    """
    told = {"account": account.to_json(), "last_s": last_s, "cpu_s": cpu_s}
    Path(out).write_text(json.dumps(told), encoding="utf-8")
    sys.stdout.write("done\n" + json.dumps({"records": account.records, "seconds": seconds}) + "\n")
    sys.stdout.flush()
