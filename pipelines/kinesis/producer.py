"""What to put next, and what of it is in: the sink without I/O, threads or Beam.

`Producer` is told the shards, the records, the answers and the time; it says what to send. Whoever sends, sender.py
or a test, may have several of its requests under way at once.
"""

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from pipelines.kinesis.lane import Entry, Lane
from pipelines.kinesis.outcome import MISPLACED, FailedRecord, Written
from pipelines.kinesis.put import MAX_ENTRIES, MAX_REQUEST_BYTES, Placed, Record, Refusal, refusal
from pipelines.kinesis.shard_map import ShardMap

RECORD_OVERHEAD_BYTES: Final = 500
"""What a waiting record takes in memory, about, besides its data and key."""
_WORTH_BYTES: Final = 512 * 1024
"""A request of so many bytes is not waited longer for."""
_BACKOFF_S: Final = 0.05
_MAX_BACKOFF_S: Final = 5.0
_MAX_DOUBLINGS: Final = 10
_LOOK_AGAIN_S: Final = 1.0
"""Shards are not listed more often for records that arrived well."""
_WRAPPING_BYTES: Final = 2048
"""More than an aggregate of one record has besides the record and its dedup_key."""


@dataclass(frozen=True, slots=True, eq=False)
class Request:
    """One PutRecords to make: at most 500 entries and 10 MiB (B2).

    Attributes:
        parts: for each shard meant, its entries.
        sent_s: when it was handed out.
    """

    parts: Sequence[tuple[Lane, Sequence[Entry]]]
    sent_s: float

    @property
    def entries(self) -> Iterator[Entry]:
        """In the order in which they are to be sent, which is that of the answer."""
        for _, entries in self.parts:
            yield from entries


