"""One Glue table as the pyarrow dataset that DuckDB scans; it prunes, lists, and counts what is read.

DuckDB asks a dataset for a scanner and hands it the columns it needs and the filter it could push down. That is the
moment when everything is known: `TableScan.scanner` lets pyarrow prune the partitions by their values, lists only the
objects of those left, reads the objects' footers, prunes row groups by their statistics, and adds up the bytes.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial, reduce
from operator import and_
from typing import Any, Final, TypeVar

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from pipelines.firehose.schema import TableSchema, arrow_type, parse_hive_type, table_schema
from pipelines.lake.catalog import Partition
from pipelines.lake.json_text import JsonReader, json_reader
from pipelines.lake.location import ListedObject, Location, list_table_objects
from pipelines.runtime.aws import aws_errors
from pipelines.runtime.errors import ConfigurationError, EndpointDownError, HydrantError, InvalidDataError

THREADS: Final = 16
"""Requests that run side by side; they wait for S3, they do not compute."""

WHOLE_BYTES: Final = 65_536
"""Objects up to this size are fetched in one request: pyarrow fetches as much for a footer, then the columns again."""

WHOLE_OBJECTS: Final = 1_000
"""Where a scan has more objects than that, none is fetched whole: they are all in memory at once."""

NULL_PARTITION: Final = "__HIVE_DEFAULT_PARTITION__"
"""How Hive writes a partition value that is null."""

_In = TypeVar("_In")
_Out = TypeVar("_Out")


@dataclass(frozen=True, slots=True)
class Scanned:
    """What one scan of a table reads.

    Attributes:
        bytes: as Athena counts them (E9): compressed bytes, of a Parquet object only of the columns read, and not of
            row groups that its statistics rule out; of a text object all.
        objects: objects opened.
        partitions: partitions whose objects were listed; 1 for a table without partition keys.
        pruned: partitions that the filter ruled out before that.
    """

    bytes: int
    objects: int
    partitions: int
    pruned: int


class TableScan(ds.FileSystemDataset):
    """A table. Its fragments are its partitions: each is there for its values, and stands for the objects in it.

    Args:
        table: `Table` of Glue's GetTable.
        partitions: of the catalog; none for a table without partition keys.
        s3: a boto3 S3 client, which lists.
        filesystem: pyarrow's, which reads.

    Attributes:
        scanned: one entry a scan so far.
        error: what kept a scan from beginning; DuckDB passes on no more than its text.

    Raises:
        ConfigurationError: neither a Parquet nor a JSON table, or a column type that cannot be read.
        InvalidDataError: a partition's value is not of its key's type.
    """

    def __init__(self, table: Mapping[str, Any], partitions: Sequence[Partition], s3: Any, filesystem: Any) -> None:
        columns = table_schema(table)
        keys = pa.schema([(str(key["Name"]).lower(), _key_type(key)) for key in table.get("PartitionKeys") or ()])
        schema = pa.unify_schemas([columns.arrow, keys])
        if not keys:
            partitions = [Partition((), table["StorageDescriptor"]["Location"])]
        self.scanned: list[Scanned] = []
        self.error: Exception | None = None
        self._partitions = {str(place): Location.parse(place) for place in (one.location for one in partitions)}
        self._json = _reader(table, columns)
        self._s3 = s3
        file_format = ds.ParquetFileFormat()
        fragments = [file_format.make_fragment(one.location, filesystem, _guarantee(keys, one)) for one in partitions]
        super().__init__(fragments, schema, file_format, filesystem)

    def scanner(self, columns: Sequence[str] | None = None, **options: Any) -> Any:
        """A scanner of the rows that pass `filter`; called by DuckDB, once a scan.

        Args:
            columns: what the scanner is to return; None for all.
            **options: `filter`, and whatever else pyarrow's scanner takes.
        """
        try:
            return self._scanner(columns, options)
        except Exception as error:
            self.error = error
            raise

    def _scanner(self, columns: Sequence[str] | None, options: dict[str, Any]) -> Any:
        condition = options.get("filter")
        kept = list(self.get_fragments(condition))
        pruned = len(self._partitions) - len(kept)
        objects = [
            (listed, one) for one, many in zip(kept, _parallel(self._list, kept), strict=True) for listed in many
        ]
        if self._json is not None:
            read = sum(listed.size for listed, _ in objects)
            self.scanned.append(Scanned(read, len(objects), len(kept), pruned))
            batches = self._text_rows(self._json, objects)
            return ds.Scanner.from_batches(batches, schema=self.schema, columns=columns, **options)
        names = set(self.schema.names if columns is None else columns) | _referenced(condition, self.schema)
        whole_bytes = WHOLE_BYTES if len(objects) <= WHOLE_OBJECTS else 0
        opened = _parallel(partial(self._open, condition, names, whole_bytes), objects)
        self.scanned.append(Scanned(sum(read for _, read in opened), len(objects), len(kept), pruned))
        fragments = [fragment for fragment, _ in opened if fragment is not None]
        dataset = ds.FileSystemDataset(fragments, self.schema, self.format, self.filesystem)
        return dataset.scanner(columns=columns, **options)

    def _list(self, partition: Any) -> list[ListedObject]:
        return list_table_objects(self._s3, self._partitions[partition.path])

    def _open(
        self, condition: Any, names: set[str], whole_bytes: int, found: tuple[ListedObject, Any]
    ) -> tuple[Any | None, int]:
        """A Parquet object's fragment, without the row groups ruled out, and the bytes that reading it takes."""
        listed, partition = found
        with _reading(listed.path):
            fragment = self._fragment(listed, partition.partition_expression, whole_bytes)
            if condition is not None:
                fragment = fragment.subset(condition, schema=self.schema)
            footer = fragment.metadata
            groups = [group.id for group in fragment.row_groups]
        read = sum(
            chunk.total_compressed_size
            for group in map(footer.row_group, groups)
            for chunk in map(group.column, range(footer.num_columns))
            if chunk.path_in_schema in names or chunk.path_in_schema.partition(".")[0] in names
        )
        return (fragment if groups else None), read

    def _fragment(self, listed: ListedObject, guarantee: Any, whole_bytes: int) -> Any:
        if listed.size > whole_bytes:
            return self.format.make_fragment(listed.path, self.filesystem, guarantee, file_size=listed.size)
        with aws_errors(f"s3://{listed.path}"):
            body = self._s3.get_object(Bucket=listed.bucket, Key=listed.key)["Body"].read()
        return self.format.make_fragment(pa.BufferReader(body), partition_expression=guarantee)

    def _text_rows(self, reader: JsonReader, objects: Sequence[tuple[ListedObject, Any]]) -> Iterator[pa.RecordBatch]:
        for listed, partition in objects:
            values = ds.get_partition_keys(partition.partition_expression)
            try:
                with _reading(listed.path), self.filesystem.open_input_stream(listed.path, compression=None) as stream:
                    body = stream.read()
                for rows in reader.batches(listed.path, body):
                    keys = [
                        pa.repeat(pa.scalar(values.get(field.name), field.type), rows.num_rows)
                        for field in list(self.schema)[rows.num_columns :]
                    ]
                    yield pa.RecordBatch.from_arrays([*rows.columns, *keys], schema=self.schema)
            except HydrantError as error:
                self.error = error
                raise


