"""The audit of a bucket: whatever S3 says otherwise than the receipts is found."""

import json
from dataclasses import replace

import pytest
from lake_server import LakeServer

from pipelines.firehose.chunk import DeliveredObject, ShardLineage
from pipelines.lake.audit import audit

pytest_plugins = ("lake_server",)

SHARDS = (ShardLineage("shardId-000000000000", "1", "2", 2),)
RECEIPT = DeliveredObject("data", "audited", "flights/a", 3, 2, 30, "size", SHARDS)


@pytest.fixture
def _object(lake: LakeServer) -> None:
    lake.s3.create_bucket(Bucket="audited")
    shards = {shard.shard_id: {"first": shard.first, "last": shard.last, "count": shard.count} for shard in SHARDS}
    metadata = {"hydrant-lineage": json.dumps(shards), "hydrant-records": "2"}
    lake.s3.put_object(Bucket="audited", Key="flights/a", Body=b"abc", Metadata=metadata)


@pytest.mark.usefixtures("_object")
def test_receipts_that_say_what_s3_says_are_all_right(lake: LakeServer) -> None:
    assert audit(lake.s3, [RECEIPT], ["audited"]) == []


@pytest.mark.usefixtures("_object")
@pytest.mark.parametrize(
    ("receipts", "said"),
    [
        ([], "is there, but has no receipt"),
        ([RECEIPT, replace(RECEIPT, key="flights/b")], "flights/b has a receipt, but is not there"),
        ([replace(RECEIPT, bytes=4)], "3 bytes, by its receipt 4"),
        ([replace(RECEIPT, records=1)], "2 records, by its receipt 1"),
        ([replace(RECEIPT, shards=(replace(SHARDS[0], last="3"),))], "lineage"),
    ],
)
def test_a_difference_is_a_sentence(lake: LakeServer, receipts: list[DeliveredObject], said: str) -> None:
    (problem,) = audit(lake.s3, receipts, ["audited"])
    assert problem.startswith("s3://audited/flights/")
    assert said in problem


def test_an_empty_bucket_lacks_what_was_delivered(lake: LakeServer) -> None:
    lake.s3.create_bucket(Bucket="audited")
    assert audit(lake.s3, [RECEIPT], ["audited"]) == ["s3://audited/flights/a has a receipt, but is not there"]
