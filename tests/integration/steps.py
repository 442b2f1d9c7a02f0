"""What a history is made of: calls, and references to what only a service can say."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

STREAM: Final = "flow"
"""The stream of a history."""


@dataclass(frozen=True)
class Answered:
    """What the service said at `path` in its answer to step number `step`."""

    step: int
    path: tuple[str | int, ...]


@dataclass(frozen=True)
class Named:
    """The stream called `name`, or its ARN: each play has names of its own."""

    name: str
    arn: bool = False


@dataclass(frozen=True)
class Moment:
    """`plus_s` seconds after step number `step` was made, which is a Pause."""

    step: int
    plus_s: float = 0.0


@dataclass(frozen=True)
class ShardThen:
    """A shard as it was before a step: what made it and what closed it are numbers of steps."""

    id: str
    created: int
    closed: int | None
    records: int


@dataclass(frozen=True)
class Step:
    """One call.

    Attributes:
        operation: AWS's name of it; "Pause": no call until the next second begins, which `Moment` can refer to; or
            "Events": what the subscription of an earlier step pushes.
        request: its arguments, with references.
        shards: the shard tree before it.
        records: for Events, how many records to wait for; for GetRecords, how many are left behind its answer.
    """

    operation: str
    request: Mapping[str, Any] = field(default_factory=dict)
    shards: tuple[ShardThen, ...] = ()
    records: int = 0
