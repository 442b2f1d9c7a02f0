"""The scenario `hotspots`, as the `hydrant` command finds it."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from rich.box import SIMPLE_HEAD
from rich.table import Table

from pipelines.analytics.findings import Findings
from pipelines.analytics.hotspots import HOTSPOTS_RESULT
from pipelines.analytics.new_hotspots import NEW_HOTSPOT
from pipelines.analytics.scoring import RESULTS
from pipelines.firehose.invoke import Invoker
from pipelines.firehose.ledger import Delivery
from pipelines.lake.audit import audit
from pipelines.runtime.aws import client
from scenarios.declared import DeclaredScenario
from scenarios.destinations import Answer, ask_table, function_problems, stream_problems
from scenarios.hotspots.application import DELIVERY_STREAM, FOUND, LAYOUT, draw
from scenarios.hotspots.checks import Line, by_place, findings, problems, stands
from scenarios.hotspots.picture import draw_findings
from scenarios.hotspots.workload import Workload, make_workload
from scenarios.observed import kept

TABLE: Final = "hotspots_db.found"
COLUMNS: Final = ("event_ms", *LAYOUT.values, HOTSPOTS_RESULT, NEW_HOTSPOT)


@dataclass(frozen=True)
class Verdict:
    """What was found at each place, and what is wrong.

    Attributes:
        lines: by place.
        stands: how many new hotspots the function was to be told of.
        answer: of the table of results.
        problems: sentences; none when all is well.
    """

    lines: Sequence[Line]
    stands: int
    answer: Answer
    problems: list[str] = field(default_factory=list)

    @property
    def equal(self) -> bool:
        """Whether a hotspot was found at every place, and the table holds what the application gave."""
        return self.answer.equal and bool(self.lines) and all(line.found for line in self.lines)

    def to_json(self) -> dict[str, Any]:
        places = {
            line.place.name: {"pickups": line.pickups, "in_a_hotspot": line.found, "densest": line.density}
            for line in self.lines
        }
        return self.answer.to_json() | {"places": places, "stands": self.stands, "equal": self.equal}

    def table(self) -> Table:
        """The places in the order of their hours."""
        table = Table("Place", "Pickups", "In a hotspot", "Densest, a square degree", box=SIMPLE_HEAD)
        filled = "Pickups at each place once the window was filled"
        table.title, table.title_justify = f"{filled}; {self.stands} new stands", "left"
        for column in table.columns[1:]:
            column.justify = "right"
        for line in self.lines:
            table.add_row(line.place.name, f"{line.pickups:,}", f"{line.found:,}", f"{line.density:,.0f}")
        table.caption = self.answer.text
        return table


class HotspotsScenario(DeclaredScenario):
    """Implements `pipelines.cli.plugins.Scenario`."""

    name = "hotspots"
    summary = "Made-up taxi pickups at real places, disordered: HOTSPOTS tells a stream, a table and a function where"
    delivery_streams = (DELIVERY_STREAM,)
    result_streams = (FOUND,)
    default_records = 4_000

    def __init__(self) -> None:
        super().__init__(Path(__file__).parent)

    def workload(self, count: int | None, seed: int) -> Workload:
        """What to put."""
        return make_workload(count or self.default_records, seed)

    def draw(self, pipeline: Any, until: Any, folder: Path, invoker: Callable[[str], Invoker]) -> None:
        """The pickups in order, the hotspots around each, and where that goes."""
        draw(pipeline, until, folder, invoker)

    def news(self, folder: Path) -> Any:
        """How many pickups lay in a hotspot so far."""
        told = kept(folder, RESULTS)
        around = sum(row["HOTSPOTS_RESULT"] != '{"hotspots":[]}' for row in told)
        return f"{len(told):,} pickups taken in order, {around:,} of them in a hotspot" if told else None

    def findings(self, folder: Path) -> Findings:
        """The maps."""
        return draw_findings(kept(folder, RESULTS))

    def verify(self, workload: Workload, deliveries: Mapping[str, Delivery], folder: Path) -> Verdict:
        """Holds what was found against where pickups were made up, and every destination against what was found."""
        found, results = findings(workload, folder), kept(folder, RESULTS)
        new = stands(results)
        objects = [written for delivery in deliveries.values() for written in delivery.objects]
        wrong = [
            *problems(workload, found, _delivered(deliveries[DELIVERY_STREAM]), folder),
            *stream_problems(FOUND, results),
            *function_problems(folder, new),
            *audit(client("s3"), objects, {written.bucket for written in objects}),
        ]
        return Verdict(by_place(found), len(new), ask_table(TABLE, COLUMNS, results), wrong)


def _delivered(delivery: Delivery) -> Counter[tuple[str, str]]:
    """Shard and sequence number of every record that the delivery stream delivered: all that were put."""
    return Counter((shard_id, number) for entry in delivery.entries for shard_id, number, _ in entry.records)


scenario = HotspotsScenario()
