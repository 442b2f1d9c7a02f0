"""The scenario `hotspots` by the command: each place is found and sent on, and what is broken on purpose is found."""

from pathlib import Path
from typing import Any

import pytest
from hydrant_command import plugin, run_json

from scenarios.hotspots.workload import PLACES

RECORDS = 1_000

BROKEN = '''
import json
import apache_beam as beam
import pyarrow.compute as pc
from pipelines.analytics.hotspots import HOTSPOTS_RESULT
from pipelines.runtime.aws import client
from scenarios.hotspots import application
from scenarios.hotspots.scenario import HotspotsScenario

class Broken(HotspotsScenario):
    """Something of the application is exchanged before it is drawn."""
    def __init__(self, name, part, exchanged):
        super().__init__()
        self.name, self.part, self.exchanged = name, part, exchanged
    def draw(self, pipeline, until, folder, invoker):
        setattr(application, self.part, self.exchanged)
        super().draw(pipeline, until, folder, invoker)

class Rounds(HotspotsScenario):
    """The table of results has columns that are too small for them."""
    name = "rounds"
    def provision(self):
        super().provision()
        declared = (self.folder / "aws/40-glue.create_table.json").read_text()
        client("glue").update_table(**json.loads(declared.replace('"double"', '"float"')))

def put(change):
    """Puts other results than those that are kept."""
    class Changed(beam.PTransform):
        def expand(self, results):
            return results | "Change" >> beam.FlatMap(change) | Put(application.FOUND, ordered=False)
    Put = application.ResultsToKinesis
    return lambda stream, **options: Changed()

def other(results):
    """Results with another longitude."""
    at = results.schema.get_field_index("longitude")
    return [results.set_column(at, "longitude", pc.add(results.column(at), 1e-9))]

def in_hotspots(results, column):
    """Every pickup in a hotspot, and not the first of each."""
    mask = [text != '{"hotspots":[]}' for text in results.column(HOTSPOTS_RESULT).to_pylist()]
    found = results.filter(mask)
    return [found] if found.num_rows else []

rounds = Rounds()
silent = Broken("silent", "rows_where", lambda results, column: [])
chatty = Broken("chatty", "rows_where", in_hotspots)
lossy = Broken("lossy", "ResultsToKinesis", put(lambda results: [results.slice(1)] if results.num_rows > 1 else []))
double = Broken("double", "ResultsToKinesis", put(lambda results: [results, results.slice(0, 1)]))
changed = Broken("changed", "ResultsToKinesis", put(other))
'''


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    names = ("rounds", "silent", "chatty", "lossy", "double", "changed")
    return plugin(
        tmp_path_factory.mktemp("broken-hotspots"),
        "broken_hotspots",
        BROKEN,
        scenarios={name: f"broken_hotspots:{name}" for name in names},
    )


@pytest.mark.parametrize(("records", "seed"), [(1_000, 1), (1_500, 2)])
def test_every_place_is_found_and_each_record_accounted_for(records: int, seed: int) -> None:
    status, document, said = run_json("hotspots", "--records", str(records), "--seed", str(seed))
    assert (status, document["problems"]) == (0, []), said
    raw, found = (document["deliveries"][name]["account"] for name in ("hotspots", "hotspots-found"))
    assert raw["put"] == raw["delivered"] == records + -(-(records - 250) // 500)
    assert found["put"] == found["delivered"] == records
    query = document["query"]
    places = query["places"]
    assert list(places) == [place.name for place in PLACES]
    assert all(told["in_a_hotspot"] >= 0.95 * told["pickups"] > 10 for told in places.values())
    assert (query["stands"], query["equal"]) == (len(PLACES), True)
    assert "FROM hotspots_db.found" in query["sql"]
    page = Path(document["folder"], "report.html").read_text()
    assert all(place.name in page for place in PLACES)


@pytest.mark.parametrize(
    ("scenario", "problems", "equal"),
    [
        ("rounds", [], False),
        ("silent", ["what the function said Ok to lacks 5 results, and has 0 too many"], True),
        ("chatty", ["what the function said Ok to lacks 0 results, and has "], True),
        ("lossy", ["the stream hotspots-found lacks "], False),
        ("double", ["the stream hotspots-found lacks 0 results, and has "], False),
        ("changed", [f"the stream hotspots-found lacks {RECORDS:,} results, and has {RECORDS:,} too many"], False),
    ],
)
def test_what_is_broken_on_purpose_is_found(
    broken: Path, tmp_path: Path, scenario: str, problems: list[str], equal: bool
) -> None:
    status, document = run(scenario, tmp_path, broken)
    assert (status, document["passed"], document["query"]["equal"]) == (1, False, equal)
    assert len(document["problems"]) == len(problems), document["problems"]
    for found, said in zip(document["problems"], problems, strict=True):
        assert found.startswith(said)


def run(scenario: str, runs: Path, python_path: Path) -> tuple[int, dict[str, Any]]:
    arguments = (scenario, "--records", str(RECORDS), "--runs", str(runs))
    status, document, _ = run_json(*arguments, python_path=python_path)
    return status, document
