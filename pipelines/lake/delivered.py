"""What a delivered object holds, decoded: Parquet, error objects, text; and which records it came from."""

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.firehose.compress import decompress
from pipelines.firehose.deliver import LINEAGE_METADATA, RECORDS_METADATA
from pipelines.firehose.errors import parse_line
from pipelines.lake.json_text import compression_of
from pipelines.lake.location import Location, list_objects
from pipelines.runtime.aws import aws_errors
from pipelines.runtime.errors import InvalidDataError, NotFoundError

_PARQUET_MAGIC: Final = b"PAR1"
_THREADS: Final = 16


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """An object, without its content.

    Attributes:
        location: bucket and key.
        bytes: its size.
        records: records delivered in it; None where its metadata does not say.
        shards: lineage, `{"shardId-...": {"first": ..., "last": ..., "count": n}}`; empty where it is not there.
        metadata: the rest of its user metadata.
    """

    location: Location
    bytes: int
    records: int | None
    shards: Mapping[str, Any]
    metadata: Mapping[str, str]

    def to_json(self) -> dict[str, Any]:
        return {
            "location": str(self.location),
            "bytes": self.bytes,
            "records": self.records,
            "shards": dict(self.shards),
            "metadata": dict(self.metadata),
        }


def object_info(s3: Any, location: Location) -> ObjectInfo:
    """Size and lineage of one object.

    Raises:
        NotFoundError: there is no such object, or no such bucket.
    """
    with aws_errors(str(location)):
        head = s3.head_object(Bucket=location.bucket, Key=location.key)
    metadata = dict(head.get("Metadata", {}))
    records = metadata.pop(RECORDS_METADATA, "")
    shards = _json_object(metadata.pop(LINEAGE_METADATA, ""))
    return ObjectInfo(location, head["ContentLength"], int(records) if records.isdecimal() else None, shards, metadata)


def list_infos(s3: Any, prefix: Location, most: int | None = None) -> list[ObjectInfo]:
    """Size and lineage of every object whose key begins with the prefix, in key order.

    Args:
        s3: a boto3 S3 client.
        prefix: bucket and key prefix; the key may be empty.
        most: objects at most.

    Raises:
        NotFoundError: there is none, or the bucket does not exist.
    """
    found = [Location(listed.bucket, listed.key) for listed in islice(list_objects(s3, prefix), most)]
    if not found:
        message = f"There is no object {prefix}, and none below it."
        parent = Location(prefix.bucket, prefix.key.rstrip("/").rpartition("/")[0]).folder
        raise NotFoundError(message, fix=f"`hydrant inspect {parent}` shows what there is")
    with ThreadPoolExecutor(_THREADS, "lake") as pool:
        return list(pool.map(lambda location: object_info(s3, location), found))


@dataclass(frozen=True, slots=True)
class ParquetContent:
    """A Parquet object.

    Attributes:
        arrow_schema: the columns as Arrow reads them.
        columns: for each leaf its path, physical type, logical type (empty for none) and compression.
        row_groups: for each its rows, compressed and uncompressed bytes.
        key_values: the footer's key-value metadata, but for Arrow's own copy of the schema.
        created_by: the writer.
        rows: rows in all.
        first_rows: the first of them.
    """

    arrow_schema: pa.Schema
    columns: list[dict[str, str]]
    row_groups: list[dict[str, int]]
    key_values: dict[str, str]
    created_by: str
    rows: int
    first_rows: pa.Table


@dataclass(frozen=True, slots=True)
class ErrorContent:
    """An error object: its lines as `parse_line` reads them (A4, A5.11), the first of them, and how many there are."""

    lines: list[dict[str, Any]]
    count: int


@dataclass(frozen=True, slots=True)
class TextContent:
    """Any other object.

    Attributes:
        compression_format: AWS's word (A7.9).
        uncompressed_bytes: size of the text.
        lines: the first ones.
        count: lines in all.
    """

    compression_format: str
    uncompressed_bytes: int
    lines: list[bytes]
    count: int


Content = ParquetContent | ErrorContent | TextContent


def read_content(s3: Any, filesystem: Any, location: Location, rows: int) -> Content:
    """Decodes an object by its content, not by its name.

    Args:
        s3: a boto3 S3 client.
        filesystem: pyarrow's S3 filesystem: of a Parquet object only the footer and the first rows are read.
        location: of an existing object.
        rows: rows, lines or failures to decode.

    Raises:
        InvalidDataError: the object is broken.
        NotFoundError: there is no such object.
    """
    if _first_bytes(s3, location) == _PARQUET_MAGIC:
        return _parquet(filesystem, location, rows)
    with aws_errors(str(location)):
        body = s3.get_object(Bucket=location.bucket, Key=location.key)["Body"].read()
    compression_format = compression_of(location.key, body)
    text = decompress(compression_format, body)
    lines = text.splitlines()
    if lines and (failures := list(_failures(lines[:rows] or lines[:1]))):
        return ErrorContent(failures[:rows], len(lines))
    return TextContent(compression_format, len(text), lines[:rows], len(lines))


