"""The scenario `flights`, as the `hydrant` command finds it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
from rich.box import SIMPLE_HEAD
from rich.table import Table

from pipelines.firehose.chunk import DeliveredObject
from pipelines.firehose.ledger import Delivery
from pipelines.lake.audit import audit
from pipelines.lake.query import query
from pipelines.runtime.aws import client
from scenarios.declared import DeclaredScenario
from scenarios.flights.checks import ROWS_SQL, SQL, expected_answer, same_answer, same_rows
from scenarios.flights.workload import Workload, make_workload


@dataclass(frozen=True)
class Verdict:
    """The answer of the SQL query beside the one computed from the source data, and whatever else is wrong.

    Attributes:
        ours: columns carrier, month, mean_dep_delay (minutes), flights.
        expected: the same.
        equal: whether they agree.
        problems: sentences; none when all is well.
        scanned_bytes: what the query read, as Athena counts it (E9).
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
        """The first rows of both, side by side."""
        table = Table("Carrier", "Month", "SQL", "pandas", "Flights", box=SIMPLE_HEAD)
        table.title, table.title_justify = f"Mean departure delay; {self.scanned_bytes:,} bytes scanned", "left"
        if self.ours.empty and self.expected.empty:  # pandas does not merge nothing with nothing
            return table
        both = self.ours.merge(self.expected, on=["carrier", "month"], how="outer", suffixes=("", "_expected"))
        for row in both.head(12).itertuples():
            mean, expected = f"{row.mean_dep_delay:.6f}", f"{row.mean_dep_delay_expected:.6f}"
            table.add_row(str(row.carrier), str(row.month), mean, expected, str(row.flights))
        table.caption = f"{min(12, len(both))} of {len(both)} rows; " + ("all equal" if self.equal else "NOT EQUAL")
        return table


class Flights(DeclaredScenario):
    """Implements `pipelines.cli.plugins.Scenario`."""

    name = "flights"
    summary = "Real flights: Kinesis, Lambda transform, Parquet on S3 through a Glue schema, SQL"
    delivery_streams = ("flights",)
    default_records = 50_000

    def __init__(self) -> None:
        super().__init__(Path(__file__).parent)

    def workload(self, count: int | None, seed: int) -> Workload:
        """What to put."""
        return make_workload(count, seed)

    def verify(self, workload: Workload, deliveries: Mapping[str, Delivery], folder: Path) -> Verdict:
        """Holds the delivered table against the source data, and the account against what was put."""
        account, objects = deliveries["flights"].account, deliveries["flights"].objects
        answer = query(SQL)
        ours, expected = answer.table.to_pandas(), expected_answer(workload)
        problems = []
        cancelled = len(workload.flights) - len(workload.left)
        for what, counted, known in (
            ("dropped", account.dropped, cancelled),
            ("failed", account.failed, workload.malformed),
            ("delivered", account.delivered, len(workload.left)),
            ("in the lineage of the objects", _in_lineage(objects), len(workload.left)),
        ):
            if counted != known:
                problems.append(f"{counted:,} records are {what}, {known:,} should be")
        problems += audit(client("s3"), objects, {written.bucket for written in objects})
        if not same_rows(query(ROWS_SQL).table.to_pandas(), workload):
            problems.append("the rows of the table are not the flights that left")
        return Verdict(ours, expected, same_answer(ours, expected), answer.data_scanned_bytes, problems)


def _in_lineage(objects: Sequence[DeliveredObject]) -> int:
    return sum(shard.count for written in objects if written.kind == "data" for shard in written.shards)


scenario = Flights()
