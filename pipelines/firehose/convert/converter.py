"""Pages of JSON records to pages of typed rows: the fast path for what it can do, the slow path for the rest."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa

from pipelines.firehose.chunk import LINEAGE_COLUMNS, data_bytes
from pipelines.firehose.config import HiveJsonSerDe, OpenXJsonSerDe
from pipelines.firehose.convert.fast import FastReader, Read
from pipelines.firehose.convert.lines import Flags, Lines, Positions, lines_of
from pipelines.firehose.convert.messages import BadRecordError
from pipelines.firehose.convert.rules import rules_of
from pipelines.firehose.convert.slow import SlowReader
from pipelines.firehose.schema import TableSchema

_FEW: Final = 24
"""Fewer lines than these are converted sooner by the slow path than by a call of the reader (about 0.4 ms)."""
_CALL: Final = 200
"""A call of the reader costs as much as reading so many lines."""
_IN_VAIN: Final = 4
"""A page of n lines may have 4 n lines read in vain; what is left then takes the slow path (it costs as much as 7)."""
_REST_PAGES: Final = 8
"""After a page that was mostly slow, the fast path is tried again only on every eighth page."""


@dataclass(frozen=True, slots=True)
class ConversionFailure:
    """A record that cannot be converted (A5.10).

    Attributes:
        row: which record of the page.
        code: `DataFormatConversion.ParseError` or `.MalformedData` (A5.12).
        message: AWS's sentence.
    """

    row: int
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Converted:
    """A converted page.

    Attributes:
        rows: the table's columns, then the lineage columns; in the order of the page. A record with several JSON
            documents has several rows, of one lineage (A5.3, X8).
        failures: the records that are not in `rows`, ascending.
        raw_bytes: bytes of the records that are in `rows`, as they came.
    """

    rows: pa.RecordBatch
    failures: list[ConversionFailure]
    raw_bytes: int


class RecordConverter:
    """Converts the pages of one delivery stream to the rows of its table (A5.3 to A5.6, A5.9, A5.10, A5.12, A5.13).

    The result depends on the page alone. What the converter remembers of earlier pages changes its speed only.

    Args:
        schema: the Glue table's columns.
        deserializer: how JSON is read.

    Raises:
        ConfigurationError: a timestamp format of the deserializer is not supported.
    """

    def __init__(self, schema: TableSchema, deserializer: OpenXJsonSerDe | HiveJsonSerDe) -> None:
        rules = rules_of(deserializer)
        self._schema = schema
        self._fast = FastReader(schema, rules)
        self._slow = SlowReader(schema, rules)
        self._slow_pages = 0

    def convert(self, page: pa.RecordBatch) -> Converted:
        """Converts one page (`PAGE_SCHEMA`). A bad record becomes a failure; its neighbours are in the rows (A5.10)."""
        data = page.column("data")
        pieces, slow = self._read_fast(data)
        failures: list[ConversionFailure] = []
        if slow.any() or not pieces:
            pieces.append(self._read_slow(data, np.flatnonzero(slow), failures))
        columns, owners = _merge(pieces)
        lineage = [page.column(name) for name in LINEAGE_COLUMNS.values()]
        if len(owners) != page.num_rows or not np.array_equal(owners, np.arange(page.num_rows)):
            lineage = [column.take(pa.array(owners)) for column in lineage]
        rows = pa.RecordBatch.from_arrays([*columns, *lineage], names=[*self._schema.arrow.names, *LINEAGE_COLUMNS])
        failed_bytes = sum(len(data[failure.row].as_buffer()) for failure in failures)
        return Converted(rows, failures, data_bytes(page) - failed_bytes)

    def _read_fast(self, data: pa.Array) -> tuple[list["_Piece"], Flags]:
        """What the fast path decides, and which records it leaves to the slow path."""
        resting = self._slow_pages % (_REST_PAGES + 1)
        if not self._fast.usable or len(data) < _FEW or resting:
            self._slow_pages += bool(resting)
            return [], np.ones(len(data), np.bool_)
        lines = lines_of(data)
        slow = lines.apart.copy()
        reads = self._read_spans(lines, slow)
        self._slow_pages = int(np.count_nonzero(slow) * 2 > len(data))
        pieces: list[_Piece] = []
        for low, columns in reads:
            owners = lines.owners[low : low + len(columns[0])]
            keep = ~slow[owners]
            if keep.all():
                pieces.append((columns, owners))
            else:
                kept = pa.array(keep)
                pieces.append(([column.filter(kept) for column in columns], owners[keep]))
        return pieces, slow

    def _read_spans(self, lines: Lines, slow: Flags) -> list[tuple[int, list[pa.Array]]]:
        """Reads all lines, in spans around those at fault, whose records are flagged in `slow`."""
        self._fast.begin_page()
        count = len(lines.owners)
        in_vain = 0
        reads: list[tuple[int, list[pa.Array]]] = []
        spans = [(0, count)]
        while spans:
            low, high = spans.pop()
            if in_vain > _IN_VAIN * count or high - low < _FEW:
                slow[lines.owners[low:high]] = True
                continue
            result = self._fast.read(*lines.span(low, high))
            if isinstance(result, Read):
                reads.append((low, result.columns))
                if result.open_rows is not None:
                    slow[lines.owners[low:high][result.open_rows]] = True
                continue
            in_vain += _CALL + (high - low if result.row is None else result.row)
            if result.row is not None and low + result.row < high:
                fault = low + result.row
                slow[lines.owners[fault]] = True
                spans += [(fault + 1, high), (low, fault)]
            else:
                middle = (low + high) // 2
                spans += [(middle, high), (low, middle)]
        return reads

    def _read_slow(self, data: pa.Array, records: Positions, failures: list[ConversionFailure]) -> "_Piece":
        rows: list[list[object]] = []
        owners: list[int] = []
        for record in records.tolist():
            try:
                found = self._slow.rows(data[record].as_py())
            except BadRecordError as error:
                failures.append(ConversionFailure(record, error.code, error.message))
                continue
            rows += found
            owners += [record] * len(found)
        return self._slow.columns(rows), np.array(owners, np.int64)


_Piece = tuple[list[pa.Array], Positions]
"""Columns of the table, and the record that each row comes from."""


def _merge(pieces: list[_Piece]) -> _Piece:
    """All rows, in the order of their records."""
    if len(pieces) == 1:
        return pieces[0]
    owners = np.concatenate([owners for _, owners in pieces])
    order = np.argsort(owners, kind="stable")
    columns = [pa.concat_arrays(column) for column in zip(*(columns for columns, _ in pieces), strict=True)]
    if not np.array_equal(order, np.arange(len(order))):
        columns = [column.take(pa.array(order)) for column in columns]
    return columns, owners[order]
