"""How long shards in which nothing happens are left alone, so that all of them together cost a reader little."""

import math
import threading
from typing import Final
from weakref import WeakSet

POLL_S: Final = 0.2
"""Pause after an answer that reached the shard's tip: five reads a second are a shard's limit (B8)."""
IDLE_POLL_S: Final = (1.0, 4.0)
"""The longest pause of an idle shard: where there are few, as other readers need some of the five; where many."""
IDLE_POLLS_PER_S: Final = 16
"""Of all idle shards of a process; a call costs it one to two milliseconds of a core."""
_GROWTH: Final = 1.25
"""So a pause is a fifth of the time in which nothing has happened."""


class IdlePolls:
    """The pauses of the shards that are read with one client. Thread-safe."""

    def __init__(self) -> None:
        self._readers: WeakSet[object] = WeakSet()
        self._lock = threading.Lock()

    def join(self, reader: object) -> None:
        """One more shard is read, for as long as its `reader` lives."""
        with self._lock:
            self._readers.add(reader)

    @property
    def longest_s(self) -> float:
        """The longest pause of a shard, now."""
        shortest_s, longest_s = IDLE_POLL_S
        with self._lock:
            return min(longest_s, max(shortest_s, len(self._readers) / IDLE_POLLS_PER_S))

    def after(self, pause_s: float) -> float:
        """The pause of a shard that has nothing new after one of `pause_s`, both in seconds."""
        return min(self.longest_s, max(POLL_S, pause_s * _GROWTH))

    def end_s(self, now_s: float, pause_s: float) -> float:
        """When a pause is over that begins at `now_s`; the longest ones end together, and wake a reader once."""
        longest_s = self.longest_s
        if pause_s < longest_s:
            return now_s + pause_s
        return math.ceil((now_s + POLL_S) / longest_s) * longest_s
