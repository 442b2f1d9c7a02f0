"""What is left of a run, held against the oracle, record by record: stream, ledger, objects, error objects, backup."""

import base64
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from pipelines.firehose.ledger import Entry, RecordId
from scenarios.read_back import StreamRecord, body, of_kind
from scenarios.redelivery.oracle import DELIVERED, DROPPED, FAILED, Fate

Fates = Mapping[RecordId, Fate]


def stream(held: Sequence[StreamRecord], put: Iterable[bytes]) -> Iterator[str]:
    """A sentence when the stream does not hold what was put, each record once, whatever was refused meanwhile (B2)."""
    have, want = Counter(record.data for record in held), Counter(put)
    if have != want:
        missing, surplus = (want - have).total(), (have - want).total()
        yield f"the stream lacks {missing:,} of the records put, and holds {surplus:,} more than that"


def outcomes(entries: Sequence[Entry], fates: Fates) -> Iterator[str]:
    """Sentences about records that did not end where they must have, by sequence number."""
    for outcome in (DELIVERED, DROPPED, FAILED):
        ended = {record for entry in entries if entry.outcome == outcome for record in entry.records}
        must = {record for record, fate in fates.items() if fate.outcome == outcome}
        if ended != must:
            yield f"{len(must - ended):,} records should be {outcome} and are not, {len(ended - must):,} should not be"


def lines(s3: Any, entries: Sequence[Entry], fates: Fates) -> Iterator[str]:
    """Sentences about delivered lines that are not what must have become of the record that they stand for."""
    for entry in of_kind(entries, "data"):
        assert entry.object is not None
        written = body(s3, entry.object).splitlines()
        must = [fates[record].line if record in fates else None for record in entry.records]
        if len(written) != len(must) or any(json.loads(line) != one for line, one in zip(written, must, strict=True)):
            yield f"{entry.object.key} does not hold the flights of its records, in their order"


def error_objects(
    s3: Any, entries: Sequence[Entry], fates: Fates, data: Mapping[RecordId, bytes], function_arn: str
) -> Iterator[str]:
    """Sentences about lines of error objects that do not say what the journal says (A4.8 to A4.12).

    Args:
        s3: a boto3 S3 client.
        entries: the ledger.
        fates: what must have become of each record.
        data: each record as it was put.
        function_arn: what every line names.
    """
    for entry in of_kind(entries, "processing-failed", "format-conversion-failed"):
        assert entry.object is not None
        written = [json.loads(line) for line in body(s3, entry.object).splitlines()]
        if len(written) != len(entry.records):
            yield f"{entry.object.key} has {len(written):,} lines for {len(entry.records):,} records"
            continue
        for line, record in zip(written, entry.records, strict=True):
            said = (line["errorCode"], line["errorMessage"], line["attemptsMade"])
            fate = fates.get(record)
            if fate is None or fate.said != said:
                yield f"{record[1]} ended with {said}; by the journal {fate.said if fate else None}"
            if base64.b64decode(line["rawData"]) != data.get(record):
                yield f"{record[1]}: rawData is not what was put"
            if line["lambdaArn"] != function_arn or line["attemptEndingTimestamp"] < line["arrivalTimestamp"]:
                yield f"{record[1]}: lambdaArn or attemptEndingTimestamp is wrong"


def backup(s3: Any, entries: Sequence[Entry], held: Sequence[StreamRecord]) -> Iterator[str]:
    """Sentences about a source backup that is not what the stream holds, byte for byte, each record once (A7.13)."""
    saved: dict[str, bytes] = {}
    times: Counter[RecordId] = Counter()
    for entry in of_kind(entries, "backup"):
        assert entry.object is not None
        shard_id = entry.records[0][0]
        saved[shard_id] = saved.get(shard_id, b"") + body(s3, entry.object)
        times.update(entry.records)
    put: dict[str, bytes] = {}
    for record in held:
        put[record.shard_id] = put.get(record.shard_id, b"") + record.data
    if times != Counter(record.id for record in held):
        yield "the source backup does not have each record once"
    for shard_id in sorted(put.keys() | saved.keys()):
        if put.get(shard_id) != saved.get(shard_id):
            yield f"the source backup of {shard_id} is not what the stream holds"