class Producer:
    """Turns records into requests, and answers into records written and failed: each record into exactly one.

    **Shards.** Records wait in a lane a shard, and a shard has one request under way at most. A request is filled from
    as many lanes as it takes. A lane whose shard refuses backs off by itself: others go on.

    **Order.** When `ordered`, the records of a partition key get sequence numbers that grow in the order of `add` (B5):
    a request has at most one entry of a key (B2), and a key's next entry is sent when the one before is in or given
    up. Where a call's answer was lost, its records are put again and may be in the stream twice; the first copies of a
    key's records are in order then. A record given up is missing, those behind it are not.

    **Retries.** What was refused is sent again alone, after a pause with full jitter, of at most 0.1 s at first, up to
    5 s. It is given up at a refusal `retry_s` after it was first sent. When a shard has taken nothing at all for
    `retry_s`, everything that waits for it is given up.

    **Resharding.** An answer that names another shard than meant shows that the shards have changed: nothing is sent
    until `route` has been called with what ListShards says then. Records of an aggregate that landed in a shard they do
    not belong to are put again, since readers drop them there (B16).

    Args:
        ordered: whether the order per partition key counts.
        aggregation_max_bytes: the largest KPL aggregate, with its partition key (B16); None for no aggregation.
        retry_s: seconds of trying again.
        jitter: a pause for a limit in seconds.
    """

    def __init__(
        self,
        *,
        ordered: bool,
        aggregation_max_bytes: int | None,
        retry_s: float,
        jitter: Callable[[float], float] = lambda limit_s: random.uniform(0, limit_s),
    ) -> None:
        self._ordered = ordered
        self._aggregation_max_bytes = aggregation_max_bytes
        self._retry_s = retry_s
        self._jitter = jitter
        self._shards = ShardMap([])
        self._max_record_bytes = 0
        self._lanes: dict[str, Lane] = {}
        self._is_stale = True
        self._routed_s = 0.0
        self._astray: list[tuple[Entry, Placed]] = []
        self._under_way = 0
        self._written = Written()
        self._failed: list[FailedRecord] = []
        self.held_bytes = 0
        """Memory of all records that are neither written nor given up, about."""
        self._retries = 0

    @property
    def is_idle(self) -> bool:
        """Every record is written or given up."""
        return self.held_bytes == 0

    @property
    def needs_shards(self) -> bool:
        """Whether to call `route` before anything else happens: at first, and when the stream was resharded."""
        return self._is_stale and self._under_way == 0

    def route(self, shards: ShardMap, max_record_bytes: int, now_s: float) -> None:
        """Takes note of the stream's shards, and of the largest record that it takes; no request may be under way.

        What waits is distributed anew, and each partition key's records keep their order.
        """
        before = self._lanes
        self._shards, self._max_record_bytes = shards, max_record_bytes
        self._lanes = {shard_id: before.get(shard_id) or self._lane(shard_id) for shard_id in shards.open_shards}
        self._is_stale, self._routed_s = False, now_s
        waiting = list(self._misplaced(now_s))
        for lane in before.values():
            waiting += lane.drain()
        for entry in waiting:
            self._distribute(entry)

    def add(self, record: Record) -> None:
        """`record` is to be put; it is given up at once when AWS would refuse it. Shards must be known."""
        self.held_bytes += record.size + RECORD_OVERHEAD_BYTES
        refused = refusal(record, self._max_record_bytes)
        if refused is None and record.dedup_key is not None:
            about = record.size + len(record.dedup_key.encode()) + _WRAPPING_BYTES
            if about > self._max_record_bytes:
                refused = refusal(Entry.of((record,)).put, self._max_record_bytes)
        if refused is None:
            self._lanes[self._shards.shard_of(record)].add(record)
        else:
            self._give_up(record, refused, 0)

    def next_request(self, now_s: float, *, flush: bool) -> Request | None:
        """A request to make now; hand its answer to `answered`.

        Args:
            now_s: the time.
            flush: whether to send what there is; else only what is worth a request by itself.
        """
        if self._is_stale:
            return None
        lanes = [
            lane
            for lane in self._lanes.values()
            if not lane.in_flight and lane.ready_s <= now_s and (lane.waiting or (flush and not lane.is_empty))
        ]
        if not flush and not _worth_a_request(lanes):
            return None
        lanes.sort(key=lambda lane: lane.waiting, reverse=True)
        parts = []
        count, size = 0, 0
        for lane in lanes:
            entries = lane.take(MAX_ENTRIES - count, MAX_REQUEST_BYTES - size)
            if entries:
                lane.in_flight = True
                parts.append((lane, entries))
                count += len(entries)
                size += sum(entry.size for entry in entries)
            if count == MAX_ENTRIES:
                break
        if not parts:
            return None
        request = Request(parts, now_s)
        for entry in request.entries:
            if entry.attempts == 0:
                entry.first_s = now_s
            entry.attempts += 1
        self._under_way += 1
        return request

    def pause_s(self, now_s: float) -> float | None:
        """Seconds until `next_request` has something again; None when an answer has to come first, or a record."""
        if self._is_stale:
            return None
        ready = [lane.ready_s for lane in self._lanes.values() if not lane.in_flight and not lane.is_empty]
        return max(0.0, min(ready) - now_s) if ready else None

    def answered(self, request: Request, results: Sequence[Placed | Refusal], now_s: float) -> None:
        """What became of each entry of `request`, in its order; for a call that failed, a refusal of each."""
        self._under_way -= 1
        following = iter(_same_length(results, request))
        for lane, entries in request.parts:
            refused: list[tuple[Entry, Refusal]] = []
            for entry in entries:
                result = next(following)
                if isinstance(result, Refusal):
                    refused.append((entry, result))
                else:
                    self._land(entry, result, lane.shard_id, now_s)
            lane.in_flight = False
            if len(refused) < len(entries):
                lane.failing_since_s = None
            elif lane.failing_since_s is None:
                lane.failing_since_s = request.sent_s
            if refused:
                self._back_off(lane, refused, len(entries), now_s)
            else:
                lane.failures = 0
            if lane.is_empty:  # what is put next is not to blame for what was given up before
                lane.failing_since_s, lane.failures = None, 0

    def take_written(self) -> Written:
        """The records written since the last time."""
        written, self._written = self._written, Written()
        return written

    def take_failed(self) -> list[FailedRecord]:
        """The records given up since the last time."""
        failed, self._failed = self._failed, []
        return failed

    def take_retries(self) -> int:
        """Entries sent again since the last time."""
        retries, self._retries = self._retries, 0
        return retries

    def _lane(self, shard_id: str) -> Lane:
        most = self._aggregation_max_bytes
        if most is not None:
            most = min(most, self._max_record_bytes)
        return Lane(shard_id, ordered=self._ordered, aggregation_max_bytes=most)

    def _misplaced(self, now_s: float) -> Iterator[Entry]:
        """What is to be put again of the aggregates that landed in another shard than meant."""
        astray, self._astray = self._astray, []
        for entry, placed in astray:
            outside = []
            for place, record in enumerate(entry.records):
                if self._shards.holds(placed.shard_id, record):
                    self._write(record, placed, place)
                else:
                    outside.append(record)
            if not outside:
                continue
            again = Entry.of(outside, entry.attempts, entry.first_s)
            if now_s - entry.first_s >= self._retry_s:
                message = f"It was put into {placed.shard_id}, where it does not belong, and readers drop it there."
                self._give_up_entry(again, Refusal(MISPLACED, message))
            else:
                self._retries += 1
                yield again

    def _distribute(self, entry: Entry) -> None:
        """`entry` goes to the lane of its records, in parts when they now belong to several shards."""
        by_shard: dict[str, list[Record]] = {}
        for record in entry.records:
            by_shard.setdefault(self._shards.shard_of(record), []).append(record)
        if len(by_shard) == 1:
            self._lanes[next(iter(by_shard))].push(entry)
            return
        for shard_id, records in by_shard.items():
            self._lanes[shard_id].push(Entry.of(records, entry.attempts, entry.first_s))

    def _land(self, entry: Entry, placed: Placed, meant: str, now_s: float) -> None:
        alone = len(entry.records) == 1
        if placed.shard_id != meant and (not alone or now_s - self._routed_s >= _LOOK_AGAIN_S):
            self._is_stale = True
        if placed.shard_id != meant and not alone:
            self._astray.append((entry, placed))  # until the shard's range is known
            return
        for place, record in enumerate(entry.records):
            self._write(record, placed, place)

    def _back_off(self, lane: Lane, refused: Sequence[tuple[Entry, Refusal]], sent: int, now_s: float) -> None:
        lane.failures = lane.failures + 1 if 2 * len(refused) > sent else max(1, lane.failures - 1)
        limit_s = min(_MAX_BACKOFF_S, _BACKOFF_S * 2 ** min(lane.failures, _MAX_DOUBLINGS))
        lane.ready_s = now_s + self._jitter(limit_s)
        stalled = lane.failing_since_s is not None and now_s - lane.failing_since_s >= self._retry_s
        again = []
        for entry, why in refused:
            if stalled or now_s - entry.first_s >= self._retry_s:
                self._give_up_entry(entry, why)
            else:
                again.append(entry)
        self._retries += len(again)
        lane.put_back(again)
        if stalled:
            for entry in lane.drain():
                self._give_up_entry(entry, refused[-1][1])
            lane.failing_since_s, lane.failures, lane.ready_s = None, 0, now_s

    def _write(self, record: Record, placed: Placed, place: int) -> None:
        self._written.add(record, placed, place)
        self.held_bytes -= record.size + RECORD_OVERHEAD_BYTES

    def _give_up_entry(self, entry: Entry, why: Refusal) -> None:
        for record in entry.records:
            self._give_up(record, why, entry.attempts)

    def _give_up(self, record: Record, why: Refusal, attempts: int) -> None:
        self._failed.append(FailedRecord(record, why.code, why.message, attempts))
        self.held_bytes -= record.size + RECORD_OVERHEAD_BYTES


def _worth_a_request(lanes: Sequence[Lane]) -> bool:
    return sum(lane.waiting for lane in lanes) >= MAX_ENTRIES or sum(lane.bytes for lane in lanes) >= _WORTH_BYTES


def _same_length(results: Sequence[Placed | Refusal], request: Request) -> Sequence[Placed | Refusal]:
    sent = sum(len(entries) for _, entries in request.parts)
    if len(results) != sent:
        message = f"PutRecords answered {len(results)} results to {sent} entries"
        raise ValueError(message)
    return results
