"""Histories written by hand: for known differences that random ones cannot hold, and for what they come by too rarely.

The former end where they meet the difference: what one service takes and the other refuses makes two different streams.
"""

import random
from collections.abc import Callable, Mapping
from typing import Final

from draft import KEYS, Draft, shard_id
from steps import STREAM, Answered, Moment, Named, Step

_MIB: Final = 1 << 20


def _draft(shards: int) -> Draft:
    draft = Draft(random.Random(0))
    draft.create(shards)
    return draft


def _scale(draft: Draft, target: int) -> None:
    draft.call("UpdateShardCount", TargetShardCount=target, ScalingType="UNIFORM_SCALING")


def _put(draft: Draft, hash_key: int = 0) -> Answered:
    number = draft.call("PutRecord", Data=b"x", PartitionKey="k", ExplicitHashKey=str(hash_key))
    return Answered(number, ("SequenceNumber",))


def _filter_in_seconds() -> Draft:
    """A split, and the shards a little later in the same second."""
    draft = _draft(1)
    at = KEYS // 2
    draft.cut(draft.shards[0], at, draft.call("SplitShard", ShardToSplit=shard_id(0), NewStartingHashKey=str(at)))
    draft.pause()
    for kind in ("AT_TIMESTAMP", "FROM_TIMESTAMP"):
        wanted = {"Type": kind, "Timestamp": Moment(draft.pauses[0], 0.9)}
        draft.call("ListShards", ShardFilter=wanted)
    return draft


def _iterator_in_seconds() -> Draft:
    """A record, and an iterator a little later in the same second."""
    draft = _draft(1)
    _put(draft)
    draft.pause()
    draft.get(draft.iterate(draft.shards[0], "AT_TIMESTAMP", 1, Timestamp=Moment(draft.pauses[0], 0.9)))
    return draft


def _forgotten_filter() -> Draft:
    """Four shards, of which the second and the third are split: the open ones in pages of one."""
    draft = _draft(4)
    for index in (1, 2):
        shard = draft.shards[index]
        at = (shard.start + shard.end) // 2
        draft.cut(shard, at, draft.call("SplitShard", ShardToSplit=shard.id, NewStartingHashKey=str(at)))
    number = draft.call("ListShards", MaxResults=1, ShardFilter={"Type": "AT_LATEST"})
    draft.call("ListShards", stream=None, NextToken=Answered(number, ("NextToken",)), MaxResults=2)
    return draft


def _empty_shard() -> Draft:
    draft = _draft(2)
    number = _put(draft)
    draft.iterate(draft.shards[1], "AT_SEQUENCE_NUMBER", 0, StartingSequenceNumber=number)
    draft.iterate(draft.shards[1], "AT_TIMESTAMP", 0, Timestamp=Moment(draft.pauses[0], 3600.0))
    return draft


def _refused_delete() -> Draft:
    """A stream with a consumer, and a second later."""
    draft = _draft(1)
    draft.call("RegisterStreamConsumer", ConsumerName="app")
    draft.call("DeleteStream")
    draft.pause()
    draft.pause()
    draft.call("DescribeStreamSummary")
    return draft


def _split_at_the_start() -> Draft:
    draft = _draft(1)
    draft.call("SplitShard", ShardToSplit=shard_id(0), NewStartingHashKey="0")
    return draft


def _merge_from_above() -> Draft:
    draft = _draft(2)
    draft.call("MergeShards", ShardToMerge=shard_id(1), AdjacentShardToMerge=shard_id(0))
    return draft


def _scaling_without_limit() -> Draft:
    """Ten times there and back, and an eleventh time; then, less than half."""
    draft = _draft(1)
    for _ in range(5):
        _scale(draft, 2)
        _scale(draft, 1)
    _scale(draft, 2)
    return draft


def _less_than_half() -> Draft:
    draft = _draft(3)
    _scale(draft, 1)
    return draft


def _uneven_scaling() -> Draft:
    draft = _draft(2)
    _scale(draft, 3)
    draft.call("ListShards")
    return draft


def _too_many_records() -> Draft:
    draft = _draft(1)
    draft.call("PutRecords", Records=[{"Data": b"", "PartitionKey": "k"}] * 501)
    draft.call("PutRecords", Records=[{"Data": bytes(_MIB), "PartitionKey": "k"}])
    return draft


