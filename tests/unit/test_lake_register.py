"""RegisterPartitions on a real Beam runner, against Glue on loopback."""

import apache_beam as beam
import pytest
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from apache_beam.testing.util import assert_that, equal_to
from lake_server import LakeServer, table_input

from pipelines.firehose.chunk import DeliveredObject
from pipelines.lake.catalog import Partition, create_database, create_table, list_partitions
from pipelines.lake.register import RegisterPartitions
from pipelines.runtime.errors import NotFoundError

pytest_plugins = ("lake_server",)


def delivered(key: str, bucket: str = "lake") -> DeliveredObject:
    return DeliveredObject("data", bucket, key, 1, 1, 1, "size", ())


def run(keys: list[str], expected: list[Partition]) -> None:
    with beam.Pipeline(FnApiRunner()) as pipeline:
        objects = pipeline | beam.Create([delivered(key) for key in keys])
        registered = objects | RegisterPartitions("flights_db", "flights")
        assert_that(registered, equal_to(expected))


@pytest.fixture
def _database(lake: LakeServer) -> None:
    create_database(lake.glue, {"DatabaseInput": {"Name": "flights_db"}})


@pytest.mark.usefixtures("_database")
def test_each_partition_is_registered_and_comes_out_once(lake: LakeServer) -> None:
    table = create_table(lake.glue, table_input({"n": "int"}, {"hr": "int"}))
    keys = ["flights/hr=1/a", "flights/hr=1/b", "flights/hr=2/a", "flights-errors/hr=3/a", "flights/a"]
    expected = [Partition((hour,), f"s3://lake/flights/hr={hour}/") for hour in ("1", "2")]
    run(keys, expected)
    run(keys, expected)  # after a restart Glue has them already
    assert sorted(list_partitions(lake.glue, table), key=lambda one: one.values) == expected


@pytest.mark.usefixtures("_database")
def test_a_table_without_partition_keys_has_nothing_to_register(lake: LakeServer) -> None:
    create_table(lake.glue, table_input({"n": "int"}))
    run(["flights/hr=1/a"], [])


@pytest.mark.usefixtures("_database")
def test_a_missing_table_fails_the_pipeline_and_names_the_fix() -> None:
    with pytest.raises(NotFoundError, match=r"(?s)flights_db\.flights does not exist.*create-table"):
        run(["flights/hr=1/a"], [])
