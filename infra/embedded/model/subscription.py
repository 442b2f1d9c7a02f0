"""What SubscribeToShard pushes, event by event (B14). Pure: whoever has the connection gives the time and asks."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import orjson

from infra.embedded.model.consumer import Consumer
from infra.embedded.model.errors import in_use, not_found
from infra.embedded.model.shard import NUMBER_STEP, Shard
from infra.embedded.model.stream import Stream

LIFE_MS: Final = 5 * 60 * 1000
"""How long a subscription lasts."""

HEARTBEAT_MS: Final = 5_000
"""The longest silence: then comes an event without records. AWS sends such events, and does not say how often."""

EVENT_BYTES: Final = 1 << 20
"""Records of one event, at most, or one larger record. AWS does not say."""

_EVENT_RECORDS: Final = 10_000


@dataclass(frozen=True, slots=True)
class Pause:
    """There is nothing to say until then, in milliseconds since the epoch, or until the subscription is woken."""

    until_ms: int


class Subscription:
    """One consumer's subscription to one shard, from `position` on.

    Args:
        stream: the stream.
        shard: one of its shards.
        consumer: one of its consumers.
        position: in the shard.
        now_ms: when it begins.
    """

    def __init__(self, stream: Stream, shard: Shard, consumer: Consumer, position: int, now_ms: int) -> None:
        self.began_ms = now_ms
        self.shard_id = shard.id
        self._stream = stream
        self._shard = shard
        self._consumer = consumer
        self._position = position
        self._spoke_ms: int | None = None
        self._is_over = False

    @contextmanager
    def watched(self, wake: Callable[[], None]) -> Iterator[None]:
        """Calls `wake` whenever there may be something to say before a Pause is over. It must be quick."""
        with self._stream.lock:
            self._shard.watchers.append(wake)
        try:
            yield
        finally:
            with self._stream.lock:
                self._shard.watchers.remove(wake)

    def next(self, now_ms: int) -> bytes | Pause | None:
        """What is to be sent now: the JSON of a SubscribeToShardEvent, nothing for a while, or nothing ever again.

        Raises:
            KinesisError: the exception that the subscription ends with. ResourceNotFoundException, when stream or
                consumer are gone; ResourceInUseException, when the consumer subscribed again.
        """
        with self._stream.lock:
            if self._is_over:
                return None
            self._is_over = True  # unless one of the ways out below says otherwise
            self._must_be_current()
            ends_ms = self.began_ms + LIFE_MS
            if now_ms >= ends_ms:
                return None
            self._shard.trim(self._stream.horizon_ms(now_ms))
            records, behind_them, size = self._shard.read(self._position, _EVENT_RECORDS, EVENT_BYTES)
            pause_ms = self._pause_ms(size, now_ms)
            if pause_ms > 0:
                self._is_over = False
                return Pause(min(now_ms + pause_ms, ends_ms))
            self._position, self._spoke_ms = behind_them, now_ms
            members = self._members(now_ms)
            self._is_over = "ChildShards" in members
            return b'{"Records":[%s],%s' % (b",".join(records), orjson.dumps(members)[1:])

    def _pause_ms(self, size: int, now_ms: int) -> int:
        """How long to wait until an event of `size` bytes of records may be sent."""
        if size:
            bucket = self._consumer.buckets.get(self.shard_id)
            return 0 if bucket is None or bucket.take(size, now_ms) else bucket.wait_ms(size)
        if self._spoke_ms is None or not self._shard.is_open:
            return 0
        return self._spoke_ms + HEARTBEAT_MS - now_ms

    def _must_be_current(self) -> None:
        if self._stream.is_deleted:
            raise not_found(f"Stream {self._stream.name} under account {self._stream.account} not found.")
        if not self._consumer.is_registered:
            raise not_found(f"Consumer {self._consumer.arn} not found.")
        if self._consumer.subscriptions.get(self.shard_id) is not self:
            raise in_use(f"Another subscription of {self._consumer.arn} to shard {self.shard_id} took over.")

    def _members(self, now_ms: int) -> dict[str, object]:
        """All of an event but its records."""
        waiting = self._shard.waiting_at(self._position)
        if waiting is None and not self._shard.is_open:
            # There is nothing to continue with: AWS leaves the number out.
            children = [child.describe_as_child() for child in self._stream.children(self._shard)]
            return {"MillisBehindLatest": 0, "ChildShards": children}
        if waiting is None:
            # A new number, so that it tells of progress where nothing is put.
            number, behind = self._stream.next_number(self._shard.index, now_ms)[0], 0
        else:
            # Between the records, so that AT_ and AFTER_SEQUENCE_NUMBER go on with the same record.
            number, behind = waiting.number - NUMBER_STEP, max(1, now_ms - waiting.arrival_ms)
        return {"ContinuationSequenceNumber": str(number), "MillisBehindLatest": behind}
