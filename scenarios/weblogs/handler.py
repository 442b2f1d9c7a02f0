"""The transform function of the delivery streams `weblogs` and `weblogs-text`, as it is deployed to AWS Lambda.

A line of an Apache access log in the combined format becomes JSON without personal data; requests of bots are dropped,
and what is no line of such a log fails. Firehose's contract: every recordId comes back, with a result (A4.3).
"""

import base64
import hmac
import json
import os
import re
from datetime import UTC, datetime
from typing import Any

LINE = re.compile(
    r"(?P<address>\S+) \S+ \S+ \[(?P<time>[^\]]+)\] "
    r'"(?P<method>[A-Z]+) (?P<path>\S+) (?P<protocol>HTTP/\d\.\d)" (?P<status>\d{3}) (?P<bytes>\d+|-) '
    r'"(?P<referrer>(?:[^"\\]|\\.)*)" "(?P<agent>(?:[^"\\]|\\.)*)"'  # Apache writes a quote within a field as \"
)
BOT = re.compile(r"bot|crawl|spider|slurp", re.IGNORECASE)
FAMILIES = (  # the first that fits, for a browser also names those that it wants to be taken for
    ("Opera", re.compile(r"^Opera|OPR/")),
    ("Chrome", re.compile(r"Chrome/|CriOS/")),
    ("Safari", re.compile(r"Safari/")),
    ("Firefox", re.compile(r"Firefox/")),
    ("Internet Explorer", re.compile(r"MSIE |Trident/")),
    ("feed reader", re.compile(r"feed|rss|reader", re.IGNORECASE)),
)
MISSING = "-"  # how Apache writes it


def lambda_handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """Answers one batch of Firehose (A4.1 in, A4.3 out)."""
    key = os.environ["PSEUDONYM_KEY"].encode()
    return {"records": [transform(record, key) for record in event["records"]]}


def transform(record: dict[str, Any], key: bytes) -> dict[str, Any]:
    """One record in, one result out: Ok, Dropped or ProcessingFailed (A4.4)."""
    try:
        line = base64.b64decode(record["data"]).decode().removesuffix("\n")
        fields = LINE.fullmatch(line)
        if fields is None:
            return {"recordId": record["recordId"], "result": "ProcessingFailed", "data": record["data"]}
        if BOT.search(fields["agent"]):
            return {"recordId": record["recordId"], "result": "Dropped"}
        hit = redacted(fields, key)
    except ValueError:  # no text, or no time
        return {"recordId": record["recordId"], "result": "ProcessingFailed", "data": record["data"]}
    data = base64.b64encode(json.dumps(hit, separators=(",", ":")).encode() + b"\n").decode()
    return {"recordId": record["recordId"], "result": "Ok", "data": data}


def redacted(fields: "re.Match[str]", key: bytes) -> dict[str, Any]:
    """The fields of a line in the table's types, the visitor under a pseudonym. Raises ValueError for a wrong time."""
    at = datetime.strptime(fields["time"], "%d/%b/%Y:%H:%M:%S %z").astimezone(UTC)
    return {
        "visitor": pseudonym(fields["address"], key),
        "time": at.strftime("%Y-%m-%d %H:%M:%S"),
        "method": fields["method"],
        "path": fields["path"],
        "protocol": fields["protocol"],
        "status": int(fields["status"]),
        "bytes": None if fields["bytes"] == MISSING else int(fields["bytes"]),
        "referrer": None if fields["referrer"] == MISSING else fields["referrer"],
        "agent": family(fields["agent"]),
    }


def pseudonym(address: str, key: bytes) -> str:
    """The same for every line of a visitor, and nothing that leads back to the address without the key.

    Keyed, for there are only four billion addresses: whoever can hash them all finds the one behind a plain hash.
    """
    return hmac.new(key, address.encode(), "sha256").hexdigest()[:16]


def family(agent: str) -> str | None:
    """What kind of browser it is: versions, devices and languages, which tell visitors apart, stay behind."""
    if agent == MISSING:
        return None
    return next((name for name, pattern in FAMILIES if pattern.search(agent)), "other")
