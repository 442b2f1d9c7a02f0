"""When a hotspot is new: each is told of once, with the first record that lies in it. Pure.

HOTSPOTS tells of a hotspot again with every record that lies in it (C13), each time with another box, as records come
and go. Who is to be called once needs to know which of them are the same.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import orjson
import pyarrow as pa

from pipelines.analytics.hotspots import HOTSPOTS_RESULT, Hotspots, HotspotScorer
from pipelines.analytics.parts import join, split

NEW_HOTSPOT: Final = "NEW_HOTSPOT"
"""Whether the record is the first in a hotspot."""

_FIELD: Final = pa.field(NEW_HOTSPOT, pa.bool_(), nullable=False)

Bounds = tuple[Sequence[float], Sequence[float]]
"""The least and the largest value of each column."""


class Appearances:
    """Which hotspots of one series are known, record by record.

    One is new when its box has no point in common with any box that one of the records before lay in, of the last
    `window_size` with this one. So one that grows, wanders, merges with others or splits up stays known; one that no
    such record lay in is forgotten: what HOTSPOTS finds afterwards, it finds in other records.

    It holds the boxes of those records, but none that lies within a later one: what touches it touches that as well.

    Args:
        window_size: that of HOTSPOTS.
    """

    def __init__(self, window_size: int) -> None:
        self._window_size = window_size
        self._records = 0
        self._boxes: npt.NDArray[np.float64] = np.empty((0, 2, 0))
        self._last: npt.NDArray[np.int64] = np.empty(0, np.int64)  # which record lay in each, by its number

    def begins(self, around: Sequence[Bounds]) -> bool:
        """Whether one of the hotspots that the next record lies in is new; all of them are known afterwards."""
        self._records += 1
        is_recent = self._records - self._last < self._window_size
        boxes, last = self._boxes[is_recent], self._last[is_recent]
        is_new = False
        if around:
            found = np.array(around, np.float64)
            boxes = boxes if len(boxes) else np.empty((0, *found.shape[1:]))
            least, most = found[:, None, 0], found[:, None, 1]
            is_touched = np.all((boxes[:, 0] <= most) & (least <= boxes[:, 1]), axis=2)
            is_new = not np.any(is_touched, axis=1).all()
            is_inside = np.all((least <= boxes[:, 0]) & (boxes[:, 1] <= most), axis=2)
            is_kept = ~np.any(is_inside, axis=0)
            boxes = np.concatenate([boxes[is_kept], found])
            last = np.concatenate([last[is_kept], np.full(len(found), self._records)])
        self._boxes, self._last = boxes, last
        return is_new

    def pack(self) -> bytes:
        """All of it; `unpack` is the inverse."""
        known = [[*box, last] for box, last in zip(self._boxes.tolist(), self._last.tolist(), strict=True)]
        return orjson.dumps([self._records, known])

    @classmethod
    def unpack(cls, packed: bytes, window_size: int) -> "Appearances":
        appearances = cls(window_size)
        appearances._records, known = orjson.loads(packed)
        if known:
            appearances._boxes = np.array([[least, most] for least, most, _ in known], np.float64)
            appearances._last = np.array([last for *_, last in known], np.int64)
        return appearances


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
        known, scorer = split(snapshot, 2)
        appearances = Appearances.unpack(known, self.hotspots.options.window_size)
        return NewHotspotScorer(self.hotspots.restore(series, scorer), appearances)


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
        return join(self._appearances.pack(), self._scorer.snapshot())


def _around(text: str) -> list[Bounds]:
    found: list[dict[str, Any]] = orjson.loads(text)["hotspots"]
    return [(spot["minValues"], spot["maxValues"]) for spot in found]
