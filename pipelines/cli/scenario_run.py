"""A run of one scenario, from the stand-ins' start to the account: what `hydrant run` does, without its screen."""

import json
import tempfile
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import apache_beam as beam

from pipelines.cli.job import DeliveryJob, load
from pipelines.cli.live import Snapshot
from pipelines.cli.plugins import Scenario, Target
from pipelines.cli.report.data import gather
from pipelines.cli.report.page import page
from pipelines.cli.run_folder import LEDGER, OBSERVED, REPORT, RUN, PutLog, keep_streams
from pipelines.firehose.cloudwatch import flush_all
from pipelines.firehose.invoke import BotoInvoker, Invoker
from pipelines.firehose.ledger import Delivery, RecordId, account, read_ledger
from pipelines.kinesis import StopFile
from pipelines.kinesis.put import MAX_ENTRIES, batches, put_records
from pipelines.kinesis.reader import iter_pages
from pipelines.runtime.aws import aws_errors, client
from pipelines.runtime.clock import Clock
from pipelines.runtime.errors import ConfigurationError
from pipelines.runtime.launch import run_pipeline
from pipelines.runtime.options import HydrantOptions

_PRODUCER_ENDS_WITHIN_S: Final = 5.0
_CALLS: Final = 40


@dataclass
class Progress:
    """A run that is under way, as the screen shows it.

    Attributes:
        total: records that will be put.
        put: records put so far.
        snapshot: the pipeline's metrics.
        first_object_s: seconds from the start to the first data object; None before it.
        put_s: seconds from the start to the last record put; None before it.
        samples: what was known at each look at it: seconds, put, stages.
    """

    total: int
    put: int = 0
    snapshot: Snapshot = field(default_factory=dict)
    first_object_s: float | None = None
    put_s: float | None = None
    samples: list[dict[str, Any]] = field(default_factory=list)

    def note(self, snapshot: Snapshot, seconds: float) -> None:
        """What the pipeline's metrics are `seconds` after the start."""
        self.snapshot = snapshot
        if self.first_object_s is None and snapshot.get("deliver", {}).get("objects", 0):
            self.first_object_s = seconds
        if self.put_s is None and self.put == self.total:
            self.put_s = seconds
        self.samples.append({"seconds": round(seconds, 3), "put": self.put, "stages": snapshot})


@dataclass(frozen=True)
class Report:
    """What a run ended with.

    Attributes:
        deliveries: by delivery stream, where the records ended and what was written.
        verdict: the scenario's own comparison with its oracle.
        folder: what the run left, see `run_folder`.
        seconds: from the start of the run to the last answer.
        first_object_s: seconds from the start of the run until the first data object was seen to be there.
        put_s: seconds from the start of the run until the last record was seen to be put.
    """

    deliveries: Mapping[str, Delivery]
    verdict: Any
    folder: Path
    seconds: float
    first_object_s: float | None
    put_s: float | None

    @property
    def passed(self) -> bool:
        adds_up = all(delivery.account.adds_up for delivery in self.deliveries.values())
        return adds_up and self.verdict.equal and not self.verdict.problems

    def to_json(self) -> dict[str, Any]:
        """The one document of `hydrant run --json`."""
        return {
            "deliveries": {name: delivery.to_json() for name, delivery in self.deliveries.items()},
            "query": self.verdict.to_json(),
            "problems": self.verdict.problems,
            "passed": self.passed,
            "folder": str(self.folder),
            "seconds": round(self.seconds, 3),
            "first_object_seconds": None if self.first_object_s is None else round(self.first_object_s, 3),
            "put_seconds": None if self.put_s is None else round(self.put_s, 3),
        }


class _Producer(threading.Thread):
    """Puts the workload, remembers where each record went, and then tells the source where each shard ends."""

    def __init__(self, stream: str, workload: Any, stop_file: StopFile, progress: Progress, log: PutLog) -> None:
        super().__init__(name="producer", daemon=True)
        self.placed: list[RecordId] = []
        self.error: Exception | None = None
        self._stream = stream
        self._workload = workload
        self._stop_file = stop_file
        self._progress = progress
        self._log = log
        self._cancelled = threading.Event()

    def run(self) -> None:
        try:
            self._put()
        except Exception as error:
            self.error = error
        finally:
            self._log.close()

    def cancel(self) -> None:
        self._cancelled.set()

    def _put(self) -> None:
        kinesis = client("kinesis")
        ends: dict[str, str] = {}
        for batch in batches(self._workload.records(), _batch(len(self._workload))):
            if self._cancelled.is_set():
                return
            places = put_records(kinesis, self._stream, batch)
            self._log.add(batch, places)
            for place in places:
                self.placed.append((place.shard_id, place.sequence_number, 0))
                ends[place.shard_id] = max(ends.get(place.shard_id, "0"), place.sequence_number, key=int)
            self._progress.put = len(self.placed)
        self._stop_file.write(ends)


