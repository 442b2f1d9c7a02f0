"""What must come of a run: of each record by its data, and of each batch by the faults that the journal says it met.

The codes and messages are AWS's, written down here a second time (A4.9, A4.10).
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from infra.faults import function
from infra.faults.journal import Line

_FORMAT: Final = (
    "Check your function and make sure the output is in required format. In addition to that, make sure the processed "
    "records contain valid result status of Dropped, Ok, or ProcessingFailed"
)
SAID: Final[Mapping[str, tuple[str, str]]] = {
    function.ERROR: (  # A4.10
        "Lambda.FunctionError",
        "The Lambda function was successfully invoked but it returned an error result.",
    ),
    function.TIMED_OUT: (  # A4.10
        "Lambda.FunctionTimedOut",
        "The Lambda function invocation timed out. Increase the Timeout setting in the Lambda function.",
    ),
    function.THROTTLED: (  # A4.10
        "Lambda.InvokeLimitExceeded",
        "The Lambda concurrent execution limit is exceeded. Increase the concurrent execution limit.",
    ),
    function.NO_JSON: (  # A4.10
        "Lambda.JsonProcessingException",
        "There was an error parsing returned records from the Lambda function. Ensure that the returned records "
        "follow the status model required by Firehose.",
    ),
    function.BAD_RESULT: ("Lambda.FunctionError", _FORMAT),  # A4.11
    function.BAD_BASE64: ("Lambda.FunctionError", _FORMAT),  # A4.11
    function.NO_RECORDS: (  # A4.12
        "Lambda.MissingRecordId",
        "One or more record Ids were not returned. Ensure that the Lambda function returns all received record Ids.",
    ),
    function.MISSING_RECORDS: (  # A4.9
        "Lambda.MissingRecordId",
        "One or more record Ids were not returned. Ensure that the Lambda function returns all received record Ids.",
    ),
    function.DOUBLED_RECORDS: (  # A4.9
        "Lambda.DuplicatedRecordId",
        "Multiple records were returned with the same record ID. Ensure that the Lambda function returns unique "
        "record IDs for each record.",
    ),
    function.NULL_DATA: (  # A4.9, A4.11
        "Lambda.InvalidReturnFormat",
        "The data field cannot be null when the SourceType is DirectPut or KinesisStreamAsSource and processing "
        "result is Ok. The value field cannot be null when the SourceType is MSKAsSource and processing result is Ok.",
    ),
}
"""Fault -> errorCode and errorMessage."""
BY_THE_HANDLER: Final = ("Lambda.ProcessingFailedStatus", "ProcessingFailed status set for record")  # A4.9

DELIVERED, DROPPED, FAILED = "delivered", "dropped", "failed"


@dataclass(frozen=True, slots=True)
class Fate:
    """What must become of a record.

    Attributes:
        outcome: DELIVERED, DROPPED or FAILED.
        line: what must be delivered.
        said: errorCode, errorMessage and attemptsMade of a record that fails.
    """

    outcome: str
    line: Mapping[str, Any] | None = None
    said: tuple[str, str, int] | None = None


@dataclass(frozen=True)
class Batches:
    """What the journal says of the function's calls.

    Attributes:
        failed: recordId -> errorCode, errorMessage, attemptsMade, of every record that a fault made fail.
        attempts: recordId -> calls that were made for it.
        problems: sentences about calls that were not made as they should have been.
    """

    failed: dict[str, tuple[str, str, int]] = field(default_factory=dict)
    attempts: dict[str, int] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


def batches(journal: Iterable[Line], retries: int) -> Batches:
    """Follows each batch from its first attempt to its last (A4.8).

    Args:
        journal: of a run.
        retries: NumberOfRetries of the delivery stream.
    """
    by_batch: dict[str, list[Line]] = {}
    for line in journal:
        if line["service"] == "lambda":
            by_batch.setdefault(line["batch"], []).append(line)
    found = Batches()
    for batch, calls in by_batch.items():
        _follow(batch, calls, retries, found)
    return found


def _follow(batch: str, calls: Sequence[Line], retries: int, found: Batches) -> None:
    made = len(calls)
    *before, last = calls
    if [call["number"] for call in calls] != list(range(1, made + 1)):
        found.problems.append(f"the attempts of batch {batch} are not numbered through")
    if len({call["invocation"] for call in calls}) != made:
        found.problems.append(f"two attempts of batch {batch} have one invocationId")
    if any(call["records"] != last["records"] for call in calls):
        found.problems.append(f"not every attempt of batch {batch} has the same records")
    if any(call["fault"] not in function.CALL_FAULTS for call in before):
        found.problems.append(f"batch {batch} was sent again after an answer")
    gave_up = last["fault"] in function.CALL_FAULTS
    if made > retries + 1 or (gave_up and made != retries + 1):
        found.problems.append(f"batch {batch} was sent {made} times, with {retries} retries")
    found.attempts.update(dict.fromkeys(last["records"], made))
    if last["fault"] in SAID:
        touched = last["records"] if gave_up else last["touched"]
        found.failed.update(dict.fromkeys(touched, (*SAID[last["fault"]], made)))


_NUMBER: Final = re.compile(r"-?[0-9]+")


def fate(data: bytes, record_id: str, of: Batches) -> Fate:
    """What must become of a record.

    Args:
        data: as it was put.
        record_id: as the function got it (A4.2).
        of: what its batch met.
    """
    if record_id in of.failed:
        return Fate(FAILED, said=of.failed[record_id])
    flight = _flight(data)
    if flight is not None and flight.get("dep_time") == "NA":
        return Fate(DROPPED)
    if (
        flight is None
        or not all(_NUMBER.fullmatch(flight.get(name, "")) for name in ("dep_delay", "distance"))
        or not {"carrier", "flight", "tailnum", "time_hour"} <= flight.keys()
    ):
        return Fate(FAILED, said=(*BY_THE_HANDLER, of.attempts.get(record_id, 0)))
    return Fate(
        DELIVERED,
        line={
            "flight": f"{flight['carrier']}{flight['flight']}",
            "aircraft": flight["tailnum"],
            "scheduled": flight["time_hour"],
            "delay_min": int(flight["dep_delay"]),
            "distance_miles": int(flight["distance"]),
        },
    )


def _flight(data: bytes) -> dict[str, str] | None:
    try:
        read = json.loads(data.decode("utf-8"))
    except ValueError:
        return None
    return read if isinstance(read, dict) else None
