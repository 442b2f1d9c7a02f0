"""What `hydrant deliver` says when it cannot deliver, and where the records are when only their function is missing."""

import base64
import json

import pytest
from embedded_aws import LAMBDA, ROLE, Aws, numbered
from hydrant_command import Running, all_ended, assert_one_sentence, hydrant

MISTAKES = {
    "no Kinesis stream": (("sourceless",), ("no-such-stream", "does not exist")),
    "no table": (("tableless",), ("no_such_table", "does not exist")),
    "no colon in the handler": (("flights", "--handler", "handler.py"), ("PATH:FUNCTION",)),
    "no file of the handler": (("flights", "--handler", "no/such/file.py:f"), ("no/such/file.py", "does not exist")),
    "no such function in the file": (("flights", "--handler", f"{__file__}:f"), ("has no function f",)),
    "no runner": (("flights", "--runner", "abacus"), ("abacus",)),
    "no folder for the positions": (("flights", "--positions", "/no/such/file"), ("/no/such/file", "mkdir")),
    "no positions in the file": (("flights", "--positions", __file__), ("is no positions file",)),
}


@pytest.fixture(scope="module")
def ended(aws: Aws) -> dict[str, Running]:
    aws.delivery_stream("sourceless", "no-such-stream")
    schema = {"RoleARN": ROLE, "DatabaseName": "flights_db", "TableName": "no_such_table", "Region": "us-east-1"}
    conversion = {
        "Enabled": True,
        "InputFormatConfiguration": {"Deserializer": {"OpenXJsonSerDe": {}}},
        "OutputFormatConfiguration": {"Serializer": {"ParquetSerDe": {}}},
        "SchemaConfiguration": schema,
    }
    unlike = {"CompressionFormat": "UNCOMPRESSED", "DataFormatConversionConfiguration": conversion}
    aws.delivery_stream("tableless", "flights", **unlike)
    return all_ended({name: ("deliver", *arguments) for name, (arguments, _) in MISTAKES.items()})


@pytest.mark.parametrize("name", MISTAKES)
def test_what_cannot_be_delivered_is_said_in_one_sentence(ended: dict[str, Running], name: str) -> None:
    assert_one_sentence(ended[name], *MISTAKES[name][1], " Fix: ")


def test_a4_10_without_lambda_and_without_a_handler_every_record_is_in_an_error_object(aws: Aws, stream: str) -> None:
    aws.delivery_stream("functionless", stream, ProcessingConfiguration=LAMBDA)
    aws.put(stream, numbered(0, 5))
    with hydrant("deliver", "functionless") as run:
        run.until(lambda: aws.keys("functionless-errors/"), "an error object")
        run.signal()
        assert run.status() == 0
    bodies = b"".join(aws.body(key) for key in sorted(aws.keys("functionless-errors/processing-failed/")))
    failures = [json.loads(line) for line in bodies.splitlines()]
    assert [base64.b64decode(failure["rawData"]) for failure in failures] == [b"%d\n" % n for n in range(5)]
    assert {failure["errorCode"] for failure in failures} == {"Lambda.ResourceNotFound"}
    assert aws.keys("functionless/") == set()