def _batch(records: int) -> int:
    """How many to put with a call: few of a small workload, so that it takes long enough to see, and to disturb."""
    return max(1, min(MAX_ENTRIES, records // _CALLS))


def _refuse_leftovers(bucket: str) -> None:
    with aws_errors(f"S3 bucket {bucket}"):
        if client("s3").list_objects_v2(Bucket=bucket, MaxKeys=1).get("KeyCount"):
            message = f"Bucket {bucket} holds objects already; a run could not tell its own from them."
            fix = f"`aws s3 rm --recursive s3://{bucket}`, and delete the stream, the delivery stream and the table"
            raise ConfigurationError(message, fix=fix)


def run_scenario(  # noqa: PLR0913 - what differs from run to run
    scenario: Scenario,
    target: Target,
    *,
    count: int | None,
    seed: int,
    options: HydrantOptions,
    folder: Path,
    show: Callable[[Progress, float], None],
    seconds: Callable[[], float],
    clock: Clock,
) -> Report:
    """Runs `scenario` on a target that has started, and accounts for every record.

    Args:
        scenario: what to run.
        target: where its AWS services are; started, and its environment set.
        count: how many of the scenario's records to put; None for all.
        seed: which of them.
        options: the runner.
        folder: for what the run leaves; it exists.
        show: called about five times a second with the progress and the seconds since the start.
        seconds: since the start of the run.
        clock: says when that was.

    Raises:
        HydrantError: anything that keeps the run from ending.
    """
    scenario.provision()
    workload = scenario.workload(count, seed)
    progress = Progress(len(workload))
    invoker = scenario.invoker if target.runs_handlers_in_process else BotoInvoker
    jobs, results = (
        {name: load(name, invoker, cloudwatch=options.cloudwatch) for name in names}
        for names in (scenario.delivery_streams, scenario.result_streams)
    )
    stream = _source_of(jobs)
    began_ms = clock.now_ms() - round(seconds() * 1000)
    keep_streams(folder, scenario.name, target.name, stream, jobs, began_ms, results)
    for bucket in {job.config.destination.bucket for job in (*jobs.values(), *results.values())}:
        _refuse_leftovers(bucket)
    with tempfile.TemporaryDirectory(prefix="hydrant-", ignore_cleanup_errors=True) as own:
        stop_file = StopFile(f"{own}/ends.json")
        producer = _Producer(stream, workload, stop_file, progress, PutLog(folder, clock))

        def tick(snapshot: Snapshot) -> None:
            progress.note(snapshot, seconds())
            if producer.error is not None:
                raise producer.error
            show(progress, progress.samples[-1]["seconds"])

        build = _graph(scenario, jobs, stop_file, folder, invoker)
        with scenario.disturbed(workload, seed):
            producer.start()
            try:
                run_pipeline(build, options, on_tick=tick, children=target.children)
            finally:
                producer.cancel()
                producer.join(_PRODUCER_ENDS_WITHIN_S)
                flush_all()
        if producer.error is not None:
            raise producer.error
    deliveries = {}
    for name in jobs:
        entries = tuple(read_ledger(_ledger(folder, name)))
        deliveries[name] = Delivery(account(producer.placed, entries), entries)
    for name, job in results.items():
        deliveries[name] = _deliver_results(name, job, options, folder)
    verdict = scenario.verify(workload, deliveries, folder / OBSERVED)
    report = Report(deliveries, verdict, folder, seconds(), progress.first_object_s, progress.put_s)
    described = report.to_json() | {"scenario": scenario.name, "seed": seed, "samples": progress.samples}
    (folder / RUN).write_text(json.dumps(described, default=str), encoding="utf-8")
    findings = scenario.findings(folder / OBSERVED)
    (folder / REPORT).write_text(page(gather(report, seed, progress.samples, findings)), encoding="utf-8")
    return report


def _ledger(folder: Path, delivery_stream: str) -> Path:
    return folder / LEDGER / delivery_stream


def _graph(
    scenario: Scenario,
    jobs: Mapping[str, DeliveryJob],
    until: StopFile,
    folder: Path,
    invoker: Callable[[str], Invoker],
) -> Callable[[beam.Pipeline], None]:
    """A function that draws all delivery streams, and the scenario's own application, into one pipeline.

    The scenario sees the pages of the first delivery stream.
    """
    observed = folder / OBSERVED
    observed.mkdir()
    for name in jobs:
        _ledger(folder, name).mkdir(parents=True)

    def build(pipeline: beam.Pipeline) -> None:
        observe: Callable[[Any], None] | None = lambda pages: scenario.observe(pages, observed)  # noqa: E731
        for name, job in jobs.items():
            pipeline | name >> job.path("TRIM_HORIZON", until, ledger=_ledger(folder, name), observe=observe)
            observe = None
        scenario.draw(pipeline, until, observed, invoker)

    return build


def _deliver_results(name: str, job: DeliveryJob, options: HydrantOptions, folder: Path) -> Delivery:
    """Delivers what is in the Kinesis stream of delivery stream `name`, which nobody writes to any more."""
    stream = _source_of({name: job})
    placed: list[RecordId] = []
    with tempfile.TemporaryDirectory(prefix="hydrant-", ignore_cleanup_errors=True) as own:
        stop_file = StopFile(f"{own}/ends.json")
        stop_file.write({"": None})  # every shard ends as soon as nothing is left in it
        for page in iter_pages(stream, until=stop_file):
            names = ("shard_id", "sequence_number", "sub_sequence_number")
            placed += zip(*(page.column(name).to_pylist() for name in names), strict=True)
        ledger = _ledger(folder, name)
        ledger.mkdir(parents=True)
        run_pipeline(job.pipeline("TRIM_HORIZON", stop_file, ledger=ledger), options)
    entries = tuple(read_ledger(ledger))
    return Delivery(account(placed, entries), entries)


def _source_of(jobs: Mapping[str, DeliveryJob]) -> str:
    """The Kinesis stream that all of them read.

    Raises:
        ConfigurationError: they do not read one and the same.
    """
    streams = {job.config.source.stream_name for job in jobs.values() if job.config.source is not None}
    if len(streams) != 1 or any(job.config.source is None for job in jobs.values()):
        message = f"The delivery streams {', '.join(jobs)} do not read one Kinesis stream."
        raise ConfigurationError(message, fix="name the same KinesisStreamARN in each of them")
    return streams.pop()
