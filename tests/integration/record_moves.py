"""What a history does with records: putting, reading, subscribing; and what of that AWS refuses."""

import hashlib
import string
from typing import Any

from draft import KEYS, MARGIN, Draft, Shard, shard_id
from steps import Answered, Moment


def put(draft: Draft) -> None:
    entry, shard = _entry(draft)
    shard.puts.append(Answered(draft.call("PutRecord", **entry), ("SequenceNumber",)))


def put_many(draft: Draft) -> None:
    entries = [_entry(draft) for _ in range(draft.rng.choice((1, 2, 3, 5, 8, 20)))]
    number = draft.call("PutRecords", Records=[entry for entry, _ in entries])
    for index, (_, shard) in enumerate(entries):
        shard.puts.append(Answered(number, ("Records", index, "SequenceNumber")))


def refused_put(draft: Draft) -> None:
    """An entry that AWS refuses, and with it the request (B1, B3)."""
    bad = draft.rng.choice((
        {"PartitionKey": ""}, {"PartitionKey": "k" * 257},
        {"ExplicitHashKey": str(KEYS)}, {"ExplicitHashKey": "9" * 39}, {"ExplicitHashKey": "007"},
        {"ExplicitHashKey": "9" * 40},
    ))  # fmt: skip
    entry = _entry(draft)[0] | bad
    if draft.rng.random() < 0.5:
        draft.call("PutRecord", **entry)
    else:
        entries = [_entry(draft)[0] for _ in range(draft.rng.randint(0, 3))]
        entries.insert(draft.rng.randint(0, len(entries)), entry)
        draft.call("PutRecords", Records=entries)


def iterate(draft: Draft) -> None:
    """GetShardIterator of any type (B7), and a GetRecords."""
    shard = draft.rng.choice(draft.shards)
    kind = draft.rng.choice(("TRIM_HORIZON", "LATEST", "AT_TIMESTAMP", "AT_SEQUENCE_NUMBER", "AFTER_SEQUENCE_NUMBER"))
    position, more = 0, dict[str, Any]()
    if kind == "LATEST":
        position = len(shard.puts)
    elif kind == "AT_TIMESTAMP":
        pause = draft.rng.choice(draft.pauses)
        early = draft.rng.random() < 0.2  # before there was a stream: as TRIM_HORIZON
        position = 0 if early else sum(record.step < pause for record in shard.puts)
        more = {"Timestamp": Moment(pause, -3600.0 if early else 0.0)}
    elif kind.endswith("SEQUENCE_NUMBER"):
        if not shard.puts:
            return
        position = draft.rng.randrange(len(shard.puts))
        more = {"StartingSequenceNumber": shard.puts[position]}
        position += kind == "AFTER_SEQUENCE_NUMBER"
    following = draft.get(draft.iterate(shard, kind, position, **more), _limit(draft))
    if following is not None:
        draft.readers.append(following)


def read(draft: Draft) -> None:
    """GetRecords with an iterator that somebody holds."""
    if not draft.readers:
        return
    reader = draft.rng.choice(draft.readers)
    following = draft.get(reader, _limit(draft))
    if draft.rng.random() < 0.8:  # an iterator may be used again
        draft.readers.remove(reader)
    if following is not None:
        draft.readers.append(following)


