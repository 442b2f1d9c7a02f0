"""What is written down of a series since its snapshot: what it released, step by step. Pure; `stages` keeps it.

A snapshot is most of a megabyte, so it is written rarely; in between, each step adds an entry with the rows that it
released, and whoever restores the series does with them what was done. Rows that come one by one would take ten times
their bytes for the names and types of their columns, so an entry is compressed with those known beforehand: the first
one brings them along.
"""

import struct
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import pyarrow as pa

from pipelines.kinesis.page import decode_batch, encode_batch

LONGEST_ROWS: Final = 1_024
"""Of so many rows, a snapshot takes the place of a journal: scoring them again takes about 0.2 s."""
LONGEST_BYTES: Final = 32 * 1024
"""A journal has no more, a few hundredths of a forest's snapshot."""

_ENTRY: Final = struct.Struct(">QqII")  # number, mark, bytes of digests, bytes of the sample
_RAW: Final = -15
"""Deflate without a head: what reads it knows what it is."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One step of a series.

    Attributes:
        mark_ms: up to where it released; of rows that came too late, where the series was.
        rows: what it released, if anything.
        late: digests of rows that came too late; such a step releases nothing.
    """

    mark_ms: int
    rows: pa.RecordBatch | None = None
    late: bytes = b""

    @property
    def cost(self) -> int:
        """Rows that are scored again when the entry is read; one without rows counts as one."""
        return self.rows.num_rows if self.rows is not None else 1


class Journal:
    """The entries since a snapshot, counted; the entries themselves are with whoever keeps them, in any order."""

    def __init__(self) -> None:
        self._entries = 0
        self._rows = 0
        self._bytes = 0
        self._sample = b""

    @property
    def is_empty(self) -> bool:
        """Whether there are no entries."""
        return not self._entries

    def add(self, entry: Entry) -> bytes | None:
        """The entry as it is to be kept; None when the journal gets too long with it, and a snapshot is due instead."""
        if self._rows + entry.cost >= LONGEST_ROWS:
            return None
        body, sample = b"", b""
        if entry.rows is not None:
            if not self._sample:
                self._sample = sample = encode_batch(entry.rows.slice(0, 1))
            deflate = zlib.compressobj(1, zlib.DEFLATED, _RAW, zdict=self._sample)
            body = deflate.compress(encode_batch(entry.rows)) + deflate.flush()
        head = _ENTRY.pack(self._entries, entry.mark_ms, len(entry.late), len(sample))
        packed = b"".join((head, entry.late, sample, body))
        self._count(entry, packed)
        return packed if self._bytes <= LONGEST_BYTES else None

    @classmethod
    def read(cls, packed: Iterable[bytes]) -> tuple["Journal", list[Entry]]:
        """The journal whose entries these are, and the entries in the order in which they were added."""
        journal = cls()
        entries = []
        for one in sorted(packed):  # by number
            _, mark_ms, late_bytes, sample_bytes = _ENTRY.unpack_from(one)
            late, sample, body = _parted(one[_ENTRY.size :], late_bytes, sample_bytes)
            journal._sample = sample or journal._sample
            rows = None
            if body:
                rows = decode_batch(zlib.decompressobj(_RAW, zdict=journal._sample).decompress(body))
            entries.append(Entry(mark_ms, rows, late))
            journal._count(entries[-1], one)
        return journal, entries

    def _count(self, entry: Entry, packed: bytes) -> None:
        self._entries += 1
        self._rows += entry.cost
        self._bytes += len(packed)


def _parted(packed: bytes, first: int, second: int) -> tuple[bytes, bytes, bytes]:
    return packed[:first], packed[first : first + second], packed[first + second :]
