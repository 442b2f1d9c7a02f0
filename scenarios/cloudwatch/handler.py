"""The function that gets the alarms: a Lambda function as an output of an analytics application (C15).

It writes a line to the log for each alarm, as a pager would be called, and says Ok; what it cannot read it does not
take: DeliveryFailed, and the application sends it again.
"""

import base64
import json
from typing import Any


def lambda_handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """Answers one batch of results."""
    return {"records": [{"recordId": record["recordId"], "result": _take(record)} for record in event["records"]]}


def _take(record: dict[str, Any]) -> str:
    try:
        alarm = json.loads(base64.b64decode(record["data"]))
        line = {name: alarm[name] for name in ("series", "event_ms", "mean", "ANOMALY_SCORE")}
    except (KeyError, ValueError):
        return "DeliveryFailed"
    print(json.dumps({"alarm": line}))
    return "Ok"
