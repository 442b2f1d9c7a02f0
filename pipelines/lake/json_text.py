"""Objects of text: what a delivery stream without format conversion writes, and its backups (D10, A7.9)."""

from collections.abc import Iterator, Mapping
from typing import Final

import pyarrow as pa

from pipelines.firehose.compress import decompress
from pipelines.firehose.config import HiveJsonSerDe, OpenXJsonSerDe
from pipelines.firehose.convert import RecordConverter
from pipelines.firehose.schema import TableSchema
from pipelines.kinesis.page import make_page
from pipelines.runtime.errors import InvalidDataError

OPENX: Final = "org.openx.data.jsonserde.JsonSerDe"
HIVE: Final = "org.apache.hive.hcatalog.data.JsonSerDe"

_MAGIC: Final = {b"\x1f\x8b": "GZIP", b"PK\x03\x04": "ZIP", b"\x82SNAPPY\x00": "Snappy"}
_LINES: Final = 10_000


def compression_of(key: str, body: bytes) -> str:
    """The CompressionFormat of an object (A7.9), from its first bytes; Hadoop's framing has none, so from its name."""
    for magic, compression_format in _MAGIC.items():
        if body.startswith(magic):
            return compression_format
    return "HADOOP_SNAPPY" if key.endswith((".snappy", ".hsnappy")) else "UNCOMPRESSED"  # X3


class JsonReader:
    """Reads objects of JSON lines as rows of a table, by the rules of format conversion (A5).

    A line with several documents is several rows, as a delivery stream writes records without a separator (A7.11, X8).

    Args:
        columns: of the table, without its partition keys.
        deserializer: how JSON is read.
        skip_malformed: leave out lines that cannot be read, else they are an error.
    """

    def __init__(
        self, columns: TableSchema, deserializer: OpenXJsonSerDe | HiveJsonSerDe, *, skip_malformed: bool
    ) -> None:
        self._columns = columns
        self._converter = RecordConverter(columns, deserializer)
        self._skip_malformed = skip_malformed

    def batches(self, path: str, body: bytes) -> Iterator[pa.RecordBatch]:
        """The rows of the object at `path` (for messages) whose bytes are `body`, in batches.

        Raises:
            InvalidDataError: a line is not JSON or does not fit the table, or the compression is broken.
        """
        text = decompress(compression_of(path, body), body)
        lines = [line for line in text.split(b"\n") if line.strip()]
        for start in range(0, len(lines), _LINES):
            part = lines[start : start + _LINES]
            nothing = [""] * len(part)
            converted = self._converter.convert(make_page("", part, nothing, nothing, [0] * len(part)))
            if converted.failures and not self._skip_malformed:
                failure = converted.failures[0]
                message = f"Line {start + failure.row + 1} of s3://{path} is no row of the table: {failure.message}"
                fix = "set the SerDe parameter ignore.malformed.json to true to leave such lines out"
                raise InvalidDataError(message, fix=fix)
            yield converted.rows.select(self._columns.arrow.names)


def json_reader(library: str, parameters: Mapping[str, str], columns: TableSchema) -> JsonReader | None:
    """The reader for a table's SerDe; None when the SerDe is not one for JSON."""
    settings = {name.lower(): value for name, value in parameters.items()}
    skip_malformed = settings.get("ignore.malformed.json", "false").lower() == "true"
    if library == OPENX:
        mappings = tuple(
            (name.removeprefix("mapping."), value) for name, value in settings.items() if name.startswith("mapping.")
        )
        deserializer: OpenXJsonSerDe | HiveJsonSerDe = OpenXJsonSerDe(
            case_insensitive=settings.get("case.insensitive", "true").lower() == "true",
            convert_dots_in_json_keys_to_underscores=settings.get("dots.in.keys", "false").lower() == "true",
            column_to_json_key_mappings=mappings,
        )
    elif library == HIVE:
        formats = settings.get("timestamp.formats", "")
        deserializer = HiveJsonSerDe(timestamp_formats=tuple(filter(None, formats.split(","))))
    else:
        return None
    return JsonReader(columns, deserializer, skip_malformed=skip_malformed)
