"""`hydrant doctor` tells an engine from the plugin that docker-compose.yml needs."""

import socket
from pathlib import Path
from typing import Final

import pytest

from pipelines.cli.doctor import Check, _endpoints, checks

ENGINE: Final = """#!/bin/sh
case "$1 $2" in
  "version --format") echo 28.5.1 ;;
  *) {compose} ;;
esac
"""


def docker_checks(monkeypatch: pytest.MonkeyPatch, folder: Path, compose: str | None) -> tuple[Check, Check]:
    """What it finds of a Docker that does `compose` when it is asked for anything else; None: no Docker."""
    if compose is not None:
        (folder / "docker").write_text(ENGINE.format(compose=compose))
        (folder / "docker").chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))
    found = {check.name: check for check in checks()}
    return found["docker"], found["docker compose"]


def test_both_are_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    engine, compose = docker_checks(monkeypatch, tmp_path, "echo 2.40.3")
    assert (engine.found, compose.found) == ("28.5.1", "2.40.3")
    assert engine.ok
    assert compose.ok


def test_an_engine_without_the_plugin(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    engine, compose = docker_checks(monkeypatch, tmp_path, 'echo "unknown flag: --short" >&2; exit 125')
    assert engine.ok
    assert not compose.ok
    assert not compose.required
    assert "docker-compose.yml" in compose.fix
    assert "install Docker's compose plugin" in compose.fix


def test_no_docker_at_all(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    engine, compose = docker_checks(monkeypatch, tmp_path, None)
    assert not engine.ok
    assert not compose.ok
    assert "install Docker" in engine.fix
    assert "plugin" in compose.fix


@pytest.mark.parametrize(
    ("host", "family", "url"),
    [("127.0.0.1", socket.AF_INET, "http://127.0.0.1:{port}/path"), ("::1", socket.AF_INET6, "http://[::1]:{port}")],
)
def test_an_endpoint_that_answers_is_found(host: str, family: int, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server((host, 0), family=family) as listener:
        monkeypatch.setenv("AWS_ENDPOINT_URL", url.format(port=listener.getsockname()[1]))
        assert _endpoints().found
    assert not _endpoints().found


def test_an_endpoint_that_is_no_url_is_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://[::1")
    assert "nothing answers" in _endpoints().fix
