"""The scenario `redelivery`, as the `hydrant` command finds it."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from rich.box import SIMPLE_HEAD
from rich.table import Table

from infra.faults.journal import Line
from pipelines.firehose.ledger import Delivery
from pipelines.lake.audit import audit
from pipelines.runtime.aws import client
from scenarios.declared import DeclaredScenario
from scenarios.flights.workload import Workload, make_workload
from scenarios.read_back import StreamRecord, stream_records
from scenarios.redelivery import checks, retries
from scenarios.redelivery.disturbance import Faults, FaultyInvoker, in_force
from scenarios.redelivery.oracle import batches, fate
from scenarios.redelivery.retries import Tally

STREAM: Final = "redelivery"
JOURNAL: Final = "faults.jsonl"
_MOST_PROBLEMS: Final = 20


@dataclass(frozen=True)
class Verdict:
    """How often what failed, and what is wrong.

    Attributes:
        tallies: faults, kind by kind.
        calls: calls in all, by operation.
        problems: sentences; none when all is well.
    """

    tallies: Sequence[Tally]
    calls: Mapping[str, int]
    problems: list[str] = field(default_factory=list)

    @property
    def equal(self) -> bool:
        """Whether every kind of fault came as often as is needed to show anything."""
        return not list(retries.too_few(self.tallies))

    def to_json(self) -> dict[str, Any]:
        faults = [{"operation": t.operation, "kind": t.kind, "injected": t.injected} for t in self.tallies]
        return {"faults": faults, "calls": dict(self.calls), "equal": self.equal}

    def table(self) -> Table:
        """What was injected."""
        table = Table("Operation", "Fault", "Injected", "Calls", box=SIMPLE_HEAD)
        table.title, table.title_justify = "Faults", "left"
        for column in table.columns[2:]:
            column.justify = "right"
        before = ""
        for tally in self.tallies:
            first = tally.operation != before
            calls = f"{self.calls.get(tally.operation, 0):,}" if first else ""
            table.add_row(tally.operation if first else "", tally.kind, f"{tally.injected:,}", calls)
            before = tally.operation
        return table


class Redelivery(DeclaredScenario):
    """Implements `pipelines.cli.plugins.Scenario`."""

    name = "redelivery"
    summary = (
        "PutRecords, GetRecords, PutObject and the function fail on a seeded schedule; every record is accounted for"
    )
    delivery_streams = ("redelivery",)
    default_records = retries.FULL

    def __init__(self) -> None:
        super().__init__(Path(__file__).parent)
        self._faults: Faults | None = None

    def invoker(self, function_arn: str) -> Any:
        """Calls handler.py in this process, unless a fault is due."""
        return FaultyInvoker(super().invoker(function_arn))

    def workload(self, count: int | None, seed: int) -> Workload:
        """What to put."""
        return make_workload(count, seed)

    @contextmanager
    def disturbed(self, workload: Workload, seed: int) -> Iterator[None]:
        """The faults of `seed`."""
        self._faults = Faults.of(seed)
        with in_force(self._faults):
            yield

    def observe(self, pages: Any, folder: Path) -> None:
        """Has the journal of faults kept in `folder`."""
        if self._faults is not None:
            self._faults.journal.keep(folder / JOURNAL)

    def verify(self, workload: Workload, deliveries: Mapping[str, Delivery], folder: Path) -> Verdict:
        """Holds every record's end against what the journal says it must be, and the retries against the faults."""
        journal: list[Line] = [json.loads(line) for line in (folder / JOURNAL).read_bytes().splitlines()]
        entries, s3 = deliveries["redelivery"].entries, client("s3")
        held = stream_records(client("kinesis"), STREAM)
        number_of_retries, function_arn = self._processor()
        met = batches(journal, number_of_retries)
        fates = {record.id: fate(record.data, f"{record.sequence_number}000000", met) for record in held}
        data = {record.id: record.data for record in held}
        tallies = retries.tallies(journal, len(workload))
        problems = [
            *retries.too_few(tallies),
            *checks.stream(held, (record.data for record in workload.records())),
            *met.problems,
            *checks.outcomes(entries, fates),
            *checks.lines(s3, entries, fates),
            *checks.error_objects(s3, entries, fates, data, function_arn),
            *checks.backup(s3, entries, held),
            *retries.put_records(journal, len(workload)),
            *retries.put_objects(journal),
            *retries.get_records(journal, _last(held)),
        ]
        objects = deliveries["redelivery"].objects
        problems += audit(s3, objects, {written.bucket for written in objects})
        if len(problems) > _MOST_PROBLEMS:
            problems[_MOST_PROBLEMS:] = [f"and {len(problems) - _MOST_PROBLEMS:,} more"]
        calls: dict[str, int] = {}
        for line in journal:
            calls[line["operation"]] = calls.get(line["operation"], 0) + 1
        return Verdict(tallies, calls, problems)

    def _processor(self) -> tuple[int, str]:
        """NumberOfRetries and LambdaArn, as they are declared."""
        request = json.loads((self.folder / "aws" / "60-firehose.create_delivery_stream.json").read_text("utf-8"))
        (processor,) = request["ExtendedS3DestinationConfiguration"]["ProcessingConfiguration"]["Processors"]
        given = {each["ParameterName"]: each["ParameterValue"] for each in processor["Parameters"]}
        return int(given["NumberOfRetries"]), given["LambdaArn"]


def _last(held: Sequence[StreamRecord]) -> dict[str, str]:
    return {record.shard_id: record.sequence_number for record in held}


scenario = Redelivery()
