"""Where LocalStack differs from what AWS documents: one table, which tests read and docs/model-kinesis.md shows.

A row says what LocalStack does and what AWS says, and `explains` recognises exactly that difference. What no row
explains is a failure, and so is a row that nothing meets: random histories (`histories.py`) or one written for it
(`directed.py`). `python tests/integration/differences.py` prints the table.
"""

import sys
from dataclasses import dataclass
from typing import Final

from compare import ABSENT, Difference
from matchers import (
    Matcher,
    all_of,
    asks_for,
    at,
    beyond_put_limits,
    beyond_scaling_limits,
    breaks_a_shape,
    closed_shard_named,
    deleted_by_refusal,
    denied,
    empty_shard_named,
    end_of_subscription,
    ending_number_below_all,
    even_bound_a_few_keys_low,
    every_shard,
    new_key_is_the_first,
    no_iterator_given,
    of,
    records_left,
    records_of_the_second,
    refused,
    says,
    second_page_unfiltered,
    shards_of_the_second,
    taken,
    uneven_shards,
    upper_shard_first,
)

IMAGE: Final = "localstack/localstack:4.14.0"
"""The LocalStack that the rows are about."""

_VALIDATION: Final = 'BC: ValidationException, "a parameter value is not valid"'


@dataclass(frozen=True)
class Row:
    """One known difference.

    Attributes:
        id: its name.
        operations: AWS's names of the operations that show it.
        localstack: what LocalStack does.
        aws: what AWS does, and so the model.
        source: who says so: a row of the specification, botocore's service model (BC), AWS's documents and answers.
        explains: whether a difference is this one.
    """

    id: str
    operations: str
    localstack: str
    aws: str
    source: str
    explains: Matcher


def explanation(difference: Difference) -> Row | None:
    """The row that is this difference, if there is one."""
    return next((row for row in ROWS if row.explains(difference)), None)


def table() -> str:
    """The rows as a table in Markdown."""
    lines = ["| id | operations | LocalStack | AWS, and so the model | who says so |", "|---|---|---|---|---|"]
    lines += [f"| {row.id} | {row.operations} | {row.localstack} | {row.aws} | {row.source} |" for row in ROWS]
    return "\n".join(lines) + "\n"


