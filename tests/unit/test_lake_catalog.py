"""The catalog: partitions from keys, and registration that may happen any number of times."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lake_server import LakeServer, table_input

from pipelines.lake.catalog import (
    Partition,
    PartitionRegistrar,
    create_database,
    create_table,
    get_table,
    list_partitions,
    list_tables,
    partition_of,
    register_partition,
)
from pipelines.lake.location import Location
from pipelines.runtime.errors import ConfigurationError, NotFoundError

pytest_plugins = ("lake_server",)

COLUMNS = {"carrier": "string", "dep_delay": "double"}
KEYS = {"Year": "int", "dt": "string"}


def unregistered(location: str = "s3://lake/flights", keys: dict[str, str] = KEYS) -> dict[str, Any]:
    return table_input(COLUMNS, keys, location=location)["TableInput"]


@pytest.fixture
def table(lake: LakeServer) -> dict[str, Any]:
    create_database(lake.glue, {"DatabaseInput": {"Name": "flights_db"}})
    return create_table(lake.glue, table_input(COLUMNS, KEYS))


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("flights/year=2013/dt=01-02/a.parquet", ("2013", "01-02")),
        ("flights/YEAR=2013/Dt=x/deeper/still/a.parquet", ("2013", "x")),
        ("flights/year=2013/dt=10%3A30%25/a", ("2013", "10:30%")),
        ("flights/%79ear=2013/dt=x/a", ("2013", "x")),
        ("flights/year=2013/dt=a=b/a", ("2013", "a=b")),
        ("flights/year=2013/dt=/a", ("2013", "")),
        ("flights/dt=01/year=2013/a", None),
        ("flights/year=2013/a", None),
        ("flights/2013/01/a", None),
        ("flights-errors/year=2013/dt=x/a", None),
        ("other/year=2013/dt=x/a", None),
        ("flights/hour=1/year=2013/dt=x/a", None),
    ],
)
def test_partition_of_reads_the_folders_below_the_location(key: str, expected: tuple[str, ...] | None) -> None:
    found = partition_of(unregistered(), "lake", key)
    assert (found.values if found else None) == expected


def test_partition_of_knows_neither_other_buckets_nor_tables_without_keys() -> None:
    key = "flights/year=2013/dt=x/a"
    assert partition_of(unregistered(), "other", key) is None
    assert partition_of(unregistered(keys={}), "lake", key) is None


def test_partition_location_is_the_folder_as_it_is_spelled_in_the_key() -> None:
    found = partition_of(unregistered(), "lake", "flights/Year=2013/dt=10%3A30/x/a")
    assert found == Partition(("2013", "10:30"), "s3://lake/flights/Year=2013/dt=10%3A30/")


_FOLDER = st.text(st.characters(codec="ascii", exclude_characters="/%"), min_size=1)


@given(_FOLDER, _FOLDER, st.text(st.characters(codec="utf-8", exclude_characters="/"), min_size=1))
def test_partition_of_any_values_is_their_values(year: str, dt: str, name: str) -> None:
    found = partition_of(unregistered(), "lake", f"flights/year={year}/dt={dt}/{name}")
    assert found is not None
    assert found.values == (year, dt)


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("s3://lake/a/b", ("lake", "a/b")),
        ("s3a://lake", ("lake", "")),
        ("s3n://s3n/s3n?x#y", ("s3n", "s3n?x#y")),
    ],
)
def test_location_parses_hive_uris(uri: str, expected: tuple[str, str]) -> None:
    assert Location.parse(uri) == Location(*expected)


@pytest.mark.parametrize("uri", ["lake/a", "https://lake/a", "s3:///a", ""])
def test_location_refuses_what_is_not_on_s3(uri: str) -> None:
    with pytest.raises(ConfigurationError, match="no S3 location"):
        Location.parse(uri)


def test_creating_twice_is_creating_once(lake: LakeServer, table: dict[str, Any]) -> None:
    create_database(lake.glue, {"DatabaseInput": {"Name": "flights_db"}})
    assert create_table(lake.glue, table_input(COLUMNS, KEYS)) == table
    assert list_tables(lake.glue, "flights_db") == ["flights"]


@pytest.mark.parametrize(
    ("request_", "differing"),
    [
        (table_input({"carrier": "string"}, KEYS), "Columns"),
        (table_input(COLUMNS, KEYS, location="s3://lake/elsewhere/"), "Location"),
        (table_input(COLUMNS), "PartitionKeys"),
    ],
)
@pytest.mark.usefixtures("table")
def test_creating_another_table_of_the_same_name_is_refused(
    lake: LakeServer, request_: dict[str, Any], differing: str
) -> None:
    with pytest.raises(ConfigurationError, match=f"exists with other {differing}\\."):
        create_table(lake.glue, request_)


@pytest.mark.usefixtures("table")
def test_a_missing_table_or_database_is_named_with_what_there_is(lake: LakeServer) -> None:
    with pytest.raises(NotFoundError, match=r"database flights_db has flights\..*create-table"):
        get_table(lake.glue, "flights_db", "fligths")
    with pytest.raises(NotFoundError, match=r"there is no database nowhere, there are flights_db\."):
        get_table(lake.glue, "nowhere", "flights")
    with pytest.raises(NotFoundError):
        create_table(lake.glue, table_input(COLUMNS) | {"DatabaseName": "nowhere"})


def test_a_partition_is_stored_as_its_table_is(lake: LakeServer, table: dict[str, Any]) -> None:
    partition = Partition(("2013", "01"), "s3://lake/flights/year=2013/dt=01/")
    register_partition(lake.glue, table, partition)
    register_partition(lake.glue, table, partition)
    (there,) = lake.glue.get_partitions(DatabaseName="flights_db", TableName="flights")["Partitions"]
    assert there["Values"] == ["2013", "01"]
    assert there["StorageDescriptor"] == table["StorageDescriptor"] | {"Location": partition.location}


def test_registration_from_many_threads_makes_each_partition_once(lake: LakeServer, table: dict[str, Any]) -> None:
    partitions = [Partition(("2013", str(day)), f"s3://lake/flights/year=2013/dt={day}/") for day in range(5)]
    workers = [PartitionRegistrar(lake.glue, table) for _ in range(2)]
    with ThreadPoolExecutor(8) as pool:
        jobs = [(worker, partition) for partition in partitions * 6 for worker in workers]
        first = list(pool.map(lambda job: job[0].register(job[1]), jobs))
    assert sorted(list_partitions(lake.glue, table), key=lambda one: one.values) == partitions
    assert sum(first) == len(partitions) * len(workers)


def test_registering_in_a_table_that_is_gone_says_so(lake: LakeServer, table: dict[str, Any]) -> None:
    lake.glue.delete_table(DatabaseName="flights_db", Name="flights")
    registrar = PartitionRegistrar(lake.glue, table)
    with pytest.raises(NotFoundError):
        registrar.register(Partition(("2013", "01"), "s3://lake/flights/year=2013/dt=01/"))
