"""`hydrant run reshard` on the embedded default, and `hydrant run all`, which goes on behind a scenario that failed."""

import json
from pathlib import Path

import pytest
from hydrant_command import hydrant, plugin

from pipelines.cli.plugins import scenario_names

FAILS = """
from pipelines.runtime.errors import ConfigurationError
from scenarios.flights.scenario import Flights

class Fails(Flights):
    name = "fails"
    def provision(self):
        raise ConfigurationError("No room left on the runway.", fix="land somewhere else")

fails = Fails()
"""


@pytest.mark.parametrize("seed", [1, 2])
def test_b12_a_stream_that_is_split_and_merged_is_delivered_in_order(seed: int) -> None:
    with hydrant("run", "reshard", "--records", "4000", "--seed", str(seed), "--json") as run:
        assert run.status(120) == 0, run.said
    report = json.loads("".join(run.out))
    account = report["deliveries"]["reshard"]["account"]
    assert (account["put"], account["delivered"], account["lost"], account["doubled"]) == (4016, 4016, 0, 0)
    assert report["problems"] == []
    shards = report["query"]["shards"]
    assert len(shards) == 17
    assert sum(shard["records"] for shard in shards.values()) == 4016
    assert sorted(len(shard["parents"]) for shard in shards.values()) == [0] * 4 + [1] * 8 + [2] * 5


def test_all_runs_every_scenario_and_names_the_one_that_failed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(plugin(tmp_path, "failing", FAILS, scenarios={"fails": "failing:fails"})))
    ours = scenario_names()
    with hydrant("run", "all", "--records", "4000", "--json", "--runs", str(tmp_path / "runs")) as run:
        assert run.status(420) == 1, run.said
    said = "".join(run.err)
    assert f"1 of {len(ours) + 1} scenarios failed: fails. Fix: `hydrant run fails`" in said
    assert "No room left on the runway." in said
    reports = json.loads("".join(run.out))
    assert list(reports) == ours  # in the order in which they ran
    assert all(report["passed"] for report in reports.values())
    assert sorted(path.name.split("-2")[0] for path in (tmp_path / "runs").iterdir()) == sorted([*ours, "fails"])
    for report in reports.values():
        kept = json.loads((Path(report["folder"]) / "run.json").read_text())
        assert kept["samples"][-1]["put"] > 0
