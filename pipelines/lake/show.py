"""SHOW and DESCRIBE, answered by the catalog alone, in Athena's words: nothing is scanned."""

import re
from collections.abc import Callable
from typing import Any, Final

import pyarrow as pa

from pipelines.lake.catalog import get_table, list_databases, list_partitions, list_tables, partition_keys
from pipelines.runtime.errors import ConfigurationError

_NAME: Final = r"[`\"]?(?P<{0}>\w+)[`\"]?"
_TABLE: Final = rf"(?:{_NAME.format('database')}\.)?{_NAME.format('table')}"


def show(glue: Any, sql: str, database: str) -> pa.Table | None:
    """The answer to SHOW DATABASES, SHOW TABLES [IN database], SHOW PARTITIONS table or DESCRIBE table.

    Args:
        glue: a boto3 Glue client.
        sql: one statement.
        database: where a table named without one is.

    Returns:
        None for any other statement.

    Raises:
        NotFoundError: there is no such database or table.
        ConfigurationError: SHOW PARTITIONS of a table without partition keys.
    """
    text = sql.strip().rstrip(";").rstrip()
    for pattern, answer in _STATEMENTS.items():
        if found := re.fullmatch(pattern, text, re.IGNORECASE):
            names = found.groupdict()
            return answer(glue, (names.get("database") or database).lower(), (names.get("table") or "").lower())
    return None


def _databases(glue: Any, _database: str, _table: str) -> pa.Table:
    return _texts(database_name=list_databases(glue))


def _tables(glue: Any, database: str, _table: str) -> pa.Table:
    return _texts(tab_name=list_tables(glue, database))


def _partitions(glue: Any, database: str, table: str) -> pa.Table:
    found = get_table(glue, database, table)
    keys = partition_keys(found)
    if not keys:
        message = f"Table {database}.{table} has no partition keys."
        raise ConfigurationError(message, fix="SHOW PARTITIONS takes a partitioned table")
    values = [partition.values for partition in list_partitions(glue, found)]
    return _texts(partition=["/".join(map("=".join, zip(keys, value, strict=True))) for value in sorted(values)])


def _columns(glue: Any, database: str, table: str) -> pa.Table:
    found = get_table(glue, database, table)
    columns = [(column, "") for column in found["StorageDescriptor"].get("Columns") or ()]
    columns += [(column, "partition key") for column in found.get("PartitionKeys") or ()]
    return _texts(
        col_name=[column["Name"] for column, _ in columns],
        data_type=[column["Type"] for column, _ in columns],
        comment=[column.get("Comment") or role for column, role in columns],
    )


def _texts(**columns: list[str]) -> pa.Table:
    return pa.table({name: pa.array(values, pa.string()) for name, values in columns.items()})


_STATEMENTS: Final[dict[str, Callable[[Any, str, str], pa.Table]]] = {
    r"show\s+(databases|schemas)": _databases,
    rf"show\s+tables(\s+(in|from)\s+{_NAME.format('database')})?": _tables,
    rf"show\s+partitions\s+{_TABLE}": _partitions,
    rf"(describe|desc)\s+{_TABLE}": _columns,
}