def _too_large_record() -> Draft:
    """Of itself, and not for its key: that, LocalStack refuses."""
    draft = _draft(1)
    draft.call("PutRecord", Data=bytes(_MIB + 1), PartitionKey="k")
    return draft


def _end_of_subscription() -> Draft:
    """A closed shard, pushed to its end."""
    draft = _draft(2)
    _put(draft)
    number = draft.call("MergeShards", ShardToMerge=shard_id(0), AdjacentShardToMerge=shard_id(1))
    draft.join(*draft.shards, number)
    _read_events(draft, _subscribe(draft, "TRIM_HORIZON"))
    return draft


def _subscribe(draft: Draft, kind: str) -> int:
    arn = Answered(draft.call("RegisterStreamConsumer", ConsumerName="app"), ("Consumer", "ConsumerARN"))
    where = {"Type": kind}
    return draft.call("SubscribeToShard", ConsumerARN=arn, ShardId=shard_id(0), StartingPosition=where)


def _read_events(draft: Draft, subscription: int) -> None:
    """Until a record has come."""
    draft.call("Events", records=1, stream=None, Subscription=subscription, ShardId=shard_id(0))


def _subscription_from_latest() -> Draft:
    """What is put after SubscribeToShard is pushed, what was put before is not."""
    draft = _draft(1)
    _put(draft)
    subscription = _subscribe(draft, "LATEST")
    _put(draft)
    _read_events(draft, subscription)
    return draft


def _twenty_consumers() -> Draft:
    """And no more (B14)."""
    draft = _draft(1)
    for number in range(21):
        draft.call("RegisterStreamConsumer", ConsumerName=f"app-{number:02}")
    draft.call("DescribeStreamSummary")
    return draft


def _policy() -> Draft:
    draft = _draft(1)
    stream = Named(STREAM, arn=True)
    policy = '{"Version": "2012-10-17", "Statement": []}'
    draft.call("PutResourcePolicy", stream=None, ResourceARN=stream, Policy=policy)
    draft.call("GetResourcePolicy", stream=None, ResourceARN=stream)
    draft.call("DeleteResourcePolicy", stream=None, ResourceARN=stream)
    draft.call("DeleteResourcePolicy", stream=None, ResourceARN=stream)
    return draft


def _operations_not_there() -> Draft:
    draft = _draft(1)
    stream = Named(STREAM, arn=True)
    draft.call("TagResource", stream=None, ResourceARN=stream, Tags={"a": "b"})
    draft.call("ListTagsForResource", stream=None, ResourceARN=stream)
    draft.call("UntagResource", stream=None, ResourceARN=stream, TagKeys=["a"])
    draft.call("UpdateMaxRecordSize", stream=None, StreamARN=stream, MaxRecordSizeInKiB=2048)
    draft.call("DescribeAccountSettings", stream=None)
    return draft


def _fifty_tags() -> Draft:
    """And no more."""
    draft = _draft(1)
    for number in range(0, 60, 10):
        draft.call("AddTagsToStream", Tags={f"tag-{number + more:02}": "" for more in range(10)})
    draft.call("ListTagsForStream", Limit=50)
    return draft


_BY_ROW: Final[Mapping[str, tuple[Callable[[], Draft], ...]]] = {
    "filter-in-seconds": (_filter_in_seconds,),
    "iterator-in-seconds": (_iterator_in_seconds,),
    "forgotten-filter": (_forgotten_filter,),
    "empty-shard": (_empty_shard,),
    "refused-delete": (_refused_delete,),
    "split-at-the-start": (_split_at_the_start,),
    "merge-from-above": (_merge_from_above,),
    "scaling-without-limit": (_scaling_without_limit, _less_than_half),
    "uneven-scaling": (_uneven_scaling,),
    "too-many-records": (_too_many_records,),
    "shape-violations": (_too_large_record,),
    "operations-not-there": (_operations_not_there,),
    "end-of-subscription": (_end_of_subscription,),
}

DIRECTED: Final[Mapping[str, tuple[tuple[Step, ...], ...]]] = {
    row: tuple(tuple(write().steps) for write in writers) for row, writers in _BY_ROW.items()
}
"""Histories by the id of the row that each of them meets."""

AGREED: Final[Mapping[str, tuple[Step, ...]]] = {
    write.__name__.strip("_"): tuple(write().steps)
    for write in (_subscription_from_latest, _twenty_consumers, _fifty_tags, _policy)
}
"""Histories that only meet rows which random ones meet too."""
