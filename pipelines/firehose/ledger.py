"""The ledger: where each record ended, by sequence number, and the account that adds it up.

A run that wants to prove that nothing vanished writes what became of each record to a folder, one JSON line per object
or dropped page, and afterwards holds the lines against the sequence numbers that were put.
"""

import json
import uuid
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import apache_beam as beam
import pyarrow as pa

from pipelines.firehose.chunk import DeliveredObject
from pipelines.firehose.delivery import BACKED_UP, DELIVERED
from pipelines.firehose.invocation import Invocation
from pipelines.firehose.stages import DROPPED, FAILED, INVOKED
from pipelines.kinesis.page import decode_batch
from pipelines.runtime.errors import InvalidDataError

RecordId = tuple[str, str, int]
"""Shard id, sequence number, sub-sequence number."""


@dataclass(frozen=True)
class Entry:
    """One line of the ledger: what became of some records, in which object, or in which call of the transform.

    The records are in the order of the object's rows, one for each row.
    """

    outcome: str
    records: tuple[RecordId, ...]
    object: DeliveredObject | None = None
    invocation: Invocation | None = None


@dataclass(frozen=True)
class Account:
    """How many records ended where. `adds_up` says whether each record put is in exactly one place.

    Attributes:
        put: records put into the stream.
        delivered: records in data objects.
        dropped: records the transform dropped.
        failed: records in error objects.
        late: records behind the watermark; a delivery stream has no windows, so none is.
        buffered: records that are still in a buffer: none, as the end of the input flushes every buffer before a run
            ends. A record that stayed in one would be among the lost.
        lost: sequence numbers put and found nowhere.
        doubled: sequence numbers found more than once, or never put.
    """

    put: int
    delivered: int
    dropped: int
    failed: int
    late: int = 0
    buffered: int = 0
    lost: tuple[RecordId, ...] = field(default=(), repr=False)
    doubled: tuple[RecordId, ...] = field(default=(), repr=False)

    @property
    def adds_up(self) -> bool:
        ended = self.delivered + self.dropped + self.failed + self.late + self.buffered
        return self.put == ended and not self.lost and not self.doubled


@dataclass(frozen=True)
class Delivery:
    """What one delivery stream made of the records that were put.

    Attributes:
        account: where they ended.
        entries: the ledger, line by line.
    """

    account: Account
    entries: tuple[Entry, ...] = field(default=(), repr=False)

    @property
    def objects(self) -> list[DeliveredObject]:
        """Every object that was written, in key order."""
        return sorted((entry.object for entry in self.entries if entry.object), key=lambda written: written.key)

    def to_json(self) -> dict[str, Any]:
        """The account's counts and the objects, without their sequence numbers."""
        counts = ("put", "delivered", "dropped", "failed", "late", "buffered")
        return {
            "account": {name: getattr(self.account, name) for name in counts}
            | {"lost": len(self.account.lost), "doubled": len(self.account.doubled)},
            "objects": [written.to_json() for written in self.objects],
        }


def account(put: Iterable[RecordId], entries: Iterable[Entry]) -> Account:
    """The account of a run that ended.

    A record that holds several JSON documents is several rows of one object (A5.3); it is delivered once.

    Args:
        put: every record that was put, from the answers of PutRecords.
        entries: the ledger.
    """
    expected = set(put)
    found: Counter[RecordId] = Counter()
    by_outcome = Counter({DELIVERED: 0, DROPPED: 0, FAILED: 0})
    for entry in entries:
        if entry.outcome in {BACKED_UP, INVOKED}:
            continue
        records = set(entry.records)
        found.update(records)
        by_outcome[entry.outcome] += len(records)
    lost = tuple(sorted(expected - found.keys()))
    doubled = tuple(sorted(record for record, times in found.items() if times > 1 or record not in expected))
    return Account(
        put=len(expected),
        delivered=by_outcome[DELIVERED],
        dropped=by_outcome[DROPPED],
        failed=by_outcome[FAILED],
        lost=lost,
        doubled=doubled,
    )


def read_ledger(folder: Path, sequence_number: str = "") -> Iterator[Entry]:
    """Every entry written under `folder`; or those alone that have a record with `sequence_number`.

    Raises:
        InvalidDataError: a file there is something else.
    """
    quoted = f'"{sequence_number}"' if sequence_number else ""
    for path in sorted(folder.glob("*.jsonl")):
        with path.open(encoding="utf-8") as lines:
            try:
                for line in lines:
                    if quoted in line:  # decoding the others would cost most of the time
                        yield _entry(json.loads(line))
            except (KeyError, TypeError, ValueError) as error:
                message = f"{path} is no ledger: {type(error).__name__}: {error}."
                raise InvalidDataError(message, fix="run the scenario again; a file there was changed") from error


class WriteLedger(beam.PTransform):
    """What `DeliveryStream` returns -> nothing: appends a line per object, dropped page and call to files in `folder`.

    Args:
        folder: an existing local folder that the workers share.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._folder = str(folder)

    def expand(self, outcomes: Any) -> Any:
        return {
            outcome: collection | f"Ledger-{outcome}" >> beam.ParDo(_WriteLedgerFn(self._folder, outcome))
            for outcome, collection in outcomes.items()
        }


class _WriteLedgerFn(beam.DoFn):
    def __init__(self, folder: str, outcome: str) -> None:
        self._folder = Path(folder)
        self._outcome = outcome
        self._file: IO[str] | None = None

    def setup(self) -> None:
        path = self._folder / f"{self._outcome}-{uuid.uuid4()}.jsonl"
        self._file = path.open("w", encoding="utf-8")

    def process(self, element: Any) -> None:
        assert self._file is not None  # Beam calls setup() first
        line: dict[str, Any] = {"outcome": self._outcome}
        if isinstance(element, DeliveredObject):
            line["object"] = element.to_json()
            rows = decode_batch(element.sequence_numbers)
        elif isinstance(element, Invocation):
            line["invocation"] = element.to_json()
            rows = decode_batch(element.sequence_numbers)
        else:
            rows = element
        line["records"] = _by_shard(rows)
        self._file.write(json.dumps(line) + "\n")

    def finish_bundle(self) -> None:
        assert self._file is not None
        self._file.flush()

    def teardown(self) -> None:
        if self._file is not None:
            self._file.close()


def _by_shard(rows: pa.RecordBatch) -> dict[str, list[list[Any]]]:
    by_shard: dict[str, list[list[Any]]] = {}
    columns = (rows.column(name).to_pylist() for name in ("shard_id", "sequence_number", "sub_sequence_number"))
    for shard_id, number, sub in zip(*columns, strict=True):
        by_shard.setdefault(shard_id, []).append([number, sub])
    return by_shard


def _entry(line: Mapping[str, Any]) -> Entry:
    records = tuple((shard_id, number, sub) for shard_id, numbers in line["records"].items() for number, sub in numbers)
    written, invocation = line.get("object"), line.get("invocation")
    return Entry(
        line["outcome"],
        records,
        DeliveredObject.from_json(written) if written else None,
        Invocation.from_json(invocation) if invocation else None,
    )
