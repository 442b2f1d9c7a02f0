"""What the destinations of an application got, held against its results: a stream, a table, a function (C14, C15)."""

import base64
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import orjson
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.analytics.deliver import failed_ids
from pipelines.firehose.invoke import Invoker, InvokeResult
from pipelines.lake.query import query
from pipelines.runtime.aws import client
from scenarios.observed import keep_rows, kept
from scenarios.read_back import stream_records

TOLD: Final = "told"
"""What a function said Ok to, as it is kept."""

Row = Mapping[str, Any]


def rows_where(results: pa.RecordBatch, column: str) -> list[pa.RecordBatch]:
    """Those of `results` whose `column`, a BOOLEAN, is true; no batch where there are none."""
    found = results.filter(pc.equal(results.column(column), True))
    return [found] if found.num_rows else []


@dataclass(frozen=True)
class Witnessed:
    """Calls a function that is an application's output, and keeps each record that it says Ok to (C15).

    Implements `Invoker`.

    Args:
        invoker: calls it.
        folder: for what is kept, see `observed`.
    """

    invoker: Invoker
    folder: Path

    def invoke(self, payload: bytes) -> InvokeResult:
        """See `Invoker.invoke`."""
        answer = self.invoker.invoke(payload)
        records = {each["recordId"]: each["data"] for each in json.loads(payload)["records"]}
        taken = records.keys() - failed_ids(answer, list(records))
        keep_rows([json.loads(base64.b64decode(records[record_id])) for record_id in taken], self.folder, TOLD)
        return answer


def stream_problems(stream: str, results: Sequence[Row]) -> list[str]:
    """What is wrong with the Kinesis stream of the results, to which nobody writes any more: each is there once."""
    there = (record.data for record in stream_records(client("kinesis"), stream))
    return _difference(f"the stream {stream}", map(json.loads, there), results)


def function_problems(folder: Path, results: Sequence[Row]) -> list[str]:
    """What is wrong with what the function was told: it has said Ok to each of `results` once, and to nothing else.

    Args:
        folder: that of `Witnessed`.
        results: those that it was to be told.
    """
    return _difference("what the function said Ok to", kept(folder, TOLD), results)


@dataclass(frozen=True)
class Answer:
    """The table of results, by a query.

    Attributes:
        sql: the query.
        equal: whether its rows are the results, value for value.
        scanned_bytes: what it read, as Athena counts it (E9).
    """

    sql: str
    equal: bool
    scanned_bytes: int

    def to_json(self) -> dict[str, Any]:
        return {"sql": self.sql, "equal": self.equal, "data_scanned_bytes": self.scanned_bytes}

    @property
    def text(self) -> str:
        """A sentence for the screen."""
        same = "equal to" if self.equal else "NOT EQUAL to"
        return f"The table is {same} the application's results; {self.scanned_bytes:,} bytes scanned"


def ask_table(table: str, columns: Sequence[str], results: Sequence[Row]) -> Answer:
    """Compares the table with the results.

    Args:
        table: with its database.
        columns: to compare, as the results have them; the table has them in small letters.
        results: of the application.
    """
    names = [column.lower() for column in columns]
    sql = f"SELECT {', '.join(names)} FROM {table}"
    answer = query(sql)
    ours = Counter(zip(*(answer.table.column(name).to_pylist() for name in names), strict=True))
    expected = Counter(tuple(row[column] for column in columns) for row in results)
    return Answer(sql, ours == expected, answer.data_scanned_bytes)


def _difference(where: str, ours: Iterable[Row], results: Iterable[Row]) -> list[str]:
    found, expected = (
        Counter(orjson.dumps(row, option=orjson.OPT_SORT_KEYS) for row in rows) for rows in (ours, results)
    )
    missing, more = (expected - found).total(), (found - expected).total()
    return [f"{where} lacks {missing:,} results, and has {more:,} too many"] if missing or more else []
