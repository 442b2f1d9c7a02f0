"""What the page shows, gathered when a run has ended and the services still answer."""

import io
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import TYPE_CHECKING, Any, Final

from rich.console import Console

from pipelines.cli.run_folder import RunFolder
from pipelines.firehose.chunk import DeliveredObject, binary_size
from pipelines.firehose.errors import FORMAT_CONVERSION_FAILED, PROCESSING_FAILED, parse_line
from pipelines.firehose.invocation import Invocation
from pipelines.firehose.ledger import Account, Delivery
from pipelines.runtime.aws import aws_errors, client
from pipelines.runtime.errors import HydrantError

if TYPE_CHECKING:
    from pipelines.analytics.findings import Findings
    from pipelines.cli.scenario_run import Report

ERRORS: Final = (PROCESSING_FAILED, FORMAT_CONVERSION_FAILED)
_MOST_FAILURES: Final = 12
_MOST_ERROR_OBJECTS: Final = 50


@dataclass(frozen=True)
class StreamPicture:
    """One delivery stream.

    Attributes:
        name: of it.
        account: where the records ended.
        objects: what it wrote.
        invocations: the calls of its function.
        config: its settings, as `DeliveryStreamConfig` names them.
        table: DATABASE.TABLE, or None.
        failures: the first records of its error objects, as `parse_line` reads them.
        note: a sentence where these could not be read.
    """

    name: str
    account: Account
    objects: Sequence[DeliveredObject] = ()
    invocations: Sequence[Invocation] = ()
    config: Mapping[str, Any] = field(default_factory=dict)
    table: str | None = None
    failures: Sequence[Mapping[str, Any]] = ()
    note: str = ""

    def of(self, *kinds: str) -> list[DeliveredObject]:
        """Its objects of these kinds."""
        return [written for written in self.objects if written.kind in kinds]


@dataclass(frozen=True)
class Picture:
    """A run. Times are seconds since it began.

    Attributes:
        scenario: which.
        target: where.
        stream: the Kinesis stream.
        seed: of the workload.
        began_ms: when, ms since the epoch.
        seconds: how long it took.
        first_object_s: when the first data object was seen.
        passed: whether it adds up, and the answer is the expected one.
        problems: sentences.
        verdict: the scenario's own comparison, as text.
        streams: the delivery streams.
        put: when a request was answered, and its records and bytes.
        shards: into how many shards records were put.
        samples: the stages' metrics, see `scenario_run.Progress`.
        findings: what the scenario's application found; None for nothing.
    """

    scenario: str
    target: str
    stream: str
    seed: int
    began_ms: int
    seconds: float
    first_object_s: float | None
    passed: bool
    problems: Sequence[str]
    verdict: str
    streams: Sequence[StreamPicture]
    put: Sequence[tuple[float, int, int]] = ()
    shards: int = 0
    samples: Sequence[Mapping[str, Any]] = ()
    findings: "Findings | None" = None

    def at(self, ms: int) -> float:
        """Seconds since the run began."""
        return (ms - self.began_ms) / 1000


def gather(
    report: "Report", seed: int, samples: Sequence[Mapping[str, Any]], findings: "Findings | None" = None
) -> Picture:
    """The picture of a run that has just ended; error objects are read from S3."""
    run = RunFolder.read(report.folder)
    put = [
        ((batch.column("put_ms")[0].as_py() - run.began_ms) / 1000, batch.num_rows, _data_bytes(batch))
        for batch in run.put.to_batches()
        if batch.num_rows
    ]
    return Picture(
        scenario=run.scenario,
        target=run.target,
        stream=run.stream,
        seed=seed,
        began_ms=run.began_ms,
        seconds=report.seconds,
        first_object_s=report.first_object_s,
        passed=report.passed,
        problems=report.verdict.problems,
        verdict=_as_text(report.verdict.table()),
        streams=[_stream(run, name, delivery) for name, delivery in report.deliveries.items()],
        put=put,
        shards=len(run.put.column("shard_id").unique()),
        samples=samples,
        findings=findings,
    )


def ended(stream: StreamPicture) -> list[tuple[int, int]]:
    """When how many records had come to their end, ms since the epoch: in an object, or dropped; in order of time."""
    found: Counter[int] = Counter()
    for written in stream.of("data", *ERRORS):
        found[written.flushed_ms] += written.records
    for called in stream.invocations:
        found[called.ended_ms] += called.dropped
    return sorted(found.items())


def _data_bytes(batch: Any) -> int:
    return binary_size(batch.column("data"))


def _as_text(renderable: Any) -> str:
    console = Console(file=io.StringIO(), width=88, no_color=True)
    console.print(renderable)
    written: Any = console.file
    return "\n".join(line.rstrip() for line in written.getvalue().splitlines())


def _stream(run: RunFolder, name: str, delivery: Delivery) -> StreamPicture:
    kept = {**run.delivery_streams, **run.result_streams}[name]
    table = kept["table"]
    failures: list[Mapping[str, Any]] = []
    note = ""
    try:
        for failure in _failures([written for written in delivery.objects if written.kind in ERRORS]):
            failures.append(failure)
            if len(failures) == _MOST_FAILURES:
                break
    except HydrantError as error:
        note = error.message
    return StreamPicture(
        name=name,
        account=delivery.account,
        objects=delivery.objects,
        invocations=[entry.invocation for entry in delivery.entries if entry.invocation],
        config=kept["config"],
        table=f"{table['DatabaseName']}.{table['Name']}" if table else None,
        failures=failures,
        note=note,
    )


def _failures(objects: Sequence[DeliveredObject]) -> Iterator[Mapping[str, Any]]:
    """The lines of error objects: of each kind in turn, and of each object one before any has a second."""
    by_kind = [[written for written in objects if written.kind == kind] for kind in ERRORS]
    chosen = [written for pair in zip_longest(*by_kind) for written in pair if written is not None]
    bodies = []
    for written in chosen[:_MOST_ERROR_OBJECTS]:
        with aws_errors(f"s3://{written.bucket}/{written.key}"):
            answer = client("s3").get_object(Bucket=written.bucket, Key=written.key)
            bodies.append((written.kind, answer["Body"].read().splitlines()))
    for turn in range(max((len(lines) for _, lines in bodies), default=0)):
        for kind, lines in bodies:
            if turn < len(lines):
                yield parse_line(lines[turn]) | {"kind": kind}
