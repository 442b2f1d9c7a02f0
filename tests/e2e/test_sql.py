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


def request(stream: str, **more: Any) -> dict[str, Any]:
    source = {
        "ResourceARN": f"arn:aws:kinesis:us-east-1:000000000000:stream/{stream}",
        "RoleARN": "arn:aws:iam::000000000000:role/analytics",
    }
    columns = [
        {"Name": "TICKER", "Mapping": "$.ticker", "SqlType": "VARCHAR(4)"},
        {"Name": "PRICE", "Mapping": "$.price", "SqlType": "DOUBLE"},
    ]
    schema = {"RecordFormat": {"RecordFormatType": "JSON"}, "RecordColumns": columns}
    described = {"NamePrefix": "SOURCE_SQL_STREAM", "KinesisStreamsInput": source, "InputSchema": schema}
    return {"ApplicationName": "ticks", "Inputs": [described], **more}


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
