"""What a run leaves in its folder, and how it is read back; `hydrant trace` and the report are made of it.

streams.json   the delivery streams with their settings and tables, the stream they read, where the services were
put.arrow      the records as they were put: an Arrow IPC stream of `PUT_SCHEMA`, one batch a PutRecords request
ledger/        where each record ended, a folder a delivery stream, see `firehose.ledger`
observed/      what the scenario wanted to know of the pages
run.json       the account, the objects, the answer, and the stages' metrics over time; there when the run has ended
report.html    the same as a page to look at
"""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

import pyarrow as pa

from pipelines.kinesis.put import Placed, Record
from pipelines.lake.catalog import get_table
from pipelines.runtime.aws import client
from pipelines.runtime.clock import Clock
from pipelines.runtime.errors import InvalidDataError, NotFoundError

if TYPE_CHECKING:
    from pipelines.cli.job import DeliveryJob

STREAMS: Final = "streams.json"
PUT: Final = "put.arrow"
RUN: Final = "run.json"
REPORT: Final = "report.html"
LEDGER: Final = "ledger"
OBSERVED: Final = "observed"

PUT_SCHEMA: Final = pa.schema([
    pa.field("data", pa.binary(), nullable=False),
    pa.field("partition_key", pa.string(), nullable=False),
    pa.field("shard_id", pa.string(), nullable=False),
    pa.field("sequence_number", pa.string(), nullable=False),
    pa.field("put_ms", pa.int64(), nullable=False),
])  # fmt: skip
"""`put_ms` is when PutRecords had answered, ms since the epoch."""

_WHERE: Final = ("AWS_ENDPOINT_URL", "AWS_REGION", "AWS_DEFAULT_REGION")
"""Beginnings of the variables that say where services are. Credentials are not kept."""
_STAND_IN: Final = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}


class PutLog:
    """Writes the records that are put to a run's folder, request by request.

    Args:
        folder: of the run.
        clock: says when a request was answered.
    """

    def __init__(self, folder: Path, clock: Clock) -> None:
        options = pa.ipc.IpcWriteOptions(compression="zstd")
        self._writer = pa.ipc.new_stream(str(folder / PUT), PUT_SCHEMA, options=options)
        self._clock = clock

    def add(self, records: Sequence[Record], placed: Sequence[Placed]) -> None:
        """The records of one request, and where each went."""
        at_ms = self._clock.now_ms()
        columns = [
            [record.data for record in records],
            [record.partition_key for record in records],
            [place.shard_id for place in placed],
            [place.sequence_number for place in placed],
            [at_ms] * len(records),
        ]
        self._writer.write_batch(pa.RecordBatch.from_arrays(list(map(pa.array, columns)), schema=PUT_SCHEMA))

    def close(self) -> None:
        self._writer.close()


def keep_streams(
    folder: Path,
    scenario: str,
    target: str,
    stream: str,
    jobs: "Mapping[str, DeliveryJob]",
    began_ms: int,
    results: "Mapping[str, DeliveryJob] | None" = None,
) -> None:
    """Writes `streams.json`.

    Args:
        folder: of the run.
        scenario: its name.
        target: its name.
        stream: the Kinesis stream that all delivery streams read.
        jobs: by delivery stream.
        began_ms: when the run began, ms since the epoch.
        results: the delivery streams of the scenario's results, which read another stream.
    """
    where = {name: value for name, value in sorted(os.environ.items()) if name.startswith(_WHERE)}
    kept = {
        "scenario": scenario,
        "target": target,
        "began_ms": began_ms,
        "stream": stream,
        "where": where,
        "delivery_streams": {name: _described(job) for name, job in jobs.items()},
        "result_streams": {name: _described(job) for name, job in (results or {}).items()},
    }
    (folder / STREAMS).write_text(json.dumps(kept, default=str), encoding="utf-8")


def _begins_like_arrow(path: Path) -> bool:
    """Whether a file is empty, or begins as an Arrow stream does, however short it is."""
    with path.open("rb") as file:
        begin = file.read(4)
    return begin == b"\xff\xff\xff\xff"[: len(begin)]


