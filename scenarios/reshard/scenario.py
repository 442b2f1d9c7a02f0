"""The scenario `reshard`, as the `hydrant` command finds it."""

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import apache_beam as beam
from rich.box import SIMPLE_HEAD
from rich.table import Table

from pipelines.firehose.ledger import Delivery
from pipelines.lake.audit import audit
from pipelines.runtime.aws import client
from scenarios.declared import DeclaredScenario
from scenarios.reshard import checks
from scenarios.reshard.resharding import MERGE, SPLIT, Resharding, open_shards, parents
from scenarios.reshard.workload import Workload, flight_records

STREAM: Final = "reshard"
PLAN: Final = (SPLIT,) * 4 + (MERGE,) * 5
"""From 4 shards to 8 to 3."""
SHARDS_AT_THE_END: Final = 3


@dataclass(frozen=True)
class Verdict:
    """The stream's shards, and what is wrong.

    Attributes:
        parents: every shard, and what it was made of.
        records: how many records each gave the reader.
        open: how many take records at the end.
        problems: sentences; none when all is well.
    """

    parents: Mapping[str, tuple[str, ...]]
    records: Mapping[str, int]
    open: int
    problems: list[str] = field(default_factory=list)

    @property
    def equal(self) -> bool:
        """Whether the stream became what the plan makes of it, and every shard gave records."""
        made = len(self.parents) == 4 + 2 * PLAN.count(SPLIT) + PLAN.count(MERGE)
        return made and self.open == SHARDS_AT_THE_END and self.records.keys() == self.parents.keys()

    def to_json(self) -> dict[str, Any]:
        shards = {
            shard: {"parents": list(of), "records": self.records.get(shard, 0)} for shard, of in self.parents.items()
        }
        return {"shards": shards, "open": self.open, "equal": self.equal}

    def table(self) -> Table:
        """The shards, each with its parents."""
        table = Table("Shard", "Made of", "Records", box=SIMPLE_HEAD)
        table.title, table.title_justify = f"{len(self.parents)} shards, {self.open} of them open at the end", "left"
        table.columns[2].justify = "right"
        for shard, of in self.parents.items():
            table.add_row(shard, " + ".join(of), f"{self.records.get(shard, 0):,}")
        return table


class Reshard(DeclaredScenario):
    """Implements `pipelines.cli.plugins.Scenario`."""

    name = "reshard"
    summary = "The stream is split from 4 shards to 8 and merged to 3 under load: nothing lost, doubled or out of order"
    delivery_streams = ("reshard",)
    default_records = 20_000

    def __init__(self) -> None:
        super().__init__(Path(__file__).parent)

    def workload(self, count: int | None, seed: int) -> Workload:
        """What to put."""
        return Workload(flight_records(count, seed), len(PLAN), Resharding(STREAM, PLAN, seed))

    @contextmanager
    def disturbed(self, workload: Workload, seed: int) -> Iterator[None]:
        """The splits and merges of `PLAN`, each begun by the workload."""
        assert workload.resharding is not None
        workload.resharding.start()
        try:
            yield
        finally:
            workload.resharding.cancel()

    def observe(self, pages: Any, folder: Path) -> None:
        """Keeps every page's sequence numbers and partition keys in the order in which they come."""
        pages | "SeePages" >> beam.ParDo(checks.SeePages(folder))

    def verify(self, workload: Workload, deliveries: Mapping[str, Delivery], folder: Path) -> Verdict:
        """Holds the order in which records came against their sequence numbers, and S3 against its receipts."""
        delivery, kinesis = deliveries["reshard"], client("kinesis")
        rows, made_of = checks.seen(folder), parents(kinesis, STREAM)
        times = Counter((row.shard_id, row.sequence_number) for row in rows)
        problems = []
        if len(times) != len(workload) or any(count > 1 for count in times.values()):
            doubled = sum(count - 1 for count in times.values())
            problems.append(f"{len(times):,} of {len(workload):,} records were read, {doubled:,} more than once")
        problems += [f"the records of {key} came out of order" for key in checks.out_of_order(rows)]
        early = checks.before_their_parents(rows, made_of)
        problems += [f"records of {shard} came before its parents had ended" for shard in early]
        problems += checks.objects_out_of_order(delivery.entries)
        problems += audit(client("s3"), delivery.objects, {written.bucket for written in delivery.objects})
        return Verdict(made_of, checks.by_shard(rows), len(open_shards(kinesis, STREAM)), problems)


scenario = Reshard()