ROWS: Final = (
    # What answers look like
    Row(
        "even-ranges",
        "CreateStream, UpdateShardCount",
        "shards begin at multiples of floor((2^128 - 1) / n), so that bounds are up to a few keys low",
        "2^128 keys are split evenly; the second of two shards begins at 170141183460469231731687303715884105728",
        "B4; AWS's answer in getmoto/moto#4540, \"the shard's StartingHashKey "
        '170141183460469231731687303715884105728"',
        even_bound_a_few_keys_low,
    ),
    Row(
        "ending-sequence-number",
        "ListShards, DescribeStream",
        "a closed shard's EndingSequenceNumber is 9223372036854775807, far below its records' numbers",
        "it ends the range of the shard's numbers",
        'BC: SequenceNumberRange, "The range of possible sequence numbers for the shard"',
        ending_number_below_all,
    ),
    Row(
        "encryption-none",
        "PutRecord, PutRecords, GetRecords, SubscribeToShard",
        "EncryptionType NONE in answers and in records, while the stream is not encrypted",
        "no EncryptionType there",
        "developer guide, tutorial with the AWS CLI: what put-record and get-records print",
        all_of(at("EncryptionType"), says(ABSENT, "NONE")),
    ),
    Row(
        "max-record-size",
        "DescribeStreamSummary",
        "no MaxRecordSizeInKiB",
        "MaxRecordSizeInKiB, 1024 by default",
        "B1; BC: StreamDescriptionSummary",
        all_of(at("StreamDescriptionSummary", "MaxRecordSizeInKiB"), says(1024, ABSENT)),
    ),
    Row(
        "scaled-stream-arn",
        "UpdateShardCount",
        "no StreamARN in the answer",
        "StreamARN in the answer",
        "BC: UpdateShardCountOutput",
        all_of(of("UpdateShardCount"), at("StreamARN"), lambda difference: difference.localstack == ABSENT),
    ),
    Row(
        "consumers-without-end",
        "ListStreamConsumers",
        "a NextToken though all consumers are listed",
        "a NextToken when there are more",
        'BC: ListStreamConsumersOutput, "When the number of consumers that are registered with the data stream is '
        'greater than the default value for the MaxResults parameter"',
        all_of(of("ListStreamConsumers"), at("NextToken"), says(ABSENT, "a token")),
    ),
    Row(
        "caught-up-too-early",
        "GetRecords",
        "MillisBehindLatest is 0 while records are left that arrived in the millisecond of the last one read",
        "0 when no record is left",
        'B9; BC: GetRecordsOutput, "A value of zero indicates that record processing is caught up, and there are no '
        'new records to process at this moment"',
        all_of(of("GetRecords"), records_left, at("MillisBehindLatest"), says("more", "zero")),
    ),
    Row(
        "end-of-subscription",
        "SubscribeToShard",
        "at the end of a closed shard no children are named, and the connection breaks",
        "the last event has ChildShards, and no ContinuationSequenceNumber",
        'B14; BC: SubscribeToShardEvent, "The list of the child shards of the current shard, returned only at the end '
        'of the current shard"',
        end_of_subscription,
    ),
    # What is listed and read
    Row(
        "at-trim-horizon",
        "ListShards",
        "all shards for AT_TRIM_HORIZON, and for AT_TIMESTAMP before there was a stream",
        "those that were open then, without their children",
        'B15; BC: ShardFilter, "the response includes all the shards that were open at TRIM_HORIZON"',
        every_shard,
    ),
    Row(
        "filter-in-seconds",
        "ListShards",
        "the Timestamp of AT_TIMESTAMP and FROM_TIMESTAMP counts in whole seconds: more shards are listed",
        "in milliseconds",
        'B15; BC: ShardFilter, "A timestamp is a Unix epoch date with precision in milliseconds"',
        shards_of_the_second,
    ),
    Row(
        "forgotten-filter",
        "ListShards",
        "pages after the first know nothing of the ShardFilter",
        "NextToken goes on with the list that it came from",
        'B15; BC: ListShardsInput, "to list the next set of shards"',
        second_page_unfiltered,
    ),
    Row(
        "iterator-in-seconds",
        "GetShardIterator",
        "the Timestamp of AT_TIMESTAMP counts in whole seconds: earlier records of that second are read",
        "in milliseconds",
        'B7; BC: GetShardIteratorInput, "the Unix epoch date with precision in milliseconds"',
        records_of_the_second,
    ),
    # What is refused
    Row(
        "operations-not-there",
        "TagResource, UntagResource, ListTagsForResource, UpdateMaxRecordSize, DescribeAccountSettings, "
        "UpdateAccountSettings, UpdateStreamWarmThroughput",
        "AccessDeniedException: the operation is not known",
        "the operation",
        "BC: its service model has them",
        all_of(
            of("TagResource", "UntagResource", "ListTagsForResource", "UpdateMaxRecordSize", "DescribeAccountSettings"),
            denied,
        ),
    ),
    Row(
        "shape-violations",
        "all",
        "InvalidArgumentException for an argument that breaks the length, range or pattern of its shape, and for a "
        "record that is too large",
        "ValidationException",
        _VALIDATION,
        all_of(refused("ValidationException", "InvalidArgumentException"), breaks_a_shape),
    ),
    Row(
        "no-shard-at-all",
        "CreateStream",
        "LimitExceededException for a ShardCount of 0",
        "ValidationException",
        f"{_VALIDATION}; PositiveIntegerObject",
        all_of(of("CreateStream"), refused("ValidationException", "LimitExceededException"), breaks_a_shape),
    ),
    Row(
        "enumerations",
        "GetShardIterator, UpdateShardCount",
        "SerializationException for a value that its enumeration does not have",
        "ValidationException",
        _VALIDATION,
        all_of(refused("ValidationException", "SerializationException"), breaks_a_shape),
    ),
    Row(
        "no-number",
        "SplitShard",
        "HTTP 500 for a NewStartingHashKey that is no number",
        "ValidationException",
        f"{_VALIDATION}; HashKey",
        all_of(of("SplitShard"), refused("ValidationException", "500", 500), breaks_a_shape),
    ),
    Row(
        "no-iterator",
        "GetRecords",
        "HTTP 500 for a ShardIterator that nobody was given",
        "InvalidArgumentException",
        "BC: GetRecords names it: \"A specified parameter exceeds its restrictions, is not supported, or can't be "
        'used"',
        all_of(of("GetRecords"), refused("InvalidArgumentException", "500", 500), no_iterator_given),
    ),
    Row(
        "number-of-another-shard",
        "GetShardIterator",
        "ResourceNotFoundException for a sequence number of another shard",
        "InvalidArgumentException",
        "AWS's answer in boto/boto3#1478, \"Invalid StartingSequenceNumber. It encodes shardId-000000000007, while it "
        'was used in a call to shardId-000000000000"',
        all_of(
            of("GetShardIterator"),
            asks_for("StartingSequenceNumber"),
            refused("InvalidArgumentException", "ResourceNotFoundException"),
        ),
    ),
    Row(
        "empty-shard",
        "GetShardIterator",
        "takes any sequence number and any time where the shard has no records",
        "InvalidArgumentException for a number of another shard and for a time to come",
        "as before; B7",
        all_of(of("GetShardIterator"), empty_shard_named, taken("InvalidArgumentException")),
    ),
    Row(
        "closed-shard",
        "SplitShard, MergeShards",
        "ResourceInUseException for a shard that was split or merged before",
        "InvalidArgumentException",
        "AWS's answer in mhart/kinesalite#109, \"has already been merged or split, and thus is not eligible for "
        'merging or splitting"',
        all_of(
            of("SplitShard", "MergeShards"),
            refused("InvalidArgumentException", "ResourceInUseException"),
            closed_shard_named,
        ),
    ),
    Row(
        "split-at-the-start",
        "SplitShard",
        "takes a shard's StartingHashKey as NewStartingHashKey: one child has no hash key",
        "InvalidArgumentException",
        "AWS's answer in getmoto/moto#4540, \"is not both greater than one plus the shard's StartingHashKey and less "
        "than the shard's "
        'EndingHashKey"; BC: SplitShardInput, "a set of ordered contiguous positive integers"',
        all_of(of("SplitShard"), new_key_is_the_first, taken("InvalidArgumentException")),
    ),
    Row(
        "merge-from-above",
        "MergeShards",
        "InvalidArgumentException when ShardToMerge is the upper one of two adjacent shards",
        "either may be named first",
        'BC: MergeShards, "Two shards are considered adjacent if the union of the hash key ranges for the two shards '
        'form a contiguous set with no gaps"',
        all_of(of("MergeShards"), upper_shard_first, says({}, {"Error": "InvalidArgumentException", "Status": 400})),
    ),
    Row(
        "scaling-limits",
        "UpdateShardCount",
        "InvalidArgumentException for more than double and less than half of the open shards",
        "LimitExceededException",
        'B11; BC: UpdateShardCount, "default limits"; LimitExceededException, "exceeds the maximum number allowed"',
        all_of(
            of("UpdateShardCount"), refused("LimitExceededException", "InvalidArgumentException"), beyond_scaling_limits
        ),
    ),
    Row(
        "scaling-without-limit",
        "UpdateShardCount",
        "takes one of three open shards as a target, and any number of calls a day",
        "LimitExceededException below half, and after ten calls in 24 hours",
        'B11; BC: UpdateShardCount, "Scale down below half your current shard count", "Scale more than ten times per '
        'rolling 24-hour period per stream"',
        all_of(of("UpdateShardCount"), taken("LimitExceededException"), beyond_scaling_limits),
    ),
    Row(
        "uneven-scaling",
        "UpdateShardCount",
        "splits or merges shards one after the other until there are as many as wanted",
        "the shards that come of it are even",
        'B11; BC: UpdateShardCount, "Uniform scaling creates shards of equal size"',
        uneven_shards,
    ),
    Row(
        "too-many-records",
        "PutRecords",
        "takes more than 500 records, and records whose key makes them larger than the stream takes",
        "ValidationException",
        "B1, B2; BC: PutRecordsRequestEntryList",
        all_of(of("PutRecords"), beyond_put_limits, taken("ValidationException")),
    ),
    Row(
        "refused-delete",
        "DeleteStream",
        "refuses to delete a stream with consumers, and deletes it all the same",
        "the stream stays",
        'BC: DeleteStreamInput, "the call to DeleteStream fails with a ResourceInUseException"',
        deleted_by_refusal,
    ),
)


if __name__ == "__main__":
    sys.stdout.write(table())
