"""What the command line finds by entry points: targets and scenarios (docs/decisions/0006)."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, Self

from pipelines.runtime.errors import NotFoundError
from pipelines.runtime.processes import Child

if TYPE_CHECKING:  # a target is found, and starts, while Beam is still being imported
    from pipelines.analytics.findings import Findings
    from pipelines.firehose.invoke import Invoker
    from pipelines.firehose.ledger import Delivery
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
    """One folder of `scenarios/`.

    Attributes:
        name: of the folder and of the entry point.
        summary: one line for `hydrant list`.
        folder: with README.md, `aws/` and the handler.
        delivery_streams: names; all read the same Kinesis stream, each for itself, and each gets every record.
        result_streams: names of delivery streams that read a Kinesis stream into which the scenario's own application
            puts its results; they run when it has ended.
        default_records: how many records are put when nobody says; None for all there are.
    """

    name: str
    summary: str
    folder: Path
    delivery_streams: Sequence[str]
    result_streams: Sequence[str]
    default_records: int | None

    def provision(self) -> None:
        """Creates what it declares."""

    def remove(self) -> None:
        """Deletes what it declares, with all that is in it."""

    def invoker(self, function_arn: str) -> "Invoker":
        """Calls its handler in this process, for targets without Lambda."""

    def workload(self, count: int | None, seed: int) -> Workload:
        """What to put: `count` records, or all there are."""

    def disturbed(self, workload: Any, seed: int) -> AbstractContextManager[None]:
        """Open while records are put and delivered: what happens to the stream meanwhile."""

    def observe(self, pages: Any, folder: Path) -> None:
        """Draws what the scenario wants to know of the pages that the source reads; that is left in `folder`."""

    def draw(self, pipeline: Any, until: Any, folder: Path, invoker: "Callable[[str], Invoker]") -> None:
        """Draws the scenario's own application, which reads the stream until `until`, beside the delivery streams.

        What it wants to know is left in `folder`; `invoker` makes callers of its functions.
        """

    def news(self, folder: Path) -> Any:
        """A rich renderable of what the application has found so far, for the screen; None for nothing."""

    def findings(self, folder: Path) -> "Findings | None":
        """What the application found, for the report's plots; None for nothing."""

    def verify(self, workload: Any, deliveries: "Mapping[str, Delivery]", folder: Path) -> Verdict:
        """Holds what came out, by delivery stream, against the oracle; `folder` is that of `observe`."""


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


def scenario_names() -> list[str]:
    """The names of all scenarios, by name; `flights`, which shows the most, first."""
    return sorted(entry_points(group="hydrant.scenarios").names, key=lambda name: (name != "flights", name))


def scenarios() -> dict[str, Scenario]:
    """All scenarios, by name."""
    return {found.name: found.load() for found in entry_points(group="hydrant.scenarios")}


def _find(group: str, what: str, name: str) -> Callable[[], Any]:
    found = entry_points(group=group)
    if name not in found.names:
        message = f"There is no {what} {name!r}; there are: {', '.join(sorted(found.names)) or 'none'}."
        raise NotFoundError(message, fix=f"name one of these {what}s" if found.names else "`make setup`")
    return found[name].load
