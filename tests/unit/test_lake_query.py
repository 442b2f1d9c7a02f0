"""SQL over Glue tables: the answers, what is opened for them, and the bytes that Athena would count (E9)."""

import io
from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from lake_server import LakeServer, table_input

from pipelines.firehose.schema import table_schema
from pipelines.lake.catalog import create_database, create_table, partition_of, register_partition
from pipelines.lake.query import query
from pipelines.lake.scan import WHOLE_BYTES
from pipelines.runtime.errors import ConfigurationError, InvalidDataError, NotFoundError

pytest_plugins = ("lake_server",)

COLUMNS = {"carrier": "string", "flight": "int", "dep_delay": "double"}
KEYS = {"year": "int", "dt": "string"}
DAYS = ("01", "02", "03")


def make_table(lake: LakeServer, columns: dict[str, str], keys: dict[str, str] | None = None, **more: Any) -> Any:
    create_database(lake.glue, {"DatabaseInput": {"Name": "flights_db"}})
    return create_table(lake.glue, table_input(columns, keys, **more))


def put(lake: LakeServer, key: str, rows: pa.Table, **options: Any) -> bytes:
    sink = io.BytesIO()
    pq.write_table(rows, sink, **options)
    lake.s3.put_object(Bucket="lake", Key=key, Body=sink.getvalue())
    return sink.getvalue()


def register(lake: LakeServer, table: Mapping[str, Any], key: str) -> None:
    partition = partition_of(table, "lake", key)
    assert partition is not None
    register_partition(lake.glue, table, partition)


def rows_of(seed: int, count: int = 500) -> pa.Table:
    random = np.random.default_rng(seed)
    return pa.table({
        "carrier": pa.array(random.choice(["UA", "AA", "DL"], count)),
        "flight": pa.array(random.integers(0, 9_999, count), pa.int32()),
        "dep_delay": pa.array(random.normal(10, 30, count)),
    })  # fmt: skip


def compressed(body: bytes, *names: str) -> int:
    """Compressed bytes of the column chunks of `names`, by the footer."""
    footer = pq.ParquetFile(io.BytesIO(body)).metadata
    chunks = [footer.row_group(g).column(c) for g in range(footer.num_row_groups) for c in range(footer.num_columns)]
    return sum(chunk.total_compressed_size for chunk in chunks if chunk.path_in_schema in names)


@pytest.fixture
def bodies(lake: LakeServer) -> dict[str, bytes]:
    """A table of three partitions with two objects each; the bodies by key."""
    table = make_table(lake, COLUMNS, KEYS)
    found: dict[str, bytes] = {}
    for day in DAYS:
        for part in "ab":
            key = f"flights/year=2013/dt={day}/{part}.parquet"
            found[key] = put(lake, key, rows_of(len(found)))
            register(lake, table, key)
    lake.clear()
    return found


def frame(bodies: Mapping[str, bytes]) -> pd.DataFrame:
    parts = [
        pq.read_table(io.BytesIO(body)).to_pandas().assign(year=2013, dt=key[21:23]) for key, body in bodies.items()
    ]
    return pd.concat(parts, ignore_index=True)


def test_sql_equals_pandas_on_the_same_rows(bodies: dict[str, bytes]) -> None:
    ours = query(
        "SELECT carrier, dt, avg(dep_delay) AS mean, count(*) AS n FROM flights_db.flights "
        "WHERE flight > 1000 GROUP BY carrier, dt ORDER BY carrier, dt"
    ).table.to_pandas()
    source = frame(bodies)
    grouped = source[source.flight > 1000].groupby(["carrier", "dt"], as_index=False)
    expected = grouped.agg(mean=("dep_delay", "mean"), n=("dep_delay", "size"))
    pd.testing.assert_frame_equal(ours, expected, check_dtype=False)


