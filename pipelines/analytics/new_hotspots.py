"""When a hotspot is new: each is told of once, with the first record that lies in it. Pure.

HOTSPOTS tells of a hotspot again with every record that lies in it (C13), each time with another box, as records come
and go. Who is to be called once needs to know which of them are the same.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson
import pyarrow as pa

from pipelines.analytics.hotspots import HOTSPOTS_RESULT, Hotspots, HotspotScorer

NEW_HOTSPOT: Final = "NEW_HOTSPOT"
"""Whether the record is the first in a hotspot."""

_FIELD: Final = pa.field(NEW_HOTSPOT, pa.bool_(), nullable=False)
_LENGTH: Final = struct.Struct("<I")

Bounds = tuple[Sequence[float], Sequence[float]]
"""The least and the largest value of each column."""


@dataclass(slots=True)
class _Known:
    """A hotspot that records lay in, and which record was the last, by its number."""

    bounds: Bounds
    last: int


class Appearances:
    """Which hotspots of one series are known, record by record.

    Two hotspots are the same when their boxes have a point in common. One is forgotten when no record of the last
    `window_size` lay in it: what HOTSPOTS finds afterwards, it finds in other records.

    Args:
        window_size: that of HOTSPOTS.
    """

    def __init__(self, window_size: int) -> None:
        self._window_size = window_size
        self._records = 0
        self._known: list[_Known] = []

    def begins(self, around: Sequence[Bounds]) -> bool:
        """Whether one of the hotspots that the next record lies in is new; all of them are known afterwards."""
        self._records += 1
        self._known = [known for known in self._known if self._records - known.last < self._window_size]
        is_new = False
        for bounds in around:
            others = [known for known in self._known if not _touch(known.bounds, bounds)]
            is_new = is_new or len(others) == len(self._known)
            self._known = [*others, _Known(bounds, self._records)]
        return is_new

    def pack(self) -> bytes:
        """All of it; `unpack` is the inverse."""
        return orjson.dumps([self._records, [[*known.bounds, known.last] for known in self._known]])

    @classmethod
    def unpack(cls, packed: bytes, window_size: int) -> "Appearances":
        appearances = cls(window_size)
        appearances._records, known = orjson.loads(packed)
        appearances._known = [_Known((least, most), last) for least, most, last in known]
        return appearances


def _touch(one: Bounds, other: Bounds) -> bool:
    return all(
        least <= other_most and other_least <= most
        for least, most, other_least, other_most in zip(*one, *other, strict=True)
    )


@dataclass(frozen=True)
class NewHotspots:
    """Results -> the same with the columns HOTSPOTS_RESULT and NEW_HOTSPOT. Implements `state.Scoring`.

    Args:
        hotspots: finds them.
    """

    hotspots: Hotspots

    def schema(self, results: pa.Schema) -> pa.Schema:
        return self.hotspots.schema(results).append(_FIELD)

    def start(self, series: str) -> "NewHotspotScorer":
        return NewHotspotScorer(self.hotspots.start(series), Appearances(self.hotspots.options.window_size))

    def restore(self, series: str, snapshot: bytes) -> "NewHotspotScorer":
        (size,) = _LENGTH.unpack_from(snapshot)
        end = _LENGTH.size + size
        known = Appearances.unpack(snapshot[_LENGTH.size : end], self.hotspots.options.window_size)
        return NewHotspotScorer(self.hotspots.restore(series, snapshot[end:]), known)


class NewHotspotScorer:
    """One series. Implements `state.Scorer`."""

    def __init__(self, scorer: HotspotScorer, appearances: Appearances) -> None:
        self._scorer = scorer
        self._appearances = appearances

    def score(self, results: pa.RecordBatch) -> pa.RecordBatch:
        scored = self._scorer.score(results)
        texts = scored.column(HOTSPOTS_RESULT).to_pylist()
        told = pa.array([self._appearances.begins(_around(text)) for text in texts], pa.bool_())
        return scored.append_column(_FIELD, told)

    def snapshot(self) -> bytes:
        known = self._appearances.pack()
        return _LENGTH.pack(len(known)) + known + self._scorer.snapshot()


def _around(text: str) -> list[Bounds]:
    found: list[dict[str, Any]] = orjson.loads(text)["hotspots"]
    return [(spot["minValues"], spot["maxValues"]) for spot in found]
