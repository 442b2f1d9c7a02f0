"""Where reading ends: a time, sequence numbers, or a file that says so while the pipeline runs."""

import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import orjson

from pipelines.kinesis.positions import SECONDS, ShardPosition
from pipelines.runtime.errors import ConfigurationError

EndNumbers = Mapping[str, "str | None"]
"""By shard id the sequence number behind which reading ends, or None for as soon as nothing is left."""
SLACK_MS: Final = 1_000
"""How far arrival times may run against the order of sequence numbers and against our clock (B9)."""


@dataclass(frozen=True, slots=True)
class StopFile:
    """Ends reading when a file appears. Only the path travels, so it works from any process of the machine.

    The file's content is a JSON object {"<shard id>": "<sequence number>" or null}: each shard is read up to and
    including that record; null and shards that are not named end as soon as nothing is left in them. The empty
    object ends every shard where it stands: what was claimed is delivered, nothing more is read.

    Attributes:
        path: a local path; nothing is there while reading goes on.
    """

    path: str

    def write(self, ends: Mapping[str, str | None]) -> None:
        """Puts the file there, whole or not at all; a later call replaces it."""
        target = Path(self.path)
        with tempfile.NamedTemporaryFile(dir=target.parent, prefix=target.name, delete=False) as file:
            file.write(orjson.dumps(dict(ends)))
        os.replace(file.name, target)

    def read(self) -> dict[str, str | None] | None:
        """The file's object, or None while it is not there or not complete."""
        try:
            ends = orjson.loads(Path(self.path).read_bytes())
        except (FileNotFoundError, orjson.JSONDecodeError):
            return None
        return ends if isinstance(ends, dict) else None


Until = int | Mapping[str, str] | StopFile | None
"""Milliseconds since the epoch, end sequence numbers by shard id, a StopFile, or None for never."""


@dataclass(frozen=True, slots=True)
class ShardEnd:
    """Where one shard's reading ends.

    Attributes:
        kind: OPEN never; NOW where it stands; CAUGHT_UP as soon as nothing is left; AT_SEQUENCE_NUMBER behind the
            record of that number; AT_TIMESTAMP behind the last record that arrived at that time or before.
        value: the sequence number or the milliseconds.
    """

    kind: Literal["OPEN", "NOW", "CAUGHT_UP", "AT_SEQUENCE_NUMBER", "AT_TIMESTAMP"]
    value: int = 0

    @property
    def order(self) -> tuple[int, int, float]:
        """Of the position behind the record of AT_SEQUENCE_NUMBER, as `ShardPosition.order`."""
        return ShardPosition.after(str(self.value)).order


OPEN: Final = ShardEnd("OPEN")


def check_until(until: object) -> Until:
    """`until`, if it is one.

    Raises:
        ConfigurationError: neither milliseconds, sequence numbers, a StopFile nor None.
    """
    if until is None or isinstance(until, StopFile):
        return until
    if isinstance(until, int) and not isinstance(until, bool) and until not in SECONDS:
        return until
    if isinstance(until, Mapping) and until and all(str(number).isdecimal() for number in until.values()):
        return dict(until)
    message = f"until={until!r} is no end of reading."
    raise ConfigurationError(message, fix="give milliseconds since the epoch, {shard_id: sequence_number} or StopFile")


def end_of(shard_id: str, until: int | Mapping[str, str | None] | None) -> ShardEnd:
    """Where `shard_id` ends by what is known at this moment: a time, the numbers given or in the stop file, or None."""
    if isinstance(until, int):
        return ShardEnd("AT_TIMESTAMP", until)
    if until is None:
        return OPEN
    if not until:
        return ShardEnd("NOW")
    number = until.get(shard_id)
    return ShardEnd("CAUGHT_UP") if number is None else ShardEnd("AT_SEQUENCE_NUMBER", int(number))
