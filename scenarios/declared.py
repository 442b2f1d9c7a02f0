"""What the scenarios have in common: AWS's request JSON declares what exists, a handler beside it transforms."""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from infra.provisioning import provision, remove
from pipelines.analytics.findings import Findings
from pipelines.firehose.invoke import InProcessInvoker, Invoker


class DeclaredScenario:
    """The half of a `pipelines.cli.plugins.Scenario` that follows from its folder: `aws/`, `handler.py`, README.md.

    Args:
        folder: of the scenario.
    """

    result_streams: Sequence[str] = ()

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def provision(self) -> None:
        """Creates the stream, buckets, tables and delivery streams that `aws/` declares."""
        provision(self.folder / "aws")

    def remove(self) -> None:
        """Deletes them again, with every object in the buckets."""
        remove(self.folder / "aws")

    def invoker(self, function_arn: str) -> InProcessInvoker:
        """Calls handler.py in this process, with the time-out, memory and environment of its function."""
        (declared,) = self.folder.glob("aws/*-lambda.create_function.json")
        function = json.loads(declared.read_text(encoding="utf-8"))
        return InProcessInvoker(
            self.folder / "handler.py",
            function["Handler"],
            function_arn,
            timeout_s=function["Timeout"],
            memory_mib=function["MemorySize"],
            environment=function.get("Environment", {}).get("Variables", {}),
        )

    @contextmanager
    def disturbed(self, workload: Any, seed: int) -> Iterator[None]:
        """Nothing happens to the stream."""
        yield

    def observe(self, pages: Any, folder: Path) -> None:
        """Nothing is looked at but what is delivered."""

    def draw(self, pipeline: Any, until: Any, folder: Path, invoker: Callable[[str], Invoker]) -> None:
        """There is no application but the delivery streams."""

    def news(self, folder: Path) -> Any:
        """Nothing beside the stages' table."""
        return None

    def findings(self, folder: Path) -> Findings | None:
        """Nothing beside what is delivered."""
        return None
