"""`hydrant query`."""

import io
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from lake_server import LakeServer, table_input
from typer.testing import CliRunner

from pipelines.cli.main import app
from pipelines.lake.catalog import create_database, create_table
from pipelines.runtime.errors import ConfigurationError, NotFoundError

pytest_plugins = ("lake_server",)


@pytest.fixture(autouse=True)
def _table(lake: LakeServer) -> None:
    create_database(lake.glue, {"DatabaseInput": {"Name": "flights_db"}})
    create_table(lake.glue, table_input({"n": "int", "x": "string"}))
    sink = io.BytesIO()
    pq.write_table(pa.table({"n": pa.array(range(60), pa.int32()), "x": ["[b]é"] * 60}), sink)
    lake.s3.put_object(Bucket="lake", Key="flights/a", Body=sink.getvalue())


def run(*arguments: str) -> str:
    result = CliRunner().invoke(app, ["query", *arguments], catch_exceptions=False, env={"COLUMNS": "120"})
    assert result.exit_code == 0
    return result.stdout


def test_json_is_one_document_with_all_rows() -> None:
    document = json.loads(run("SELECT n, x FROM flights ORDER BY n", "--database", "flights_db", "--json"))
    assert document["columns"] == [{"name": "n", "type": "int32"}, {"name": "x", "type": "string"}]
    assert document["rows"] == [{"n": n, "x": "[b]é"} for n in range(60)]
    assert document["objects_read"] == document["partitions_read"] == 1
    assert document["data_scanned_bytes"] > 0
    assert document["partitions_pruned"] == 0


def test_a_person_gets_fifty_rows_how_many_there_are_and_what_was_scanned() -> None:
    out = run("SELECT n, x FROM flights_db.flights ORDER BY n")
    assert out.count("[b]é") == 50
    assert "the first 50 of 60 rows" in out
    assert "Data scanned: " in out
    assert "in 1 object\n" in out


def test_few_rows_are_all_shown() -> None:
    out = run("SELECT max(n) AS highest FROM flights_db.flights")
    assert "highest" in out
    assert "59" in out
    assert "\n1 row\n" in out


def test_errors_are_left_to_the_main_command() -> None:
    with pytest.raises(NotFoundError, match=r"flights_db\.nope"):
        run("SELECT * FROM flights_db.nope")
    with pytest.raises(ConfigurationError, match="syntax error"):
        run("SELEC")
