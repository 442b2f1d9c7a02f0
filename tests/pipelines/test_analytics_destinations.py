"""Results on Prism into a Kinesis stream, a delivery stream and a function; reference data from S3."""

import json
from pathlib import Path

import apache_beam as beam
import pyarrow as pa
import pytest
from streams_of_rows import LogBatches, Seen

from pipelines.analytics.destinations import JoinReference, ResultsToDeliveryStream, ResultsToFunction, ResultsToKinesis
from pipelines.analytics.reference import ReferenceData
from pipelines.firehose.invoke import InProcessInvoker
from pipelines.kinesis.put_call import PutRecordsCall
from pipelines.runtime.errors import NotFoundError

ROLE = "arn:aws:iam::000000000000:role/analytics"
HANDLER = '''
import base64, json

def handler(event, context):
    """Refuses each set of records twice, then takes it."""
    hint = event["records"][0]["lambdaDeliveryRecordMetadata"]["retryHint"]
    with open("{path}", "a") as file:
        for record in event["records"]:
            row = json.loads(base64.b64decode(record["data"]))
            file.write(json.dumps([hint, record["recordId"], row]) + "\\n")
    result = "Ok" if hint == 2 else "DeliveryFailed"
    return {{"records": [{{"recordId": record["recordId"], "result": result}} for record in event["records"]]}}
'''


def results(series, count):
    rows = [{"series": series, "event_ms": n * 1000, "value": n / 2, "ANOMALY_SCORE": 0.0} for n in range(count)]
    return pa.RecordBatch.from_pylist(rows)


BATCHES = [results("cpu", 20), results("disk", 30)]
EXPECTED = [row for batch in BATCHES for row in batch.to_pylist()]


def by_series(rows):
    return sorted(rows, key=lambda row: row["series"])  # stable: within a series the order shows


def test_c14_results_are_records_of_a_stream_in_the_order_of_their_series(kinesis, run):
    stream = kinesis.stream(2)
    run(lambda pipeline: pipeline | beam.Create(BATCHES, reshuffle=False) | ResultsToKinesis(stream))
    found, keys = [], set()
    for shard in kinesis.open_shards(stream):
        iterator = kinesis.client.get_shard_iterator(
            StreamName=stream, ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON"
        )["ShardIterator"]
        records = kinesis.client.get_records(ShardIterator=iterator)["Records"]
        found += [json.loads(record["Data"]) for record in records]
        keys |= {(record["PartitionKey"], json.loads(record["Data"])["series"]) for record in records}
    assert by_series(found) == by_series(EXPECTED)
    assert keys == {("cpu", "cpu"), ("disk", "disk")}


@pytest.mark.parametrize(("ordered", "calls"), [(True, 30), (False, 1)])
def test_c14_a_call_has_one_result_of_a_series_or_without_order_all(kinesis, run, monkeypatch, ordered, calls):
    sizes, call = [], PutRecordsCall.__call__
    monkeypatch.setattr(PutRecordsCall, "__call__", lambda self, puts: sizes.append(len(puts)) or call(self, puts))
    stream = kinesis.stream(1)
    batches = [results("cpu", 30)]
    run(lambda pipeline: pipeline | beam.Create(batches) | ResultsToKinesis(stream, ordered=ordered))
    assert (len(sizes), sum(sizes)) == (calls, 30)


def test_c14_results_are_json_lines_in_the_objects_of_a_delivery_stream(aws, run):
    bucket = aws.bucket()
    aws.firehose.create_delivery_stream(
        DeliveryStreamName="anomalies",
        DeliveryStreamType="DirectPut",
        ExtendedS3DestinationConfiguration={"RoleARN": ROLE, "BucketARN": f"arn:aws:s3:::{bucket}"},
    )
    run(lambda pipeline: pipeline | beam.Create(BATCHES, reshuffle=False) | ResultsToDeliveryStream("anomalies"))
    lines = [line for key in aws.keys(bucket) for line in aws.body(bucket, key).splitlines()]
    assert by_series([json.loads(line) for line in lines]) == by_series(EXPECTED)


def test_c14_a_delivery_stream_that_does_not_exist_is_named(aws, run):
    with pytest.raises(NotFoundError, match="delivery stream nowhere"):
        run(lambda pipeline: pipeline | beam.Create(BATCHES) | ResultsToDeliveryStream("nowhere"))


def test_c15_failed_deliveries_to_a_function_are_repeated_until_it_takes_them(run, tmp_path):
    log, path = tmp_path / "seen.jsonl", tmp_path / "handler.py"
    path.write_text(HANDLER.format(path=log))
    invoker = InProcessInvoker(path, "handler.handler", "arn:aws:lambda:us-east-1:000000000000:function:alarm")

    def build(pipeline):
        batches = pipeline | beam.Create(BATCHES, reshuffle=False)
        counts = batches | ResultsToFunction(invoker, "arn:aws:kinesisanalytics:us-east-1:000000000000:application/a")
        counts | beam.CombineGlobally(sum) | beam.Map(lambda total: Path(tmp_path / "total").write_text(str(total)))

    run(build)
    seen = [json.loads(line) for line in log.read_text().splitlines()]
    for hint in range(3):
        assert by_series([row for other, _, row in seen if other == hint]) == by_series(EXPECTED)
    assert len({record_id for _, record_id, _ in seen}) == 50
    assert (tmp_path / "total").read_text() == "50"


def test_c1_reference_data_from_s3_is_joined_by_series(aws, run, tmp_path):
    bucket = aws.bucket()
    aws.s3.put_object(Bucket=bucket, Key="owners.csv", Body=b"metric,owner\ncpu,db team\n")
    reference = ReferenceData(bucket, "owners.csv", "metric", "CSV")
    seen = Seen(tmp_path)

    def build(pipeline):
        joined = pipeline | beam.Create(BATCHES, reshuffle=False) | JoinReference(reference)
        joined | beam.ParDo(LogBatches(str(tmp_path / "joined.jsonl")))

    run(build)
    owners = {"cpu": "db team", "disk": None}
    assert by_series(seen.rows("joined")) == by_series([row | {"owner": owners[row["series"]]} for row in EXPECTED])


def test_c1_reference_data_that_is_not_there_is_named(aws, run):
    reference = ReferenceData(aws.bucket(), "nothing.json", "metric")
    with pytest.raises(NotFoundError, match=r"nothing\.json"):
        run(lambda pipeline: pipeline | beam.Create(BATCHES) | JoinReference(reference))