def _first_bytes(s3: Any, location: Location) -> bytes:
    with aws_errors(str(location)):
        if s3.head_object(Bucket=location.bucket, Key=location.key)["ContentLength"] < len(_PARQUET_MAGIC):
            return b""  # S3 refuses a range of an empty object
        answer = s3.get_object(Bucket=location.bucket, Key=location.key, Range=f"bytes=0-{len(_PARQUET_MAGIC) - 1}")
        return bytes(answer["Body"].read())


def _parquet(filesystem: Any, location: Location, rows: int) -> ParquetContent:
    try:
        with pq.ParquetFile(filesystem.open_input_file(f"{location.bucket}/{location.key}")) as file:
            footer = file.metadata
            groups = [footer.row_group(index) for index in range(footer.num_row_groups)]
            first = list(islice(file.iter_batches(batch_size=rows), 1)) if rows and groups else []
            key_values = {name.decode(): value.decode() for name, value in (footer.metadata or {}).items()}
            key_values.pop("ARROW:schema", None)
            return ParquetContent(
                arrow_schema=file.schema_arrow.remove_metadata(),
                columns=list(_leaves(footer)),
                row_groups=[
                    {
                        "rows": group.num_rows,
                        "compressed_bytes": sum(
                            group.column(index).total_compressed_size for index in range(footer.num_columns)
                        ),
                        "uncompressed_bytes": group.total_byte_size,
                    }
                    for group in groups
                ],
                key_values=key_values,
                created_by=footer.created_by,
                rows=footer.num_rows,
                first_rows=pa.Table.from_batches(first, file.schema_arrow.remove_metadata() if not first else None),
            )
    except (OSError, pa.ArrowException, UnicodeDecodeError) as error:
        message = f"{location} begins like a Parquet object, but cannot be read: {error}."
        raise InvalidDataError(message, fix="deliver it again from the source backup") from error


def _leaves(footer: Any) -> Iterator[dict[str, str]]:
    for index in range(footer.num_columns):
        leaf = footer.schema.column(index)
        logical = str(leaf.logical_type)
        chunk = footer.row_group(0).column(index) if footer.num_row_groups else None
        yield {
            "path": leaf.path,
            "physical": leaf.physical_type,
            "logical": "" if logical == "None" else logical,
            "compression": chunk.compression if chunk is not None else "",
        }


def _failures(lines: list[bytes]) -> Iterator[dict[str, Any]]:
    """The lines of an error object; nothing when it is none."""
    for line in lines:
        try:
            read = parse_line(line)
        except InvalidDataError:
            return
        if "attemptsMade" not in read:  # data of somebody's that happens to have a rawData
            return
        yield read


def _json_object(text: str) -> Mapping[str, Any]:
    try:
        read = orjson.loads(text) if text else {}
    except orjson.JSONDecodeError:
        return {}
    return read if isinstance(read, dict) else {}


@dataclass(frozen=True, slots=True)
class ParquetRow:
    """One row of a Parquet object.

    Attributes:
        row_group: which it is in.
        row_groups: how many there are.
        row: a table of this one row.
    """

    row_group: int
    row_groups: int
    row: pa.Table


def read_row(filesystem: Any, location: Location, row: int) -> ParquetRow:
    """One row of a Parquet object; only the footer and its row group are read.

    Args:
        filesystem: pyarrow's S3 filesystem.
        location: of an existing object.
        row: counted from 0.

    Raises:
        InvalidDataError: the object is broken, or has fewer rows.
    """
    try:
        with pq.ParquetFile(filesystem.open_input_file(f"{location.bucket}/{location.key}")) as file:
            before = 0
            for index in range(file.metadata.num_row_groups):
                rows = file.metadata.row_group(index).num_rows
                if row < before + rows:
                    group = file.read_row_group(index)
                    return ParquetRow(index, file.metadata.num_row_groups, group.slice(row - before, 1))
                before += rows
    except (OSError, pa.ArrowException) as error:
        message = f"Row {row} of {location} cannot be read: {error}."
        raise InvalidDataError(message, fix="deliver it again from the source backup") from error
    message = f"{location} has {before} rows, so it has no row {row}."
    raise InvalidDataError(message, fix="deliver it again from the source backup")
