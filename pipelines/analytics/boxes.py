"""What of a forest's bytes follows from the rest: the bounding boxes of its trees' nodes. Pure.

krcf keeps a box for each inner node: the least and the largest coordinate, in float32, of the points below it, and the
sum of its sides, in float64. They are two thirds of a forest's MessagePack, and as fast as they make scores, they say
nothing that the points and the trees do not. So a snapshot is written without them, and they are computed when it is
read: to the last bit what they were, since the least and the largest of numbers do not depend on an order, and the sum
is taken in the order of the coordinates, as krcf takes it.
"""

from collections.abc import Iterator
from typing import Any, Final

import msgpack
import numpy as np
import numpy.typing as npt

from pipelines.runtime.errors import InvalidDataError

_BOXES: Final = b"\xb1bounding_box_data"
_SUMS: Final = b"\xaerange_sum_data"
_NOTHING: Final = b"\x90"
_FLOAT32: Final = 0xCA
_FLOAT64: Final = 0xCB


def without_boxes(packed: bytes) -> bytes:
    """A forest of krcf in MessagePack without its boxes.

    Raises:
        InvalidDataError: the bytes are laid out otherwise than those of the krcf that this was written for.
    """
    parts, done = [], 0
    while (at := packed.find(_BOXES, done)) >= 0:
        boxes = at + len(_BOXES)
        sums = _end(packed, boxes, _FLOAT32, 5)
        if not packed.startswith(_SUMS, sums):
            raise _unknown()
        parts += [packed[done:boxes], _NOTHING, _SUMS, _NOTHING]
        done = _end(packed, sums + len(_SUMS), _FLOAT64, 9)
    return b"".join((*parts, packed[done:]))


def with_boxes(stripped: bytes) -> bytes:
    """The inverse of `without_boxes`. Boxes of nodes that are in no tree at the time are 0.

    Raises:
        InvalidDataError: the bytes are no forest.
    """
    try:
        forest = msgpack.unpackb(stripped, strict_map_key=False)
        computed = list(_computed(forest["rcf"], forest["options"]["dimensions"]))
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise _unknown() from error
    parts, done = [], 0
    for boxes, sums in computed:
        at = stripped.find(_BOXES + _NOTHING + _SUMS + _NOTHING, done)
        if at < 0:
            raise _unknown()
        parts += [stripped[done : at + len(_BOXES)], _array(boxes, _FLOAT32), _SUMS, _array(sums, _FLOAT64)]
        done = at + len(_BOXES + _NOTHING + _SUMS + _NOTHING)
    return b"".join((*parts, stripped[done:]))


def _computed(rcf: Any, columns: int) -> Iterator[tuple[npt.NDArray[np.float32], npt.NDArray[np.float64]]]:
    """Of each tree, a row a node: its box, least coordinates before largest; and the sum of its sides."""
    points = rcf["point_store"]
    store = np.array(points["store"], np.float32)
    begins = np.array(points["location"], np.uint64).astype(np.int64) * columns
    dimensions = rcf["dimensions"]
    stores = [one["tree"]["node_store"] for one in rcf["sampler_plus_trees"]]
    capacity = stores[0]["capacity"]
    # All trees at once: node n of tree t is t * capacity + n; from len(least) on, the index is that of a point.
    count = len(stores) * capacity
    children = np.zeros((2, count), np.int64)
    for tree, nodes in enumerate(stores):
        for side, name in enumerate(("left_index", "right_index")):
            found = np.array(nodes[name], np.int64)
            inner = np.where(found < capacity, found + tree * capacity, found - capacity + count)
            children[side, tree * capacity : tree * capacity + len(found)] = inner
    roots = np.array([one["tree"]["root"] for one in rcf["sampler_plus_trees"]], np.int64)
    level = (roots + np.arange(len(roots)) * capacity)[roots < capacity - 1]  # others have one point, or none
    levels = []
    while level.size:
        levels.append(level)
        below = children[:, level].ravel()
        level = below[below < count]
    least, most = np.zeros((2, count, dimensions), np.float32)
    places = np.arange(dimensions)
    for level in reversed(levels):
        lows, highs = [], []
        for side in children[:, level]:
            is_leaf = side >= count
            inner = np.where(is_leaf, 0, side)
            leaf = store[begins[np.where(is_leaf, side - count, 0)][:, None] + places]
            lows.append(np.where(is_leaf[:, None], leaf, least[inner]))
            highs.append(np.where(is_leaf[:, None], leaf, most[inner]))
        least[level], most[level] = np.minimum(*lows), np.maximum(*highs)
    sides = most - least
    sums = np.zeros(count, np.float64)
    for column in range(dimensions):
        sums += sides[:, column]
    boxes = np.concatenate([least, most], axis=1)
    for tree in range(len(stores)):
        part = slice(tree * capacity, (tree + 1) * capacity)
        yield boxes[part].ravel(), sums[part]


def _end(packed: bytes, at: int, marker: int, size: int) -> int:
    """Where an array at `at` ends, all of whose elements are of one type and size."""
    kind = packed[at] if at < len(packed) else 0
    if kind >> 4 == 0x9:
        begin, length = at + 1, kind & 0x0F
    elif kind in (0xDC, 0xDD):
        begin = at + (3 if kind == 0xDC else 5)
        length = int.from_bytes(packed[at + 1 : begin], "big")
    else:
        raise _unknown()
    end = begin + length * size
    if end > len(packed) or (length and packed[begin] != marker):
        raise _unknown()
    return end


def _array(numbers: npt.NDArray[Any], marker: int) -> bytes:
    """A MessagePack array of floats, with the shortest head."""
    length, width = len(numbers), numbers.dtype.itemsize
    if length < 16:
        head = bytes([0x90 | length])
    elif length < 1 << 16:
        head = b"\xdc" + length.to_bytes(2, "big")
    else:
        head = b"\xdd" + length.to_bytes(4, "big")
    elements = np.empty((length, 1 + width), np.uint8)
    elements[:, 0] = marker
    elements[:, 1:] = np.frombuffer(numbers.astype(f">f{width}").tobytes(), np.uint8).reshape(length, width)
    return head + elements.tobytes()


def _unknown() -> InvalidDataError:
    return InvalidDataError("the bytes are no forest as this version of krcf writes it", "install the krcf of uv.lock")
