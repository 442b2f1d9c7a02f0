"""A run of one scenario, from the stand-ins' start to the account: what `hydrant run` does, without its screen."""

import tempfile
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from pipelines.cli.job import load
from pipelines.cli.live import Snapshot
from pipelines.cli.plugins import Scenario, Target
from pipelines.firehose.chunk import DeliveredObject
from pipelines.firehose.invoke import BotoInvoker
from pipelines.firehose.ledger import Account, RecordId, account, read_ledger
from pipelines.kinesis import StopFile
from pipelines.kinesis.put import batches, put_records
from pipelines.runtime.aws import aws_errors, client
from pipelines.runtime.clock import Clock, SystemClock
from pipelines.runtime.errors import ConfigurationError
from pipelines.runtime.launch import run_pipeline
from pipelines.runtime.options import HydrantOptions

_PRODUCER_ENDS_WITHIN_S: Final = 5.0


@dataclass
class Progress:
    """What the screen shows of a run that is under way.

    Attributes:
        total: records that will be put.
        put: records put so far.
        snapshot: the pipeline's metrics.
        first_object_s: seconds from the start to the first data object; None before it.
        put_s: seconds from the start to the last record put; None before it.
    """

    total: int
    put: int = 0
    snapshot: Snapshot = field(default_factory=dict)
    first_object_s: float | None = None
    put_s: float | None = None


@dataclass(frozen=True)
class Report:
    """What a run ended with.

    Attributes:
        account: where the records ended.
        objects: every object written, in key order.
        verdict: the scenario's own comparison with its oracle.
        seconds: from the start of the run to the last answer.
        first_object_s: seconds from the start of the run until the first data object was seen to be there.
        put_s: seconds from the start of the run until the last record was seen to be put.
    """

    account: Account
    objects: list[DeliveredObject]
    verdict: Any
    seconds: float
    first_object_s: float | None
    put_s: float | None

    @property
    def passed(self) -> bool:
        return self.account.adds_up and self.verdict.equal and not self.verdict.problems

    def to_json(self) -> dict[str, Any]:
        """The one document of `hydrant run --json`."""
        counts = ("put", "delivered", "dropped", "failed", "late", "buffered")
        return {
            "account": {name: getattr(self.account, name) for name in counts}
            | {"lost": len(self.account.lost), "doubled": len(self.account.doubled)},
            "objects": [written.to_json() for written in self.objects],
            "query": self.verdict.to_json(),
            "problems": self.verdict.problems,
            "passed": self.passed,
            "seconds": round(self.seconds, 3),
            "first_object_seconds": None if self.first_object_s is None else round(self.first_object_s, 3),
            "put_seconds": None if self.put_s is None else round(self.put_s, 3),
        }


class _Producer(threading.Thread):
    """Puts the workload, remembers where each record went, and then tells the source where each shard ends."""

    def __init__(self, stream: str, workload: Any, stop_file: StopFile, progress: Progress) -> None:
        super().__init__(name="producer", daemon=True)
        self.placed: list[RecordId] = []
        self.error: Exception | None = None
        self._stream = stream
        self._workload = workload
        self._stop_file = stop_file
        self._progress = progress
        self._cancelled = threading.Event()

    def run(self) -> None:
        try:
            self._put()
        except Exception as error:
            self.error = error

    def cancel(self) -> None:
        self._cancelled.set()

    def _put(self) -> None:
        kinesis = client("kinesis")
        ends: dict[str, str] = {}
        for batch in batches(self._workload.records()):
            if self._cancelled.is_set():
                return
            for place in put_records(kinesis, self._stream, batch):
                self.placed.append((place.shard_id, place.sequence_number, 0))
                ends[place.shard_id] = max(ends.get(place.shard_id, "0"), place.sequence_number, key=int)
            self._progress.put = len(self.placed)
        self._stop_file.write(ends)


def _refuse_leftovers(bucket: str) -> None:
    with aws_errors(f"S3 bucket {bucket}"):
        if client("s3").list_objects_v2(Bucket=bucket, MaxKeys=1).get("KeyCount"):
            message = f"Bucket {bucket} holds objects already; a run could not tell its own from them."
            fix = f"`aws s3 rm --recursive s3://{bucket}`, and delete the stream, the delivery stream and the table"
            raise ConfigurationError(message, fix=fix)


def run_scenario(
    scenario: Scenario,
    target: Target,
    *,
    count: int | None,
    seed: int,
    options: HydrantOptions,
    show: Callable[[Progress, float], None],
    clock: Clock | None = None,
    started_s: float | None = None,
) -> Report:
    """Runs `scenario` on a target that has started, and accounts for every record.

    Args:
        scenario: what to run.
        target: where its AWS services are; started, and its environment set.
        count: how many of the scenario's records to put; None for all.
        seed: which of them.
        options: the runner.
        show: called about twice a second with the progress and the seconds since the start.
        clock: for the seconds.
        started_s: when the run began by `clock.monotonic_s()`; None for now.

    Raises:
        HydrantError: anything that keeps the run from ending.
    """
    clock = clock or SystemClock()
    if started_s is None:
        started_s = clock.monotonic_s()
    scenario.provision()
    workload = scenario.workload(count, seed)
    progress = Progress(len(workload))
    job = load(scenario.delivery_stream, scenario.invoker if target.runs_handlers_in_process else BotoInvoker)
    assert job.config.source is not None  # a scenario reads a Kinesis stream
    _refuse_leftovers(job.config.destination.bucket)
    with tempfile.TemporaryDirectory(prefix="hydrant-", ignore_cleanup_errors=True) as folder:
        stop_file = StopFile(f"{folder}/ends.json")
        producer = _Producer(job.config.source.stream_name, workload, stop_file, progress)

        def tick(snapshot: Snapshot) -> None:
            seconds = clock.monotonic_s() - started_s
            progress.snapshot = snapshot
            if progress.first_object_s is None and snapshot.get("deliver", {}).get("objects", 0):
                progress.first_object_s = seconds
            if progress.put_s is None and progress.put == progress.total:
                progress.put_s = seconds
            if producer.error is not None:
                raise producer.error
            show(progress, seconds)

        producer.start()
        try:
            build = job.pipeline("TRIM_HORIZON", stop_file, ledger=Path(folder))
            run_pipeline(build, options, on_tick=tick, children=target.children)
        finally:
            producer.cancel()
            producer.join(_PRODUCER_ENDS_WITHIN_S)
        if producer.error is not None:
            raise producer.error
        entries = list(read_ledger(Path(folder)))
    objects = sorted((entry.object for entry in entries if entry.object), key=lambda written: written.key)
    counted = account(producer.placed, entries)
    verdict = scenario.verify(workload, counted, objects)
    return Report(counted, objects, verdict, clock.monotonic_s() - started_s, progress.first_object_s, progress.put_s)
