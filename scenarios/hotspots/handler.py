"""The function that is told of new hotspots: a Lambda function as an output of an analytics application (C15).

It writes a line to the log for each, as a driver would be told of a stand that is worth driving to, and says Ok; what
it cannot read it does not take: DeliveryFailed, and the application sends it again.
"""

import base64
import json
from typing import Any


def lambda_handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """Answers one batch of results, each of the first pickup in a hotspot."""
    return {"records": [{"recordId": record["recordId"], "result": _take(record)} for record in event["records"]]}


def _take(record: dict[str, Any]) -> str:
    try:
        pickup = json.loads(base64.b64decode(record["data"]))
        densest = json.loads(pickup["HOTSPOTS_RESULT"])["hotspots"][0]
        pairs = zip(densest["minValues"], densest["maxValues"], strict=True)
        longitude, latitude = ((least + most) / 2 for least, most in pairs)
        stand = {"since_ms": pickup["event_ms"], "longitude": longitude, "latitude": latitude}
    except (IndexError, KeyError, TypeError, ValueError):
        return "DeliveryFailed"
    print(json.dumps({"stand": stand}))
    return "Ok"
