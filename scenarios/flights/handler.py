"""The transform function of the delivery stream `flights`, as it is deployed to AWS Lambda.

It types the fields of a flight (the producer sends text, as the CSV has it), drops flights that were cancelled, and
fails what is not a flight. Firehose's contract: every recordId comes back, with a result (A4.3).
"""

import base64
import json
from typing import Any

INTEGERS = (
    "year", "month", "day", "dep_time", "sched_dep_time", "dep_delay", "arr_time", "sched_arr_time", "arr_delay",
    "flight", "air_time", "distance", "hour", "minute",
)  # fmt: skip
TEXTS = ("carrier", "tailnum", "origin", "dest", "time_hour")
MISSING = "NA"  # how the CSV writes it


def lambda_handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """Answers one batch of Firehose (A4.1 in, A4.3 out)."""
    return {"records": [transform(record) for record in event["records"]]}


def transform(record: dict[str, Any]) -> dict[str, Any]:
    """One record in, one result out: Ok, Dropped or ProcessingFailed (A4.4)."""
    try:
        flight = json.loads(base64.b64decode(record["data"]))
        if flight["dep_time"] == MISSING:  # it never left
            return {"recordId": record["recordId"], "result": "Dropped"}
        typed = typed_flight(flight)
    except (ValueError, KeyError, TypeError):
        return {"recordId": record["recordId"], "result": "ProcessingFailed", "data": record["data"]}
    data = base64.b64encode(json.dumps(typed, separators=(",", ":")).encode() + b"\n").decode()
    return {"recordId": record["recordId"], "result": "Ok", "data": data}


def typed_flight(flight: dict[str, str]) -> dict[str, Any]:
    """Text to the types of the table; NA is null. Raises ValueError, KeyError or TypeError."""
    typed: dict[str, Any] = {name: None if flight[name] == MISSING else int(flight[name]) for name in INTEGERS}
    typed.update({name: None if flight[name] == MISSING else flight[name] for name in TEXTS})
    return typed
