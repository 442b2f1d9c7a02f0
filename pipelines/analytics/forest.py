"""RANDOM_CUT_FOREST (C11) on AWS's own Rust core, `krcf`. Pure: one vector in, one score out, the state as bytes.

What a series' forest holds travels as one snapshot: a few numbers in front, then the forest in MessagePack without
what follows from the rest (`boxes`), compressed.
"""

import math
import struct
from collections.abc import Sequence
from typing import Any, Final

import krcf
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipelines.analytics.boxes import with_boxes, without_boxes
from pipelines.analytics.options import ForestOptions
from pipelines.runtime.errors import ConfigurationError, InvalidDataError

_MAGIC: Final = b"HRF2"
_HEAD: Final = struct.Struct("<4sqqqqqqIQ")  # what it is, records seen, the options, columns, size unpacked
_MAX_DISTANCE: Final = 1e30
"""How far from a series' first value a value may lie: further off, sums of squares and box sides leave float32."""


def _codec() -> Any:
    return pa.Codec("zstd", compression_level=1)


class RandomCutForest:
    """One series' forest: it scores each record against what came before it, then learns it.

    Score and forest depend on the records' order and on the seed, on nothing else: the same records in the same order
    give the same bits, also when the forest was taken down to bytes and restored in between.

    krcf computes in float32, where 16777217 is 16777216. So each column is taken as its distance from the column's
    first value: cuts and scores only know differences, and these keep their digits.

    Args:
        options: what the function is called with.
    """

    def __init__(self, options: ForestOptions) -> None:
        self.options = options
        self._seen = 0
        self._centre: list[float] = []
        self._core = krcf.RandomCutForest(_core_options(options))

    @property
    def seen(self) -> int:
        """How many records it has learnt."""
        return self._seen

    def score(self, vector: Sequence[float]) -> float:
        """The ANOMALY_SCORE of a record; the forest learns the record afterwards.

        Args:
            vector: the record's values in the order of the options' columns.

        Returns:
            The mean over the trees; 0.0 while it learns (C11), see `ForestOptions.learning_records`.

        Raises:
            InvalidDataError: not one finite number a column; the forest is as it was before.
        """
        point = self.centred(vector)
        score = self._score(point)
        self._learn(point)
        return score

    def peek(self, vector: Sequence[float]) -> float:
        """As `score`, but nothing is learnt."""
        return self._score(self.centred(vector))

    def learn(self, vector: Sequence[float]) -> None:
        """Learns a record, as `score` does behind scoring it."""
        self._learn(self.centred(vector))

    def _score(self, point: list[float]) -> float:
        return self._core.score(point) if self._seen >= self.options.sub_sample_size else 0.0

    def _learn(self, point: list[float]) -> None:
        self._core.update(point)
        self._seen += 1

    def score_all(self, vectors: npt.NDArray[np.float64]) -> list[float | None]:
        """What `score` gives for each row of `vectors`, in order, to the last bit; None where it refuses the row.

        Args:
            vectors: a row a record, a column an option's column.
        """
        scores: list[float | None] = []
        for vector in vectors.tolist():
            if self._centre:
                break
            try:
                scores.append(self.score(vector))
            except InvalidDataError:
                scores.append(None)
        rest = vectors[len(scores) :]
        if not len(rest):
            return scores
        with np.errstate(invalid="ignore", over="ignore"):
            points = rest - np.array(self._centre)
        is_taken = (np.isfinite(rest) & (np.abs(points) <= _MAX_DISTANCE)).all(axis=1)
        learnt, core = self.options.sub_sample_size, self._core
        for is_good, point in zip(is_taken.tolist(), points.tolist(), strict=True):
            if not is_good:
                scores.append(None)
                continue
            scores.append(core.score(point) if self._seen >= learnt else 0.0)
            core.update(point)
            self._seen += 1
        return scores

    def attribute(self, vector: Sequence[float]) -> tuple[float, list[float], list[float]]:
        """As `score`, with what each column gave to it (C12).

        Returns:
            The score, and for each column how much of it came from the value being higher, and how much from its being
            lower, than what the forest knows; both summed over the shingle, so that everything together is the score.

        Raises:
            InvalidDataError: as for `score`.
        """
        point = self.centred(vector)
        width = len(self.options.columns)
        high, low, score = [0.0] * width, [0.0] * width, 0.0
        if self._seen >= self.options.sub_sample_size:
            score = self._core.score(point)
            found = self._core.attribution(point)
            high = [math.fsum(found["high"][column::width]) for column in range(width)]
            low = [math.fsum(found["low"][column::width]) for column in range(width)]
        self._learn(point)
        return score, high, low

    def centred(self, vector: Sequence[float]) -> list[float]:
        """The vector as the forest takes it, each value as its distance from the column's first.

        Raises:
            InvalidDataError: not one finite number a column, or one so far off that float32 cannot hold it.
        """
        columns = self.options.columns
        if len(vector) != len(columns):
            message = f"the record has {len(vector)} values for {len(columns)} columns ({', '.join(columns)})"
            raise InvalidDataError(message, "give one number for each column")
        for name, value in zip(columns, vector, strict=True):
            if not math.isfinite(value):
                message = f"the value of {name} is {value}, which no forest can score"
                raise InvalidDataError(message, "send finite numbers, or leave the record out")
        centre = self._centre or [float(value) for value in vector]
        point = [value - middle for value, middle in zip(vector, centre, strict=True)]
        for name, value in zip(columns, point, strict=True):
            if abs(value) > _MAX_DISTANCE:
                message = f"the value of {name} is more than {_MAX_DISTANCE:g} away from the series' first"
                raise InvalidDataError(message, "scale the column down")
        self._centre = centre
        return point

    def snapshot(self) -> bytes:
        """Everything the forest is, as bytes.

        One of 100 trees and shingle size 8 takes 0.5 MB after 2,000 records, and 0.9 MB after 100,000. See `restore`.
        """
        raw = without_boxes(self._core.to_msgpack())
        options = self.options
        head = _HEAD.pack(
            _MAGIC,
            self._seen,
            *_numbers(options),
            len(options.columns) if self._centre else 0,
            len(raw),
        )
        return head + struct.pack(f"<{len(self._centre)}d", *self._centre) + _codec().compress(raw, asbytes=True)

    @classmethod
    def restore(cls, snapshot: bytes, options: ForestOptions) -> "RandomCutForest":
        """The forest that `snapshot` was called on: from here on it gives the same bits.

        Args:
            snapshot: what `snapshot` gave.
            options: what that forest was made with.

        Raises:
            InvalidDataError: the bytes are no snapshot of a forest.
            ConfigurationError: the snapshot is of a forest with other options.
        """
        if len(snapshot) < _HEAD.size or not snapshot.startswith(_MAGIC):
            raise _no_snapshot()
        _, seen, *numbers, columns, size = _HEAD.unpack_from(snapshot)
        if tuple(numbers) != _numbers(options) or columns not in (0, len(options.columns)):
            message = "the snapshot is of a forest with other options, and cannot go on with these"
            raise ConfigurationError(message, "call the function as before, or start without the old state")
        start = _HEAD.size + 8 * columns
        forest = cls.__new__(cls)
        forest.options = options
        forest._seen = seen
        try:
            forest._centre = list(struct.unpack_from(f"<{columns}d", snapshot, _HEAD.size))
            raw = _codec().decompress(snapshot[start:], decompressed_size=size, asbytes=True)
            forest._core = krcf.RandomCutForest.from_msgpack(with_boxes(raw))
        except (OSError, ValueError, struct.error) as error:
            raise _no_snapshot() from error
        return forest


def _core_options(options: ForestOptions) -> Any:
    return {
        "dimensions": len(options.columns),
        "shingle_size": options.shingle_size,
        "num_trees": options.number_of_trees,
        "sample_size": options.sub_sample_size,
        # the core counts whole shingles, C11 counts records
        "output_after": max(1, options.sub_sample_size - options.shingle_size + 1),
        "random_seed": options.seed,
        "lambda": 1.0 / options.time_decay,
    }


def _numbers(options: ForestOptions) -> tuple[int, ...]:
    """What makes two forests differ, beside their columns."""
    return (
        options.number_of_trees,
        options.sub_sample_size,
        options.time_decay,
        options.shingle_size,
        options.seed,
    )


def _no_snapshot() -> InvalidDataError:
    return InvalidDataError("the bytes are no snapshot of a forest", "start the series without the old state")