def _reader(table: Mapping[str, Any], columns: TableSchema) -> JsonReader | None:
    """What reads the table's objects; None for Parquet, which pyarrow reads."""
    serde = table["StorageDescriptor"].get("SerdeInfo", {})
    library = serde.get("SerializationLibrary", "")
    if "parquet" in library.lower():  # D9
        return None
    reader = json_reader(library, serde.get("Parameters", {}), columns)
    if reader is None:
        message = f"Table {table['Name']} is neither Parquet nor JSON: its SerDe is {library or 'not named'}."
        raise ConfigurationError(message, fix="query tables with a Parquet, OpenX JSON or Hive JSON SerDe")
    return reader


def _key_type(key: Mapping[str, Any]) -> pa.DataType:
    return arrow_type(parse_hive_type(key.get("Type", "string")))


def _guarantee(keys: pa.Schema, partition: Partition) -> Any | None:
    """What is true of every row of the partition."""
    if len(keys) != len(partition.values):
        message = f"Partition {partition.location} has {len(partition.values)} values for {len(keys)} partition keys."
        raise InvalidDataError(message, fix="delete the partition and register it anew")
    return reduce(and_, map(_is, keys, partition.values)) if len(keys) else None


def _is(key: pa.Field, value: str) -> Any:
    if value == NULL_PARTITION:
        return pc.field(key.name).is_null()
    try:
        return pc.field(key.name) == pa.scalar(value, pa.string()).cast(key.type)
    except pa.ArrowInvalid as error:
        message = f"Partition value {value!r} is not of the type of partition key {key.name}, {key.type}."
        raise InvalidDataError(message, fix="delete the partition, or make the key a string") from error


def _referenced(condition: Any, schema: pa.Schema) -> set[str]:
    """The columns that a filter needs: those without which it cannot be bound. DuckDB does not ask for them."""
    if condition is None:
        return set()
    return {name for index, name in enumerate(schema.names) if not _binds(condition, schema.remove(index))}


def _binds(condition: Any, schema: pa.Schema) -> bool:
    try:
        ds.dataset(schema.empty_table()).scanner(filter=condition)
    except pa.ArrowInvalid:
        return False
    return True


def _parallel(function: Callable[[_In], _Out], items: Sequence[_In]) -> list[_Out]:
    if len(items) < 2:
        return [function(item) for item in items]
    with ThreadPoolExecutor(min(THREADS, len(items)), "lake") as pool:
        return list(pool.map(function, items))


@contextmanager
def _reading(path: str) -> Iterator[None]:
    """Turns pyarrow's errors into ours."""
    try:
        yield
    except (OSError, pa.ArrowException) as error:
        if "AWS Error" in str(error):
            message = f"Reading s3://{path} failed: {error}."
            raise EndpointDownError(message, fix="check the endpoint and the credentials, and try again") from error
        message = f"s3://{path} cannot be read as its table says: {error}."
        raise InvalidDataError(message, fix=f"`hydrant inspect s3://{path}`") from error
