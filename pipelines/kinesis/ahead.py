"""How much is fetched ahead of whoever takes it, over all shards of a stream that a process reads."""

import threading
from typing import Final, Protocol
from weakref import WeakSet

AHEAD_BYTES: Final = 256 * 1024 * 1024
"""Answers that nobody has taken yet may hold so much; the one that a reader cannot go on without comes on top."""
ANSWER_BYTES: Final = 10 * 1024 * 1024
"""The largest answer (B8): what one under way is counted as."""


class Holder(Protocol):
    """Reads a shard."""

    @property
    def held_bytes(self) -> int:
        """What was fetched, or is under way, and not taken yet."""


class Ahead:
    """What the readers of one stream's shards hold. Thread-safe.

    Args:
        limit_bytes: that they may hold together.
    """

    def __init__(self, limit_bytes: int = AHEAD_BYTES) -> None:
        self.is_waited_for = False
        """A shard that holds nothing waits for room: no other may be read ahead of it."""
        self._limit_bytes = limit_bytes
        self._holders: WeakSet[Holder] = WeakSet()
        self._lock = threading.Lock()

    def join(self, holder: Holder) -> None:
        """One more shard is read, for as long as its `holder` lives."""
        with self._lock:
            self._holders.add(holder)

    @property
    def has_room(self) -> bool:
        """One more answer, be it as large as any, would not be too much."""
        with self._lock:
            holders = list(self._holders)
        if (2 * len(holders) + 1) * ANSWER_BYTES <= self._limit_bytes:
            return True  # each holds two at most: one that is offered, and the next
        return sum(holder.held_bytes for holder in holders) + ANSWER_BYTES <= self._limit_bytes
