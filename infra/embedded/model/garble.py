"""Answers spoiled on purpose, for tests that want to see a reader go on behind what it cannot decode."""

from typing import Any, Final

import orjson

HOWS: Final = ("bad_base64", "missing_member", "not_json")


def garble(body: bytes, how: str) -> bytes | None:
    """An answer's JSON `body`, spoiled; None when there is nothing in it to spoil so.

    Args:
        body: a JSON object.
        how: "bad_base64", the Data of the record in the middle of Records is not base64; "missing_member", that record
            has no PartitionKey; "not_json", the second half of the body is missing.
    """
    if how == "not_json":
        return body[: len(body) // 2]
    answer: dict[str, Any] = orjson.loads(body)
    records = answer.get("Records")
    if not records or "Data" not in records[0]:
        return None
    record = records[len(records) // 2]
    if how == "bad_base64":
        record["Data"] = "%" + (record["Data"][1:] or "A")  # no decoder takes it, not even one that skips "%"
    else:
        del record["PartitionKey"]
    return orjson.dumps(answer)
