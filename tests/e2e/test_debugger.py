import json
import shlex
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import pytest

from tests.e2e.dap import DebugClient

ROOT: Final = Path(__file__).parents[2]
BUFFER: Final = ROOT / "pipelines/firehose/stages.py"
HANDLER: Final = ROOT / "scenarios/flights/handler.py"
PAGE: Final = (ROOT / "docs/debugging.md").read_text()
RUN: Final = "hydrant: run flights on Prism"
DEADLINE_S: Final = 150


def configurations() -> dict[str, dict[str, Any]]:
    launch = json.loads((ROOT / ".vscode/launch.json").read_text())
    return {each["name"]: each for each in launch["configurations"]}


def command_of_the_page(port: int, records: int) -> list[str]:
    (line,) = [line for line in PAGE.splitlines() if line.startswith(".venv/bin/python")]
    command = line.replace("127.0.0.1:5678", f"127.0.0.1:{port}").replace("--records 2000", f"--records {records}")
    return [sys.executable, *shlex.split(command)[1:]]


def line_of(path: Path, text: str) -> int:
    (number,) = [n for n, line in enumerate(path.read_text().splitlines(), 1) if text in line]
    return number


@contextmanager
def started(command: list[str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@pytest.mark.timeout(2 * DEADLINE_S)
def test_a_breakpoint_in_the_buffer_and_one_in_the_handler_stop_the_run_which_then_ends_well(tmp_path: Path) -> None:
    breakpoints = {
        BUFFER: line_of(BUFFER, "after = before.add(chunk"),
        HANDLER: line_of(HANDLER, 'flight = json.loads(base64.b64decode(record["data"]))'),
    }
    local = {BUFFER: "chunk.records > 0 and key", HANDLER: "record['recordId']"}
    seen: dict[Path, str] = {}
    port, log = free_port(), tmp_path / "run.log"
    with started(command_of_the_page(port, records=300), log) as process, DebugClient(port, DEADLINE_S) as client:
        client.attach(breakpoints)
        while len(seen) < len(breakpoints):
            thread = client.event("stopped")["threadId"]
            frame = client.request("stackTrace", threadId=thread, levels=1)["stackFrames"][0]
            path = Path(frame["source"]["path"])
            assert frame["line"] == breakpoints[path]
            seen[path] = client.request("evaluate", expression=local[path], frameId=frame["id"])["result"]
            client.break_at(path, [])
            client.request("continue", threadId=thread)
        client.event("terminated")
        assert process.wait(DEADLINE_S) == 0, log.read_text()
    assert "shardId-" in seen[BUFFER]
    assert seen[HANDLER].strip("'").isdecimal()


def test_launch_json_runs_what_the_page_on_debugging_runs() -> None:
    launch = configurations()[RUN]
    arguments = " ".join(launch["args"])
    assert f" -m {launch['module']} {arguments}\n" in PAGE
    assert f"| module | `{launch['module']}` |\n| parameters | `{arguments}` |" in PAGE
    assert f"configuration *{RUN}*" in PAGE


def test_launch_json_attaches_where_the_page_on_debugging_listens() -> None:
    connect = configurations()["hydrant: attach to a running command"]["connect"]
    assert f"--listen {connect['host']}:{connect['port']} " in PAGE


def test_what_launch_json_launches_exists() -> None:
    launched = [each for each in configurations().values() if each["request"] == "launch"]
    assert all(find_spec(each["module"]) for each in launched)
    assert {each["python"] for each in launched} == {"${workspaceFolder}/.venv/bin/python"}
