"""The scenario `hotspots`, as the `hydrant` command finds it."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table

from pipelines.analytics.findings import Findings
from pipelines.analytics.scoring import RESULTS
from pipelines.firehose.invoke import Invoker
from pipelines.firehose.ledger import Delivery
from pipelines.lake.audit import audit
from pipelines.runtime.aws import client
from scenarios.declared import DeclaredScenario
from scenarios.hotspots.application import draw
from scenarios.hotspots.checks import Line, by_place, findings, problems
from scenarios.hotspots.picture import draw_findings
from scenarios.hotspots.workload import Workload, make_workload
from scenarios.observed import kept


@dataclass(frozen=True)
class Verdict:
    """What was found at each place, and what is wrong.

    Attributes:
        lines: by place.
        problems: sentences; none when all is well.
    """

    lines: Sequence[Line]
    problems: list[str] = field(default_factory=list)

    @property
    def equal(self) -> bool:
        """Whether a hotspot was found at every place."""
        return bool(self.lines) and all(line.found for line in self.lines)

    def to_json(self) -> dict[str, Any]:
        places = {
            line.place.name: {"pickups": line.pickups, "in_a_hotspot": line.found, "densest": line.density}
            for line in self.lines
        }
        return {"places": places, "equal": self.equal}

    def table(self) -> Table:
        """The places in the order of their hours."""
        table = Table("Place", "Pickups", "In a hotspot", "Densest, a square degree", box=SIMPLE_HEAD)
        table.title, table.title_justify = "Pickups at each place, from the filling of the window on", "left"
        for column in table.columns[1:]:
            column.justify = "right"
        for line in self.lines:
            table.add_row(line.place.name, f"{line.pickups:,}", f"{line.found:,}", f"{line.density:,.0f}")
        return table


class HotspotsScenario(DeclaredScenario):
    """Implements `pipelines.cli.plugins.Scenario`."""

    name = "hotspots"
    summary = "Made-up taxi pickups at real places, disordered: HOTSPOTS finds where they cluster, and a map shows it"
    delivery_streams = ("hotspots",)
    default_records = 4_000

    def __init__(self) -> None:
        super().__init__(Path(__file__).parent)

    def workload(self, count: int | None, seed: int) -> Workload:
        """What to put."""
        return make_workload(count or self.default_records, seed)

    def draw(self, pipeline: Any, until: Any, folder: Path, invoker: Callable[[str], Invoker]) -> None:
        """The pickups in order, and the hotspots around each."""
        draw(pipeline, until, folder)

    def news(self, folder: Path) -> Any:
        """How many pickups lay in a hotspot so far."""
        told = kept(folder, RESULTS)
        around = sum(row["HOTSPOTS_RESULT"] != '{"hotspots":[]}' for row in told)
        return f"{len(told):,} pickups taken in order, {around:,} of them in a hotspot" if told else None

    def findings(self, folder: Path) -> Findings:
        """The maps."""
        return draw_findings(kept(folder, RESULTS))

    def verify(self, workload: Workload, deliveries: Mapping[str, Delivery], folder: Path) -> Verdict:
        """Holds what was found against where pickups were made up, and every record's end against what was put."""
        delivery = deliveries["hotspots"]
        found = findings(workload, folder)
        wrong = problems(workload, found, _delivered(delivery), folder)
        wrong += audit(client("s3"), delivery.objects, {written.bucket for written in delivery.objects})
        return Verdict(by_place(found), wrong)


def _delivered(delivery: Delivery) -> Counter[tuple[str, str]]:
    """Shard and sequence number of every record that the delivery stream delivered: all that were put."""
    return Counter((shard_id, number) for entry in delivery.entries for shard_id, number, _ in entry.records)


scenario = HotspotsScenario()
