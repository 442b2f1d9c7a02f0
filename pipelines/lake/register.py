"""The room's Beam adapter: the partitions of delivered objects are registered in Glue."""

import logging
from collections.abc import Iterator
from typing import Any

import apache_beam as beam
from apache_beam.utils.shared import Shared

from pipelines.firehose.chunk import DeliveredObject
from pipelines.lake.catalog import Partition, PartitionRegistrar, get_table, partition_keys, partition_of
from pipelines.runtime.aws import client

_LOG = logging.getLogger(__name__)


class RegisterPartitions(beam.PTransform):
    """PCollection[DeliveredObject] -> PCollection[Partition]: the partitions of the objects, once Glue has them.

    A partition comes out once a worker process, whoever registered it. An object of a table without partition keys,
    or one that lies in no partition folder (`name=value/`) of the table's location, registers nothing.

    Args:
        database: Glue database.
        table: Glue table.

    Raises:
        NotFoundError: (on the worker) the table does not exist.
    """

    def __init__(self, database: str, table: str) -> None:
        super().__init__()
        self._database = database
        self._table = table

    def expand(self, delivered: Any) -> Any:
        function = _RegisterFn(self._database, self._table)
        return delivered | "Register" >> beam.ParDo(function).with_output_types(Partition)


class _RegisterFn(beam.DoFn):
    def __init__(self, database: str, table: str) -> None:
        self._database = database
        self._table = table
        self._shared = Shared()  # one registrar for all threads of a worker, and not beyond this pipeline
        self._warned = False

    def setup(self) -> None:
        self._registrar: PartitionRegistrar = self._shared.acquire(self._make_registrar)

    def process(self, delivered: DeliveredObject) -> Iterator[Partition]:
        partition = partition_of(self._registrar.table, delivered.bucket, delivered.key)
        if partition is not None:
            if self._registrar.register(partition):
                yield partition
        elif partition_keys(self._registrar.table) and not self._warned:
            self._warned = True
            _LOG.warning(
                "s3://%s/%s is in no partition folder of table %s.%s, so no query will find it: the Prefix of the "
                "delivery stream must begin with the table's Location and have one name=value/ folder a partition key",
                delivered.bucket,
                delivered.key,
                self._database,
                self._table,
            )

    def _make_registrar(self) -> PartitionRegistrar:
        glue = client("glue")
        return PartitionRegistrar(glue, get_table(glue, self._database, self._table))
