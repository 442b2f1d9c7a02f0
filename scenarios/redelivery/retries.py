"""What the journal says of faults and of what was done about them: a retry for each fault, and enough of each kind."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from infra.faults import function, kinesis, s3
from infra.faults.journal import Line

REQUIRED: Final[Mapping[tuple[str, str], int]] = {
    ("PutRecords", kinesis.THROTTLED): 2,
    ("PutRecords", kinesis.REFUSED_IN_PART): 4,
    ("PutRecords", kinesis.FAILED_IN_PART): 2,
    **{("GetRecords", kind): 1 for kind in kinesis.GET_FAULTS},
    **{("PutObject", kind): 1 for kind in s3.PUT_FAULTS},
    ("PutObject", s3.OUTAGE): s3.OUTAGE_CALLS,
    **{("Invoke", kind): 4 for kind in function.CALL_FAULTS},
    **{("Invoke", kind): 1 for kind in function.ANSWER_FAULTS},
}
"""Operation and kind -> so many faults a run of `FULL` records must have had: one without them has shown nothing."""
FULL: Final = 20_000


@dataclass(frozen=True, slots=True)
class Tally:
    """Faults of one kind.

    Attributes:
        operation: of AWS.
        kind: what was done to the call.
        injected: how often.
        required: how often at least.
    """

    operation: str
    kind: str
    injected: int
    required: int


def tallies(journal: Iterable[Line], records: int) -> list[Tally]:
    """How often each kind of fault was injected; kinds that were not are there too.

    Args:
        journal: of a run.
        records: that were put. Fewer than `FULL` make fewer calls, and fewer faults are required.
    """
    injected = Counter((line["operation"], line["fault"]) for line in journal if line["fault"])
    return [Tally(*kind, injected[kind], required * min(records, FULL) // FULL) for kind, required in REQUIRED.items()]


def too_few(counted: Iterable[Tally]) -> Iterator[str]:
    """A sentence for each kind that came too seldom."""
    for tally in counted:
        if tally.injected < tally.required:
            yield (
                f"only {tally.injected} calls of {tally.operation} were {tally.kind}, "
                f"{tally.required} are needed to show anything"
            )


def put_records(journal: Iterable[Line], records: int) -> Iterator[str]:
    """A sentence when records were not put again exactly as often as they were refused (B2)."""
    calls = [line for line in journal if line["operation"] == "PutRecords"]
    sent, taken = sum(call["entries"] for call in calls), sum(call["taken"] for call in calls)
    refused = sum(call["entries"] - call["taken"] for call in calls)  # by us, and by the stream itself
    if taken != records or sent != records + refused:
        yield f"{records:,} records, {refused:,} times one was refused: {sent:,} were sent, and {taken:,} taken"
    if sum(call["refused"] for call in calls) > refused:
        yield "records were taken that PutRecords was told to refuse"


def put_objects(journal: Iterable[Line]) -> Iterator[str]:
    """Sentences about objects that were not put again, the same, exactly as often as they were refused (A7.12)."""
    by_key: dict[str, list[Line]] = {}
    for line in journal:
        if line["operation"] == "PutObject":
            by_key.setdefault(line["key"], []).append(line)
    for key, calls in by_key.items():
        good = [call["status"] == 200 for call in calls]
        if good != [False] * (len(calls) - 1) + [True]:
            yield f"{key} was put {len(calls)} times, of which {sum(good)} came through, the last one {good[-1]}"
        if len({call["sha256"] for call in calls}) != 1:
            yield f"{key} was put again with another body"
        # The SDK tries one call five times; what goes on behind that is the writer's own.
        writes = len({call["invocation"] for call in calls})
        if writes != -(-len(calls) // s3.OUTAGE_CALLS):
            yield f"{key} was put {len(calls)} times in {writes} calls of the SDK"


def get_records(journal: Sequence[Line], last: Mapping[str, str]) -> Iterator[str]:
    """Sentences about shards that were not read on where a call had failed.

    Args:
        journal: of the run.
        last: shard -> the sequence number of its last record.
    """
    by_shard: dict[str, list[Line]] = {}
    for line in journal:
        if line["operation"] in {"GetRecords", "GetShardIterator"} and line.get("shard"):
            by_shard.setdefault(line["shard"], []).append(line)
    for shard, calls in by_shard.items():
        for at, call in enumerate(calls):
            if call.get("last") == last.get(shard):
                break  # what fails from here on was asked for ahead, and nobody waits for it
            if call["operation"] != "GetRecords" or not call["fault"]:
                continue
            good = [after for after, later in enumerate(calls) if after > at and _is_good_read(later)]
            if not good:
                yield f"{shard} was not read any more after GetRecords was {call['fault']}"
            elif call["fault"] == kinesis.EXPIRED and not any(
                between["operation"] == "GetShardIterator" for between in calls[at : good[0]]
            ):
                yield f"the iterator of {shard} had expired, and none was asked for"


def _is_good_read(call: Line) -> bool:
    return call["operation"] == "GetRecords" and not call["fault"]
