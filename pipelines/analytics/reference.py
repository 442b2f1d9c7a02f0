"""Reference data: a table from S3, joined to rows or results by a key (C1)."""

import io
from dataclasses import dataclass, field
from typing import Any, Final, Literal, get_args

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.json

from pipelines.runtime.aws import aws_errors, client
from pipelines.runtime.errors import ConfigurationError, InvalidDataError

Format = Literal["JSON", "CSV"]
JSON: Final = "JSON"


@dataclass(frozen=True)
class ReferenceData:
    """An object on S3 with a table: JSON, one object a line, or CSV with a line of names (C1, C2).

    It is read once by each worker, when the pipeline starts, as KDA reads it when an application starts.

    Attributes:
        bucket: S3 bucket.
        file_key: the object's key.
        key: the column whose values name the rows; each row another one.
        record_format: "JSON" or "CSV".
        on: the column of rows or results that is looked up.
        prefix: what is put before the names of the table's columns.

    Raises:
        ConfigurationError: there is no such format.
    """

    bucket: str
    file_key: str
    key: str
    record_format: Format = JSON
    on: str = "series"
    prefix: str = ""

    def __post_init__(self) -> None:
        if self.record_format not in get_args(Format):
            message = f"There is no record format {self.record_format!r} of reference data."
            raise ConfigurationError(message, fix=f"use {' or '.join(get_args(Format))}")

    def load(self) -> "ReferenceTable":
        """Reads the object.

        Raises:
            NotFoundError: it does not exist.
            InvalidDataError: it is no table with such a key.
            ConfigurationError: it has a name twice, or the key is an object or a list.
        """
        s3 = client("s3")
        with aws_errors(f"s3://{self.bucket}/{self.file_key}"):
            data = s3.get_object(Bucket=self.bucket, Key=self.file_key)["Body"].read()
        return ReferenceTable.of(data, self)


@dataclass(frozen=True)
class ReferenceTable:
    """A table in memory; `rows` says which of its rows a key names."""

    described: ReferenceData
    table: pa.Table
    rows: dict[str, int] = field(repr=False)

    @classmethod
    def of(cls, data: bytes, described: ReferenceData) -> "ReferenceTable":
        """The table that an object's `data` holds.

        Raises:
            InvalidDataError: it is none, has no column of the key's name, or a key twice.
            ConfigurationError: two columns have one name, or the key is an object or a list.
        """
        name = f"s3://{described.bucket}/{described.file_key}"
        try:
            if described.record_format == JSON:
                table = pyarrow.json.read_json(io.BytesIO(data)).combine_chunks()
            else:  # a key is text: the zeros that it begins with are part of it
                options = pyarrow.csv.ConvertOptions(column_types={described.key: pa.string()})
                table = pyarrow.csv.read_csv(io.BytesIO(data), convert_options=options).combine_chunks()
        except pa.ArrowInvalid as error:
            message = f"{name} is no {described.record_format} table: {error}"
            raise InvalidDataError(message, fix="put one JSON object a line, or CSV with a line of names") from error
        names = table.column_names
        twice = next((each for each in names if names.count(each) > 1), None)
        if twice is not None:
            message = f"{name} has more than one column {twice}."
            raise ConfigurationError(message, fix="give each column a name of its own")
        if described.key not in table.column_names:
            message = f"{name} has no column {described.key}; it has {', '.join(table.column_names)}."
            raise InvalidDataError(message, fix="name one of these as key")
        if pa.types.is_nested(table.schema.field(described.key).type):
            message = f"The column {described.key} of {name} has objects or lists, which are no keys."
            raise ConfigurationError(message, fix="name a column of text, numbers or truth values as key")
        keys = pc.cast(table.column(described.key), pa.string()).to_pylist()
        rows = {key: at for at, key in enumerate(keys) if key is not None}
        if len(rows) < len(keys):
            again = next((key for key in keys if key is None or keys.count(key) > 1), None)
            message = f"{name} has the key {again!r} more than once, or a row without one."
            raise InvalidDataError(message, fix="give each row a key of its own")
        return cls(described, table.drop_columns([described.key]), rows)

    def join(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """`batch` with the table's columns behind its own; null where the table has no such key. No row is left out.

        As in SQL, null is no key.

        Raises:
            ConfigurationError: `batch` has no column `on`, or one with the name of a column of the table.
        """
        described, names = self.described, batch.schema.names
        if described.on not in names:
            message = f"The rows have no column {described.on} to look up; they have {', '.join(names)}."
            raise ConfigurationError(message, fix="name one of these as `on` of ReferenceData")
        added = [described.prefix + name for name in self.table.column_names]
        taken = sorted({*names} & {*added})
        if taken:
            message = f"The reference data and the rows both have {', '.join(taken)}."
            raise ConfigurationError(message, fix='set `prefix` of ReferenceData, as in prefix="ref_"')
        found = pa.array([self._row(key) for key in batch.column(described.on).to_pylist()], pa.int64())
        joined = self.table.take(found)
        for name, label in zip(self.table.column_names, added, strict=True):
            column: Any = joined.column(name).combine_chunks()
            column = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
            batch = batch.append_column(label, column)
        return batch

    def _row(self, value: object) -> int | None:
        return None if value is None else self.rows.get(_key(value))


def _key(value: object) -> str:
    """A value as a key: 1.0 of a column of numbers is the key 1, and True is true, as JSON has it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
