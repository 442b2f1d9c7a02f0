"""Transform functions of the tests, as Lambda has them; deliveries.py hands them to `InProcessInvoker`."""

import base64
import json
from collections.abc import Callable
from typing import Any

Event = dict[str, Any]


def mixed(event: Event, context: object) -> Event:
    """Of ten records the first is dropped, the second fails, the third stays as it is; the others get a longer word."""
    return {"records": [_mixed(record) for record in event["records"]]}


def _mixed(record: Event) -> Event:
    row = json.loads(base64.b64decode(record["data"]))
    if row["n"] % 10 == 0:
        return {"recordId": record["recordId"], "result": "Dropped"}
    if row["n"] % 10 == 1:
        return {"recordId": record["recordId"], "result": "ProcessingFailed", "data": record["data"]}
    if row["n"] % 10 == 2:
        return _ok(record)
    return _ok(record, json.dumps(row | {"word": f"transformed {row['word']}"}).encode() + b"\n")


def spoiled(event: Event, context: object) -> Any:
    """Answers a batch as `do` of its first record says."""
    first = json.loads(base64.b64decode(event["records"][0]["data"]) or b"{}")
    records = [_ok(record) for record in event["records"]]
    return SPOILED[first.get("do", "nothing wrong")](records[0], records[1:])


def _raise(*_: object) -> None:
    raise RuntimeError("no such carrier")


SPOILED: dict[str, Callable[[Event, list[Event]], Any]] = {
    "nothing wrong": lambda first, others: {"records": [first, *others]},
    "raise": _raise,
    "no object": lambda first, others: "done",
    "no records": lambda first, others: {"done": True},
    "records that are none": lambda first, others: {"records": "all"},
    "no JSON": lambda first, others: {"records": {1, 2}},
    "unknown result": lambda first, others: {"records": [first | {"result": "Fine"}, *others]},
    "no base64": lambda first, others: {"records": [first | {"data": "{}"}, *others]},
    # From here on only the first record is answered badly.
    "no data": lambda first, others: {"records": [first | {"data": None}, *others]},
    "no id": lambda first, others: {"records": [{"result": "Ok", "data": first["data"]}, *others]},
    "forgotten": lambda first, others: {"records": others},
    "twice": lambda first, others: {"records": [first, *others, first]},
    "stranger": lambda first, others: {"records": [first, *others, first | {"recordId": "stranger"}]},
}


def _ok(record: Event, data: bytes | None = None) -> Event:
    encoded = record["data"] if data is None else base64.b64encode(data).decode()
    return {"recordId": record["recordId"], "result": "Ok", "data": encoded}