@pytest.mark.parametrize(
    ("where", "days"),
    [
        ("dt = '02'", ["02"]),
        ("dt >= '02' AND dt < '03'", ["02"]),
        ("dt IN ('01', '03')", ["01", "03"]),
        ("dt BETWEEN '02' AND '03' AND year = 2013", ["02", "03"]),
        ("dt <> '02'", ["01", "03"]),
        ("dt = '01' OR dt = '02'", ["01", "02"]),
        ("year = 1999", []),
        ("dt = '02' AND carrier = 'UA'", ["02"]),
        ("carrier = 'UA'", list(DAYS)),
    ],
)
def test_a_filter_on_partition_keys_opens_no_object_of_other_partitions(
    lake: LakeServer, bodies: dict[str, bytes], where: str, days: list[str]
) -> None:
    result = query(f"SELECT count(flight) AS n FROM flights_db.flights WHERE {where}")
    wanted = {f"lake/{key}" for key in bodies if key[21:23] in days}
    assert lake.objects_opened() == wanted
    assert result.objects_read == len(wanted)
    assert (result.partitions_read, result.partitions_pruned) == (len(days), len(DAYS) - len(days))
    listed = [path for method, path in lake.requests if method == "GET" and path.strip("/") == "lake"]
    assert len(listed) == len(days)
    source = frame(bodies).query("year != 1999")
    kept = source[source.dt.isin(days) & ((source.carrier == "UA") | ("carrier" not in where))]
    assert result.table["n"].to_pylist() == [len(kept)]


def test_e9_bytes_are_those_of_the_columns_read(bodies: dict[str, bytes]) -> None:
    one = query("SELECT sum(flight) FROM flights_db.flights").data_scanned_bytes
    every = query("SELECT * FROM flights_db.flights").data_scanned_bytes
    assert one == sum(compressed(body, "flight") for body in bodies.values())
    assert every == sum(compressed(body, *COLUMNS) for body in bodies.values())
    assert 0 < one < every < sum(map(len, bodies.values()))


def test_e9_columns_of_a_filter_count_and_partition_keys_cost_nothing(bodies: dict[str, bytes]) -> None:
    filtered = query("SELECT sum(flight) FROM flights_db.flights WHERE carrier = 'UA' AND dt = '01'")
    first = [body for key, body in bodies.items() if "dt=01" in key]
    assert filtered.data_scanned_bytes == sum(compressed(body, "flight", "carrier") for body in first)
    keys = query("SELECT DISTINCT dt FROM flights_db.flights ORDER BY dt")
    assert keys.table["dt"].to_pylist() == list(DAYS)
    assert keys.data_scanned_bytes == 0


def test_e9_a_count_of_rows_reads_one_column(bodies: dict[str, bytes]) -> None:
    result = query("SELECT count(*) AS n FROM flights_db.flights")
    assert result.table["n"].to_pylist() == [3000]
    assert result.objects_read == 6
    assert result.data_scanned_bytes == sum(compressed(body, "carrier") for body in bodies.values())


def test_e9_row_groups_ruled_out_by_their_statistics_do_not_count(lake: LakeServer) -> None:
    make_table(lake, {"n": "bigint"})
    body = put(lake, "flights/a", pa.table({"n": range(4000)}), row_group_size=1000)
    footer = pq.ParquetFile(io.BytesIO(body)).metadata
    result = query("SELECT n FROM flights_db.flights WHERE n >= 2500 AND n < 2600")
    assert result.table.num_rows == 100
    assert result.data_scanned_bytes == footer.row_group(2).column(0).total_compressed_size


def test_e9_a_table_named_twice_counts_twice(bodies: dict[str, bytes]) -> None:
    one = query("SELECT sum(flight) FROM flights_db.flights WHERE dt = '01'")
    two = query(
        "SELECT (SELECT sum(flight) FROM flights_db.flights WHERE dt = '01') + "
        "(SELECT max(flight) FROM flights_db.flights WHERE dt = '02')"
    )
    assert (one.objects_read, two.objects_read) == (2, 4)
    second = [body for key, body in bodies.items() if "dt=02" in key]
    assert two.data_scanned_bytes == one.data_scanned_bytes + sum(compressed(body, "flight") for body in second)


