"""An application on Prism from its Kinesis stream to each kind of output (C14, C15)."""

import json
from collections import Counter

import pytest

from pipelines.analytics.sql.application import parse_application
from pipelines.analytics.sql.job import SqlJob
from pipelines.firehose.invoke import InProcessInvoker
from pipelines.kinesis import Record

ROLE = "arn:aws:iam::000000000000:role/analytics"
JSON = {"RecordFormatType": "JSON"}
ACCOUNT = "us-east-1:000000000000"
CODE = """
CREATE OR REPLACE STREAM "ALL" (ticker VARCHAR(4), price DOUBLE);
CREATE OR REPLACE PUMP "A" AS INSERT INTO "ALL" SELECT STREAM ticker, price FROM "SOURCE_SQL_STREAM_001";
CREATE OR REPLACE STREAM "HIGH" (ticker VARCHAR(4), price DOUBLE, at TIMESTAMP);
CREATE OR REPLACE PUMP "B" AS INSERT INTO "HIGH" (price, ticker)
  SELECT STREAM price, ticker FROM "SOURCE_SQL_STREAM_001" WHERE price >= 50;
CREATE OR REPLACE STREAM "COUNTS" (ticker VARCHAR(4), n INTEGER);
CREATE OR REPLACE PUMP "C" AS INSERT INTO "COUNTS"
  SELECT STREAM ticker, COUNT(*) FROM "SOURCE_SQL_STREAM_001"
  GROUP BY ticker, STEP("SOURCE_SQL_STREAM_001".ROWTIME BY INTERVAL '1' SECOND);
"""
HANDLER = """
import base64

def handler(event, context):
    with open("{path}", "ab") as file:
        for record in event["records"]:
            file.write(base64.b64decode(record["data"]) + b"\\n")
    return {{"records": [{{"recordId": record["recordId"], "result": "Ok"}} for record in event["records"]]}}
"""


def request(stream, outputs):
    columns = [("TICKER", "VARCHAR(4)"), ("PRICE", "DOUBLE")]
    return {
        "ApplicationName": "ticks",
        "Inputs": [
            {
                "NamePrefix": "SOURCE_SQL_STREAM",
                "KinesisStreamsInput": {"ResourceARN": f"arn:aws:kinesis:{ACCOUNT}:stream/{stream}", "RoleARN": ROLE},
                "InputSchema": {
                    "RecordFormat": {"RecordFormatType": "JSON"},
                    "RecordColumns": [
                        {"Name": name, "Mapping": f"$.{name.lower()}", "SqlType": kind} for name, kind in columns
                    ],
                },
            }
        ],
        "Outputs": [
            {
                "Name": name,
                kind: {"ResourceARN": arn, "RoleARN": ROLE},
                "DestinationSchema": {"RecordFormatType": "JSON"},
            }
            for name, kind, arn in outputs
        ],
    }


def test_c14_c15_rows_go_to_each_kind_of_output(aws, run, tmp_path):
    kinesis, bucket = aws.kinesis, aws.bucket()
    source, target = kinesis.stream(2), kinesis.stream(1)
    aws.firehose.create_delivery_stream(
        DeliveryStreamName=f"sql-{target}",
        DeliveryStreamType="DirectPut",
        ExtendedS3DestinationConfiguration={"RoleARN": ROLE, "BucketARN": f"arn:aws:s3:::{bucket}"},
    )
    handler = tmp_path / "handler.py"
    handler.write_text(HANDLER.format(path=tmp_path / "seen.jsonl"))
    outputs = [
        ("HIGH", "KinesisStreamsOutput", f"arn:aws:kinesis:{ACCOUNT}:stream/{target}"),
        ("ALL", "KinesisFirehoseOutput", f"arn:aws:firehose:{ACCOUNT}:deliverystream/sql-{target}"),
        ("COUNTS", "LambdaOutput", f"arn:aws:lambda:{ACCOUNT}:function:alarm"),
    ]
    ticks = [{"ticker": "AMZN" if n % 3 else "TGT", "price": float(n)} for n in range(100)]
    placed = kinesis.put(source, [Record(json.dumps(tick).encode(), tick["ticker"]) for tick in ticks])
    placed += kinesis.put(source, [Record(b"no JSON", "AMZN")])
    ends = {}
    for place in placed:
        ends[place.shard_id] = max(ends.get(place.shard_id, place.sequence_number), place.sequence_number, key=int)
    job = SqlJob.of(
        parse_application(request(source, outputs)), CODE, lambda arn: InProcessInvoker(handler, "handler.handler", arn)
    )
    kept = tmp_path / "rows.jsonl"
    run(job.pipeline("TRIM_HORIZON", ends, str(kept)))

    (shard,) = kinesis.open_shards(target)
    iterator = kinesis.client.get_shard_iterator(
        StreamName=target, ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON"
    )["ShardIterator"]
    high = [
        (json.loads(record["Data"]), record["PartitionKey"])
        for record in kinesis.client.get_records(ShardIterator=iterator)["Records"]
    ]
    for ticker in ("AMZN", "TGT"):  # in their order, under the key under which the records came
        expected = [
            {"TICKER": ticker, "PRICE": tick["price"], "AT": None} for tick in ticks[50:] if tick["ticker"] == ticker
        ]
        assert [row for row, key in high if key == ticker] == expected
    lines = [json.loads(line) for key in aws.keys(bucket) for line in aws.body(bucket, key).splitlines()]
    assert Counter(map(str, lines)) == Counter(str({"TICKER": t["ticker"], "PRICE": t["price"]}) for t in ticks)
    counted = Counter()
    for line in (tmp_path / "seen.jsonl").read_text().splitlines():
        counted[json.loads(line)["TICKER"]] += json.loads(line)["N"]
    assert counted == Counter(tick["ticker"] for tick in ticks)
    (error,) = (json.loads(line) for line in kept.read_text().splitlines())
    assert (error["stream"], error["row"]["ERROR_NAME"]) == ("error_stream", "BAD_SCHEMA")


