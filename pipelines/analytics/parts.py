"""Bytes of several kinds as one, and apart again: how what a series is made of is written down. Pure."""

import struct


def join(*parts: bytes) -> bytes:
    """The parts one behind the other, their lengths in front."""
    return struct.pack(f"<{len(parts)}I", *map(len, parts)) + b"".join(parts)


def split(joined: bytes, count: int) -> list[bytes]:
    """The `count` parts that `join` was given.

    Raises:
        struct.error: the bytes are too short for so many lengths.
    """
    lengths = struct.Struct(f"<{count}I")
    parts, begin = [], lengths.size
    for length in lengths.unpack_from(joined):
        parts.append(joined[begin : begin + length])
        begin += length
    return parts
