"""Where the stand-ins differ from AWS in the calls that the product makes: one table, which the tests read.

A test that meets a difference asks for its row (`Differences.on`) and asserts that the difference is still there, so a
row that is no longer true fails; a row that no test asks for fails too. docs/integration.md shows the table, and
`python tests/integration/call_differences.py` prints it.
"""

import sys
from dataclasses import dataclass, field
from typing import Final

from targets import EMBEDDED, LOCALSTACK, MOTO


@dataclass(frozen=True)
class Row:
    """One known difference.

    Attributes:
        id: its name.
        targets: where it is met.
        operation: AWS's name of the call.
        aws: what AWS does, with the row of the specification or botocore's service model (BC) that says so.
        stand_in: what the stand-in does.
        so: why it does not matter, or how the product copes.
    """

    id: str
    targets: tuple[str, ...]
    operation: str
    aws: str
    stand_in: str
    so: str


ROWS: Final = (
    Row(
        "even-ranges",
        (LOCALSTACK,),
        "Kinesis CreateStream",
        "the second of two shards begins at 2^127 (B4)",
        "it begins at 2^127 - 1",
        "the reader and the sender take the bounds from ListShards",
    ),
    Row(
        "max-record-size",
        (LOCALSTACK, MOTO),
        "Kinesis DescribeStreamSummary",
        "MaxRecordSizeInKiB, 1024 by default (B1)",
        "no such member",
        "the sender takes 1024 then",
    ),
    Row(
        "largest-hash-key",
        (MOTO,),
        "Kinesis PutRecords",
        "an ExplicitHashKey of 2^128 - 1 goes to the last shard (B3)",
        "HTTP 500",
        "no scenario names hash keys; who needs them takes another target",
    ),
    Row(
        "writes-to-the-closed-parent",
        (MOTO,),
        "Kinesis SplitShard",
        "what is put afterwards goes to the children (B12)",
        "it goes to the closed parent",
        "nobody can cope with that: the scenario `reshard` does not run on moto's Kinesis, which no target of "
        "`hydrant` has",
    ),
    Row(
        "closed-shard-without-end",
        (MOTO,),
        "Kinesis GetRecords",
        "behind the last record of a closed shard there is no NextShardIterator, but ChildShards (B10)",
        "a NextShardIterator for ever, and no ChildShards",
        "as above",
    ),
    Row(
        "no-fan-out",
        (MOTO,),
        "Kinesis SubscribeToShard",
        "an event stream (B14)",
        "HTTP 500",
        "the product says ServiceFaultError; read with GetRecords there",
    ),
    Row(
        "missing-consumer-is-a-fault",
        (LOCALSTACK,),
        "Kinesis SubscribeToShard",
        "ResourceNotFoundException for a consumer that there is not (B14)",
        "InternalError, HTTP 500, with the reason in its message",
        "the product takes it for a fault that may pass, and reports the message when it does not",
    ),
    Row(
        "any-number-of-consumers",
        (MOTO,),
        "Kinesis RegisterStreamConsumer",
        "LimitExceededException for the 21st (B14)",
        "takes it",
        "nobody comes that far there without fan-out",
    ),
    Row(
        "registered-twice",
        (MOTO,),
        "Kinesis RegisterStreamConsumer",
        "ResourceInUseException for a name that is registered (BC)",
        "answers with the consumer that there is",
        "the product takes both for the same: somebody else was first",
    ),
    Row(
        "strange-iterator-is-a-fault",
        (LOCALSTACK, MOTO),
        "Kinesis GetRecords",
        "InvalidArgumentException for what is no iterator (BC)",
        "HTTP 500",
        "the reader passes on only iterators that it was given",
    ),
    Row(
        "any-sequence-number",
        (MOTO,),
        "Kinesis GetShardIterator",
        "InvalidArgumentException for a StartingSequenceNumber that did not come from this stream (BC)",
        "an iterator",
        "the reader compares the first record that comes with the one it asked for",
    ),
    Row(
        "strange-sequence-number-is-not-found",
        (LOCALSTACK,),
        "Kinesis GetShardIterator",
        "InvalidArgumentException for a StartingSequenceNumber that did not come from this stream (BC)",
        "ResourceNotFoundException; an iterator, where the shard has no record yet",
        "the product ends with NotFoundError, which says of what",
    ),
    Row(
        "iterators-for-ever",
        (MOTO,),
        "Kinesis GetRecords",
        "ExpiredIteratorException five minutes after the iterator was made (B7)",
        "iterators have no time in them",
        "the reader asks for a new one when it must; there it never must",
    ),
    Row(
        "times-in-seconds",
        (LOCALSTACK,),
        "Kinesis GetShardIterator",
        "the Timestamp of AT_TIMESTAMP counts in milliseconds (B7)",
        "in whole seconds",
        "reading begins up to a second early there: more records, never fewer",
    ),
    Row(
        "delivers-by-itself",
        (LOCALSTACK,),
        "Firehose CreateDeliveryStream",
        "CREATING, then ACTIVE; AWS delivers (A1.4)",
        "with a Kinesis source it loads the Java KCL: where that fails CREATING_FAILED, where it does not, LocalStack "
        "delivers too, an object a batch, into the same bucket",
        "the product does not look at the status; so that nothing else delivers, AWS_ENDPOINT_URL_FIREHOSE names moto, "
        "or LocalStack is kept off the network",
    ),
    Row(
        "any-delivery-stream",
        (LOCALSTACK,),
        "Firehose CreateDeliveryStream",
        "InvalidArgumentException without a destination (A1.5)",
        "takes it",
        "`describe` refuses it with AWS's message when it is to run",
    ),
    Row(
        "any-buffering-hints",
        (LOCALSTACK, EMBEDDED, MOTO),
        "Firehose CreateDeliveryStream",
        "ValidationException for SizeInMBs above 128 (A2.1)",
        "takes it",
        "as above",
    ),
    Row(
        "any-bucket-name",
        (EMBEDDED, MOTO),
        "S3 CreateBucket",
        "InvalidBucketName for one with capitals or underscores (BC)",
        "takes it",
        "AWS says so when a folder is provisioned there",
    ),
    Row(
        "any-namespace",
        (LOCALSTACK, EMBEDDED, MOTO),
        "CloudWatch PutMetricData",
        "InvalidParameterValue for a namespace that begins with AWS/ (BC)",
        "takes it",
        "the product's namespace is Hydrant/Firehose",
    ),
)


@dataclass
class Differences:
    """The rows, and which of them tests have met.

    Attributes:
        met: (id, target).
    """

    met: set[tuple[str, str]] = field(default_factory=set)

    def on(self, target: str, row_id: str) -> bool:
        """Whether `target` has the difference; who asks asserts one way or the other.

        Raises:
            StopIteration: there is no such row.
        """
        row = next(row for row in ROWS if row.id == row_id)
        if target not in row.targets:
            return False
        self.met.add((row_id, target))
        return True

    def unmet(self, target: str) -> list[str]:
        """The rows of `target` that no test has asked for."""
        return [row.id for row in ROWS if target in row.targets and (row.id, target) not in self.met]


def table() -> str:
    """The rows as a table in Markdown."""
    lines = ["| id | where | call | AWS | the stand-in | so |", "|---|---|---|---|---|---|"]
    lines += [
        f"| {row.id} | {', '.join(row.targets)} | {row.operation} | {row.aws} | {row.stand_in} | {row.so} |"
        for row in ROWS
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.stdout.write(table())
