"""`hydrant sql` beside a producer: rows while it runs, a drain at Ctrl-C, and mistakes told in one sentence."""

import json
import signal
from pathlib import Path
from typing import Any

import pytest
from embedded_aws import Aws
from hydrant_command import assert_one_sentence, hydrant

CODE = """
CREATE OR REPLACE STREAM "COUNTS" (ticker VARCHAR(4), n INTEGER, total DOUBLE);
CREATE OR REPLACE PUMP "P" AS INSERT INTO "COUNTS"
  SELECT STREAM ticker, COUNT(*), SUM(price) FROM "SOURCE_SQL_STREAM_001"
  GROUP BY ticker, STEP("SOURCE_SQL_STREAM_001".ROWTIME BY INTERVAL '1' SECOND);
"""


ROLE = "arn:aws:iam::000000000000:role/analytics"


def request(stream: str, **more: Any) -> dict[str, Any]:
    source = {"ResourceARN": f"arn:aws:kinesis:us-east-1:000000000000:stream/{stream}", "RoleARN": ROLE}
    columns = [
        {"Name": "TICKER", "Mapping": "$.ticker", "SqlType": "VARCHAR(4)"},
        {"Name": "PRICE", "Mapping": "$.price", "SqlType": "DOUBLE"},
    ]
    schema = {"RecordFormat": {"RecordFormatType": "JSON"}, "RecordColumns": columns}
    described = {"NamePrefix": "SOURCE_SQL_STREAM", "KinesisStreamsInput": source, "InputSchema": schema}
    return {"ApplicationName": "ticks", "Inputs": [described], **more}


def through(delivery_stream: str) -> dict[str, Any]:
    """The request with a delivery stream as its input."""
    described = request("", ApplicationCode=CODE)
    del described["Inputs"][0]["KinesisStreamsInput"]
    arn = f"arn:aws:firehose:us-east-1:000000000000:deliverystream/{delivery_stream}"
    described["Inputs"][0]["KinesisFirehoseInput"] = {"ResourceARN": arn, "RoleARN": ROLE}
    return described


@pytest.fixture
def application(tmp_path: Path, stream: str) -> Path:
    path = tmp_path / "application.json"
    path.write_text(json.dumps(request(stream, ApplicationCode=CODE)))
    return path


def ticks(*prices: float) -> list[tuple[bytes, str]]:
    return [(json.dumps({"ticker": "AMZN", "price": price}).encode(), "AMZN") for price in prices]


def test_rows_are_printed_while_it_runs_and_open_windows_at_ctrl_c(aws: Aws, stream: str, application: Path) -> None:
    aws.put(stream, ticks(1.0, 2.0))
    with hydrant("sql", "--application", str(application), "--json") as run:
        run.until(lambda: "COUNTS" in run.said, "a row of a window that is over")
        aws.put(stream, ticks(4.0))
        run.until(lambda: len(run.out) >= 2, "the row of the next window")
        aws.put(stream, ticks(8.0))
        run.signal(signal.SIGINT)
        assert run.status() == 0, run.said
    rows = [json.loads(line) for line in "".join(run.out).splitlines()]
    assert {row["stream"] for row in rows} == {"COUNTS"}
    # Reading stopped at some point: what was read is there once, in its order.
    assert sum(row["row"]["N"] for row in rows) in (3, 4)
    assert sum(row["row"]["TOTAL"] for row in rows) in (7.0, 15.0)


def test_c1_a_delivery_stream_is_read_through_its_kinesis_stream(aws: Aws, stream: str, tmp_path: Path) -> None:
    aws.delivery_stream("clicks", stream)
    aws.put(stream, ticks(1.0, 2.0, 4.0))
    (tmp_path / "application.json").write_text(json.dumps(through("clicks")))
    with hydrant("sql", "--application", str(tmp_path / "application.json"), "--json", "--until-now") as run:
        assert run.status() == 0, run.said
    rows = [json.loads(line)["row"] for line in "".join(run.out).splitlines()]
    assert sum(row["N"] for row in rows) == 3
    assert sum(row["TOTAL"] for row in rows) == 7.0


def test_c1_delivery_streams_that_cannot_be_read_are_told_in_one_sentence(aws: Aws, tmp_path: Path) -> None:
    s3 = {"RoleARN": ROLE, "BucketARN": "arn:aws:s3:::hydrant-flights"}
    aws.firehose.create_delivery_stream(DeliveryStreamName="puts", ExtendedS3DestinationConfiguration=s3)
    for name, words in (("puts", ("DirectPut", "KinesisStreamAsSource")), ("nothing", ("nothing does not exist",))):
        (tmp_path / f"{name}.json").write_text(json.dumps(through(name)))
        with hydrant("sql", "--application", str(tmp_path / f"{name}.json")) as run:
            assert_one_sentence(run, *words)


def test_mistakes_are_told_in_one_sentence(stream: str, application: Path, tmp_path: Path) -> None:
    (tmp_path / "join.sql").write_text(CODE.replace("GROUP BY", 'JOIN "OTHER" AS o ON o.a = b GROUP BY'))
    (tmp_path / "nowhere.json").write_text(json.dumps(request("nowhere", ApplicationCode=CODE)))
    (tmp_path / "none.json").write_text(json.dumps(request(stream)))
    (tmp_path / "text.json").write_text("CREATE STREAM")
    for arguments, words in (
        ((str(tmp_path / "join.sql"), "--application", str(application)), ("Line 5: A join", "JoinReference")),
        (("--application", str(tmp_path / "nowhere.json")), ("nowhere",)),
        (("--application", str(tmp_path / "none.json")), ("has no ApplicationCode", "hydrant sql FILE")),
        (("--application", str(tmp_path / "text.json")), ("is no JSON", "create-application")),
    ):
        with hydrant("sql", *arguments) as run:
            assert_one_sentence(run, *words)
