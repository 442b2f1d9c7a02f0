"""Buffering: the first of size and interval delivers (A2). Pure: values in, values out, the time is an argument.

The Beam side of it is `stages.BufferFn`, which keeps a `Fill` and the chunks in state and asks here what to do.
"""

from dataclasses import dataclass
from typing import Final

from pipelines.firehose.chunk import Chunk

MIB: Final = 1024 * 1024
ZERO_BUFFERING_MS: Final = 1_000
"""Interval 0 delivers "within a few seconds" (A2.5); an object per page would not be buffering at all."""

SIZE: Final = "size"
INTERVAL: Final = "interval"
END: Final = "end"


@dataclass(frozen=True, slots=True)
class Hints:
    """When a buffer is due.

    Attributes:
        size_bytes: raw bytes that make it due, before conversion and compression (A2.2). A hint: the record that
            crosses it still goes in.
        interval_ms: milliseconds after its first record that make it due.
    """

    size_bytes: int
    interval_ms: int

    @classmethod
    def of(cls, size_mib: float, interval_s: int) -> "Hints":
        """From AWS's units; interval 0 is zero buffering (A2.5)."""
        return cls(int(size_mib * MIB), interval_s * 1000 or ZERO_BUFFERING_MS)


@dataclass(frozen=True, slots=True)
class Fill:
    """What a buffer holds, without its chunks.

    Attributes:
        raw_bytes: sum of its chunks' raw bytes.
        records: sum of its chunks' records.
        since_ms: when its first chunk came, ms since the epoch; 0 when it is empty.
    """

    raw_bytes: int = 0
    records: int = 0
    since_ms: int = 0

    @property
    def is_empty(self) -> bool:
        return self.records == 0

    def add(self, chunk: Chunk, now_ms: int) -> "Fill":
        """The fill with one chunk more."""
        since_ms = now_ms if self.is_empty else self.since_ms
        return Fill(self.raw_bytes + chunk.raw_bytes, self.records + chunk.records, since_ms)

    def due_by_size(self, hints: Hints) -> bool:
        """Whether it holds as many bytes as the hint says (A2.2)."""
        return self.raw_bytes >= hints.size_bytes

    def due_at_ms(self, hints: Hints) -> int:
        """When the interval makes it due (A2.2)."""
        return self.since_ms + hints.interval_ms