def test_windows_by_a_time_of_the_records_take_what_is_out_of_order(kinesis, run, tmp_path):
    stream = kinesis.stream(1)
    described = request(stream, [])
    described["Inputs"][0]["InputSchema"]["RecordColumns"].append({"Name": "MADE", "SqlType": "TIMESTAMP"})
    code = """
        CREATE STREAM "OUT" (n INTEGER, total DOUBLE);
        CREATE PUMP "P" AS INSERT INTO "OUT" SELECT STREAM COUNT(*), SUM(price)
          FROM "SOURCE_SQL_STREAM_001" GROUP BY STEP(made BY INTERVAL '10' SECOND);
    """
    begin = 1_700_000_000_000
    seconds = [3, 1, 12, 8, 19, 11, 35, 31]

    def tick(second):
        return Record(json.dumps({"price": float(second), "MADE": begin + second * 1000}).encode(), "k")

    placed = kinesis.put(stream, [tick(second) for second in seconds])
    job = SqlJob.of(parse_application(described), code, lambda arn: None, lateness_s=20)
    kept = tmp_path / "rows.jsonl"
    run(job.pipeline("TRIM_HORIZON", {placed[0].shard_id: placed[-1].sequence_number}, str(kept)))
    rows = [json.loads(line) for line in kept.read_text().splitlines()]
    assert [(row["row"]["ROWTIME"][14:19], row["row"]["N"], row["row"]["TOTAL"]) for row in rows] == [
        ("13:30", 3, 12.0), ("13:40", 3, 42.0), ("14:00", 2, 66.0),
    ]  # fmt: skip


@pytest.mark.parametrize("told_to", ["print", "stream"])
def test_c7_b1_a_row_that_the_stream_of_an_output_refuses_is_one_of_the_error_stream(kinesis, run, tmp_path, told_to):
    source, target, errors = kinesis.stream(1), kinesis.stream(1), kinesis.stream(1)
    outputs = [("BIG", "KinesisStreamsOutput", f"arn:aws:kinesis:{ACCOUNT}:stream/{target}")]
    if told_to == "stream":
        outputs.insert(0, ("error_stream", "KinesisStreamsOutput", f"arn:aws:kinesis:{ACCOUNT}:stream/{errors}"))
    described = request(source, outputs)
    described["Inputs"][0]["InputSchema"]["RecordColumns"] = [{"Name": "T", "SqlType": "VARCHAR(500000)"}]
    code = """
        CREATE STREAM "BIG" (t VARCHAR(1500000));
        CREATE PUMP "P" AS INSERT INTO "BIG" SELECT STREAM t || t || t FROM "SOURCE_SQL_STREAM_001";
    """
    rows = [json.dumps({"T": text}).encode() for text in ("x" * 400_000, "small")]
    placed = kinesis.put(source, [Record(row, "a") for row in rows])
    job = SqlJob.of(parse_application(described), code, lambda arn: None)
    kept = tmp_path / "rows.jsonl"
    run(job.pipeline("TRIM_HORIZON", {placed[0].shard_id: placed[-1].sequence_number}, str(kept)))
    assert [json.loads(data) for data in _data(kinesis, target)] == [{"T": "small" * 3}]
    printed = [json.loads(line) for line in kept.read_text().splitlines()] if kept.exists() else []
    if told_to == "stream":
        assert printed == []
        (error,) = map(json.loads, _data(kinesis, errors))
    else:
        (line,) = printed
        assert (line["stream"], _data(kinesis, errors)) == ("error_stream", [])
        error = line["row"]
    assert (error["ERROR_NAME"], error["DATA_ROWTIME"], error["PUMP_NAME"]) == ("OUTPUT_REFUSED", None, "")
    assert error["MESSAGE"].startswith("the output of BIG refuses the row: ValidationException: Data and partition key")
    assert bytes.fromhex(error["DATA_ROW"]) == (b'{"T":"' + b"x" * 400_000)[: 49_152 // 2]


def _data(kinesis, stream):
    (shard,) = kinesis.open_shards(stream)
    iterator = kinesis.client.get_shard_iterator(
        StreamName=stream, ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON"
    )["ShardIterator"]
    return [record["Data"] for record in kinesis.client.get_records(ShardIterator=iterator)["Records"]]
