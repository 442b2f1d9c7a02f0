"""Compression of text objects: the five CompressionFormats of a delivery stream (A7.9).

The same data always gives the same bytes, so that writing an object again after a crash overwrites it with itself.
"""

import gzip
import io
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from typing import Final

import pyarrow as pa

from pipelines.runtime.errors import ConfigurationError, InvalidDataError

_SNAPPY: Final = pa.Codec("snappy")
_SNAPPY_MOST: Final = 22  # Snappy's densest element is a copy: 3 bytes that stand for 64
_LENGTH: Final = struct.Struct(">i")

_XERIAL_HEADER: Final = b"\x82SNAPPY\x00" + struct.pack(">ii", 1, 1)
"""Magic, version and lowest compatible version of a snappy-java stream."""
_XERIAL_BLOCK: Final = 32 * 1024

# Hadoop's readers hold a compressed and an uncompressed chunk in buffers of 256 KiB each, and data that does not
# compress grows by up to a sixth and 32 bytes.
_HADOOP_BUFFER: Final = 256 * 1024
_HADOOP_BLOCK: Final = _HADOOP_BUFFER - (_HADOOP_BUFFER // 6 + 32)

_LEVEL: Final = 6  # Java's default for GZIP and DEFLATE
_ZIP_ENTRY: Final = "records"


def compress(compression_format: str, data: bytes) -> bytes:
    """`data` as the body of an object.

    Args:
        compression_format: AWS's CompressionFormat: UNCOMPRESSED, GZIP, ZIP (one DEFLATE entry), Snappy (the framing
            of xerial's snappy-java) or HADOOP_SNAPPY (Hadoop's block framing).
        data: the records of the object, concatenated.

    Raises:
        ConfigurationError: a format that AWS does not have.
    """
    return _codec(compression_format)[0](data)


def decompress(compression_format: str, body: bytes) -> bytes:
    """The inverse of `compress`; reads every object of the format, not only our own.

    Raises:
        ConfigurationError: a format that AWS does not have.
        InvalidDataError: `body` is not in that format, or is cut short.
    """
    inverse = _codec(compression_format)[1]
    try:
        return inverse(body)
    except (
        OSError,
        EOFError,
        ValueError,
        IndexError,
        RuntimeError,
        struct.error,
        zlib.error,
        zipfile.BadZipFile,
    ) as error:
        message = f"The object is not {compression_format}: {error}."
        raise InvalidDataError(message) from error


def _codec(compression_format: str) -> tuple[Callable[[bytes], bytes], Callable[[bytes], bytes]]:
    try:
        return _CODECS[compression_format]
    except KeyError:
        message = f"{compression_format!r} is not a CompressionFormat."
        raise ConfigurationError(message, fix=f"use one of {', '.join(_CODECS)}") from None


def _gzip(data: bytes) -> bytes:
    return gzip.compress(data, compresslevel=_LEVEL, mtime=0)


def _zip(data: bytes) -> bytes:
    entry = zipfile.ZipInfo(_ZIP_ENTRY, date_time=(1980, 1, 1, 0, 0, 0))
    entry.compress_type = zipfile.ZIP_DEFLATED
    entry.create_system = 3  # else the machine's own: the bytes would depend on it
    entry.external_attr = 0o644 << 16
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w") as archive:
        archive.writestr(entry, data, compresslevel=_LEVEL)
    return sink.getvalue()


def _unzip(body: bytes) -> bytes:
    with zipfile.ZipFile(io.BytesIO(body)) as archive:
        return archive.read(archive.namelist()[0])


def _snappy_java(data: bytes) -> bytes:
    parts = [_XERIAL_HEADER]
    for block in _blocks(data, _XERIAL_BLOCK):
        packed = _snappy(block)
        parts += [_LENGTH.pack(len(packed)), packed]
    return b"".join(parts)


def _un_snappy_java(body: bytes) -> bytes:
    if not body.startswith(_XERIAL_HEADER[:8]):
        message = "it does not begin with snappy-java's magic bytes"
        raise ValueError(message)
    parts, at = [], len(_XERIAL_HEADER)
    while at < len(body):
        packed, at = _chunk(body, at)
        parts.append(_un_snappy(packed))
    return b"".join(parts)


def _hadoop_snappy(data: bytes) -> bytes:
    parts = []
    for block in _blocks(data, _HADOOP_BLOCK):
        packed = _snappy(block)
        parts += [_LENGTH.pack(len(block)), _LENGTH.pack(len(packed)), packed]
    return b"".join(parts)


def _un_hadoop_snappy(body: bytes) -> bytes:
    parts, at = [], 0
    while at < len(body):
        (missing,) = _LENGTH.unpack_from(body, at)
        at += _LENGTH.size
        while missing > 0:  # Hadoop may cut one block into several chunks
            packed, at = _chunk(body, at)
            parts.append(_un_snappy(packed))
            missing -= len(parts[-1])
    return b"".join(parts)


def _blocks(data: bytes, size: int) -> Iterator[memoryview]:
    view = memoryview(data)
    return (view[at : at + size] for at in range(0, len(view), size))


def _chunk(body: bytes, at: int) -> tuple[bytes, int]:
    (size,) = _LENGTH.unpack_from(body, at)
    start = at + _LENGTH.size
    packed = body[start : start + size]
    if size < 0 or len(packed) != size:
        message = "it is cut short"
        raise ValueError(message)
    return packed, start + size


def _snappy(block: memoryview) -> bytes:
    return _SNAPPY.compress(block, asbytes=True)


def _un_snappy(packed: bytes) -> bytes:
    return _SNAPPY.decompress(packed, decompressed_size=_uncompressed_size(packed), asbytes=True)


def _uncompressed_size(packed: bytes) -> int:
    """The preamble of a raw Snappy block: its uncompressed length as a little-endian base-128 number."""
    size = shift = 0
    for byte in packed:
        size |= (byte & 0x7F) << shift
        if byte < 0x80:
            break
        shift += 7
    if not 0 <= size <= _SNAPPY_MOST * len(packed):  # else a broken object could ask for any amount of memory
        message = "a block names an impossible length"
        raise ValueError(message)
    return size


def _unchanged(data: bytes) -> bytes:
    return data


_CODECS: Final[dict[str, tuple[Callable[[bytes], bytes], Callable[[bytes], bytes]]]] = {
    "UNCOMPRESSED": (_unchanged, _unchanged),
    "GZIP": (_gzip, gzip.decompress),
    "ZIP": (_zip, _unzip),
    "Snappy": (_snappy_java, _un_snappy_java),
    "HADOOP_SNAPPY": (_hadoop_snappy, _un_hadoop_snappy),
}