def _described(job: "DeliveryJob") -> dict[str, Any]:
    conversion = job.config.destination.conversion
    table = None
    if conversion is not None:
        table = get_table(client("glue"), conversion.schema.database_name, conversion.schema.table_name)
    return {"config": asdict(job.config), "table": table}


@dataclass(frozen=True)
class RunFolder:
    """The folder of a run, which may have ended, broken off, or be going on.

    Attributes:
        path: of the folder.
        scenario: which one ran.
        target: where.
        began_ms: when the run began, ms since the epoch.
        stream: the Kinesis stream.
        where: environment variables that say where the services were.
        delivery_streams: by name its "config", as `DeliveryStreamConfig` names things, and its Glue "table" or None.
        result_streams: the same of those that deliver what the scenario's application found.
    """

    path: Path
    scenario: str
    target: str
    began_ms: int
    stream: str
    where: Mapping[str, str]
    delivery_streams: Mapping[str, Mapping[str, Any]]
    result_streams: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path) -> Self:
        """The run that left `path`.

        Raises:
            NotFoundError: no run did.
            InvalidDataError: its files cannot be read.
        """
        try:
            kept = json.loads((path / STREAMS).read_text(encoding="utf-8"))
            return cls(path, **kept)
        except (FileNotFoundError, NotADirectoryError) as error:
            message = f"{path} is not the folder of a run: it has no {STREAMS}."
            raise NotFoundError(message, fix="`hydrant run flights --keep` makes one and says where") from error
        except (OSError, TypeError, ValueError) as error:
            message = f"{path / STREAMS} cannot be read: {error}."
            raise InvalidDataError(message, fix="`hydrant run flights --keep` makes another") from error

    @classmethod
    def latest(cls, runs: Path) -> Self:
        """The run that began last of those under `runs`.

        Raises:
            NotFoundError: there is none.
        """
        found = sorted(runs.glob(f"*/{STREAMS}"), key=lambda path: path.stat().st_mtime)
        if not found:
            message = f"There is no run in {runs}."
            fix = "`hydrant run flights --keep`, or name the folder of a run with --run"
            raise NotFoundError(message, fix=fix)
        return cls.read(found[-1].parent)

    @cached_property
    def put(self) -> pa.Table:
        """The records that were put, in order; of a run that was broken off, those before.

        Raises:
            NotFoundError: they were not kept.
            InvalidDataError: the file is something else.
        """
        batches = []
        try:
            with pa.ipc.open_stream(str(self.path / PUT)) as reader:
                batches.extend(reader)
        except FileNotFoundError as error:
            message = f"{self.path} does not hold the records that were put."
            raise NotFoundError(message, fix=f"`hydrant run {self.scenario} --keep`") from error
        except (OSError, pa.ArrowInvalid) as error:  # cut short: iteration ends with what was whole
            if not batches and not _begins_like_arrow(self.path / PUT):
                message = f"{self.path / PUT} cannot be read: {error}."
                raise InvalidDataError(message, fix=f"`hydrant run {self.scenario} --keep` makes another") from error
        return pa.Table.from_batches(batches, PUT_SCHEMA)

    def ledger(self, delivery_stream: str) -> Path:
        """The folder of the ledger of one delivery stream."""
        return self.path / LEDGER / delivery_stream

    @contextmanager
    def services(self) -> Iterator[None]:
        """While open, the environment leads to the services of the run, unless it leads to stand-ins already."""
        changed = {}
        if any(name.startswith("AWS_ENDPOINT_URL") for name in self.where) and not any(
            name.startswith("AWS_ENDPOINT_URL") for name in os.environ
        ):
            changed = {**self.where, **{name: os.environ.get(name, value) for name, value in _STAND_IN.items()}}
        before = {name: os.environ.get(name) for name in changed}
        os.environ.update(changed)
        try:
            yield
        finally:
            for name, value in before.items():
                os.environ.pop(name) if value is None else os.environ.update({name: value})
