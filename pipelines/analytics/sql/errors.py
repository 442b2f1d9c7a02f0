"""The error stream: a row for each record or row that could not be processed (C7). Pure."""

from collections.abc import Sequence
from typing import Final

import pyarrow as pa

from pipelines.analytics.sql.parse import Field
from pipelines.analytics.sql.steps import RowError, stream_schema
from pipelines.analytics.sql.types import TIMESTAMP, Kind, SqlType

ERROR_STREAM: Final = "error_stream"
LEVEL: Final = "ERROR"
LATE: Final = "OUT_OF_ORDER"
BAD_SCHEMA: Final = "BAD_SCHEMA"
OUTPUT_REFUSED: Final = "OUTPUT_REFUSED"
"""A row that its destination would never take: no name of KDA's, which says nothing of such rows."""


def _text(length: int) -> SqlType:
    return SqlType("VARCHAR", Kind.TEXT, length)


ERROR_FIELDS: Final = (
    Field("ERROR_TIME", TIMESTAMP),
    Field("ERROR_LEVEL", _text(10)),
    Field("ERROR_NAME", _text(32)),
    Field("MESSAGE", _text(4_096)),
    Field("DATA_ROWTIME", TIMESTAMP),
    Field("DATA_ROW", _text(49_152)),
    Field("PUMP_NAME", _text(128)),
)
"""Its columns (C7). DATA_ROW is hexadecimal: of a record its data, of a row its columns as JSON."""


def error_rows(errors: Sequence[RowError], pump: str, now_ms: int) -> pa.RecordBatch:
    """A batch of the error stream.

    Args:
        errors: what could not be processed.
        pump: the pump that should have; "" for the source.
        now_ms: ERROR_TIME.
    """
    lengths = [field.type.length for field in ERROR_FIELDS]
    columns = [
        [now_ms] * len(errors),
        [LEVEL] * len(errors),
        [error.name for error in errors],
        [error.message[: lengths[3]] for error in errors],
        [error.rowtime_ms for error in errors],
        [error.row.hex()[: lengths[5]] for error in errors],
        [pump[: lengths[6]]] * len(errors),
    ]
    heads = [
        [error.place[0] for error in errors],
        [now_ms] * len(errors),
        *([error.place[at] for error in errors] for at in range(3)),
    ]
    schema = stream_schema(ERROR_FIELDS)
    arrays = [pa.array(column, field.type) for column, field in zip([*heads, *columns], schema, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)
