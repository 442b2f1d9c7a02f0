"""What `run`, `deliver` and `bench` have in common: a delivery stream's configuration becomes a Beam pipeline."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import apache_beam as beam

from pipelines.firehose.cloudwatch import PAGES, PublishMetrics
from pipelines.firehose.config import DeliveryStreamConfig, SchemaConfiguration
from pipelines.firehose.delivery import DELIVERED, DeliveryStream
from pipelines.firehose.invoke import BotoInvoker, InProcessInvoker, Invoker
from pipelines.firehose.ledger import WriteLedger
from pipelines.firehose.parse import describe
from pipelines.firehose.schema import TableSchema, table_schema
from pipelines.kinesis import ReadFromKinesis
from pipelines.kinesis.export import ExportPositions
from pipelines.lake.catalog import get_table
from pipelines.lake.register import RegisterPartitions
from pipelines.runtime.aws import client
from pipelines.runtime.errors import ConfigurationError


@dataclass(frozen=True)
class DeliveryJob:
    """A delivery stream that is ready to run.

    Attributes:
        config: from DescribeDeliveryStream.
        schema: from the Glue table its format conversion names; None without conversion.
        invoker: calls its transform function; None without one.
        cloudwatch: whether its metrics are published.
    """

    config: DeliveryStreamConfig
    schema: TableSchema | None
    invoker: Invoker | None
    cloudwatch: bool = False

    def path(
        self,
        start: Any,
        until: Any,
        *,
        ledger: Path | None = None,
        positions: Path | None = None,
        observe: Callable[[Any], None] | None = None,
    ) -> "DeliveryPath":
        """The whole path as a transform of a pipeline: read, process, deliver, register.

        Args:
            start: a starting position of `ReadFromKinesis`.
            until: where `ReadFromKinesis` ends; None for never.
            ledger: a folder for the ledger, or None.
            positions: a folder for the positions reached, or None.
            observe: is given the PCollection of pages, to draw what else they are for.

        Raises:
            ConfigurationError: the delivery stream reads no Kinesis stream.
        """
        if self.config.source is None:
            message = f"Delivery stream {self.config.name} has no Kinesis source."
            raise ConfigurationError(message, fix="create it with DeliveryStreamType KinesisStreamAsSource")
        read = ReadFromKinesis(self.config.source.stream_name, start=start, until=until)
        return DeliveryPath(self, read, ledger, positions, observe)

    def pipeline(
        self, start: Any, until: Any, *, ledger: Path | None = None, positions: Path | None = None
    ) -> Callable[[beam.Pipeline], None]:
        """A function that draws the `path` into a pipeline."""
        path = self.path(start, until, ledger=ledger, positions=positions)

        def build(pipeline: beam.Pipeline) -> None:
            pipeline | self.config.name >> path

        return build


class DeliveryPath(beam.PTransform):
    """A pipeline -> nothing: one delivery stream from Kinesis to Glue; `DeliveryJob.path` makes it."""

    def __init__(
        self,
        job: DeliveryJob,
        read: ReadFromKinesis,
        ledger: Path | None,
        positions: Path | None,
        observe: Callable[[Any], None] | None,
    ) -> None:
        super().__init__()
        self._job = job
        self._read = read
        self._ledger = ledger
        self._positions = positions
        self._observe = observe

    def expand(self, pbegin: Any) -> Any:
        job = self._job
        conversion = job.config.destination.conversion
        pages = pbegin | self._read
        if self._observe is not None:
            self._observe(pages)
        if self._positions is not None:
            pages | ExportPositions(self._positions)
        outcomes = pages | DeliveryStream(
            job.config,
            schema=job.schema,
            invoker=job.invoker,
            tells_of_invocations=self._ledger is not None or job.cloudwatch,
        )
        if conversion is not None:
            table = conversion.schema
            outcomes[DELIVERED] | RegisterPartitions(table.database_name, table.table_name)
        if self._ledger is not None:
            outcomes | WriteLedger(self._ledger)
        if job.cloudwatch:
            {PAGES: pages, **outcomes} | PublishMetrics(job.config.name)
        return outcomes


def load(stream: str, invoker_of: Callable[[str], Invoker] = BotoInvoker, *, cloudwatch: bool = False) -> DeliveryJob:
    """Reads the delivery stream `stream` and its Glue table.

    Args:
        stream: delivery stream name.
        invoker_of: makes the caller of the transform function from its ARN.
        cloudwatch: whether its metrics are published.

    Raises:
        NotFoundError: the delivery stream, the table or the handler's file does not exist.
        ConfigurationError: AWS would refuse the configuration.
    """
    config = describe(client("firehose"), stream)
    s3 = config.destination
    schema = None
    if s3.conversion is not None:
        names = s3.conversion.schema
        _check_schema(names, config)
        schema = table_schema(get_table(client("glue"), names.database_name, names.table_name))
    invoker: Invoker | None = None
    if s3.lambda_processor is not None:
        invoker = invoker_of(s3.lambda_processor.lambda_arn)
    return DeliveryJob(config, schema, invoker, cloudwatch)


def _check_schema(names: SchemaConfiguration, stream: DeliveryStreamConfig) -> None:
    """Refuses what would silently be another schema than the one that is meant (A5.2)."""
    account = stream.arn.split(":")[4]
    for member, given, ours in (
        ("VersionId", names.version_id, "LATEST"),
        ("Region", names.region, stream.region),
        ("CatalogId", names.catalog_id, account),
    ):
        if given not in {None, ours}:
            message = f"Delivery stream {stream.name} asks for a schema of {member} {given!r}; only {ours!r} is there."
            raise ConfigurationError(message, fix=f"set SchemaConfiguration.{member} to {ours!r}, or leave it out")


def in_process(handler: str) -> Callable[[str], Invoker]:
    """Makes callers of `PATH:FUNCTION` in this process, in place of a Lambda function.

    Raises:
        ConfigurationError: `handler` has no colon; from the maker also: there is no such file or function.
    """
    path, _, function = handler.rpartition(":")
    if not path:
        message = f"{handler!r} does not name a handler."
        raise ConfigurationError(message, fix="write PATH:FUNCTION, e.g. handler.py:lambda_handler")
    name = f"{Path(path).stem}.{function}"

    def make(function_arn: str) -> Invoker:
        invoker = InProcessInvoker(Path(path), name, function_arn, timeout_s=60.0)
        invoker.load()  # what is wrong with it is said now, and not when the first record comes
        return invoker

    return make
