"""The Glue catalog: databases, tables and partitions, from AWS's own requests. Creating twice is creating once.

Tables are passed on as Glue has them (`Table` of GetTable), so that every member is there for whoever needs it.
"""

import threading
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import unquote

from pipelines.lake.location import Location
from pipelines.runtime.aws import aws_errors
from pipelines.runtime.errors import ConfigurationError, HydrantError, NotFoundError

_DEFINITION: Final = ("Columns", "Location", "InputFormat", "SerdeInfo")
"""The members of a StorageDescriptor that say what a table's rows are."""


@dataclass(frozen=True, slots=True)
class Partition:
    """A partition of a table.

    Attributes:
        values: one text a partition key, in the order of the table's PartitionKeys.
        location: URI of its folder.
    """

    values: tuple[str, ...]
    location: str


def create_database(glue: Any, request: Mapping[str, Any]) -> None:
    """Creates a database unless it exists.

    Args:
        glue: a boto3 Glue client.
        request: of CreateDatabase.
    """
    name = request["DatabaseInput"]["Name"]
    with aws_errors(f"Glue database {name}"), suppress(glue.exceptions.AlreadyExistsException):
        glue.create_database(**request)


def create_table(glue: Any, request: Mapping[str, Any]) -> dict[str, Any]:
    """Creates a table unless it exists (D9, D10).

    Args:
        glue: a boto3 Glue client.
        request: of CreateTable: DatabaseName and TableInput.

    Returns:
        The table that is there now, as GetTable returns it.

    Raises:
        ConfigurationError: a table of that name has other columns, partition keys, format or location.
        NotFoundError: the database does not exist.
    """
    database, wanted = request["DatabaseName"], request["TableInput"]
    with aws_errors(f"Glue database {database}"), suppress(glue.exceptions.AlreadyExistsException):
        glue.create_table(**request)
    table = get_table(glue, database, wanted["Name"])
    there, asked = table.get("StorageDescriptor", {}), wanted.get("StorageDescriptor", {})
    differing = [name for name in _DEFINITION if name in asked and there.get(name) != asked[name]]
    if (table.get("PartitionKeys") or []) != (wanted.get("PartitionKeys") or []):
        differing.append("PartitionKeys")
    if differing:
        message = f"Glue table {database}.{wanted['Name']} exists with other {', '.join(differing)}."
        fix = f"`aws glue delete-table --database-name {database} --name {wanted['Name']}`, or choose another name"
        raise ConfigurationError(message, fix=fix)
    return table


def get_table(glue: Any, database: str, table: str) -> dict[str, Any]:
    """`Table` of GetTable.

    Raises:
        NotFoundError: no such table or database; the message names those that exist.
    """
    try:
        with aws_errors(f"Glue table {database}.{table}"):
            return dict(glue.get_table(DatabaseName=database, Name=table)["Table"])
    except NotFoundError as error:
        message = f"Glue table {database}.{table} does not exist{_what_exists(glue, database)}."
        fix = f"create it with `aws glue create-table --database-name {database} --table-input ...`, or mend the name"
        raise NotFoundError(message, fix=fix) from error


def list_databases(glue: Any) -> list[str]:
    """The names of all databases."""
    with aws_errors("Glue catalog"):
        pages = glue.get_paginator("get_databases").paginate()
        return sorted(database["Name"] for page in pages for database in page["DatabaseList"])


def list_tables(glue: Any, database: str) -> list[str]:
    """The names of all tables of `database`.

    Raises:
        NotFoundError: the database does not exist.
    """
    with aws_errors(f"Glue database {database}"):
        pages = glue.get_paginator("get_tables").paginate(DatabaseName=database)
        return sorted(table["Name"] for page in pages for table in page["TableList"])


def list_partitions(glue: Any, table: Mapping[str, Any]) -> Iterator[Partition]:
    """All partitions of a table that has partition keys, page after page of GetPartitions."""
    database, name = table["DatabaseName"], table["Name"]
    with aws_errors(f"Glue table {database}.{name}"):
        pages = glue.get_paginator("get_partitions").paginate(
            DatabaseName=database, TableName=name, ExcludeColumnSchema=True
        )
        for page in pages:
            for partition in page["Partitions"]:
                yield Partition(tuple(partition["Values"]), partition["StorageDescriptor"]["Location"])


def partition_keys(table: Mapping[str, Any]) -> list[str]:
    """The names of a table's partition keys, in lower case, as Hive keeps names (D9)."""
    return [str(key["Name"]).lower() for key in table.get("PartitionKeys") or ()]


def partition_of(table: Mapping[str, Any], bucket: str, key: str) -> Partition | None:
    """The partition that an object belongs to, from the folders of its key.

    Directly under the table's location there must be one `name=value/` folder for each partition key, in their order.
    Case of the names does not matter, and values are unescaped (`%3A`) as Hive does it.

    Returns:
        None when the table has no partition keys, or the object lies outside its location or in no such folders.
    """
    names = partition_keys(table)
    root = Location.parse(table["StorageDescriptor"]["Location"]).folder
    if not names or bucket != root.bucket or not key.startswith(root.key):
        return None
    folders = key[len(root.key) :].split("/")[:-1][: len(names)]
    found = [folder.partition("=") for folder in folders]
    if [unquote(name).lower() for name, equals, _ in found if equals] != names:
        return None
    values = tuple(unquote(value) for _, _, value in found)
    return Partition(values, str(Location(bucket, f"{root.key}{'/'.join(folders)}/")))


def register_partition(glue: Any, table: Mapping[str, Any], partition: Partition) -> None:
    """Adds `partition` to the table unless it is there: its storage is the table's, but for the location.

    Raises:
        NotFoundError: the table does not exist any more.
        HydrantError: any other error of AWS.
    """
    storage = {**table["StorageDescriptor"], "Location": partition.location}
    database, name = table["DatabaseName"], table["Name"]
    entry = {"Values": list(partition.values), "StorageDescriptor": storage}
    with aws_errors(f"Glue table {database}.{name}"), suppress(glue.exceptions.AlreadyExistsException):
        glue.create_partition(DatabaseName=database, TableName=name, PartitionInput=entry)


class PartitionRegistrar:
    """Registers the partitions that objects of one table need, each once. Thread-safe.

    Args:
        glue: a boto3 Glue client.
        table: as `get_table` returns it.

    Attributes:
        table: the same.
    """

    def __init__(self, glue: Any, table: Mapping[str, Any]) -> None:
        self.table = table
        self._glue = glue
        self._registered: set[tuple[str, ...]] = set()
        self._lock = threading.Lock()

    def register(self, partition: Partition) -> bool:
        """Registers `partition`, unless this registrar has done so before.

        Returns:
            Whether it was the first time. Then Glue has the partition, whoever registered it.
        """
        if partition.values in self._registered:
            return False
        with self._lock:  # held over the call: who loses the race must not go on before Glue has the partition
            if partition.values in self._registered:
                return False
            register_partition(self._glue, self.table, partition)
            self._registered.add(partition.values)
            return True


def _what_exists(glue: Any, database: str) -> str:
    """The end of a sentence that says what there is instead; empty where AWS does not tell."""
    try:
        databases = list_databases(glue)
        if database not in databases:
            return f": there is no database {database}, there are {_listed(databases)}"
        return f": database {database} has {_listed(list_tables(glue, database))}"
    except HydrantError:
        return ""


def _listed(names: list[str]) -> str:
    return ", ".join(names[:20]) + (f" and {len(names) - 20} more" if len(names) > 20 else "") if names else "none"