def test_e9_of_a_struct_all_its_leaves_count(lake: LakeServer) -> None:
    make_table(lake, {"place": "struct<lat:double,lon:double>", "n": "int"})
    rows = pa.table({"place": [{"lat": 1.0, "lon": 2.0}] * 3, "n": pa.array([1, 2, 3], pa.int32())})
    body = put(lake, "flights/a", rows)
    result = query("SELECT place FROM flights_db.flights")
    assert result.table["place"].to_pylist() == [{"lat": 1.0, "lon": 2.0}] * 3
    assert result.data_scanned_bytes == compressed(body, "place.lat", "place.lon")


def test_e11_results_keep_glues_types(lake: LakeServer) -> None:
    columns = {
        "b": "boolean", "t": "tinyint", "s": "smallint", "i": "int", "l": "bigint", "f": "float", "d": "double",
        "x": "string", "y": "binary", "at": "timestamp", "on_": "date", "m": "decimal(12,2)", "a": "array<int>",
        "p": "struct<k:string>",
    }  # fmt: skip
    table = make_table(lake, columns, {"day": "date", "hour": "int"})
    values: dict[str, Any] = {
        "b": True, "t": 1, "s": 2, "i": 3, "l": 4, "f": 0.5, "d": 0.25, "x": "x", "y": b"\x00",
        "at": pd.Timestamp("2013-01-01 05:00:00.123"), "on_": date(2013, 1, 1), "m": Decimal("1.50"), "a": [1, None],
        "p": {"k": "v"},
    }  # fmt: skip
    key = "flights/day=2013-01-01/hour=5/a"
    rows = pa.Table.from_pylist([values], schema=table_schema(table).arrow)
    put(lake, key, rows, use_deprecated_int96_timestamps=True)
    register(lake, table, key)
    found = query("SELECT * FROM flights_db.flights").table
    kinds = [
        pa.bool_(), pa.int8(), pa.int16(), pa.int32(), pa.int64(), pa.float32(), pa.float64(), pa.string(),
        pa.binary(), pa.timestamp("ns"), pa.date32(), pa.decimal128(12, 2),
    ]  # fmt: skip
    assert found.schema.types[:12] == kinds
    assert found.schema.types[-2:] == [pa.date32(), pa.int32()]
    assert found.to_pylist() == [values | {"day": date(2013, 1, 1), "hour": 5}]


def test_partition_values_are_compared_as_their_keys_type(lake: LakeServer) -> None:
    table = make_table(lake, {"n": "int"}, {"hr": "int"})
    for hour in ("9", "10", "__HIVE_DEFAULT_PARTITION__"):
        key = f"flights/hr={hour}/a"
        put(lake, key, pa.table({"n": pa.array([1], pa.int32())}))
        register(lake, table, key)
    hours = query("SELECT hr FROM flights_db.flights WHERE hr > 8 ORDER BY hr").table["hr"].to_pylist()
    assert hours == [9, 10]
    null = query("SELECT hr, n FROM flights_db.flights WHERE hr IS NULL")
    assert null.table.to_pylist() == [{"hr": None, "n": 1}]
    assert null.objects_read == 1


def test_a_partition_value_that_is_not_of_its_type_is_reported(lake: LakeServer) -> None:
    table = make_table(lake, {"n": "int"}, {"hr": "int"})
    register(lake, table, "flights/hr=noon/a")
    with pytest.raises(InvalidDataError, match="'noon' is not of the type of partition key hr"):
        query("SELECT * FROM flights_db.flights")


@pytest.mark.parametrize("keys", [None, KEYS])
def test_a_table_without_objects_is_empty_with_its_columns(lake: LakeServer, keys: dict[str, str] | None) -> None:
    make_table(lake, COLUMNS, keys)
    result = query("SELECT * FROM flights_db.flights WHERE flight > 0")
    expected = [pa.string(), pa.int32(), pa.float64()] + ([pa.int32(), pa.string()] if keys else [])
    assert result.table.schema.types == expected
    assert (result.table.num_rows, result.objects_read, result.data_scanned_bytes) == (0, 0, 0)


