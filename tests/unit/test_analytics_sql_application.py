"""Applications by AWS's request: what is taken of it, and what is refused (C1, C2, C14)."""

import copy
import json

import boto3
import pytest
from moto import mock_aws

from pipelines.analytics.sql.application import Input, Output, parse_application
from pipelines.analytics.sql.job import SqlJob
from pipelines.kinesis.page import make_page
from pipelines.runtime.errors import ConfigurationError, NotFoundError

ROLE = "arn:aws:iam::000000000000:role/analytics"
STREAM = "arn:aws:kinesis:us-east-1:000000000000:stream/ticks"
DELIVERY = "arn:aws:firehose:us-east-1:000000000000:deliverystream/ticks-delivered"
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
    assert (application.name, application.input, application.source) == ("ticks", Input("kinesis", STREAM), "IN_001")
    assert [(field.name, field.type.name) for field in application.fields] == [
        ("PRICE", "DOUBLE"),
        ("ticker", "VARCHAR"),
    ]
    assert application.outputs == (Output("OUT", "lambda", FUNCTION),)


def of_delivery_stream():
    """The application with a delivery stream as its input."""
    request = changed(*INPUT, "KinesisFirehoseInput", to={"ResourceARN": DELIVERY, "RoleARN": ROLE})
    del request["Inputs"][0]["KinesisStreamsInput"]
    return parse_application(request)


@pytest.fixture
def firehose(monkeypatch):
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_FIREHOSE", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    with mock_aws():
        yield boto3.client("firehose", region_name="us-east-1")


def create(firehose, kind, **source):
    s3 = {"RoleARN": ROLE, "BucketARN": "arn:aws:s3:::lake"}
    firehose.create_delivery_stream(
        DeliveryStreamName="ticks-delivered", DeliveryStreamType=kind, ExtendedS3DestinationConfiguration=s3, **source
    )


def test_c1_a_delivery_stream_as_input_is_read_through_its_kinesis_stream(firehose):
    application = of_delivery_stream()
    assert application.input == Input("firehose", DELIVERY)
    source = {"KinesisStreamARN": STREAM.replace("ticks", "ticks-put"), "RoleARN": ROLE}
    create(firehose, "KinesisStreamAsSource", KinesisStreamSourceConfiguration=source)
    assert SqlJob.of(application, application.code, lambda arn: None).stream == "ticks-put"


def test_c1_a_delivery_stream_that_nobody_can_read_is_refused(firehose):
    application = of_delivery_stream()
    with pytest.raises(NotFoundError, match="Delivery stream ticks-delivered does not exist"):
        SqlJob.of(application, application.code, lambda arn: None)
    create(firehose, "DirectPut")
    with pytest.raises(ConfigurationError, match="ticks-delivered is of the type DirectPut"):
        SqlJob.of(application, application.code, lambda arn: None)


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
        ((*INPUT, "KinesisStreamsInput"), None, "The input has 0 sources, and needs one"),
        ((*INPUT, "KinesisFirehoseInput"), {"ResourceARN": DELIVERY, "RoleARN": ROLE}, "The input has 2 sources"),
        ((*INPUT, "KinesisFirehoseInput"), {"ResourceARN": DELIVERY}, 'Missing required parameter .* "RoleARN"'),
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
    job = SqlJob.of(application, application.code, lambda arn: None)
    assert (job.kept, job.stream) == (["error_stream"], "ticks")
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


@pytest.mark.parametrize("arn", ["arn:x", "arn:aws:lambda:us-east-1:1:function:alarm", FUNCTION.rpartition(":")[0]])
def test_c15_a_lambda_output_without_a_functions_arn_is_refused(arn):
    request = copy.deepcopy(REQUEST)
    request["Outputs"] = [
        {
            "Name": "OUT",
            "LambdaOutput": {"ResourceARN": arn, "RoleARN": ROLE},
            "DestinationSchema": {"RecordFormatType": "JSON"},
        },
    ]
    application = parse_application(request)
    with pytest.raises(ConfigurationError, match="is no function's ARN") as refused:
        SqlJob.of(application, application.code, lambda arn: None)
    assert "arn:aws:lambda:<region>:<account>:function:<name>" in refused.value.fix
    for good in (FUNCTION, f"{FUNCTION}:live"):
        request["Outputs"][0]["LambdaOutput"]["ResourceARN"] = good
        assert SqlJob.of(parse_application(request), application.code, lambda arn: None).kept == ["error_stream"]
