"""Positions in a file, so that a pipeline goes on where another one was, without a runner's checkpoint.

The file is JSON: `{"shards": {"<shard id>": {"type": "AFTER_SEQUENCE_NUMBER", "seq": "<number>", "sub": <n>}},
"otherwise_ms": <ms>}`; members as `ShardPosition.to_json` has them, `otherwise_ms` where shards not named are not to be
read from their beginning.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipelines.kinesis.positions import ShardPosition, StartingPosition
from pipelines.runtime.errors import InvalidDataError
from pipelines.runtime.files import write_atomically

SUFFIX = ".positions.json"


@dataclass(frozen=True)
class Positions:
    """How far a stream has been read.

    Attributes:
        shards: behind which record each shard is left.
        otherwise_ms: from when on shards not named are to be read, unless they are ancestors of named ones; 0 is from
            their beginning.
    """

    shards: Mapping[str, ShardPosition] = field(default_factory=dict)
    otherwise_ms: int = 0

    @property
    def start(self) -> StartingPosition:
        """Where `ReadFromKinesis` goes on."""
        return StartingPosition.after(self.shards, self.otherwise_ms)

    def text(self) -> str:
        """As the file holds it."""
        members: dict[str, object] = {"shards": {shard: at.to_json() for shard, at in sorted(self.shards.items())}}
        if self.otherwise_ms:
            members["otherwise_ms"] = self.otherwise_ms
        return json.dumps(members, indent=2) + "\n"

    def write(self, path: Path) -> None:
        """Puts the file there, whole or not at all."""
        write_atomically(path, self.text())


def read_positions(path: Path) -> Positions:
    """The positions in a file, or the furthest of all files `*.positions.json` in a folder.

    Raises:
        InvalidDataError: there is no such file, or it holds something else.
    """
    if path.is_dir():
        return furthest(map(read_positions, sorted(path.glob(f"*{SUFFIX}"))))
    try:
        read = json.loads(path.read_text(encoding="utf-8"))
        shards = {str(shard): _place(members) for shard, members in read["shards"].items()}
        return Positions(shards, int(read.get("otherwise_ms", 0)))
    except (AttributeError, KeyError, OSError, TypeError, ValueError) as error:
        message = f"{path} is no positions file: {type(error).__name__}: {error}."
        fix = "`hydrant positions STREAM --output FILE` writes one; delete it to start anew"
        raise InvalidDataError(message, fix=fix) from error


def _place(members: Mapping[str, Any]) -> ShardPosition:
    """A position at a record.

    A sequence number that is no text would equal none that comes, and so be taken for one past retention (B13).

    Raises:
        ValueError: it is another kind of position, or none.
    """
    at = ShardPosition.from_json(members)
    number, sub = at.sequence_number, at.sub_sequence_number
    is_number = isinstance(number, str) and number.isdecimal()
    is_sub = sub is None or (isinstance(sub, int) and sub >= 0)
    if at.type not in ("AT_SEQUENCE_NUMBER", "AFTER_SEQUENCE_NUMBER") or not is_number or not is_sub:
        message = f"{members!r} is no position at a record"
        raise ValueError(message)
    return at


def furthest(positions: Iterable[Positions]) -> Positions:
    """For each shard the furthest of its positions (B5), and the latest `otherwise_ms`."""
    shards: dict[str, ShardPosition] = {}
    otherwise_ms = 0
    for some in positions:
        otherwise_ms = max(otherwise_ms, some.otherwise_ms)
        for shard_id, at in some.shards.items():
            if shard_id not in shards or at.order > shards[shard_id].order:
                shards[shard_id] = at
    return Positions(shards, otherwise_ms)
