"""A scenario's declarations with names of their own, so that nothing of somebody else's run is touched."""

import json
from pathlib import Path
from typing import Any

from call_fixtures import unique

ROOT = Path(__file__).parents[2]
SCENARIOS = sorted(folder.parent.name for folder in (ROOT / "scenarios").glob("*/aws"))
_NAMED = ("StreamName", "DeliveryStreamName", "Bucket", "DatabaseName", "KinesisStreamARN", "BucketARN")


def renamed(scenario: str, folder: Path) -> Path:
    """A copy of the scenario's `aws/` in `folder`, where streams, buckets, databases and delivery streams have other
    names.
    """
    suffix = unique("")
    for path in sorted((ROOT / "scenarios" / scenario / "aws").glob("*.json")):
        request = _renamed(json.loads(path.read_text()), suffix)
        (folder / path.name).write_text(json.dumps(request))
    return folder


def requests(folder: Path, call: str) -> list[dict[str, Any]]:
    """The requests of `folder` for a call, e.g. "s3.create_bucket"."""
    return [json.loads(path.read_text()) for path in sorted(folder.glob(f"*-{call}.json"))]


def declare(folder: Path, **calls: dict[str, Any]) -> Path:
    """A folder that declares `calls`, by names such as s3__create_bucket."""
    for number, (call, request) in enumerate(calls.items()):
        (folder / f"{10 + number}-{call.replace('__', '.')}.json").write_text(json.dumps(request))
    return folder


def _renamed(value: Any, suffix: str, name: str = "") -> Any:
    match value:
        case dict():
            members = {key: _renamed(member, suffix, key) for key, member in value.items()}
            if name == "DatabaseInput":
                members["Name"] = _with(members["Name"], suffix)
            return members
        case list():
            return [_renamed(member, suffix) for member in value]
        case str() if name in _NAMED:
            return _with(value, suffix)
        case str() if name == "Location":
            bucket, _, key = value.removeprefix("s3://").partition("/")
            return f"s3://{bucket}{suffix}/{key}"
    return value


def _with(name: str, suffix: str) -> str:
    return name + (suffix.replace("-", "_") if "_" in name else suffix)
