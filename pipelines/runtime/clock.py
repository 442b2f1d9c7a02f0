"""Time, injected: no module reads the clock on its own."""

import threading
import time
from dataclasses import dataclass, field
from typing import Protocol


class Clock(Protocol):
    """Where code that needs the time gets it from."""

    def now_ms(self) -> int:
        """Wall-clock time in milliseconds since the Unix epoch, UTC."""

    def monotonic_s(self) -> float:
        """Seconds that never go backwards, from an arbitrary start."""

    def sleep(self, seconds: float) -> None:
        """Returns after `seconds`."""


@dataclass(frozen=True)
class SystemClock:
    """The machine's clock. Frozen and stateless, so that a DoFn that holds it can be pickled."""

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000

    def monotonic_s(self) -> float:
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


@dataclass
class ManualClock:
    """A clock that stands still until it is told to move; `sleep` moves it. Thread-safe.

    Args:
        ms: the first answer of `now_ms`.
    """

    ms: int = 1_700_000_000_000
    slept_s: list[float] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def now_ms(self) -> int:
        return self.ms

    def monotonic_s(self) -> float:
        return self.ms / 1000

    def sleep(self, seconds: float) -> None:
        with self._lock:
            self.slept_s.append(seconds)
            # Never by nothing: who waits for what is left of a millisecond would wait for ever.
            self.ms += max(round(seconds * 1000), 1 if seconds > 0 else 0)

    def advance(self, seconds: float) -> None:
        with self._lock:
            self.ms += round(seconds * 1000)
