"""The scenario `cloudwatch`, as the `hydrant` command finds it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import apache_beam as beam
from rich.box import SIMPLE_HEAD
from rich.console import Group
from rich.table import Table

from pipelines.analytics.decision import ANOMALY
from pipelines.analytics.findings import Findings, ScoredSeries
from pipelines.analytics.forests import ANOMALY_SCORE
from pipelines.analytics.scoring import RESULTS
from pipelines.analytics.stages import BAD, LATE, ORDERED
from pipelines.firehose.invoke import Invoker
from pipelines.firehose.ledger import Delivery
from pipelines.lake.audit import audit
from pipelines.runtime.aws import client
from scenarios.cloudwatch import application, checks
from scenarios.cloudwatch.found import findings, is_inside
from scenarios.cloudwatch.screen import screen
from scenarios.cloudwatch.workload import Workload, make_workload
from scenarios.declared import DeclaredScenario
from scenarios.destinations import Answer, ask_table, function_problems, stream_problems
from scenarios.observed import kept
from scenarios.read_back import stream_records

RAW, SCORES = "cloudwatch", "cloudwatch-scores"
TABLE: Final = "cloudwatch_db.scores"
COLUMNS: Final = ("series", "window_start_ms", "records", "mean", "most", ANOMALY_SCORE, ANOMALY)


@dataclass(frozen=True)
class Verdict:
    """What was found by series, beside the labels; and what is wrong.

    Attributes:
        panels: the series.
        in_windows: records that were taken in order, into windows.
        late: records that came too late.
        bad: records that are no values.
        dropped: records that came a second time.
        answer: of the table of scores.
        problems: sentences; none when all is well.
    """

    panels: Sequence[ScoredSeries]
    in_windows: int
    late: int
    bad: int
    dropped: int
    answer: Answer
    problems: list[str] = field(default_factory=list)

    @property
    def equal(self) -> bool:
        """Whether the table of scores holds what the application gave."""
        return self.answer.equal

    def to_json(self) -> dict[str, Any]:
        rows = {
            panel.name: {
                "windows": len(panel.windows),
                "labelled": len(panel.labels),
                "labelled_windows_hit": _hit(panel),
                "detections": [detection._asdict() for detection in panel.detections],
            }
            for panel in self.panels
        }
        counts = {"in_windows": self.in_windows, "late": self.late, "bad": self.bad, "dropped": self.dropped}
        return self.answer.to_json() | {"series": rows, **counts}

    def table(self) -> Table:
        """A line a series."""
        table = Table("Series", "Windows", "Labelled", "Of them hit", "Elsewhere", box=SIMPLE_HEAD)
        once = f"{self.in_windows:,} records in windows + {self.late:,} late + {self.bad:,} bad"
        table.title, table.title_justify = f"{once}; {self.dropped:,} doubles dropped", "left"
        for column in table.columns[1:]:
            column.justify = "right"
        for panel in self.panels:
            elsewhere = sum(not detection.labelled for detection in panel.detections)
            numbers = (len(panel.windows), len(panel.labels), _hit(panel), elsewhere)
            table.add_row(panel.name, *(f"{number:,}" for number in numbers))
        table.caption = self.answer.text
        return table


class CloudWatch(DeclaredScenario):
    """Implements `pipelines.cli.plugins.Scenario`."""

    name = "cloudwatch"
    summary = "Eight real CloudWatch metrics, disordered, some late: windows, anomaly scores, why, and alarms"
    delivery_streams = (RAW,)
    result_streams = (SCORES,)
    default_records = None

    def __init__(self) -> None:
        super().__init__(Path(__file__).parent)

    def workload(self, count: int | None, seed: int) -> Workload:
        """What to put."""
        return make_workload(count, seed)

    def draw(self, pipeline: beam.Pipeline, until: Any, folder: Path, invoker: Callable[[str], Invoker]) -> None:
        """Draws windows, scores and destinations."""
        application.draw(pipeline, until, folder, invoker)

    def news(self, folder: Path) -> Group | None:
        """Each series' latest window, and the last anomalies."""
        return screen(kept(folder, RESULTS))

    def findings(self, folder: Path) -> Findings:
        """Every series with its scores and detections."""
        return findings(kept(folder, RESULTS))

    def verify(self, workload: Workload, deliveries: Mapping[str, Delivery], folder: Path) -> Verdict:
        """Holds the account, the windows, the scores and what was delivered of them against other computations."""
        kinesis, s3 = client("kinesis"), client("s3")
        outputs = {name: kept(folder, name) for name in (ORDERED, LATE, BAD)}
        results = kept(folder, RESULTS)
        put = [record.id for record in stream_records(kinesis, application.STREAM)]
        late, ordered = outputs[LATE], outputs[ORDERED]
        dropped, never_read = checks.dropped(put, kept(folder, application.READ))
        problems = [
            *checks.account(put, outputs),
            *never_read,
            *checks.wrongly_late(late, workload.values),
            *checks.windows(ordered, results),
            *checks.scores(results),
        ]
        bad = len(outputs[BAD])
        if bad != len(workload) - len(workload.values):
            problems.append(
                f"{bad:,} records count as no values, and {len(workload) - len(workload.values):,} are none"
            )
        problems += stream_problems(SCORES, results)
        problems += function_problems(folder, [row for row in results if row[ANOMALY]])
        objects = [written for delivery in deliveries.values() for written in delivery.objects]
        problems += audit(s3, objects, {written.bucket for written in objects})
        panels = [panel for panel in findings(results).panels if isinstance(panel, ScoredSeries)]
        counts = (len(ordered), len(late), bad, dropped)
        return Verdict(panels, *counts, ask_table(TABLE, COLUMNS, results), problems)


def _hit(panel: ScoredSeries) -> int:
    """How many of the labelled windows a detection begins in."""
    return sum(any(is_inside(detection.at_ms, label) for detection in panel.detections) for label in panel.labels)


scenario = CloudWatch()
