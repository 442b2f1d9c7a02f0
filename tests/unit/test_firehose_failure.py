"""Error objects: what is written, what is read back, how they travel (A4, A5.11)."""

import base64
import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.firehose.config import SchemaConfiguration
from pipelines.firehose.errors import DataCatalogTable, Failure, failure_page, parse_line, render
from pipelines.kinesis.page import PAGE_SCHEMA
from pipelines.runtime.errors import InvalidDataError

EVENTS = Path(__file__).parents[1] / "events"
PROCESSING_LINE = (EVENTS / "firehose_processing_failed.json").read_bytes()
CONVERSION_LINE = (EVENTS / "firehose_format_conversion_failed.json").read_bytes()
SEQUENCE_NUMBER = "49606071918085754084961748518444464546381847279259615234"

PROCESSING = Failure(
    error_output_type="processing-failed",
    error_code="Lambda.FunctionError",
    error_message="The Lambda function was successfully invoked but it returned an error result.",
    attempts_made=4,
    raw_data=b'{"carrier":"UA"}\n',
    arrival_ms=1627921286181,
    attempt_ending_ms=1627921366634,
    shard_id="shardId-000000000000",
    sequence_number=SEQUENCE_NUMBER,
    sub_sequence_number=0,
    lambda_arn="arn:aws:lambda:us-east-1:000000000000:function:flights-transform:$LATEST",
)
CONVERSION = Failure(
    error_output_type="format-conversion-failed",
    error_code="DataFormatConversion.MalformedData",
    error_message='Data does not match the schema. For input string: "oops"',
    attempts_made=1,
    raw_data=b'{"delay":"oops"}\n',
    arrival_ms=1789560304000,
    attempt_ending_ms=1789560305000,
    shard_id="shardId-000000000001",
    sequence_number=SEQUENCE_NUMBER,
    sub_sequence_number=0,
    table=DataCatalogTable("000000000000", "flights_db", "flights", "us-east-1", "LATEST"),
)


def test_a4_processing_failed_line_is_awss_to_the_byte() -> None:
    assert render(PROCESSING) == PROCESSING_LINE


def test_a5_11_format_conversion_failed_line_is_awss_to_the_byte() -> None:
    assert render(CONVERSION) == CONVERSION_LINE


def test_a5_11_table_without_catalog_and_region_renders_nulls() -> None:
    schema = SchemaConfiguration(
        role_arn="arn:aws:iam::000000000000:role/r",
        database_name="d",
        table_name="t",
        catalog_id=None,
        region=None,
        version_id="7",
    )
    line = json.loads(render(replace(CONVERSION, table=DataCatalogTable.of(schema))))
    assert line["dataCatalogTable"] == {
        "catalogId": None,
        "databaseName": "d",
        "tableName": "t",
        "region": None,
        "versionId": "7",
        "catalogArn": None,
    }


@pytest.mark.parametrize("failure", [PROCESSING, CONVERSION])
def test_a4_a5_11_a_rendered_line_reads_back(failure: Failure) -> None:
    line = render(failure)
    assert parse_line(line) == {**json.loads(line), "rawData": failure.raw_data}


def test_x1_reader_accepts_both_spellings_of_the_function() -> None:
    other = PROCESSING_LINE.replace(b'"lambdaArn"', b'"lambdaARN"')
    assert other != PROCESSING_LINE
    assert parse_line(other) == parse_line(PROCESSING_LINE)


def test_x2_reader_accepts_both_spellings_of_the_error() -> None:
    other = CONVERSION_LINE.replace(b"lastErrorCode", b"ErrorCode").replace(b"lastErrorMessage", b"ErrorMessage")
    assert parse_line(other)["lastErrorCode"] == "DataFormatConversion.MalformedData"
    assert parse_line(other) == parse_line(CONVERSION_LINE)


def test_a4_reader_accepts_numbers_written_as_text() -> None:
    line = json.loads(PROCESSING_LINE)
    text = {**line, "attemptsMade": "4", "arrivalTimestamp": "1627921286181", "attemptEndingTimestamp": "1627921366634"}
    assert parse_line(json.dumps(text).encode()) == parse_line(PROCESSING_LINE)


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"not json",
        b"[]",
        b'{"errorCode":"x"}',
        b'{"rawData":"*"}',
        b'{"rawData":1}',
        b'{"rawData":"","attemptsMade":"x"}',
    ],
)
def test_a4_what_is_no_error_object_is_refused(line: bytes) -> None:
    with pytest.raises(InvalidDataError):
        parse_line(line)


@given(raw_data=st.binary(max_size=64), message=st.text(max_size=20))
def test_a4_any_record_survives_its_error_object(raw_data: bytes, message: str) -> None:
    line = render(replace(PROCESSING, raw_data=raw_data, error_message=message))
    assert line.count(b"\n") == 1 and line.endswith(b"\n")
    assert base64.b64decode(json.loads(line)["rawData"]) == raw_data
    assert parse_line(line)["rawData"] == raw_data
    assert parse_line(line)["errorMessage"] == message


def test_a4_failures_travel_as_a_page_with_the_records_lineage() -> None:
    page = failure_page([PROCESSING, replace(CONVERSION, sub_sequence_number=5)])
    assert page.schema == PAGE_SCHEMA
    assert page.to_pylist() == [
        {
            "data": PROCESSING_LINE,
            "partition_key": "",
            "sequence_number": SEQUENCE_NUMBER,
            "sub_sequence_number": 0,
            "shard_id": "shardId-000000000000",
            "arrival_ms": 1627921286181,
        },
        {
            "data": render(replace(CONVERSION, sub_sequence_number=5)),
            "partition_key": "",
            "sequence_number": SEQUENCE_NUMBER,
            "sub_sequence_number": 5,
            "shard_id": "shardId-000000000001",
            "arrival_ms": 1789560304000,
        },
    ]


def test_a4_no_failures_are_an_empty_page() -> None:
    assert failure_page([]).num_rows == 0
    assert failure_page([]).schema == PAGE_SCHEMA
