"""Records that failed, and the error objects AWS writes for them (A4, A5.11).

A `Failure` renders to one line of JSON. Lines travel and are buffered as pages like any other record, and
end in an object under the error prefix.
"""

import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import orjson
import pyarrow as pa

from pipelines.firehose.config import SchemaConfiguration
from pipelines.kinesis.page import PAGE_SCHEMA
from pipelines.runtime.errors import InvalidDataError

PROCESSING_FAILED: Final = "processing-failed"
FORMAT_CONVERSION_FAILED: Final = "format-conversion-failed"

ErrorOutputType = Literal["processing-failed", "format-conversion-failed"]
"""The values of `!{firehose:error-output-type}` that a record's failure can have here (A7.6)."""

_OTHER_SPELLINGS: Final[dict[str, str]] = {
    "lambdaARN": "lambdaArn",
    "ErrorCode": "lastErrorCode",
    "ErrorMessage": "lastErrorMessage",
}
"""Spellings met in AWS's documents and objects -> the ones we write (X1, X2)."""

_INTEGERS: Final = ("attemptsMade", "arrivalTimestamp", "attemptEndingTimestamp", "subSequenceNumber")


@dataclass(frozen=True, slots=True)
class DataCatalogTable:
    """The Glue table that a record did not fit, as an error object names it (A5.11).

    Attributes:
        catalog_id: Glue catalog, None when the delivery stream names none.
        database_name: Glue database.
        table_name: Glue table.
        region: the catalog's region, None when the delivery stream names none.
        version_id: version of the table, "LATEST" or a number.
    """

    catalog_id: str | None
    database_name: str
    table_name: str
    region: str | None
    version_id: str

    @classmethod
    def of(cls, schema: SchemaConfiguration) -> "DataCatalogTable":
        """The table that `schema` points at."""
        return cls(schema.catalog_id, schema.database_name, schema.table_name, schema.region, schema.version_id)


@dataclass(frozen=True, slots=True)
class Failure:
    """One record that was not delivered, and why.

    Attributes:
        error_output_type: which error object it goes into; decides the shape of the line.
        error_code: AWS's code, e.g. "Lambda.FunctionError" (A4.9, A4.10) or "DataFormatConversion.ParseError" (A5.12).
        error_message: AWS's message.
        attempts_made: invocations of the function, or attempts to convert.
        raw_data: the record as it was before the step that failed: for "processing-failed" the source's bytes.
        arrival_ms: the record's arrival, ms since the epoch.
        attempt_ending_ms: when the last attempt ended, ms since the epoch.
        shard_id: the record's shard.
        sequence_number: the record's sequence number.
        sub_sequence_number: its place in an aggregated record, else 0.
        lambda_arn: the function, for "processing-failed".
        table: the Glue table, for "format-conversion-failed".
    """

    error_output_type: ErrorOutputType
    error_code: str
    error_message: str
    attempts_made: int
    raw_data: bytes
    arrival_ms: int
    attempt_ending_ms: int
    shard_id: str
    sequence_number: str
    sub_sequence_number: int
    lambda_arn: str | None = None
    table: DataCatalogTable | None = None


def render(failure: Failure) -> bytes:
    """The line AWS writes for `failure`: one JSON object and a newline, integers as numbers (A4, A5.11)."""
    conversion = failure.error_output_type == FORMAT_CONVERSION_FAILED
    line: dict[str, Any] = {
        "attemptsMade": failure.attempts_made,
        "arrivalTimestamp": failure.arrival_ms,
        "lastErrorCode" if conversion else "errorCode": failure.error_code,
        "lastErrorMessage" if conversion else "errorMessage": failure.error_message,
        "attemptEndingTimestamp": failure.attempt_ending_ms,
        "rawData": base64.b64encode(failure.raw_data).decode("ascii"),
    }
    if conversion:
        line["sequenceNumber"] = failure.sequence_number
        line["subSequenceNumber"] = failure.sub_sequence_number
        line["dataCatalogTable"] = _catalog_table(failure.table)
    else:
        line["lambdaArn"] = failure.lambda_arn
    return orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE)


def parse_line(line: bytes) -> dict[str, Any]:
    """An error object's line, read back: AWS's own lines and ours.

    Args:
        line: one JSON object; white space around it is fine.

    Returns:
        Its members under the names `render` writes, whichever spelling the line has (X1, X2); counts and times are
        integers, also where the line has them as text (A4), and "rawData" is the decoded bytes.

    Raises:
        InvalidDataError: the line is not an error object.
    """
    try:
        read = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        message = f"A line of the error object is not JSON: {error}."
        raise InvalidDataError(message, fix="inspect an object under the error prefix") from error
    if not isinstance(read, Mapping) or "rawData" not in read:
        message = "A line of the error object has no rawData."
        raise InvalidDataError(message, fix="inspect an object under the error prefix")
    written: Mapping[str, Any] = read
    members = {_OTHER_SPELLINGS.get(name, name): value for name, value in written.items()}
    try:
        members["rawData"] = binascii.a2b_base64(members["rawData"], strict_mode=True)
        members.update({name: int(members[name]) for name in _INTEGERS if name in members})
    except (TypeError, ValueError) as error:
        message = f"A line of the error object cannot be read: {error}."
        raise InvalidDataError(message, fix="inspect an object under the error prefix") from error
    return members


def failure_page(failures: Sequence[Failure]) -> pa.RecordBatch:
    """The page that carries `failures` to their error object, one row each, in order.

    Returns:
        PAGE_SCHEMA; `data` is the rendered line, the lineage columns are the record's, `partition_key` is empty.
    """
    return pa.RecordBatch.from_arrays(
        [
            pa.array([render(failure) for failure in failures], pa.binary()),
            pa.repeat(pa.scalar("", pa.string()), len(failures)),
            pa.array([failure.sequence_number for failure in failures], pa.string()),
            pa.array([failure.sub_sequence_number for failure in failures], pa.int64()),
            pa.array([failure.shard_id for failure in failures], pa.string()),
            pa.array([failure.arrival_ms for failure in failures], pa.int64()),
        ],
        schema=PAGE_SCHEMA,
    )


def _catalog_table(table: DataCatalogTable | None) -> dict[str, str | None] | None:
    if table is None:
        return None
    return {
        "catalogId": table.catalog_id,
        "databaseName": table.database_name,
        "tableName": table.table_name,
        "region": table.region,
        "versionId": table.version_id,
        "catalogArn": None,
    }
