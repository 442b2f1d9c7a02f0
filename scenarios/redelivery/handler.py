"""The transform function of the delivery stream `redelivery`, as it is deployed to AWS Lambda.

It has nothing to do with faults: those come from outside. A flight becomes a short JSON line; flights that never left
are dropped, and what is no flight fails. Firehose's contract: every recordId comes back, with a result (A4.3).
"""

import base64
import json
from typing import Any

MISSING = "NA"  # how the producer writes it


def lambda_handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """Answers one batch of Firehose (A4.1 in, A4.3 out)."""
    return {"records": [transform(record) for record in event["records"]]}


def transform(record: dict[str, Any]) -> dict[str, Any]:
    """One record in, one result out: Ok, Dropped or ProcessingFailed (A4.4)."""
    try:
        flight = json.loads(base64.b64decode(record["data"]))
        if flight["dep_time"] == MISSING:
            return {"recordId": record["recordId"], "result": "Dropped"}
        short = {
            "flight": flight["carrier"] + flight["flight"],
            "aircraft": flight["tailnum"],
            "scheduled": flight["time_hour"],
            "delay_min": int(flight["dep_delay"]),
            "distance_miles": int(flight["distance"]),
        }
    except (ValueError, KeyError, TypeError):
        return {"recordId": record["recordId"], "result": "ProcessingFailed", "data": record["data"]}
    data = base64.b64encode(json.dumps(short, separators=(",", ":")).encode() + b"\n").decode()
    return {"recordId": record["recordId"], "result": "Ok", "data": data}
