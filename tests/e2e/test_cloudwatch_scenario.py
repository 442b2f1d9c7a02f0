"""The scenario `cloudwatch` by the command: it passes, and what is broken on purpose is found."""

from pathlib import Path
from typing import Any

import pytest
from hydrant_command import plugin, run_json

RECORDS = 12_000

BROKEN = '''
import dataclasses
from pipelines.analytics import stages
from pipelines.analytics.explanation import ExplainedForests
from pipelines.analytics.state import Step
from scenarios.cloudwatch import application, workload
from scenarios.cloudwatch.scenario import CloudWatch

class LosesARow(CloudWatch):
    """A row that waits is gone."""
    name = "loses-a-row"
    def draw(self, pipeline, until, folder, invoker):
        from pipelines.analytics.state import SeriesState
        advance = SeriesState.advance
        def lossy(state, series, mark_ms):
            if series == workload.METRICS[0] and state.waiting:
                state.waiting[0] = state.waiting[0].slice(1)
            return advance(state, series, mark_ms)
        SeriesState.advance = lossy
        super().draw(pipeline, until, folder, invoker)

class OtherScores(CloudWatch):
    """Another seed than the one that is said."""
    name = "other-scores"
    def draw(self, pipeline, until, folder, invoker):
        forest = dataclasses.replace(application.FOREST, seed=2)
        application.SCORING = dataclasses.replace(application.SCORING, scoring=ExplainedForests(forest))
        super().draw(pipeline, until, folder, invoker)

class ShortWindows(CloudWatch):
    """Windows that begin a minute too late."""
    name = "short-windows"
    def draw(self, pipeline, until, folder, invoker):
        from pipelines.analytics.windows import Tumbling
        application.WINDOWING = dataclasses.replace(application.WINDOWING, window=Tumbling(29 * 60_000))
        super().draw(pipeline, until, folder, invoker)

class NoAlarms(CloudWatch):
    """The function is not called."""
    name = "no-alarms"
    def draw(self, pipeline, until, folder, invoker):
        application.anomalies = lambda results: []
        super().draw(pipeline, until, folder, invoker)

loses, other, short, silent = LosesARow(), OtherScores(), ShortWindows(), NoAlarms()
'''


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    names = {"loses-a-row": "loses", "other-scores": "other", "short-windows": "short", "no-alarms": "silent"}
    return plugin(
        tmp_path_factory.mktemp("broken-cloudwatch"),
        "broken_cloudwatch",
        BROKEN,
        scenarios={name: f"broken_cloudwatch:{attribute}" for name, attribute in names.items()},
    )


def run(scenario: str, runs: Path, python_path: Path | None = None) -> tuple[int, dict[str, Any]]:
    status, document, _ = run_json(scenario, "--records", str(RECORDS), "--runs", str(runs), python_path=python_path)
    return status, document


def test_it_adds_up_and_finds_what_is_labelled(tmp_path: Path) -> None:
    status, document = run("cloudwatch", tmp_path)
    assert status == 0, document["problems"]
    raw, scores = (document["deliveries"][name]["account"] for name in ("cloudwatch", "cloudwatch-scores"))
    assert raw["put"] == raw["delivered"] == RECORDS + 4
    query = document["query"]
    assert query["bad"] == 4
    assert scores["delivered"] == sum(series["windows"] for series in query["series"].values())
    spikes = query["series"]["rds_cpu_utilization_e47b3b"]  # its first labelled window is within these records
    assert spikes["labelled_windows_hit"] >= 1
    (found,) = [each for each in spikes["detections"] if each["labelled"] and "HIGH" in each["text"]][:1]
    assert found["at_ms"] < found["until_ms"]
    page = (Path(document["folder"]) / "report.html").read_text()
    assert page.count("anomaly score") == 8


@pytest.mark.parametrize(
    ("scenario", "said"),
    [
        ("loses-a-row", "records are in no output of the application"),
        ("other-scores", "scores"),
        ("short-windows", "by pandas"),
        ("no-alarms", "the function said Ok to 0 alarms"),
    ],
)
def test_what_is_broken_on_purpose_is_found(broken: Path, tmp_path: Path, scenario: str, said: str) -> None:
    status, document = run(scenario, tmp_path, broken)
    assert status == 1
    assert not document["passed"]
    assert any(said in problem for problem in document["problems"]), document["problems"]
