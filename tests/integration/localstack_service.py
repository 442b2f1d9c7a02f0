"""LocalStack for tests: one that runs, or one in Docker for as long as it is needed."""

import json
import os
import shlex
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from differences import IMAGE

from pipelines.runtime.processes import Child

_DEFAULT: Final = "http://localhost:4566"
_SERVICES: Final = ("cloudwatch", "firehose", "kinesis", "s3")
_SETTINGS: Final = {
    "SERVICES": ",".join(_SERVICES),
    "KINESIS_LATENCY": "0",  # ms until a stream is ACTIVE: 500 by default
    "KINESIS_SHARD_LIMIT": "10000",
    "LS_LOG": "error",
}
_START_S: Final = 240.0
_ours: Final[set[str]] = set()
"""Endpoints of the containers that were started here."""


@contextmanager
def running_localstack() -> Iterator[str]:
    """The endpoint of a LocalStack with the services that the product needs, but for Glue: the free image has none.

    The one at $LOCALSTACK_ENDPOINT if that is set, else the one at localhost:4566 if it answers, else a container.

    Raises:
        RuntimeError: there is none, and none can be started; the message says what to do.
    """
    named = os.environ.get("LOCALSTACK_ENDPOINT", "")
    if named and not _is_complete(named):
        message = (
            f"LOCALSTACK_ENDPOINT is {named}, where no LocalStack with {', '.join(_SERVICES)} answers. "
            f"Start one: {_command()}"
        )
        raise RuntimeError(message)
    found = named or (_DEFAULT if _is_complete(_DEFAULT) else "")
    if found:
        yield found
    else:
        with _container() as endpoint:
            yield endpoint


@contextmanager
def localstack_of_ours(running: str) -> Iterator[str]:
    """The endpoint of a LocalStack in which a test may delete what has a scenario's name: nobody else works with it.

    Args:
        running: endpoint of the one that runs; it is taken if the tests started it.

    Raises:
        RuntimeError: another one is needed, and none can be started; the message says what to do.
    """
    if running in _ours:
        yield running
    else:
        with _container() as endpoint:
            yield endpoint


@contextmanager
def _container() -> Iterator[str]:
    if shutil.which("docker") is None or _docker("info") is None:
        message = f"No LocalStack answers at {_DEFAULT}, and no Docker starts one. With Docker: {_command()}"
        raise RuntimeError(message)
    name = f"hydrant-localstack-{os.getpid()}"
    settings = [argument for pair in _SETTINGS.items() for argument in ("--env", "=".join(pair))]
    run = ["docker", "run", "--rm", "--name", name, "--publish", "127.0.0.1::4566", *settings, IMAGE]
    # A process that ends with us, however we end, and takes the container along: as the first process of its container,
    # LocalStack does not heed the SIGTERM that `docker run` would pass on.
    remove = f"docker rm --force --volumes {name} >/dev/null 2>&1"
    child = Child("LocalStack", ["sh", "-c", f"trap '{remove}' EXIT TERM; {shlex.join(run)} & wait $!"])
    try:
        endpoint = _wait_until_ready(child, name)
        _ours.add(endpoint)
        yield endpoint
    finally:
        child.stop()


def _wait_until_ready(child: Child, name: str) -> str:
    give_up_s = time.monotonic() + _START_S
    while time.monotonic() < give_up_s:
        child.check()
        published = (_docker("port", name, "4566/tcp") or "").splitlines()
        endpoint = f"http://{published[0]}" if published else ""
        if endpoint and _is_complete(endpoint):
            return endpoint
        time.sleep(0.5)
    message = f"LocalStack is not ready after {_START_S:.0f} s. Look at it: docker logs {name}"
    raise RuntimeError(message)


def _is_complete(endpoint: str) -> bool:
    try:
        with urllib.request.urlopen(f"{endpoint}/_localstack/health", timeout=5) as answer:
            services = json.load(answer)["services"]
    except (OSError, ValueError, KeyError):
        return False
    return all(services.get(service, "disabled") in {"available", "running"} for service in _SERVICES)


def _docker(*arguments: str) -> str | None:
    """What `docker` prints; None when it fails."""
    done = subprocess.run(["docker", *arguments], capture_output=True, text=True, check=False)
    return done.stdout if done.returncode == 0 else None


def _command() -> str:
    settings = " ".join(f"-e {name}={value}" for name, value in _SETTINGS.items())
    return f"docker run --rm -p 127.0.0.1:4566:4566 {settings} {IMAGE}"
