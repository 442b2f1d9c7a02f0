"""Random histories of one stream: what a client asks of Kinesis, step by step. Pure: a seed gives one history.

A history is written before it is played, so what only a service can say (sequence numbers, iterators, tokens, the time)
stands in it as a reference. Whether a split is valid must be known while writing, so the draft keeps the shard tree.

The stream must stay the same on both services, or one known difference would hide all that comes after it. So what
would change the stream on one service and be refused by the other is not written here but in `directed.py`, and hash
keys stay away from the bounds of shards.
"""

import random
from typing import Final

import record_moves
import shard_moves
import stream_moves
from draft import Draft
from steps import Step

SEEDS: Final = range(100)
_LEAST_STEPS: Final = 20
_MOVES: Final = {
    record_moves.put: 14, record_moves.put_many: 14, Draft.pause: 7, record_moves.iterate: 18, record_moves.read: 24,
    record_moves.drain: 5, record_moves.subscribe: 4, record_moves.refused_put: 4, record_moves.refused_iterator: 7,
    shard_moves.split: 9, shard_moves.merge: 8, shard_moves.scale: 4, shard_moves.refused_reshard: 8,
    shard_moves.list_shards: 10, shard_moves.page_shards: 5,
    stream_moves.describe: 7, stream_moves.retain: 4, stream_moves.tag: 6, stream_moves.consume: 8,
    stream_moves.encrypt: 3,
    stream_moves.refused_otherwise: 7,
}  # fmt: skip


def history(seed: int) -> tuple[Step, ...]:
    """The history of that `seed`, 25 to some 50 steps from CreateStream to DeleteStream."""
    rng = random.Random(seed)
    draft = Draft(rng)
    draft.create(rng.randint(1, 4))
    while len(draft.steps) < _LEAST_STEPS:
        rng.choices(list(_MOVES), list(_MOVES.values()))[0](draft)
    record_moves.read_all(draft)
    stream_moves.delete(draft)
    return tuple(draft.steps)
