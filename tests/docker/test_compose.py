"""`docker compose up`: a check that fails ends it with 1, and `down -v` leaves nothing."""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROJECT = f"hydrant-test-{os.getpid()}"
LABEL = f"label=com.docker.compose.project={PROJECT}"


def compose(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["docker", "compose", "--project-name", PROJECT, *arguments],
        cwd=ROOT, env=os.environ | environment, capture_output=True, text=True, timeout=1700, check=False,
    )  # fmt: skip


@pytest.fixture
def broken(tmp_path: Path) -> Iterator[Path]:
    """The scenario `flights` with an oracle that finds every mean wrong, put over the one in the image."""
    checks = ROOT / "scenarios/flights/checks.py"
    assert "< 1e-9" in checks.read_text()
    (tmp_path / "checks.py").write_text(checks.read_text().replace("< 1e-9", "< -1"))
    tmp_path.chmod(0o755)
    override = tmp_path / "broken.yml"
    volume = f"{tmp_path}/checks.py:/app/scenarios/flights/checks.py:ro"
    override.write_text(json.dumps({"services": {"scenarios": {"volumes": [volume]}}}))
    yield override
    compose("down", "--volumes")


@pytest.mark.timeout(1800)
def test_a_check_that_fails_ends_it_with_1_and_nothing_is_left(broken: Path) -> None:
    files = ("--file", str(ROOT / "docker-compose.yml"), "--file", str(broken))
    up = compose(*files, "up", "--exit-code-from", "scenarios", SCENARIO="flights", RECORDS="2000")
    assert up.returncode == 1, up.stdout[-3000:] + up.stderr[-3000:]
    assert "0 lost, 0 doubled" in up.stdout
    assert "It does not add up." in up.stdout
    assert "the answer differs from the expected one" in up.stdout + up.stderr
    assert compose("down", "--volumes").returncode == 0
    for kind in (["ps", "--all"], ["volume", "ls"], ["network", "ls"]):
        left = subprocess.run(
            ["docker", *kind, "--quiet", "--filter", LABEL], capture_output=True, text=True, check=True
        ).stdout
        assert left == "", kind
