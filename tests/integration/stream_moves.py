"""What a history does with the stream as a whole: descriptions, retention (B13), tags, consumers (B14); and its end."""

from collections.abc import Mapping
from typing import Any, Final

from draft import Draft
from steps import Answered

_METRICS: Final = ("IncomingBytes", "OutgoingRecords", "IteratorAgeMilliseconds", "ALL")
_TAGS: Final = ("team", "cost", "a/b", "Ä ö", "x")


def describe(draft: Draft) -> None:
    kind = draft.rng.randint(0, 3)
    if kind == 0:
        draft.call("DescribeStreamSummary")
    elif kind == 1:
        draft.call("DescribeStream")
    elif kind == 2:
        after = draft.rng.choice(draft.shards).id
        draft.call("DescribeStream", Limit=draft.rng.randint(1, 3), ExclusiveStartShardId=after)
    else:
        which = draft.rng.choice(("EnableEnhancedMonitoring", "DisableEnhancedMonitoring"))
        draft.call(which, ShardLevelMetrics=draft.rng.sample(_METRICS, 2))


def retain(draft: Draft) -> None:
    """Longer, shorter, and what is neither."""
    hours, now = draft.rng.choice((23, 24, 36, 48, 168, 8760, 8761)), draft.retention_h
    longer = (hours >= now) != (draft.rng.random() < 0.2)
    which = "IncreaseStreamRetentionPeriod" if longer else "DecreaseStreamRetentionPeriod"
    draft.call(which, RetentionPeriodHours=hours)
    if 24 <= hours <= 8760 and (hours > now) == longer:
        draft.retention_h = hours


def tag(draft: Draft) -> None:
    """Added, added again, removed; and listed then."""
    names, kind = draft.rng.sample(_TAGS, draft.rng.randint(1, 4)), draft.rng.randint(0, 4)
    if kind <= 1:
        draft.call("AddTagsToStream", Tags=dict.fromkeys(names[:2], "first"))
        draft.call("AddTagsToStream", Tags={name: str(draft.rng.randint(0, 9)) for name in names})
        draft.tags.update(names)
    elif kind == 2:
        draft.call("RemoveTagsFromStream", TagKeys=names)
        draft.tags.difference_update(names)
    if kind == 4 and draft.tags:
        after = draft.rng.choice(sorted(draft.tags))
        draft.call("ListTagsForStream", Limit=draft.rng.randint(1, 2), ExclusiveStartTagKey=after)
    else:
        draft.call("ListTagsForStream")


def encrypt(draft: Draft) -> None:
    """With a key of KMS, or no more."""
    which = draft.rng.choice(("StartStreamEncryption", "StartStreamEncryption", "StopStreamEncryption"))
    draft.call(which, EncryptionType="KMS", KeyId="alias/aws/kinesis")


def consume(draft: Draft) -> None:
    """Consumers come, are described, and go."""
    name, kind = f"app-{draft.rng.randint(0, 2)}", draft.rng.randint(0, 5)
    if kind <= 1:
        number = draft.call("RegisterStreamConsumer", ConsumerName=name)  # refused, if there is one of that name
        draft.consumers.setdefault(name, number)
        return
    if kind == 2:
        draft.call("ListStreamConsumers")
        return
    which = "DeregisterStreamConsumer" if kind == 3 else "DescribeStreamConsumer"
    if name in draft.consumers and draft.rng.random() < 0.5:
        draft.call(which, stream=None, ConsumerARN=Answered(draft.consumers[name], ("Consumer", "ConsumerARN")))
    else:
        draft.call(which, ConsumerName=name)
    if kind == 3:
        draft.consumers.pop(name, None)


def refused_otherwise(draft: Draft) -> None:
    """What is missing, what is there already, and arguments that break their shapes."""
    requests: tuple[tuple[str, Mapping[str, Any]], ...] = (
        ("CreateStream", {"ShardCount": 1}),
        ("CreateStream", {"stream": "none", "ShardCount": 0}),
        ("PutRecord", {"stream": "missing", "Data": b"x", "PartitionKey": "k"}),
        ("PutRecords", {"stream": "missing", "Records": [{"Data": b"x", "PartitionKey": "k"}]}),
        ("ListShards", {"stream": "missing"}),
        ("ListShards", {"ShardFilter": {"Type": "AFTER_SHARD_ID"}}),
        ("ListShards", {"ShardFilter": {"Type": "AT_TIMESTAMP"}}),
        ("ListShards", {"NextToken": "none"}),
        ("ListShards", {"stream": None, "NextToken": "none"}),
        ("DescribeStream", {"stream": "missing"}),
        ("DescribeStream", {"Limit": 0}),
        ("DescribeStreamSummary", {"stream": "missing"}),
        ("IncreaseStreamRetentionPeriod", {"stream": "missing", "RetentionPeriodHours": 48}),
        ("AddTagsToStream", {"stream": "missing", "Tags": {"a": "b"}}),
        ("AddTagsToStream", {"Tags": {"aws:team": "b"}}),
        ("AddTagsToStream", {"Tags": {"what?": "b"}}),
        ("ListTagsForStream", {"stream": "missing"}),
        ("RegisterStreamConsumer", {"stream": "missing", "ConsumerName": "app"}),
        ("RegisterStreamConsumer", {"ConsumerName": "no consumer!"}),
        ("DescribeStreamConsumer", {"ConsumerName": "nobody"}),
        ("DeleteStream", {"stream": "missing"}),
        ("UpdateShardCount", {"stream": "missing", "TargetShardCount": 2, "ScalingType": "UNIFORM_SCALING"}),
    )
    operation, request = draft.rng.choice(requests)
    draft.call(operation, **request)


def delete(draft: Draft) -> None:
    """DeleteStream, and what is left of the stream."""
    if draft.consumers:
        draft.call("DeleteStream")  # refused: there are consumers
    draft.call("DeleteStream", EnforceConsumerDeletion=True)
    draft.call("DescribeStreamSummary")
    draft.call("PutRecord", Data=b"late", PartitionKey="late")
