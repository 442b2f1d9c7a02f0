"""What was delivered, held against the log: rows, text, redaction, source backup, error objects."""

import base64
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

import pandas as pd

from pipelines.firehose.ledger import Account, Entry
from scenarios.read_back import StreamRecord, body, of_kind
from scenarios.weblogs.oracle import COLUMNS, Expected, Row

ROWS_SQL: Final = f"SELECT {', '.join(COLUMNS)} FROM weblogs_db.weblogs"


def table_rows(answer: Any) -> list[Row]:
    """The rows of `ROWS_SQL`, an Arrow table, as the oracle has them."""
    return [tuple(str(value) if name == "time" else value for name, value in row.items()) for row in answer.to_pylist()]


def text_rows(text: bytes) -> list[Row]:
    """The rows of newline-delimited JSON."""
    return [tuple(json.loads(line)[name] for name in COLUMNS) for line in text.splitlines()]


def differing(what: str, ours: Iterable[Row], expected: Iterable[Row]) -> Iterator[str]:
    """A sentence when not the same rows are in both, each as often."""
    have, want = Counter(ours), Counter(expected)
    missing, surplus = want - have, have - want
    if missing or surplus:
        example = next(iter(missing or surplus))
        counted = f"{missing.total():,} rows are missing and {surplus.total():,} should not be there"
        yield f"{what}: {counted}, e.g. {example}"


def same_answer(ours: pd.DataFrame, expected: pd.DataFrame) -> bool:
    """Whether both answers have the same groups, hits and bytes."""
    columns = ["status", "hour", "hits", "bytes"]
    return _canonical(ours[columns]) == _canonical(expected[columns])


def _canonical(answer: pd.DataFrame) -> list[Row]:
    return [(int(s), pd.Timestamp(h), int(n), int(b)) for s, h, n, b in answer.itertuples(index=False)]


def counts(name: str, account: Account, expected: Expected) -> Iterator[str]:
    """Sentences about an account whose numbers are not those of the log."""
    for what, counted, known in (
        ("delivered", account.delivered, len(expected.hits)),
        ("dropped", account.dropped, len(expected.robots)),
        ("failed", account.failed, len(expected.broken)),
    ):
        if counted != known:
            yield f"{name}: {counted:,} records are {what}, {known:,} should be"


def leaks(what: str, decoded: str, expected: Expected) -> Iterator[str]:
    """A sentence for each kind of personal data of the log that stands in decoded data, whole, wherever it stands."""
    for kind, texts in (("addresses", expected.addresses), ("user agents", expected.agents)):
        found = sorted(text for text in texts if text in decoded)
        if found:
            yield f"{what}: {len(found):,} {kind} of the log stand in what was delivered, e.g. {found[0]!r}"


def backup(s3: Any, entries: Sequence[Entry], stream: Sequence[StreamRecord], lines: Sequence[bytes]) -> Iterator[str]:
    """Sentences about a source backup that is not the input, byte for byte (A7.13).

    Args:
        s3: a boto3 S3 client.
        entries: the ledger.
        stream: what the stream holds, by shard and sequence number.
        lines: what was put.
    """
    by_shard: dict[str, bytes] = {}
    for entry in of_kind(entries, "backup"):
        assert entry.object is not None
        shards = [shard.shard_id for shard in entry.object.shards]
        if len(shards) != 1:  # buffers are kept per shard (A2.6)
            yield f"{entry.object.key} holds records of {len(shards)} shards"
        by_shard[shards[0]] = by_shard.get(shards[0], b"") + body(s3, entry.object)
    put: dict[str, bytes] = {}
    for record in stream:
        put[record.shard_id] = put.get(record.shard_id, b"") + record.data
    for shard_id in sorted(put.keys() | by_shard.keys()):
        if put.get(shard_id) != by_shard.get(shard_id):
            yield f"the source backup of {shard_id} is not what was put into it, in the order of sequence numbers"
    if Counter(b"".join(by_shard.values()).splitlines(keepends=True)) != Counter(lines):
        yield "the lines of the source backup are not those of the log"


def failures(name: str, s3: Any, entries: Sequence[Entry], broken: Sequence[bytes]) -> Iterator[str]:
    """Sentences about error objects that are not the `broken` lines, each failed by the function at once (A4.9)."""
    lines: list[Mapping[str, Any]] = []
    for entry in of_kind(entries, "processing-failed", "format-conversion-failed"):
        assert entry.object is not None
        lines += map(json.loads, body(s3, entry.object).splitlines())
    if Counter(base64.b64decode(line["rawData"]) for line in lines) != Counter(broken):
        yield f"{name}: the error objects do not hold the {len(broken):,} lines that do not parse"
    for line in lines:
        said = (line.get("errorCode"), line.get("errorMessage"), line.get("attemptsMade"))
        if said != ("Lambda.ProcessingFailedStatus", "ProcessingFailed status set for record", 1):
            yield f"{name}: an error object says {said}"
