"""The scenario `cloudwatch` by the command: it passes, and what is broken on purpose is found."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hydrant_command import DEADLINE_S, environment, hydrant, plugin, run_json

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
        application.rows_where = lambda results, column: []
        super().draw(pipeline, until, folder, invoker)

class ReadsTwice(CloudWatch):
    """Every page that begins with a record of an even sequence number comes twice: that must change nothing."""
    name = "reads-twice"
    def draw(self, pipeline, until, folder, invoker):
        import apache_beam as beam
        import pyarrow as pa
        read = application.ReadFromKinesis
        def twice(*arguments, **options):
            class Twice(beam.PTransform):
                def expand(self, pipeline):
                    pages = pipeline | read(*arguments, **options)
                    return pages | "Again" >> beam.FlatMap(again).with_output_types(pa.RecordBatch)
            return Twice()
        application.ReadFromKinesis = twice
        super().draw(pipeline, until, folder, invoker)

def again(page):
    number = int(page.column("sequence_number")[0].as_py())
    return [page, page] if number % 2 == 0 else [page]

loses, other, short, silent, twice = LosesARow(), OtherScores(), ShortWindows(), NoAlarms(), ReadsTwice()
'''


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    names = {"loses-a-row": "loses", "other-scores": "other", "short-windows": "short", "no-alarms": "silent"}
    names["reads-twice"] = "twice"
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
    assert query["dropped"] == 0
    assert query["in_windows"] + query["late"] + query["bad"] == RECORDS + 4
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
        ("no-alarms", "what the function said Ok to lacks"),
    ],
)
def test_what_is_broken_on_purpose_is_found(broken: Path, tmp_path: Path, scenario: str, said: str) -> None:
    status, document = run(scenario, tmp_path, broken)
    assert status == 1
    assert not document["passed"]
    assert any(said in problem for problem in document["problems"]), document["problems"]


def test_records_that_come_twice_are_dropped_counted_and_told(broken: Path, tmp_path: Path) -> None:
    env = environment(PYTHONPATH=str(broken), COLUMNS="120")
    arguments = ("run", "reads-twice", "--records", str(RECORDS), "--runs", str(tmp_path))
    with hydrant(*arguments, env=env) as running:
        status = running.status(2 * DEADLINE_S)
    assert status == 0, running.said
    (told,) = re.findall(r"(\S+) records in windows \+ (\S+) late \+ 4 bad; (\S+) doubles dropped", running.said)
    in_windows, late, dropped = (int(number.replace(",", "")) for number in told)
    assert in_windows + late + 4 == RECORDS + 4
    assert 0 < dropped <= RECORDS + 4
    (run,) = tmp_path.iterdir()
    document = json.loads((run / "run.json").read_text())["query"]
    assert (document["in_windows"], document["late"], document["dropped"]) == (in_windows, late, dropped)
    # What its screen shows is in a log, too: a line a series, and what was found.
    assert "Latest window" in running.said
    assert re.search(r"\w+ +\d\d Apr \d\d:\d\d +\S+ +[\d.]+ (most|mean) (HIGH|LOW) +[\d.]+ h", running.said)
