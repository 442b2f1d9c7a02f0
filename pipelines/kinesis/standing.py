"""How far positions have got in a stream, shard by shard."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from pipelines.kinesis.lineage import ShardInfo, ancestors
from pipelines.kinesis.position_file import Positions
from pipelines.kinesis.positions import ShardPosition
from pipelines.kinesis.service import StreamService

Reading = Literal["NOT_BEGUN", "READING", "READ_BEFORE", "TRIMMED"]


@dataclass(frozen=True, slots=True)
class Standing:
    """One shard.

    Attributes:
        shard_id: its id.
        state: OPEN, CLOSED, or EXPIRED when the stream has it no more (B12).
        parents: ids of its parents (B12).
        reading: NOT_BEGUN: it is read from its beginning, or from the time that the positions give. READING: from
            `position` on. READ_BEFORE: a shard that descends from it has been begun. TRIMMED: the record of `position`
            is past retention, what followed it may be, too (B13).
        position: behind the record that was read last; None when there is none.
        arrival_ms: of that record, or of the first one there is still behind it; None when not known.
        millis_behind: from there to the shard's tip (B9); None when not known.
    """

    shard_id: str
    state: Literal["OPEN", "CLOSED", "EXPIRED"]
    parents: tuple[str, ...]
    reading: Reading
    position: ShardPosition | None = None
    arrival_ms: int | None = None
    millis_behind: int | None = None


def standings(service: StreamService, positions: Positions) -> Iterator[Standing]:
    """Each shard of the stream and of `positions`, by id; a call or two a shard that `positions` names.

    Raises:
        NotFoundError: there is no such stream.
        HydrantError: any other error of AWS.
    """
    listed = {shard.shard_id: shard for shard in service.shards()}
    before = ancestors(positions.shards, listed)
    for shard_id in sorted(listed.keys() | positions.shards.keys()):
        shard, position = listed.get(shard_id), positions.shards.get(shard_id)
        if shard is None:
            yield Standing(shard_id, "EXPIRED", (), "TRIMMED", position)
        elif shard_id in before:
            yield Standing(shard_id, _state(shard), shard.parents, "READ_BEFORE", position)
        elif position is None:
            yield Standing(shard_id, _state(shard), shard.parents, "NOT_BEGUN")
        else:
            yield _begun(service, shard, position)


def _begun(service: StreamService, shard: ShardInfo, position: ShardPosition) -> Standing:
    answer = service.get(shard.shard_id, service.iterator(shard.shard_id, position), limit=1)
    if answer.page is None:  # records come after empty answers, too: nothing can be said
        return Standing(shard.shard_id, _state(shard), shard.parents, "READING", position, None, answer.millis_behind)
    is_there = answer.page.column("sequence_number")[0].as_py() == position.sequence_number
    arrival_ms = answer.page.column("arrival_ms")[0].as_py()
    reading: Reading = "READING" if is_there else "TRIMMED"
    return Standing(shard.shard_id, _state(shard), shard.parents, reading, position, arrival_ms, answer.millis_behind)


def _state(shard: ShardInfo) -> Literal["OPEN", "CLOSED"]:
    return "CLOSED" if shard.closed else "OPEN"
