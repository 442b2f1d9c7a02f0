"""A page's records as one text of lines for the JSON reader, and the records that cannot be lines of it.

The reader gives rows, not records, so which row belongs to which record must be certain. Every line starts with `{` and
ends with `}`. In a text that parses, the line break between `}` and `{` cannot be in a string (JSON forbids it there)
nor in an object or array (a comma would be missing): it separates documents. So a line holds at least one document,
and when there are as many rows as lines, each line is exactly one row.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

Flags = npt.NDArray[np.bool_]
Octets = npt.NDArray[np.uint8]
Positions = npt.NDArray[np.int64]

_BREAK: Final = 0x0A
_RETURN: Final = 0x0D
_OPEN: Final = ord("{")
_CLOSE: Final = ord("}")


@dataclass(frozen=True)
class Lines:
    """Lines that may be read together.

    Attributes:
        text: the lines, with line breaks between them; blank lines may lie in between.
        starts: where each line starts in `text`, and the length of `text`: one more than there are lines.
        owners: which record of the page each line belongs to, ascending.
        apart: which records of the page are not in `text`, because a line of theirs is no `{...}` or is not UTF-8.
    """

    text: pa.Buffer
    starts: Positions
    owners: Positions
    apart: Flags

    def span(self, low: int, high: int) -> tuple[pa.Buffer, Positions]:
        """Text and starts of the lines from `low` up to `high`; nothing is copied."""
        begin, end = self.starts[low], self.starts[high]
        return self.text.slice(begin, end - begin), self.starts[low : high + 1] - begin


def lines_of(data: pa.Array) -> Lines:
    """The lines of a page's `data` (binary, no nulls, at least one record)."""
    apart = _not_utf8(data)
    records = np.arange(len(data))
    while True:
        records = records[~apart[records]]
        kept = data if len(records) == len(data) else data.take(pa.array(records))
        text, starts, owners, is_object = _split(kept)
        if is_object.all():
            return Lines(text, starts, records[owners], apart)
        apart[records[owners[~is_object]]] = True


def _split(data: pa.Array) -> tuple[pa.Buffer, Positions, Positions, Flags]:
    """Joins the records and finds the lines: text, starts, owners, whether a line is `{...}`."""
    size = len(data)
    if size == 0:
        return pa.py_buffer(b""), np.zeros(1, np.int64), np.zeros(0, np.int64), np.zeros(0, np.bool_)
    joined = pc.binary_join(pa.ListArray.from_arrays(pa.array([0, size], pa.int32()), data), b"\n")
    text = joined[0].as_buffer()
    if text.size == 0:  # one empty record
        return text, np.zeros(2, np.int64), np.zeros(1, np.int64), np.zeros(1, np.bool_)
    octets = np.frombuffer(text, np.uint8)
    offsets = np.frombuffer(data.buffers()[1], np.int32, size + 1, data.offset * 4).astype(np.int64)
    starts = offsets - offsets[0] + np.arange(size + 1)  # each record and the line break after it
    ends, starts, owners = starts[1:] - 1, starts[:-1], np.arange(size)
    is_break = octets == _BREAK
    if np.count_nonzero(is_break) >= size:  # records hold line breaks themselves
        breaks = np.append(np.flatnonzero(is_break), len(octets))
        owners = np.searchsorted(ends, breaks)
        starts, ends = np.append(0, breaks[:-1] + 1), breaks
    ends = _without_return(octets, starts, ends)
    filled = ends > starts
    if not filled.all():
        # A blank line is none: many producers end a record with a line break. A blank record stays, to be refused.
        blank_record = np.ones(size, np.bool_)
        blank_record[owners[filled]] = False
        filled |= blank_record[owners]
        starts, ends, owners = starts[filled], ends[filled], owners[filled]
    first, last = np.minimum(starts, len(octets) - 1), np.maximum(ends - 1, 0)
    is_object = (ends > starts) & (octets[first] == _OPEN) & (octets[last] == _CLOSE)
    return text, np.append(starts, len(octets)), owners, is_object


def _without_return(octets: Octets, starts: Positions, ends: Positions) -> Positions:
    returns = octets[np.maximum(ends - 1, 0)] == _RETURN
    return ends - (returns & (ends > starts)) if returns.any() else ends


def _not_utf8(data: pa.Array) -> Flags:
    flags = np.zeros(len(data), np.bool_)
    try:
        data.cast(pa.string())  # checks all of them in one call
    except pa.ArrowInvalid:
        flags[:] = [not _is_utf8(record) for record in data.to_pylist()]
    return flags


def _is_utf8(record: bytes) -> bool:
    try:
        record.decode()
    except UnicodeDecodeError:
        return False
    return True