def test_hidden_and_empty_objects_and_other_folders_are_no_data(lake: LakeServer) -> None:
    make_table(lake, {"n": "int"}, location="s3://lake/flights")
    put(lake, "flights/a", pa.table({"n": pa.array([1], pa.int32())}))
    put(lake, "flights-2/a", pa.table({"n": pa.array([2], pa.int32())}))
    for key in ("flights/_SUCCESS", "flights/.a.crc", "flights/_tmp/a", "flights-errors/a"):
        lake.s3.put_object(Bucket="lake", Key=key, Body=b"not Parquet")
    lake.s3.put_object(Bucket="lake", Key="flights/folder/", Body=b"")
    result = query("SELECT n FROM flights_db.flights")
    assert (result.table["n"].to_pylist(), result.objects_read) == ([1], 1)


def test_columns_that_an_object_does_not_have_are_null(lake: LakeServer) -> None:
    make_table(lake, {"n": "int", "added": "string"})
    put(lake, "flights/a", pa.table({"n": pa.array([1], pa.int32())}))
    assert query("SELECT n, added FROM flights_db.flights").table.to_pylist() == [{"n": 1, "added": None}]


@pytest.mark.usefixtures("bodies")
def test_names_are_found_whatever_their_case_and_in_the_default_database() -> None:
    upper = query("SELECT COUNT(FLIGHT) AS n FROM FLIGHTS_DB.Flights")
    bare = query(
        "WITH late AS (SELECT * FROM flights WHERE true) SELECT count(*) AS n FROM late", database="flights_db"
    )
    assert upper.table["n"].to_pylist() == bare.table["n"].to_pylist() == [3000]


@pytest.mark.usefixtures("bodies")
def test_joins_subqueries_and_unions_find_all_their_tables() -> None:
    joined = query(
        "SELECT count(*) AS n FROM (SELECT DISTINCT carrier FROM flights_db.flights) a "
        "JOIN (SELECT carrier FROM flights_db.flights UNION SELECT 'ZZ') b USING (carrier)"
    )
    assert joined.table["n"].to_pylist() == [3]


def test_a_table_that_does_not_exist_is_named_with_those_that_do(bodies: dict[str, bytes]) -> None:
    assert bodies
    with pytest.raises(NotFoundError, match=r"flights_db\.nope does not exist: database flights_db has flights"):
        query("SELECT * FROM flights_db.nope")
    with pytest.raises(NotFoundError, match="there is no database default, there are flights_db"):
        query("SELECT * FROM flights")
    with pytest.raises(NotFoundError, match="another catalog"):
        query("SELECT * FROM a.b.c")


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("SELEC 1", "syntax error"),
        ("SELECT nope FROM flights_db.flights", 'column "nope" not found'),
        ("SELECT 1; SELECT 2", "One statement"),
        ("DROP TABLE flights_db.flights", "Only a SELECT"),
        ("INSERT INTO flights_db.flights VALUES (1)", "Only a SELECT"),
        ("COPY (SELECT 1) TO '/tmp/x'", "Only a SELECT"),
        ("CREATE TABLE x AS SELECT 1", "Only a SELECT"),
        ("SET threads = 1", "Only a SELECT"),
        ("SELECT * FROM read_text('/etc/hostname')", "disabled"),
        ("", "One statement"),
    ],
)
@pytest.mark.usefixtures("bodies")
def test_what_is_no_query_is_refused_with_a_sentence(sql: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=f"(?i){message}") as caught:
        query(sql)
    assert "\n" not in caught.value.message
    assert caught.value.fix


def test_an_object_that_is_not_parquet_is_named(lake: LakeServer) -> None:
    make_table(lake, {"n": "int"})
    lake.s3.put_object(Bucket="lake", Key="flights/broken", Body=b"PAR1 this is not Parquet")
    with pytest.raises(InvalidDataError, match=r"s3://lake/flights/broken cannot be read"):
        query("SELECT n FROM flights_db.flights")


