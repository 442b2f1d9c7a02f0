"""What the command line finds by entry points: targets and scenarios (docs/decisions/0006)."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, Self

from pipelines.runtime.errors import NotFoundError
from pipelines.runtime.processes import Child

if TYPE_CHECKING:  # a target is found, and starts, while Beam is still being imported
    from pipelines.firehose.chunk import DeliveredObject
    from pipelines.firehose.invoke import Invoker
    from pipelines.firehose.ledger import Account
    from pipelines.kinesis.put import Record


class Target(Protocol):
    """Where the AWS services of a run are."""

    name: str
    runs_handlers_in_process: bool
    children: Sequence[Child]
    env: dict[str, str]

    def started(self) -> AbstractContextManager[Self]:
        """Starts what must be started, and sets the AWS SDK's environment variables while the context is open."""


class Workload(Protocol):
    """The records a scenario puts."""

    def __len__(self) -> int: ...

    def records(self) -> "Iterator[Record]":
        """In the order in which they are put."""


class Verdict(Protocol):
    """A scenario's comparison of what came out with its oracle."""

    equal: bool
    problems: list[str]

    def to_json(self) -> dict[str, Any]:
        """For `hydrant run --json`: at least ours, expected and equal."""

    def table(self) -> Any:
        """A rich renderable."""


class Scenario(Protocol):
    """One folder of `scenarios/`."""

    name: str
    summary: str
    folder: Path
    delivery_stream: str

    def provision(self) -> None:
        """Creates what it declares."""

    def invoker(self, function_arn: str) -> "Invoker":
        """Calls its handler in this process, for targets without Lambda."""

    def workload(self, count: int | None, seed: int) -> Workload:
        """What to put: `count` records, or all there are."""

    def verify(self, workload: Any, account: "Account", objects: "Sequence[DeliveredObject]") -> Verdict:
        """Holds the result against the oracle."""


def find_target(name: str) -> Target:
    """The target called `name`.

    Raises:
        NotFoundError: there is none.
    """
    found: Target = _find("hydrant.targets", "target", name)()()
    return found


def find_scenario(name: str) -> Callable[[], Scenario]:
    """What loads the scenario called `name`; loading it imports what it runs on, which takes seconds.

    Raises:
        NotFoundError: there is none.
    """
    return _find("hydrant.scenarios", "scenario", name)


def scenarios() -> dict[str, Scenario]:
    """All scenarios, by name."""
    return {found.name: found.load() for found in entry_points(group="hydrant.scenarios")}


def _find(group: str, what: str, name: str) -> Callable[[], Any]:
    found = entry_points(group=group)
    if name not in found.names:
        message = f"There is no {what} {name!r}; there are: {', '.join(sorted(found.names)) or 'none'}."
        raise NotFoundError(message, fix=f"name one of these {what}s" if found.names else "`make setup`")
    return found[name].load
