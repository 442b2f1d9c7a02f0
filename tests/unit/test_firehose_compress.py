"""Compression of text objects (A7.9): round trips, and the framings decoded by hand."""

import gzip
import io
import struct
import zipfile

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.firehose.compress import compress, decompress
from pipelines.runtime.errors import ConfigurationError, InvalidDataError

FORMATS = ("UNCOMPRESSED", "GZIP", "ZIP", "Snappy", "HADOOP_SNAPPY")
TEXT = b'{"carrier":"UA","flight":1545}\n' * 20_000  # 620 kB: several blocks of either framing
NOISE = bytes((i * i * 7919 + (i >> 3) * 104729) >> 5 & 0xFF for i in range(300_000))  # grows when compressed


def length(body: bytes, at: int) -> int:
    return int(struct.unpack_from(">i", body, at)[0])


@pytest.mark.parametrize("compression_format", FORMATS)
@pytest.mark.parametrize("data", [b"", b"x", TEXT, NOISE], ids=["empty", "one byte", "text", "noise"])
def test_a7_9_round_trip_and_same_bytes_each_time(compression_format: str, data: bytes) -> None:
    body = compress(compression_format, data)
    assert decompress(compression_format, body) == data
    assert compress(compression_format, data) == body
    if data is TEXT and compression_format != "UNCOMPRESSED":
        assert len(body) < len(data) / 10


def test_a7_9_uncompressed_is_the_data() -> None:
    assert compress("UNCOMPRESSED", TEXT) == TEXT


def test_a7_9_gzip_is_one_member_without_a_time() -> None:
    body = compress("GZIP", TEXT)
    assert body[:3] == b"\x1f\x8b\x08"
    assert body[4:8] == bytes(4)
    assert gzip.decompress(body) == TEXT


def test_a7_9_zip_is_one_deflate_entry() -> None:
    with zipfile.ZipFile(io.BytesIO(compress("ZIP", TEXT))) as archive:
        (entry,) = archive.infolist()
        assert entry.compress_type == zipfile.ZIP_DEFLATED
        assert entry.date_time == (1980, 1, 1, 0, 0, 0)  # no clock in the bytes
        assert archive.testzip() is None
        assert archive.read(entry) == TEXT


def test_a7_9_snappy_is_snappy_java_framing() -> None:
    body = compress("Snappy", TEXT)
    at = 16
    blocks: list[bytes] = []
    assert body[:at] == b"\x82SNAPPY\x00" + b"\x00\x00\x00\x01" * 2
    while at < len(body):
        size = length(body, at)
        expected = TEXT[32_768 * len(blocks) : 32_768 * (len(blocks) + 1)]
        blocks.append(pa.decompress(body[at + 4 : at + 4 + size], len(expected), codec="snappy", asbytes=True))
        assert blocks[-1] == expected
        at += 4 + size
    assert b"".join(blocks) == TEXT


@pytest.mark.parametrize("data", [TEXT, NOISE], ids=["text", "noise"])
def test_a7_9_hadoop_snappy_is_block_framing_that_fits_hadoops_buffers(data: bytes) -> None:
    body = compress("HADOOP_SNAPPY", data)
    at, blocks = 0, []
    while at < len(body):
        plain, packed = length(body, at), length(body, at + 4)
        assert 0 < plain <= 256 * 1024 and 0 < packed <= 256 * 1024
        blocks.append(pa.decompress(body[at + 8 : at + 8 + packed], plain, codec="snappy", asbytes=True))
        at += 8 + packed
    assert len(blocks) > 1
    assert b"".join(blocks) == data


def test_a7_9_hadoops_own_blocks_of_several_chunks_are_read() -> None:
    chunks = [pa.compress(part, codec="snappy", asbytes=True) for part in (b"abc" * 100, b"de" * 50)]
    body = struct.pack(">i", 400) + b"".join(struct.pack(">i", len(chunk)) + chunk for chunk in chunks)
    assert decompress("HADOOP_SNAPPY", body) == b"abc" * 100 + b"de" * 50


@pytest.mark.parametrize("compression_format", FORMATS[1:])
def test_a7_9_a_broken_object_is_one_clear_error(compression_format: str) -> None:
    body = compress(compression_format, TEXT)
    for broken in (body[: len(body) // 2], b"\x00\x00\x01\x00" + b"\xff" * 40):
        with pytest.raises(InvalidDataError, match=compression_format):
            decompress(compression_format, broken)


def test_a7_9_a_block_that_names_an_impossible_length_asks_for_no_memory() -> None:
    block = b"\xff\xff\xff\xff\x0f" + b"\x00" * 8
    with pytest.raises(InvalidDataError, match="impossible length"):
        decompress("Snappy", b"\x82SNAPPY\x00" + b"\x00\x00\x00\x01" * 2 + struct.pack(">i", len(block)) + block)


def test_a7_9_unknown_format_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ConfigurationError, match="UNCOMPRESSED, GZIP, ZIP, Snappy, HADOOP_SNAPPY"):
        compress("LZ4", b"")


@settings(max_examples=60)
@given(compression_format=st.sampled_from(FORMATS), data=st.binary(max_size=2_000), times=st.integers(0, 200))
def test_a7_9_any_data_survives(compression_format: str, data: bytes, times: int) -> None:
    assert decompress(compression_format, compress(compression_format, data * times)) == data * times


@settings(max_examples=200)
@given(compression_format=st.sampled_from(FORMATS[1:]), body=st.binary(max_size=60))
def test_a7_9_garbage_never_escapes_as_another_error(compression_format: str, body: bytes) -> None:
    for candidate in (body, compress(compression_format, b"records")[:20] + body):
        try:
            decompress(compression_format, candidate)
        except InvalidDataError as error:
            assert compression_format in error.message