def drain(draft: Draft) -> None:
    """A closed shard to its end, where its children are named (B10)."""
    closed = [shard for shard in draft.shards if not shard.is_open]
    if not closed:
        return
    shard = draft.rng.choice(closed)
    limit = max(1, len(shard.puts) // draft.rng.randint(1, 3))
    reader = draft.get(draft.iterate(shard, "TRIM_HORIZON", 0), limit)
    while reader is not None:
        reader = draft.get(reader, limit)


def read_all(draft: Draft) -> None:
    """Every shard from its beginning, so that nothing that was put stays unseen."""
    for shard in draft.shards:
        draft.get(draft.iterate(shard, "TRIM_HORIZON", 0))


def subscribe(draft: Draft) -> None:
    """SubscribeToShard from where records are (B14). Once a history: LocalStack takes its time."""
    shards = [shard for shard in draft.shards if shard.puts]
    if draft.has_subscribed or not shards:
        return
    draft.has_subscribed = True
    if not draft.consumers:
        draft.consumers["app-0"] = draft.call("RegisterStreamConsumer", ConsumerName="app-0")
    shard, consumer = draft.rng.choice(shards), draft.rng.choice(sorted(draft.consumers.values()))
    kind = draft.rng.choice(("TRIM_HORIZON", "AT_SEQUENCE_NUMBER", "AFTER_SEQUENCE_NUMBER"))
    where: dict[str, Any] = {"Type": kind}
    position = 0
    if kind != "TRIM_HORIZON":
        position = draft.rng.randrange(len(shard.puts))
        where["SequenceNumber"] = shard.puts[position]
        position += kind == "AFTER_SEQUENCE_NUMBER"
    arn = Answered(consumer, ("Consumer", "ConsumerARN"))
    number = draft.call("SubscribeToShard", ConsumerARN=arn, ShardId=shard.id, StartingPosition=where)
    draft.call("Events", records=len(shard.puts) - position, stream=None, Subscription=number, ShardId=shard.id)


def refused_iterator(draft: Draft) -> None:
    """Iterators that nobody gets, and one that nobody gave (B7)."""
    shard = draft.rng.choice(draft.shards)
    requests: list[dict[str, Any]] = [
        {"ShardIteratorType": "AT_SEQUENCE_NUMBER"},
        {"ShardIteratorType": "AFTER_SEQUENCE_NUMBER"},
        {"ShardIteratorType": "AT_TIMESTAMP"},
        {"ShardIteratorType": "LATEST", "ShardId": shard_id(99)},
        {"ShardIteratorType": "LATEST", "ShardId": "no shard!"},
        {"ShardIteratorType": "LATEST", "stream": "missing"},
        {"ShardIteratorType": "FIRST"},
    ]
    if shard.puts:
        requests.append({"ShardIteratorType": "AT_TIMESTAMP", "Timestamp": Moment(draft.pauses[0], 3600.0)})
        others = [record for other in draft.shards if other is not shard for record in other.puts]
        if others:
            foreign = draft.rng.choice(others)
            requests += [{"ShardIteratorType": "AFTER_SEQUENCE_NUMBER", "StartingSequenceNumber": foreign}] * 8
    kind = draft.rng.randint(0, 3)
    if kind == 0:
        draft.call("GetRecords", ShardIterator=draft.rng.choice(("none", "AAAAAAAAAAE=", "A" * 200)))
    elif kind == 1 and draft.readers:
        iterator = draft.rng.choice(draft.readers).iterator
        draft.call("GetRecords", ShardIterator=iterator, Limit=draft.rng.choice((0, 10_001)))
    else:
        draft.call("GetShardIterator", **{"ShardId": shard.id, **draft.rng.choice(requests)})


def _entry(draft: Draft) -> tuple[dict[str, Any], Shard]:
    """An entry that AWS takes, and the shard that it goes to."""
    rng = draft.rng
    while True:
        key = rng.choice(
            (
                "".join(rng.choices(string.printable, k=rng.choice((1, 3, 10, 256)))),
                f"key-{rng.randint(0, 9)}",
                rng.choice("äß漢字😀") * rng.randint(1, 5),
            )
        )
        data = rng.randbytes(rng.choice((0, 1, 3, 40, 300, 5000)))
        entry: dict[str, Any] = {"Data": data, "PartitionKey": key}
        hash_key = int.from_bytes(hashlib.md5(key.encode(), usedforsecurity=False).digest(), "big")
        if rng.random() < 0.5:
            start = rng.choice(draft.open_shards).start
            hash_key = rng.choice((rng.randrange(KEYS), KEYS - 1, 0, start + 2 * MARGIN))
            entry["ExplicitHashKey"] = str(hash_key)
        shard = next(shard for shard in draft.open_shards if shard.start <= hash_key <= shard.end)
        if hash_key in {0, KEYS - 1} or shard.start + MARGIN <= hash_key <= shard.end - MARGIN:
            return entry, shard


def _limit(draft: Draft) -> int | None:
    return draft.rng.choice((None, None, 1, 2, 3, 5, 10_000))