def test_tables_of_other_formats_are_refused(lake: LakeServer) -> None:
    make_table(lake, {"n": "int"}, serde="org.apache.hadoop.hive.serde2.OpenCSVSerde")
    with pytest.raises(ConfigurationError, match="neither Parquet nor JSON"):
        query("SELECT n FROM flights_db.flights")


def test_e6_partition_projection_is_refused(lake: LakeServer) -> None:
    request = table_input({"n": "int"}, {"hr": "int"})
    request["TableInput"]["Parameters"] = {"projection.enabled": "true"}
    create_database(lake.glue, {"DatabaseInput": {"Name": "flights_db"}})
    create_table(lake.glue, request)
    with pytest.raises(ConfigurationError, match="partition projection"):
        query("SELECT n FROM flights_db.flights")


def test_d10_a_json_table_is_read_whole(lake: LakeServer) -> None:
    serde = "org.openx.data.jsonserde.JsonSerDe"
    table = make_table(lake, {"n": "int", "x": "string"}, {"hr": "int"}, serde=serde)
    body = b'{"n": 1, "x": "a"}\n{"n": 2}{"n": 3}\n'
    for hour in (1, 2):
        key = f"flights/hr={hour}/a"
        lake.s3.put_object(Bucket="lake", Key=key, Body=body)
        register(lake, table, key)
    result = query("SELECT n, x, hr FROM flights_db.flights WHERE hr = 2 ORDER BY n")
    assert result.table.to_pylist() == [
        {"n": 1, "x": "a", "hr": 2}, {"n": 2, "x": None, "hr": 2}, {"n": 3, "x": None, "hr": 2},
    ]  # fmt: skip
    assert (result.data_scanned_bytes, result.objects_read) == (len(body), 1)


@pytest.mark.usefixtures("bodies")
def test_show_and_describe_are_answered_by_the_catalog(lake: LakeServer) -> None:
    def answer(sql: str) -> list[dict[str, Any]]:
        return query(sql, database="flights_db").table.to_pylist()

    assert answer("SHOW DATABASES") == [{"database_name": "flights_db"}]
    assert answer("show tables;") == answer("SHOW TABLES IN flights_db") == [{"tab_name": "flights"}]
    assert answer("SHOW PARTITIONS flights")[0] == {"partition": "year=2013/dt=01"}
    described = answer('DESCRIBE flights_db."flights"')
    assert [row["col_name"] for row in described] == [*COLUMNS, *KEYS]
    assert [row["data_type"] for row in described] == [*COLUMNS.values(), *KEYS.values()]
    assert lake.objects_opened() == set()


@pytest.mark.parametrize("whole_objects", [1_000, 10])
def test_e9_objects_fetched_whole_count_as_those_read_in_parts(
    lake: LakeServer, monkeypatch: pytest.MonkeyPatch, whole_objects: int
) -> None:
    monkeypatch.setattr("pipelines.lake.scan.WHOLE_OBJECTS", whole_objects)
    make_table(lake, COLUMNS)
    small = [put(lake, f"flights/{number:02}", rows_of(number, 20)) for number in range(40)]
    large = put(lake, "flights/large", rows_of(40, 20_000), row_group_size=5_000)
    assert len(large) > WHOLE_BYTES > max(map(len, small))
    lake.clear()
    result = query("SELECT count(*) AS n, sum(flight) AS f FROM flights_db.flights WHERE carrier <= 'ZZ'")
    source = pd.concat([pq.read_table(io.BytesIO(body)).to_pandas() for body in [*small, large]])
    assert result.table.to_pylist() == [{"n": 20_800, "f": int(source.flight.sum())}]
    assert result.objects_read == 41
    assert result.data_scanned_bytes == sum(compressed(body, "flight", "carrier") for body in [*small, large])
    on_small = [path for _, path in lake.requests if path.startswith("/lake/flights/") and "large" not in path]
    assert len(on_small) == (40 if whole_objects > 41 else 80)
    assert len([path for _, path in lake.requests if path.rstrip("/") == "/lake"]) == 1
