"""The path without Beam: what an engineer would write by hand for this one job, as fast as they can.

A thread a shard: GetRecords with the body decoded directly, pyarrow's JSON reader, Parquet in memory, put_object. No
checkpoint, no retry, no error objects, no lineage, no buffering by time: the upper bound that `hydrant bench path`
holds itself against.
"""

import base64
import io
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import orjson
import pyarrow as pa
import pyarrow.json
import pyarrow.parquet as pq

from pipelines.cli.benchmarks.flights import SCHEMA
from pipelines.runtime.aws import client

FLUSH_BYTES: Final = 64 * 1024 * 1024


def run(stream: str, bucket: str, prefix: str) -> int:
    """Reads every record of `stream` and writes it to Parquet under `prefix`; returns the rows written."""
    kinesis, s3 = client("kinesis"), client("s3")

    def keep_body(response_dict: dict[str, Any], customized_response_dict: dict[str, Any], **_: Any) -> None:
        customized_response_dict["Decoded"] = orjson.loads(response_dict["body"])
        response_dict["body"] = b'{"Records":[],"MillisBehindLatest":0}'

    kinesis.meta.events.register("before-parse.kinesis.GetRecords", keep_body)
    shards = [shard["ShardId"] for shard in kinesis.list_shards(StreamName=stream)["Shards"]]
    with ThreadPoolExecutor(len(shards)) as threads:
        return sum(threads.map(lambda shard: _read_shard(kinesis, s3, stream, shard, bucket, prefix), shards))


def _read_shard(kinesis: Any, s3: Any, stream: str, shard: str, bucket: str, prefix: str) -> int:
    iterator = kinesis.get_shard_iterator(StreamName=stream, ShardId=shard, ShardIteratorType="TRIM_HORIZON")
    at: str | None = iterator["ShardIterator"]
    tables: list[pa.Table] = []
    held = rows = objects = 0
    while at:
        answer = kinesis.get_records(ShardIterator=at, Limit=10_000)["Decoded"]
        at = answer.get("NextShardIterator")
        data = [base64.b64decode(record["Data"]) for record in answer["Records"]]
        if data:
            text = b"\n".join(data)
            options = pa.json.ReadOptions(use_threads=False, block_size=len(text) + 1)
            tables.append(pa.json.read_json(io.BytesIO(text), options, pa.json.ParseOptions(explicit_schema=SCHEMA)))
            held += len(text)
        if held >= FLUSH_BYTES or (tables and not data):
            rows += _write(s3, tables, bucket, f"{prefix}{shard}-{objects}.parquet")
            tables, held, objects = [], 0, objects + 1
        if not data and answer["MillisBehindLatest"] == 0:
            break
    return rows


def _write(s3: Any, tables: list[pa.Table], bucket: str, key: str) -> int:
    table = pa.concat_tables(tables)
    sink = io.BytesIO()
    pq.write_table(table, sink, compression="snappy")
    s3.put_object(Bucket=bucket, Key=key, Body=sink.getvalue())
    return table.num_rows
