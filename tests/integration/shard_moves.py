"""What a history does with the shard tree: growing it (B11, B12), listing it (B15); and what of that AWS refuses."""

from itertools import pairwise
from typing import Any, Final

from draft import MARGIN, Draft, shard_id
from steps import Answered, Moment

MOST_OPEN_SHARDS: Final = 12


def split(draft: Draft) -> None:
    shard = draft.rng.choice(draft.open_shards)
    width = shard.end - shard.start
    if len(draft.open_shards) < MOST_OPEN_SHARDS and width > 16 * MARGIN:
        anywhere = draft.rng.randint(4 * MARGIN, width - 4 * MARGIN)
        at = shard.start + draft.rng.choice((width // 2, width // 4, anywhere))
        draft.cut(shard, at, draft.call("SplitShard", ShardToSplit=shard.id, NewStartingHashKey=str(at)))


def merge(draft: Draft) -> None:
    """The lower shard is named first: LocalStack refuses the other order (`directed.py`)."""
    pairs = list(draft.neighbours())
    if pairs:
        low, high = draft.rng.choice(pairs)
        draft.join(low, high, draft.call("MergeShards", ShardToMerge=low.id, AdjacentShardToMerge=high.id))


def scale(draft: Draft) -> None:
    """UpdateShardCount to double, half or the same, from even shards whose ids go with their ranges.

    From anything else LocalStack makes shards that are not even (`directed.py`).
    """
    shards = draft.open_shards
    count = len(shards)
    widths = [shard.end - shard.start for shard in shards]
    in_order = all(before.end < after.start for before, after in pairwise(shards))
    target = draft.rng.choice([2 * count, *([count // 2] if count % 2 == 0 else []), count])
    if max(widths) - min(widths) > MARGIN or not in_order or target > MOST_OPEN_SHARDS:
        return
    number = _scale(draft, target)
    if target > count:
        for shard in shards:
            draft.cut(shard, shard.start + (shard.end - shard.start + 1) // 2, number)
    elif target < count:
        for low, high in zip(shards[::2], shards[1::2], strict=True):
            draft.join(low, high, number)


def refused_reshard(draft: Draft) -> None:
    """Splits, merges and scalings that make no sense (B11)."""
    rng, shards = draft.rng, draft.open_shards
    shard, other = rng.choice(shards), rng.choice(shards)
    closed = [shard for shard in draft.shards if not shard.is_open]
    kind = rng.randint(0, 9)
    if kind == 0:
        _split(draft, rng.choice((shard_id(99), "no shard!")), "1")
    elif kind == 1:
        _split(draft, shard.id, "0x10")
    elif kind == 2:
        _split(draft, shard.id, str((shard.start + shard.end) // 2), stream="missing")
    elif kind == 3 and closed:
        shard = rng.choice(closed)
        _split(draft, shard.id, str((shard.start + shard.end) // 2))
    elif kind == 4 and other is not shard:
        _split(draft, shard.id, str((other.start + other.end) // 2))
    elif kind == 5:
        _merge(draft, *rng.choice(((shard.id, shard.id), (shard.id, shard_id(99)), (shard_id(99), shard.id))))
    elif kind == 6 and (shard.end + MARGIN < other.start or other.end + MARGIN < shard.start):
        _merge(draft, shard.id, other.id)
    elif kind == 7 and closed:
        _merge(draft, *rng.sample((shard.id, rng.choice(closed).id), 2))
    elif kind == 8:
        _scale(draft, 2 * len(shards) + 1, kind=rng.choice(("UNIFORM_SCALING", "AS_YOU_LIKE")))
    elif len(shards) >= 4:
        _scale(draft, rng.randint(0, len(shards) // 2 - 1))


def list_shards(draft: Draft) -> None:
    """With a filter, or a place to begin at, or neither."""
    draft.call("ListShards", **_wanted(draft))


def page_shards(draft: Draft) -> None:
    """From page to page; not with a filter, which LocalStack forgets on the second page (`directed.py`)."""
    wanted = draft.rng.choice(({}, {"ExclusiveStartShardId": draft.rng.choice(draft.shards).id}))
    number = draft.call("ListShards", MaxResults=draft.rng.randint(1, 3), **wanted)
    for _ in range(draft.rng.randint(1, 3)):
        more = {} if draft.rng.random() < 0.3 else {"MaxResults": draft.rng.randint(1, 3)}
        number = draft.call("ListShards", stream=None, NextToken=Answered(number, ("NextToken",)), **more)


def _wanted(draft: Draft) -> dict[str, Any]:
    some_shard = draft.rng.choice(draft.shards).id
    kind = draft.rng.choice((
        "", "", "ExclusiveStartShardId", "AFTER_SHARD_ID", "AT_TRIM_HORIZON",
        "FROM_TRIM_HORIZON", "AT_LATEST", "AT_TIMESTAMP", "FROM_TIMESTAMP",
    ))  # fmt: skip
    if not kind:
        return {}
    if kind == "ExclusiveStartShardId":
        return {kind: some_shard}
    wanted: dict[str, Any] = {"Type": kind}
    if kind == "AFTER_SHARD_ID":
        wanted["ShardId"] = some_shard
    elif kind.endswith("TIMESTAMP"):
        wanted["Timestamp"] = Moment(draft.rng.choice(draft.pauses), draft.rng.choice((0.0, 0.0, 0.0, -3600.0)))
    return {"ShardFilter": wanted}


def _split(draft: Draft, shard: str, at: str, **more: Any) -> None:
    draft.call("SplitShard", ShardToSplit=shard, NewStartingHashKey=at, **more)


def _merge(draft: Draft, shard: str, adjacent: str) -> None:
    draft.call("MergeShards", ShardToMerge=shard, AdjacentShardToMerge=adjacent)


def _scale(draft: Draft, target: int, kind: str = "UNIFORM_SCALING") -> int:
    return draft.call("UpdateShardCount", TargetShardCount=target, ScalingType=kind)
