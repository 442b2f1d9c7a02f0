"""Applications by AWS's request: what is taken of it, and what is refused (C1, C2, C14)."""

import copy
import json

import pytest

from pipelines.analytics.sql.application import Output, parse_application
from pipelines.analytics.sql.job import SqlJob
from pipelines.kinesis.page import make_page
from pipelines.runtime.errors import ConfigurationError

ROLE = "arn:aws:iam::000000000000:role/analytics"
STREAM = "arn:aws:kinesis:us-east-1:000000000000:stream/ticks"
FUNCTION = "arn:aws:lambda:us-east-1:000000000000:function:alarm"
REQUEST = {
    "ApplicationName": "ticks",
    "ApplicationCode": (
        'CREATE STREAM "OUT" (p DOUBLE); CREATE PUMP "P" AS INSERT INTO "OUT" SELECT STREAM price FROM "IN_001"'
    ),
    "Inputs": [
        {
            "NamePrefix": "IN",
            "KinesisStreamsInput": {"ResourceARN": STREAM, "RoleARN": ROLE},
            "InputSchema": {
                "RecordFormat": {
                    "RecordFormatType": "JSON",
                    "MappingParameters": {"JSONMappingParameters": {"RecordRowPath": "$"}},
                },
                "RecordEncoding": "UTF-8",
                "RecordColumns": [
                    {"Name": "PRICE", "Mapping": "$.detail.price", "SqlType": "DOUBLE"},
                    {"Name": "ticker", "SqlType": "VARCHAR(4)"},
                ],
            },
        }
    ],
    "Outputs": [
        {
            "Name": "OUT",
            "LambdaOutput": {"ResourceARN": FUNCTION, "RoleARN": ROLE},
            "DestinationSchema": {"RecordFormatType": "JSON"},
        }
    ],
}  # fmt: skip


def changed(*path, to):
    request = copy.deepcopy(REQUEST)
    at = request
    for member in path[:-1]:
        at = at[member]
    if to is None:
        del at[path[-1]]
    else:
        at[path[-1]] = to
    return request


def test_c1_c2_c14_an_application_by_its_request():
    application = parse_application(REQUEST)
    assert (application.name, application.stream, application.source) == ("ticks", "ticks", "IN_001")
    assert [(field.name, field.type.name) for field in application.fields] == [
        ("PRICE", "DOUBLE"),
        ("ticker", "VARCHAR"),
    ]
    assert application.outputs == (Output("OUT", "lambda", FUNCTION),)


def test_c4_c5_a_page_becomes_rows_by_the_mapping():
    records = [{"detail": {"price": 3}, "ticker": "A"}, {"ticker": None}, {"detail": {"price": "x"}}]
    data = [json.dumps(record).encode() for record in records]
    page = make_page("shard-0", data, ["k1", "k2", "k3"], ["7", "8", "9"], [100, 200, 300])
    rows, errors = parse_application(REQUEST).format.parse(page)
    assert [tuple(row.values()) for row in rows.to_pylist()] == [
        ("k1", 100, "shard-0", "7", 0, 3.0, "A"),
        ("k2", 200, "shard-0", "8", 0, None, None),
    ]
    assert [(error.name, error.rowtime_ms, error.place) for error in errors] == [("COERCION", 300, ("shard-0", "9", 0))]


INPUT = ("Inputs", 0)
SCHEMA = (*INPUT, "InputSchema")


@pytest.mark.parametrize(
    ("path", "to", "message"),
    [
        (("ApplicationName",), None, 'Missing required parameter in input: "ApplicationName"'),
        (("Unknown",), 1, "Unknown parameter in input"),
        (("ApplicationName",), "a name with blanks", "Member must satisfy regular expression pattern"),
        (("Inputs",), [], "has 0 Inputs, and needs one"),
        ((*INPUT, "KinesisStreamsInput"), None, "The input is no Kinesis stream"),
        ((*INPUT, "InputParallelism"), {"Count": 2}, "InputParallelism"),
        (
            (*INPUT, "InputProcessingConfiguration"),
            {"InputLambdaProcessor": {"ResourceARN": FUNCTION, "RoleARN": ROLE}},
            "InputProcessingConfiguration",
        ),
        ((*SCHEMA, "RecordFormat"), {"RecordFormatType": "CSV"}, "Records of CSV"),
        ((*SCHEMA, "RecordEncoding"), "UTF-16", "Member must satisfy regular expression pattern: UTF-8"),
        ((*SCHEMA, "RecordColumns", 0, "Mapping"), "$.detail[0]", r"The Mapping '\$.detail\[0\]' of column PRICE"),
        ((*SCHEMA, "RecordColumns", 0, "SqlType"), "MONEY", "of column PRICE"),
        ((*SCHEMA, "RecordColumns", 1, "Name"), "PRICE", "RecordColumns has a name twice"),
        (("Outputs", 0, "LambdaOutput"), None, "The output OUT has 0 destinations"),
        (("Outputs", 0, "DestinationSchema"), {"RecordFormatType": "CSV"}, "another DestinationSchema"),
    ],
)  # fmt: skip
def test_requests_that_are_refused(path, to, message):
    with pytest.raises(ConfigurationError, match=message):
        parse_application(changed(*path, to=to))


def test_c14_an_output_is_of_a_stream_that_is_filled():
    application = parse_application(changed("Outputs", 0, "Name", to="MISSING"))
    with pytest.raises(ConfigurationError, match="The output MISSING is no stream that a pump"):
        SqlJob.of(application, application.code, lambda arn: None)


def test_rows_of_streams_that_nothing_takes_are_kept():
    application = parse_application(REQUEST)
    assert SqlJob.of(application, application.code, lambda arn: None).kept == ["error_stream"]
    without = parse_application(changed("Outputs", to=None))
    code = REQUEST["ApplicationCode"] + '; CREATE STREAM "NEXT" (p DOUBLE);'
    code += 'CREATE PUMP "Q" AS INSERT INTO "NEXT" SELECT STREAM p FROM "OUT"'
    assert SqlJob.of(without, code, lambda arn: None).kept == ["error_stream", "NEXT"]


def test_the_watermark_follows_the_earliest_of_the_windows_columns_and_the_arrival():
    columns = [{"Name": name, "SqlType": "TIMESTAMP"} for name in ("FIRST", "OTHER", "SECOND")]
    record_format = parse_application(changed(*SCHEMA, "RecordColumns", to=columns)).format
    records = [{"FIRST": 70, "OTHER": 1, "SECOND": 60}, {"FIRST": 900, "SECOND": 800}, {"SECOND": "never"}]
    data = [*(json.dumps(record).encode() for record in records), b"no JSON", b"[]"]
    page = make_page("shard-0", data, ["k"] * 5, list("12345"), [100, 200, 300, 400, 500])
    event_time = record_format.source_time((0, 2), slack_ms=20)
    assert event_time.slack_ms == 20
    assert event_time.times_ms(page).to_pylist() == [60, 200, 300, 400, 500]
