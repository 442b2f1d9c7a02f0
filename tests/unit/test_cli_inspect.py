"""`hydrant inspect`: every kind of object that a delivery stream writes."""

import io
import json
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from lake_server import LakeServer
from typer.testing import CliRunner

from pipelines.cli.main import app
from pipelines.firehose.compress import compress
from pipelines.firehose.errors import Failure, render
from pipelines.runtime.errors import ConfigurationError, InvalidDataError, NotFoundError

pytest_plugins = ("lake_server",)

SHARDS = {"shardId-000000000001": {"first": "495", "last": "499", "count": 5}}
METADATA = {"hydrant-lineage": json.dumps(SHARDS), "hydrant-records": "5", "other": "kept"}


def run(*arguments: str) -> str:
    result = CliRunner().invoke(app, ["inspect", *arguments], catch_exceptions=False, env={"COLUMNS": "160"})
    assert result.exit_code == 0
    return result.stdout


def as_json(*arguments: str) -> Any:
    return json.loads(run(*arguments, "--json"))


def put_parquet(lake: LakeServer, key: str) -> None:
    rows = pa.table({"n": pa.array(range(5), pa.int32()), "at": pa.array([0] * 5, pa.timestamp("ns"))})
    sink = io.BytesIO()
    with pq.ParquetWriter(sink, rows.schema, compression="snappy", use_deprecated_int96_timestamps=True) as writer:
        writer.write_table(rows, row_group_size=3)
        writer.add_key_value_metadata({"made": "by a test"})
    lake.s3.put_object(Bucket="lake", Key=key, Body=sink.getvalue(), Metadata=METADATA)


def failure(raw: bytes) -> bytes:
    return render(
        Failure(
            error_output_type="processing-failed", error_code="Lambda.FunctionError", error_message="It broke.",
            attempts_made=4, raw_data=raw, arrival_ms=1, attempt_ending_ms=2, shard_id="shardId-000000000000",
            sequence_number="1", sub_sequence_number=0, lambda_arn="arn:aws:lambda:us-east-1:123456789012:function:f",
        )
    )  # fmt: skip


def test_parquet_schema_row_groups_metadata_lineage_and_rows(lake: LakeServer) -> None:
    put_parquet(lake, "flights/a.parquet")
    found = as_json("s3://lake/flights/a.parquet", "--rows", "2")
    assert (found["records"], found["shards"], found["metadata"]) == (5, SHARDS, {"other": "kept"})
    content = found["content"]
    assert (content["format"], content["rows"], content["key_values"]) == ("PARQUET", 5, {"made": "by a test"})
    assert content["schema"] == [{"name": "n", "type": "int32"}, {"name": "at", "type": "timestamp[ns]"}]
    assert [(c["path"], c["physical"], c["compression"]) for c in content["columns"]] == [
        ("n", "INT32", "SNAPPY"),
        ("at", "INT96", "SNAPPY"),
    ]
    assert [group["rows"] for group in content["row_groups"]] == [3, 2]
    assert all(group["compressed_bytes"] > 0 for group in content["row_groups"])
    assert [row["n"] for row in content["first_rows"]] == [0, 1]


def test_parquet_for_a_person(lake: LakeServer) -> None:
    put_parquet(lake, "flights/a.parquet")
    out = run("s3://lake/flights/a.parquet")
    for text in ("5 records", "shardId-000000000001", "495", "INT96", "timestamp[ns]", "SNAPPY", "made: by a test"):
        assert text in out


def test_a4_an_error_objects_lines_are_decoded(lake: LakeServer) -> None:
    body = failure(b'{"n": 1}') + failure(b"\xff")
    lake.s3.put_object(Bucket="lake", Key="errors/a", Body=body, Metadata={"hydrant-records": "2"})
    content = as_json("s3://lake/errors/a")["content"]
    assert (content["format"], content["failures"]) == ("ERRORS", 2)
    assert [one["rawData"] for one in content["first_failures"]] == ['{"n": 1}', "base64:/w=="]
    assert content["first_failures"][0]["errorCode"] == "Lambda.FunctionError"
    out = run("s3://lake/errors/a", "--rows", "1")
    assert "2 failed records" in out
    assert out.count("It broke.") == 1


@pytest.mark.parametrize(
    ("compression_format", "extension"),
    [("UNCOMPRESSED", ""), ("GZIP", ".gz"), ("ZIP", ".zip"), ("Snappy", ".snappy"), ("HADOOP_SNAPPY", ".snappy")],
)
def test_a7_9_text_is_decompressed(lake: LakeServer, compression_format: str, extension: str) -> None:
    lake.s3.put_object(Bucket="lake", Key=f"raw/a{extension}", Body=compress(compression_format, b"one\n[b]two\n" * 9))
    content = as_json(f"s3://lake/raw/a{extension}", "--rows", "2")["content"]
    assert content == {
        "format": compression_format, "uncompressed_bytes": 99, "lines": 18, "first_lines": ["one", "[b]two"],
    }  # fmt: skip
    assert "[b]two" in run(f"s3://lake/raw/a{extension}")


def test_a_prefix_lists_what_is_under_it(lake: LakeServer) -> None:
    put_parquet(lake, "flights/hr=1/a.parquet")
    lake.s3.put_object(Bucket="lake", Key="flights/hr=2/b", Body=b"xyz")
    listed = as_json("s3://lake/flights/")
    assert [(one["location"], one["records"], one["shards"]) for one in listed] == [
        ("s3://lake/flights/hr=1/a.parquet", 5, SHARDS),
        ("s3://lake/flights/hr=2/b", None, {}),
    ]
    assert as_json("s3://lake") == as_json("s3://lake/fli") == listed
    out = run("s3://lake/flights/")
    assert "0001: 5" in out
    assert "2 objects" in out


def test_an_empty_object_is_shown_as_such(lake: LakeServer) -> None:
    lake.s3.put_object(Bucket="lake", Key="empty", Body=b"")
    assert as_json("s3://lake/empty")["content"]["lines"] == 0


def test_what_is_not_there_or_broken_is_named(lake: LakeServer) -> None:
    lake.s3.put_object(Bucket="lake", Key="broken", Body=b"PAR1 and nothing more")
    with pytest.raises(NotFoundError, match="no object s3://lake/nope"):
        run("s3://lake/nope")
    with pytest.raises(NotFoundError, match="bucket nowhere"):
        run("s3://nowhere/nope")
    with pytest.raises(ConfigurationError, match="no S3 location"):
        run("lake/nope")
    with pytest.raises(InvalidDataError, match="s3://lake/broken"):
        run("s3://lake/broken")
