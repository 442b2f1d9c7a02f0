"""A debugger on this machine stops in the pipeline that runs in Docker, as docs/debugging.md says."""

import json
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from pipelines.runtime.processes import free_port
from tests.e2e.dap import DebugClient

ROOT: Final = Path(__file__).parents[2]
BUFFER: Final = "pipelines/firehose/stages.py"
HANDLER: Final = "scenarios/flights/handler.py"
DEADLINE_S: Final = 240


def line_of(path: str, text: str) -> int:
    (number,) = [n for n, line in enumerate((ROOT / path).read_text().splitlines(), 1) if text in line]
    return number


@pytest.fixture
def debugged() -> Iterator[tuple[int, str]]:
    """The port of the debugger, and the container that waits for it."""
    found = free_port()
    compose = ["docker", "compose", "--project-name", f"hydrant-debug-{os.getpid()}", "--profile", "debug"]
    environment = os.environ | {"DEBUG_PORT": str(found)}
    try:
        up = subprocess.run(
            [*compose, "up", "--build", "--detach", "debug"],
            cwd=ROOT, env=environment, capture_output=True, text=True, timeout=1500, check=False,
        )  # fmt: skip
        if up.returncode:
            pytest.fail(f"`docker compose --profile debug up debug` failed: {up.stderr[-2000:]}", pytrace=False)
        ps = [*compose, "ps", "--all", "--quiet", "debug"]
        listed = subprocess.run(ps, cwd=ROOT, capture_output=True, text=True, check=True)
        yield found, listed.stdout.strip()
    finally:
        subprocess.run([*compose, "down", "--volumes"], cwd=ROOT, env=environment, capture_output=True, check=False)


def attached(port: int, breakpoints: dict[Path, int]) -> DebugClient:
    """A client of the debugger once that listens: Docker takes connections before, and lets them go."""
    give_up_s = time.monotonic() + DEADLINE_S
    while True:
        client = DebugClient(port, DEADLINE_S)
        try:
            client.attach(breakpoints)
        except OSError:
            client.__exit__(None, None, None)
            if time.monotonic() > give_up_s:
                raise
            time.sleep(0.5)
        else:
            return client


@pytest.mark.timeout(1800)
def test_breakpoints_stop_the_run_in_docker_which_then_ends_well(debugged: tuple[int, str]) -> None:
    port, container = debugged
    (mapping,) = [
        each["pathMappings"][0]
        for each in json.loads((ROOT / ".vscode/launch.json").read_text())["configurations"]
        if each["name"] == "hydrant: attach to the pipeline in Docker"
    ]
    assert mapping == {"localRoot": "${workspaceFolder}", "remoteRoot": "/app"}
    breakpoints = {
        Path("/app", BUFFER): line_of(BUFFER, "after = before.add(chunk"),
        Path("/app", HANDLER): line_of(HANDLER, 'flight = json.loads(base64.b64decode(record["data"]))'),
    }
    stopped: set[Path] = set()
    with attached(port, breakpoints) as client:
        while len(stopped) < len(breakpoints):
            thread = client.event("stopped")["threadId"]
            frame = client.request("stackTrace", threadId=thread, levels=1)["stackFrames"][0]
            path = Path(frame["source"]["path"])
            assert frame["line"] == breakpoints[path]
            stopped.add(path)
            client.break_at(path, [])
            client.request("continue", threadId=thread)
        wait = ["docker", "wait", container]
        ended = subprocess.run(wait, capture_output=True, text=True, timeout=DEADLINE_S, check=True)
    assert ended.stdout.strip() == "0"
    assert stopped == set(breakpoints)
