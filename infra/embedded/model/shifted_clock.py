"""The clock of a stand-in, which a test can set: hours pass in a moment."""

import threading

from pipelines.runtime.clock import Clock


class ShiftedClock:
    """`clock` and what it was advanced by. Implements `pipelines.runtime.clock.Clock`. Thread-safe.

    Args:
        clock: what the time is without a shift.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._shift_ms = 0

    def advance(self, seconds: float) -> None:
        """Moves the clock ahead, or back where `seconds` is negative."""
        with self._lock:
            self._shift_ms += round(seconds * 1000)

    def now_ms(self) -> int:
        return self._clock.now_ms() + self._shift_ms

    def monotonic_s(self) -> float:
        return self._clock.monotonic_s()

    def sleep(self, seconds: float) -> None:
        self._clock.sleep(seconds)
