"""How continuous integration runs and ends: its script, with a `make` and a `docker` that write down their calls."""

import os
import pathlib
import shutil
import stat
import subprocess

import pytest

SCRIPT = pathlib.Path(__file__).parents[2] / ".ci" / "run"

MAKE = """#!/usr/bin/env bash
echo "make $*" >> "$CALLS"
[ "$*" != "$BREAKS" ] || { echo "1 failed, 2 passed in 3s"; exit 2; }
echo "12 passed in 3.00s"
[ "$1" != test-integration ] || echo "7 tests ran against LocalStack"
"""
DOCKER = """#!/usr/bin/env bash
echo "docker $*" >> "$CALLS"
[ "docker $*" != "$BREAKS" ]
"""
DOWN = "docker compose --profile * down --volumes --remove-orphans"
SUITES = ["make test", "make test-browser", "make test-docker", "make test-integration"]


@pytest.fixture
def checkout(tmp_path):
    """A folder with the script and a few files, as a clone has them, and the two commands in `bin`."""
    clone = tmp_path / "clone"
    (clone / ".ci").mkdir(parents=True)
    shutil.copy2(SCRIPT, clone / ".ci" / "run")
    for name in ("README.md", "Makefile", "docker-compose.yml"):
        (clone / name).touch()
    (tmp_path / "bin").mkdir()
    for name, text in (("make", MAKE), ("docker", DOCKER)):
        command = tmp_path / "bin" / name
        command.write_text(text)
        command.chmod(command.stat().st_mode | stat.S_IXUSR)
    return clone


def run(checkout, breaks=""):
    calls = checkout.parent / "calls"
    environment = {
        "PATH": f"{checkout.parent / 'bin'}:{os.environ['PATH']}",
        "CALLS": str(calls),
        "BREAKS": breaks,
        "TMPDIR": str(checkout.parent),
    }
    ended = subprocess.run(
        [checkout / ".ci" / "run"], env=environment, check=False, capture_output=True, text=True, timeout=60
    )
    return ended, calls.read_text().splitlines()


def test_everything_passed_is_status_0_with_the_counts_and_nothing_left(checkout):
    ended, calls = run(checkout)
    assert ended.returncode == 0, ended.stderr
    assert [call for call in calls if call.startswith("make")] == SUITES
    assert calls[-1] == DOWN
    assert "make test-integration: 12 tests passed\ntests run against LocalStack: 7\n" in ended.stdout
    assert [path.name for path in checkout.parent.iterdir() if path.name.startswith("tmp.")] == []


@pytest.mark.parametrize("suite", [call.removeprefix("make ") for call in SUITES])
def test_a_suite_that_fails_ends_it_with_an_error(checkout, suite):
    ended, calls = run(checkout, breaks=suite)
    assert ended.returncode != 0
    assert [call for call in calls if call.startswith("make")][-1] == f"make {suite}"
    assert (calls[-1] == DOWN) == (suite in ("test-docker", "test-integration"))


@pytest.mark.parametrize("call", ["docker compose up --exit-code-from scenarios", "docker compose build --quiet", DOWN])
def test_a_call_of_docker_that_fails_ends_it_with_an_error(checkout, call):
    ended, calls = run(checkout, breaks=call)
    assert ended.returncode != 0
    assert calls[-1] == DOWN


def test_without_an_engine_the_tests_that_need_none_run_and_the_rest_is_named_as_left_out(checkout):
    ended, calls = run(checkout, breaks="docker info")
    assert ended.returncode == 0
    assert calls == ["make test", "make test-browser", "docker info"]
    assert "were left out" in ended.stderr
