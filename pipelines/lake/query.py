"""SQL over the tables of the Glue catalog: DuckDB computes, pyarrow reads, and what was read is counted."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import duckdb
import pyarrow as pa

from pipelines.lake.catalog import get_table, list_partitions, partition_keys
from pipelines.lake.scan import TableScan
from pipelines.lake.show import show
from pipelines.runtime.aws import client, s3_filesystem
from pipelines.runtime.errors import ConfigurationError, InvalidDataError, NotFoundError

DEFAULT_DATABASE: Final = "default"

_SANDBOX: Final = (
    "SET python_enable_replacements = false",  # a table that is not in Glue must not be a variable of ours
    "SET autoinstall_known_extensions = false",
    "SET autoload_known_extensions = false",
    "SET enable_external_access = false",
)


@dataclass(frozen=True, slots=True)
class QueryResult:
    """The answer to a query.

    Attributes:
        table: the rows.
        data_scanned_bytes: as Athena counts them (E9). A query that stops early, at its LIMIT, counts as one that does
            not; count(*) counts the one column that DuckDB counts by.
        objects_read: objects opened, once a scan.
        partitions_read: partitions whose objects were read; a table without partition keys counts as one.
        partitions_pruned: partitions ruled out by the query's predicates before any of their objects was listed.
    """

    table: pa.Table
    data_scanned_bytes: int = 0
    objects_read: int = 0
    partitions_read: int = 0
    partitions_pruned: int = 0


def query(sql: str, *, database: str = DEFAULT_DATABASE) -> QueryResult:
    """Answers one statement: SELECT in DuckDB's dialect, SHOW and DESCRIBE as Athena has them.

    Tables are those of the Glue catalog, and nothing else can be read. Comparisons (`=`, `<>`, `<`, `<=`, `>`, `>=`,
    BETWEEN, IN, IS NULL, and AND, OR, NOT of them) of a partition key with constants prune partitions; other
    expressions, such as LIKE, are computed after reading.

    Args:
        sql: the statement.
        database: of the tables named without one.

    Raises:
        NotFoundError: a database, table or bucket does not exist.
        ConfigurationError: the statement is wrong, or no SELECT; the message is DuckDB's.
        InvalidDataError: an object cannot be read as its table says.
        HydrantError: any other error of AWS.
    """
    glue = client("glue")
    shown = show(glue, sql, database)
    if shown is not None:
        return QueryResult(shown)
    with duckdb.connect(":memory:") as connection:
        for setting in _SANDBOX:
            connection.execute(setting)
        scans = _Scans(glue)
        for place in _tables_of(connection, sql, database.lower()):
            scans.add(place)
        _make_views(connection, scans.tables, database.lower())
        with _sql_errors(scans):
            table = connection.sql(sql).to_arrow_table()
    counted = [scanned for scan in scans.tables.values() for scanned in scan.scanned]
    return QueryResult(
        table=table,
        data_scanned_bytes=sum(scanned.bytes for scanned in counted),
        objects_read=sum(scanned.objects for scanned in counted),
        partitions_read=sum(scanned.partitions for scanned in counted),
        partitions_pruned=sum(scanned.pruned for scanned in counted),
    )


@dataclass(frozen=True, slots=True)
class _TableName:
    database: str
    name: str
    bare: bool  # the statement does not name the database
    defined: bool  # it may as well be a name that a WITH clause of the statement defines


class _Scans:
    """The tables of one query, by database and name."""

    def __init__(self, glue: Any) -> None:
        self.tables: dict[tuple[str, str], TableScan] = {}
        self._glue = glue

    def add(self, place: _TableName) -> None:
        if (place.database, place.name) in self.tables:
            return
        try:
            table = get_table(self._glue, place.database, place.name)
        except NotFoundError as error:
            if place.defined:
                return
            if place.bare:
                fix = "write DATABASE.TABLE, or name the database with --database"
                raise NotFoundError(error.message, fix=fix) from error
            raise
        if table.get("Parameters", {}).get("projection.enabled", "").lower() == "true":  # E6
            message = f"Table {place.database}.{place.name} has partition projection, which is not supported."
            raise ConfigurationError(message, fix="register the partitions and remove projection.enabled")
        partitions = list(list_partitions(self._glue, table)) if partition_keys(table) else []
        scan = TableScan(table, partitions, self._s3, self._filesystem)
        self.tables[place.database, place.name] = scan

    @cached_property
    def _s3(self) -> Any:
        return client("s3")

    @cached_property
    def _filesystem(self) -> Any:
        return s3_filesystem()


def _tables_of(connection: Any, sql: str, database: str) -> list[_TableName]:
    """The tables that a statement names.

    Raises:
        ConfigurationError: not one SELECT.
    """
    parsed = json.loads(connection.execute("SELECT json_serialize_sql(?::VARCHAR)", [sql]).fetchall()[0][0])
    if parsed["error"]:
        if parsed["error_type"] == "parser":
            raise _sql_error(parsed["error_message"])
        message = "Only a SELECT, SHOW or DESCRIBE can be queried."
        raise ConfigurationError(message, fix="write one SELECT statement")
    if len(parsed["statements"]) != 1:
        message = f"One statement can be queried at a time, not {len(parsed['statements'])}."
        raise ConfigurationError(message, fix="write one SELECT statement")
    nodes = list(_nodes(parsed))
    defined = {entry["key"].lower() for node in nodes if "cte_map" in node for entry in node["cte_map"]["map"]}
    named = [node for node in nodes if node.get("type") == "BASE_TABLE"]
    for node in named:
        if node["catalog_name"]:
            message = f"Table {node['catalog_name']}.{node['schema_name']}.{node['table_name']} is in another catalog."
            raise NotFoundError(message, fix="write DATABASE.TABLE, of the Glue catalog")
    return [
        _TableName(
            node["schema_name"].lower() or database,
            node["table_name"].lower(),
            bare=not node["schema_name"],
            defined=not node["schema_name"] and node["table_name"].lower() in defined,
        )
        for node in named
    ]


def _nodes(tree: Any) -> Iterator[Mapping[str, Any]]:
    if isinstance(tree, dict):
        yield tree
        tree = list(tree.values())
    if isinstance(tree, list):
        for branch in tree:
            yield from _nodes(branch)


def _make_views(connection: Any, tables: Mapping[tuple[str, str], TableScan], database: str) -> None:
    for (schema, name), scan in tables.items():
        connection.execute(f"CREATE SCHEMA IF NOT EXISTS {_quoted(schema)}")
        registered = f"{schema}.{name} in Glue"  # a dot and a space: no table of the catalog is called so
        connection.register(registered, scan)
        view = f"{_quoted(schema)}.{_quoted(name)}"
        connection.execute(f"CREATE VIEW {view} AS SELECT * FROM {_quoted(registered)}")
    connection.execute(f"CREATE SCHEMA IF NOT EXISTS {_quoted(database)}")
    connection.execute(f"USE {_quoted(database)}")


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


@contextmanager
def _sql_errors(scans: _Scans) -> Iterator[None]:
    """Turns DuckDB's errors into ours, and gives back those that came from a scan."""
    try:
        yield
    except duckdb.Error as error:
        for scan in scans.tables.values():
            if scan.error is not None:
                raise scan.error from error
        if "arrow_scan" in str(error):
            message = f"The table's objects cannot be read: {_sentence(str(error))}"
            raise InvalidDataError(message, fix="`hydrant inspect` shows what an object holds") from error
        raise _sql_error(str(error)) from error


def _sql_error(message: str) -> ConfigurationError:
    return ConfigurationError(_sentence(message), fix="correct the SQL; it is DuckDB's dialect")


def _sentence(message: str) -> str:
    """DuckDB's message on one line, without the picture of the statement below it."""
    text = " ".join(message.partition("\n\nLINE ")[0].split())
    return text if text.endswith((".", "!", "?")) else text + "."
