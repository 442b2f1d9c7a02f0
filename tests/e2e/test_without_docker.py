"""README's two commands on a machine without Docker, and what is said where Docker is asked for."""

import os
import re
import socket
import subprocess
from contextlib import closing
from pathlib import Path

import pytest
from hydrant_command import HYDRANT, assert_one_sentence, environment, hydrant

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def path_without_docker(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A folder with every program of this machine but Docker's."""
    folder = tmp_path_factory.mktemp("bin")
    for place in os.environ["PATH"].split(os.pathsep):
        for program in Path(place).glob("*"):
            link = folder / program.name
            if not program.name.startswith("docker") and not link.is_symlink():
                link.symlink_to(program)
    return str(folder)


def commands() -> list[str]:
    """The commands of README's chapter "Two commands"."""
    (chapter,) = re.findall(r"^## Two commands\n(.*?)^## ", (ROOT / "README.md").read_text(), re.DOTALL | re.MULTILINE)
    block = chapter.split("```")[1]
    return [line.partition("#")[0].strip() for line in block.strip().splitlines()]


def without(path: str) -> dict[str, str]:
    nothing = dict.fromkeys(name for name in os.environ if name.startswith(("AWS_", "MAKE", "MFLAGS")))
    return environment(**nothing, PATH=path)


def test_the_first_command_runs_to_its_end(path_without_docker: str) -> None:
    run, _ = commands()
    done = subprocess.run(
        run.split(),
        cwd=ROOT,
        env=without(path_without_docker),
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert "0 lost, 0 doubled" in done.stdout
    assert "It adds up." in done.stdout


def test_the_second_command_asks_for_no_docker(path_without_docker: str) -> None:
    """It is what runs this test; what it would call is looked at, and that it collects no test of containers."""
    _, test = commands()
    env = without(path_without_docker)
    called = subprocess.run([*test.split(), "--dry-run"], cwd=ROOT, env=env, capture_output=True, text=True, check=True)
    assert "pytest" in called.stdout
    assert "docker" not in called.stdout
    collect = [HYDRANT.with_name("python"), "-m", "pytest", "--collect-only", "-q"]
    collected = subprocess.run(collect, cwd=ROOT, env=env, capture_output=True, text=True, timeout=120, check=True)
    assert "tests/e2e/test_without_docker.py" in collected.stdout
    assert not re.search(r"^tests/(docker|browser)/|test_calls_|test_every_call", collected.stdout, re.MULTILINE)


def test_where_localstack_is_asked_for_one_sentence_says_what_is_missing(path_without_docker: str) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        port = listener.getsockname()[1]
    env = without(path_without_docker) | {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}"}
    with hydrant("run", "flights", "--target", "localstack", env=env) as running:
        assert_one_sentence(
            running, f"Nothing answers at http://127.0.0.1:{port}", "Docker is not installed",
            "https://docs.docker.com/engine/install/", "--target embedded",
        )  # fmt: skip
    with hydrant("doctor", env=env | {"COLUMNS": "200"}) as running:
        running.status()
    assert re.search(r"absent.*docker .*only needed for LocalStack: install Docker", running.said)
