"""Beam coders of what waits in a buffer and of what comes out of it; imported, they are registered."""

import json
import struct
from itertools import accumulate, pairwise
from typing import Final

from apache_beam.coders import Coder, registry

from pipelines.firehose.chunk import Chunk, Sealed

_HEADER: Final = struct.Struct(">qqq")
_LENGTH: Final = struct.Struct(">q")


class ChunkCoder(Coder):
    """Coder of `Chunk`: three 64-bit integers, then the IPC bytes untouched."""

    def encode(self, value: Chunk) -> bytes:
        return _HEADER.pack(value.raw_bytes, value.records, value.oldest_arrival_ms) + value.ipc

    def decode(self, encoded: bytes) -> Chunk:
        raw_bytes, records, oldest_arrival_ms = _HEADER.unpack_from(encoded)
        return Chunk(raw_bytes, records, oldest_arrival_ms, encoded[_HEADER.size :])

    def is_deterministic(self) -> bool:
        return False

    def to_type_hint(self) -> type[Chunk]:
        return Chunk


class SealedCoder(Coder):
    """Coder of `Sealed`: its chunks one behind the other, each with its length; pickle would copy them once more."""

    def encode(self, value: Sealed) -> bytes:
        chunks = [_CHUNKS.encode(chunk) for chunk in value.chunks]
        described = [value.key, value.reason, value.opened_ms, value.flushed_ms, [len(chunk) for chunk in chunks]]
        head = json.dumps(described).encode()
        return b"".join([_LENGTH.pack(len(head)), head, *chunks])

    def decode(self, encoded: bytes) -> Sealed:
        (length,) = _LENGTH.unpack_from(encoded)
        at = _LENGTH.size + length
        key, reason, opened_ms, flushed_ms, sizes = json.loads(encoded[_LENGTH.size : at])
        ends = list(accumulate(sizes, initial=at))
        chunks = [_CHUNKS.decode(encoded[start:end]) for start, end in pairwise(ends)]
        return Sealed(key, tuple(chunks), reason, opened_ms, flushed_ms)

    def is_deterministic(self) -> bool:
        return False

    def to_type_hint(self) -> type[Sealed]:
        return Sealed


_CHUNKS: Final = ChunkCoder()

registry.register_coder(Chunk, ChunkCoder)
registry.register_coder(Sealed, SealedCoder)
