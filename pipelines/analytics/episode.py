"""An episode is told once: a score that is above every score of the series' last tenth. Pure."""

import struct
from collections import deque
from typing import Final

SHARE: Final = 0.1
"""How far back a score is compared, as a share of the series so far: the longer a series is known, the rarer it alarms.
On the shared half of NAB 0.05 gives 69, 0.1 73, 0.15 72, 0.3 70; a fixed 200 or 400 scores 65 and 69."""
LEAST: Final = 100
MOST: Final = 2_000
"""The least and the most scores that are looked back on; the most bounds the state."""
_HEAD: Final = struct.Struct("<qI")


class Episodes:
    """Holds the highest scores of the recent past of one series."""

    def __init__(self) -> None:
        self._seen = 0
        self._highest: deque[tuple[int, float]] = deque()  # falling scores: the first is the highest that counts

    @property
    def bar(self) -> float | None:
        """The highest of the scores that are looked back on; None before there was one."""
        reach = self._seen - min(MOST, max(LEAST, int(self._seen * SHARE)))
        while self._highest and self._highest[0][0] < reach:
            self._highest.popleft()
        return self._highest[0][1] if self._highest else None

    def begins(self, score: float) -> bool:
        """Whether `score` is above every one that is looked back on; it belongs to the past afterwards.

        The first score of all begins nothing.
        """
        bar, highest = self.bar, self._highest
        above = bar is not None and score > bar
        while highest and highest[-1][1] <= score:
            highest.pop()
        highest.append((self._seen, score))
        self._seen += 1
        return above

    def pack(self) -> bytes:
        """All of it; `unpack` is the inverse."""
        held = [number for pair in self._highest for number in pair]
        return _HEAD.pack(self._seen, len(self._highest)) + struct.pack("<" + "qd" * len(self._highest), *held)

    @classmethod
    def unpack(cls, packed: bytes) -> "Episodes":
        episodes = cls()
        episodes._seen, count = _HEAD.unpack_from(packed)
        numbers = struct.unpack_from("<" + "qd" * count, packed, _HEAD.size)
        episodes._highest.extend(zip(numbers[::2], numbers[1::2], strict=True))
        return episodes
