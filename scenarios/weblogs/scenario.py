"""The scenario `weblogs`, as the `hydrant` command finds it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pandas as pd
from rich.box import SIMPLE_HEAD
from rich.table import Table

from pipelines.firehose.ledger import Delivery
from pipelines.lake.audit import audit
from pipelines.lake.query import query
from pipelines.runtime.aws import client
from scenarios.declared import DeclaredScenario
from scenarios.read_back import body, of_kind, stream_records
from scenarios.weblogs import checks
from scenarios.weblogs.oracle import COLUMNS, SQL, Expected, expect
from scenarios.weblogs.workload import Workload, make_workload

STREAM: Final = "weblogs"
TABLE, TEXT = "weblogs", "weblogs-text"


@dataclass(frozen=True)
class Verdict:
    """The answer of the SQL query beside the one that pandas computes from the log, and whatever else is wrong.

    Attributes:
        ours: columns status, hour, hits, bytes.
        expected: the same.
        equal: whether they agree.
        scanned_bytes: what the query read, as Athena counts it (E9).
        problems: sentences; none when all is well.
    """

    ours: pd.DataFrame
    expected: pd.DataFrame
    equal: bool
    scanned_bytes: int
    problems: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        return {
            "sql": SQL,
            "ours": self.ours.to_dict("records"),
            "expected": self.expected.to_dict("records"),
            "equal": self.equal,
            "data_scanned_bytes": self.scanned_bytes,
        }

    def table(self) -> Table:
        """Hits and bytes by status: both answers, side by side."""
        table = Table("Status", "Hits (SQL)", "Hits (pandas)", "Bytes (SQL)", "Bytes (pandas)", box=SIMPLE_HEAD)
        table.title, table.title_justify = f"Hits and bytes; {self.scanned_bytes:,} bytes scanned", "left"
        for column in table.columns[1:]:
            column.justify = "right"
        ours, expected = (answer.groupby("status")[["hits", "bytes"]].sum() for answer in (self.ours, self.expected))
        for status in sorted({*ours.index, *expected.index}):
            cells = [
                f"{int(answer.loc[status, name]):,}" if status in answer.index else ""
                for name in ("hits", "bytes")
                for answer in (ours, expected)
            ]
            table.add_row(str(status), *cells)
        table.caption = f"{len(self.ours)} rows by status and hour; " + ("all equal" if self.equal else "NOT EQUAL")
        return table


class Weblogs(DeclaredScenario):
    """Implements `pipelines.cli.plugins.Scenario`."""

    name = "weblogs"
    summary = "A real Apache log, redacted by the function: Parquet and gzipped JSON from one stream, and its backup"
    delivery_streams = (TABLE, TEXT)
    default_records = None

    def __init__(self) -> None:
        super().__init__(Path(__file__).parent)

    def workload(self, count: int | None, seed: int) -> Workload:
        """What to put."""
        return make_workload(count, seed)

    @property
    def key(self) -> bytes:
        """What pseudonyms are made with: the function's environment has it."""
        function = json.loads((self.folder / "aws" / "50-lambda.create_function.json").read_text(encoding="utf-8"))
        key: str = function["Environment"]["Variables"]["PSEUDONYM_KEY"]
        return key.encode()

    def verify(self, workload: Workload, deliveries: Mapping[str, Delivery], folder: Path) -> Verdict:
        """Holds both deliveries against the log, and each against the other."""
        s3, expected = client("s3"), expect(workload.lines, self.key)
        table, text = deliveries[TABLE], deliveries[TEXT]
        problems: list[str] = []
        for name, delivery in deliveries.items():
            problems += checks.counts(name, delivery.account, expected)
            problems += checks.failures(name, s3, delivery.entries, expected.broken)
        problems += checks.backup(s3, table.entries, stream_records(client("kinesis"), STREAM), workload.lines)
        objects = [*table.objects, *text.objects]
        problems += audit(s3, objects, {written.bucket for written in objects})
        problems += _rows(s3, text, expected)
        answer = query(SQL)
        ours = answer.table.to_pandas()
        equal = checks.same_answer(ours, expected.answer)
        return Verdict(ours, expected.answer, equal, answer.data_scanned_bytes, problems)


def _rows(s3: Any, text: Delivery, expected: Expected) -> list[str]:
    """What is wrong with the rows of the table and of the text objects."""
    rows = checks.table_rows(query(checks.ROWS_SQL).table)
    decoded = b"".join(body(s3, entry.object) for entry in of_kind(text.entries, "data") if entry.object is not None)
    lines = checks.text_rows(decoded)
    parquet = "\n".join(json.dumps(dict(zip(COLUMNS, row, strict=True)), ensure_ascii=False) for row in rows)
    return [
        *checks.differing("the table and the log", rows, expected.rows),
        *checks.differing("the text and the table", lines, rows),
        *checks.leaks("the table", parquet, expected),
        *checks.leaks("the text", decoded.decode(), expected),
    ]


scenario = Weblogs()
