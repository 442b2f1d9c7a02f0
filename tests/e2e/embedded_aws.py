"""The stand-ins with what the scenario `flights` declares, and what the tests of `hydrant deliver` ask them.

Objects are read with boto3 and gzip alone.
"""

import gzip
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from scenarios.flights import handler

Position = tuple[str, int]
"""Shard id and sequence number."""

SCENARIO: Final = Path(handler.__file__).parent
BUCKET: Final = "hydrant-flights"
ROLE: Final = "arn:aws:iam::000000000000:role/firehose"
LAMBDA: Final = {
    "Enabled": True,
    "Processors": [
        {
            "Type": "Lambda",
            "Parameters": [
                {
                    "ParameterName": "LambdaArn",
                    "ParameterValue": "arn:aws:lambda:us-east-1:000000000000:function:transform:$LATEST",
                },
                {"ParameterName": "BufferSizeInMBs", "ParameterValue": "1"},
                {"ParameterName": "BufferIntervalInSeconds", "ParameterValue": "1"},
                {"ParameterName": "NumberOfRetries", "ParameterValue": "0"},
            ],
        }
    ],
}
"""A ProcessingConfiguration."""


@dataclass
class Aws:
    """Clients of the stand-ins, and what the tests ask them."""

    kinesis: Any
    s3: Any
    firehose: Any
    glue: Any

    def put(self, stream: str, records: list[tuple[bytes, str]]) -> None:
        entries = [{"Data": data, "PartitionKey": key} for data, key in records]
        assert self.kinesis.put_records(StreamName=stream, Records=entries)["FailedRecordCount"] == 0

    def records(self, stream: str) -> dict[Position, bytes]:
        """Everything that is in the stream."""
        found = {}
        for shard in self.kinesis.list_shards(StreamName=stream)["Shards"]:
            of = {"StreamName": stream, "ShardId": shard["ShardId"], "ShardIteratorType": "TRIM_HORIZON"}
            page = self.kinesis.get_records(ShardIterator=self.kinesis.get_shard_iterator(**of)["ShardIterator"])
            while page["Records"]:
                for record in page["Records"]:
                    found[shard["ShardId"], int(record["SequenceNumber"])] = record["Data"]
                page = self.kinesis.get_records(ShardIterator=page["NextShardIterator"])
        return found

    def keys(self, prefix: str) -> set[str]:
        return {one["Key"] for one in self.s3.list_objects_v2(Bucket=BUCKET, Prefix=prefix).get("Contents", [])}

    def body(self, key: str) -> bytes:
        return self.s3.get_object(Bucket=BUCKET, Key=key)["Body"].read()

    def lines(self, prefix: str) -> Counter[bytes]:
        """The lines of all GZIP objects under `prefix`."""
        return Counter(line for key in self.keys(prefix) for line in gzip.decompress(self.body(key)).splitlines())

    def metadata(self, prefix: str) -> list[dict[str, str]]:
        return [self.s3.head_object(Bucket=BUCKET, Key=key)["Metadata"] for key in sorted(self.keys(prefix))]

    def count(self, prefix: str) -> int:
        """Records in objects, by the objects' own word."""
        return sum(int(metadata["hydrant-records"]) for metadata in self.metadata(prefix))

    def delivery_stream(self, name: str, stream: str, interval_s: int = 1, **changes: Any) -> None:
        """One that writes the records of `stream` as they are, in GZIP objects."""
        destination = {
            "RoleARN": ROLE,
            "BucketARN": f"arn:aws:s3:::{BUCKET}",
            "Prefix": f"{name}/",
            "ErrorOutputPrefix": f"{name}-errors/!{{firehose:error-output-type}}/",
            "BufferingHints": {"SizeInMBs": 64, "IntervalInSeconds": interval_s},
            "CompressionFormat": "GZIP",
        }
        self.firehose.create_delivery_stream(
            DeliveryStreamName=name,
            DeliveryStreamType="KinesisStreamAsSource",
            KinesisStreamSourceConfiguration={
                "KinesisStreamARN": f"arn:aws:kinesis:us-east-1:000000000000:stream/{stream}",
                "RoleARN": ROLE,
            },
            ExtendedS3DestinationConfiguration=destination | changes,
        )


def numbered(first: int, last: int) -> list[tuple[bytes, str]]:
    return [(b"%d\n" % n, "key") for n in range(first, last)]
