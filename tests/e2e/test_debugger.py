import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest

from tests.e2e.dap import DebugClient

ROOT: Final = Path(__file__).parents[2]
BUFFER: Final = ROOT / "pipelines/firehose/stages.py"
HANDLER: Final = ROOT / "scenarios/flights/handler.py"
DEADLINE_S: Final = 150


def configurations() -> dict[str, dict[str, Any]]:
    launch = json.loads((ROOT / ".vscode/launch.json").read_text())
    return {each["name"]: each for each in launch["configurations"]}


def line_of(path: Path, text: str) -> int:
    (number,) = [n for n, line in enumerate(path.read_text().splitlines(), 1) if text in line]
    return number


@contextmanager
def debugged(module: str, arguments: list[str], port: int, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    debugpy = ["-Xfrozen_modules=off", "-m", "debugpy", "--listen", f"127.0.0.1:{port}", "--wait-for-client"]
    command = [sys.executable, *debugpy, "-m", module, *arguments]
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
    launch = configurations()["hydrant: run flights on Prism"]
    scenario, records = launch["args"][:-1], launch["args"][-1]
    assert scenario == ["run", "flights", "--records"]
    assert int(records) == 2000
    breakpoints = {
        BUFFER: line_of(BUFFER, "before = _read(fill)"),
        HANDLER: line_of(HANDLER, 'flight = json.loads(base64.b64decode(record["data"]))'),
    }
    locals_of = {BUFFER: "chunk.records > 0 and key", HANDLER: "record['recordId']"}
    seen: dict[Path, str] = {}
    port, log = free_port(), tmp_path / "run.log"
    with (
        debugged(launch["module"], [*scenario, "300"], port, log) as process,
        DebugClient(port, DEADLINE_S) as client,
    ):
        client.attach(breakpoints)
        while len(seen) < len(breakpoints):
            thread = client.event("stopped")["threadId"]
            frame = client.request("stackTrace", threadId=thread, levels=1)["stackFrames"][0]
            path = Path(frame["source"]["path"])
            assert frame["line"] == breakpoints[path]
            seen[path] = client.request("evaluate", expression=locals_of[path], frameId=frame["id"])["result"]
            client.break_at(path, [])
            client.request("continue", threadId=thread)
        client.event("terminated")
        assert process.wait(DEADLINE_S) == 0, log.read_text()
    assert "shardId-" in seen[BUFFER]
    assert seen[HANDLER].strip("'").isdecimal()


def test_the_configuration_to_attach_has_the_port_that_the_page_on_debugging_names() -> None:
    port = configurations()["hydrant: attach to a running command"]["connect"]["port"]
    assert f"--listen 127.0.0.1:{port} --wait-for-client" in (ROOT / "docs/debugging.md").read_text()


def test_what_is_launched_exists_and_the_page_on_debugging_says_the_same() -> None:
    for launch in configurations().values():
        if launch["request"] == "launch":
            found = subprocess.run(
                [sys.executable, "-c", f"import runpy, importlib.util as u; assert u.find_spec({launch['module']!r})"],
                cwd=ROOT,
                check=False,
            )
            assert found.returncode == 0, launch["name"]
            assert launch["python"] == "${workspaceFolder}/.venv/bin/python"
    launch = configurations()["hydrant: run flights on Prism"]
    text = (ROOT / "docs/debugging.md").read_text()
    assert f"-m {launch['module']} {' '.join(launch['args'])}" in text
    assert f"| parameters | `{' '.join(launch['args'])}` |" in text
