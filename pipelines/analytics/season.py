"""What was to be expected of a series at a time of day or of the week, from its own past alone. Pure."""

import math
import struct
from typing import Final

SLOT_MS: Final = 1_800_000
"""Half an hour: times within it are one time of day."""
_DAY: Final = 48
_WEEK: Final = 336
_SLOT_RATE: Final = 0.2
"""How much of a slot's newest value goes into what is expected of it; 0.1 to 0.5 differ by 1 point on NAB."""
_LEVEL_RATE: Final = 0.01
_FADE: Final = 0.002
"""How much of the newest error goes into the judgement of a forecast: about the last 500 values count."""
_NUMBERS: Final = 4 + _DAY + _WEEK
_PACKED: Final = struct.Struct(f"<{_NUMBERS}d")


class Season:
    """Three forecasts of one series, of which the one that was nearest lately is taken.

    They are the level (a fading mean), the time of day, and the time of the week, each slot of half an hour with a
    fading mean of its own. A series without a rhythm is measured against its level, one with a rhythm against that.
    Times are UTC; a rhythm by local time shifts by a slot or two when clocks change and is learnt anew.
    """

    def __init__(self) -> None:
        self._level = math.nan
        self._errors = [0.0, 0.0, 0.0]
        self._slots = [math.nan] * (_DAY + _WEEK)

    def expected(self, event_ms: int) -> float | None:
        """What is expected at a time, in the series' unit; None of a series that has had no value."""
        if math.isnan(self._level):
            return None
        best = min(range(3), key=self._errors.__getitem__)
        return self._forecasts(event_ms)[best]

    def learn(self, event_ms: int, value: float) -> None:
        """`value` was there at `event_ms`."""
        if math.isnan(self._level):
            self._level = value
        for which, forecast in enumerate(self._forecasts(event_ms)):
            self._errors[which] += _FADE * (abs(value - forecast) - self._errors[which])
        self._level += _LEVEL_RATE * (value - self._level)
        for slot in _places(event_ms):
            held = self._slots[slot]
            self._slots[slot] = value if math.isnan(held) else held + _SLOT_RATE * (value - held)

    def _forecasts(self, event_ms: int) -> tuple[float, float, float]:
        day, week = (self._slots[slot] for slot in _places(event_ms))
        day = self._level if math.isnan(day) else day
        return self._level, day, day if math.isnan(week) else week

    def pack(self) -> bytes:
        """All of it, 3 kB; `unpack` is the inverse."""
        return _PACKED.pack(self._level, *self._errors, *self._slots)

    @classmethod
    def unpack(cls, packed: bytes) -> "Season":
        season = cls()
        season._level, *numbers = _PACKED.unpack(packed)
        season._errors, season._slots = numbers[:3], numbers[3:]
        return season


def _places(event_ms: int) -> tuple[int, int]:
    slot = event_ms // SLOT_MS
    return slot % _DAY, _DAY + slot % _WEEK
