"""What a run left, read again by the shortest way: the stream's records and the objects' bodies.

Nothing here goes through the code that is under test: oracles are held against what this returns.
"""

import gzip
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from pipelines.firehose.chunk import DeliveredObject
from pipelines.firehose.ledger import Entry, RecordId
from pipelines.runtime.aws import aws_errors


@dataclass(frozen=True, slots=True)
class StreamRecord:
    """A record as the stream holds it."""

    shard_id: str
    sequence_number: str
    data: bytes

    @property
    def id(self) -> RecordId:
        """As the ledger names it."""
        return self.shard_id, self.sequence_number, 0


def stream_records(kinesis: Any, stream: str) -> list[StreamRecord]:
    """Every record of a stream that nobody writes to any more: shard by shard, in the order of sequence numbers (B5).

    Args:
        kinesis: a boto3 Kinesis client.
        stream: its name; its shards are open.
    """
    found: list[StreamRecord] = []
    with aws_errors(f"Kinesis stream {stream}"):
        for shard in kinesis.list_shards(StreamName=stream)["Shards"]:
            shard_id = shard["ShardId"]
            iterator = kinesis.get_shard_iterator(
                StreamName=stream, ShardId=shard_id, ShardIteratorType="TRIM_HORIZON"
            )["ShardIterator"]
            behind_ms = 1
            while iterator and behind_ms:
                answer = kinesis.get_records(ShardIterator=iterator)
                found += [
                    StreamRecord(shard_id, record["SequenceNumber"], record["Data"]) for record in answer["Records"]
                ]
                iterator = answer.get("NextShardIterator")
                behind_ms = answer["MillisBehindLatest"] or len(answer["Records"])
    return found


def body(s3: Any, written: DeliveredObject) -> bytes:
    """The bytes of an object, without the GZIP around them where its name ends in .gz (A7.9)."""
    with aws_errors(f"s3://{written.bucket}/{written.key}"):
        read: bytes = s3.get_object(Bucket=written.bucket, Key=written.key)["Body"].read()
    return gzip.decompress(read) if written.key.endswith(".gz") else read


def of_kind(entries: Iterable[Entry], *kinds: str) -> list[Entry]:
    """The entries of a ledger whose object is of one of `kinds`, by shard and first sequence number."""
    found = [entry for entry in entries if entry.object is not None and entry.object.kind in kinds]
    return sorted(found, key=lambda entry: min((shard, int(number)) for shard, number, _ in entry.records))
