"""The services, the histories that are played on two of them, and the targets that the product's calls are tried on."""

import os
import uuid
from collections import Counter
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Final

import pytest
from call_differences import Differences
from calls import Recorder
from compare import Difference, differences
from localstack_service import running_localstack
from player import client, play
from steps import Step
from targets import EMBEDDED, LOCALSTACK, TARGETS, Target, embedded_target, localstack_target, moto_target
from visible import visible

from infra.environment import environment
from pipelines.runtime.processes import Child, module

_AT_A_TIME: Final = 4
"""Histories played at the same time: LocalStack's two processes are what takes long."""


@pytest.fixture(scope="session")
def localstack() -> Iterator[str]:
    with environment({}, without=[name for name in os.environ if name.startswith("AWS_")]):
        try:
            with running_localstack() as endpoint:
                client(endpoint).list_streams()  # LocalStack starts its Kinesis at the first call
                yield endpoint
        except RuntimeError as error:
            pytest.fail(str(error), pytrace=False)


@pytest.fixture(scope="session")
def model() -> Iterator[str]:
    child = Child("the embedded Kinesis", module("infra.embedded.kinesis_server", "--port", "0"))
    yield child.ready()["endpoint"]
    child.stop()


class Plays:
    """Plays histories on the model and on LocalStack, several at a time.

    Args:
        model: endpoint of the model.
        localstack: endpoint of LocalStack.
    """

    def __init__(self, model: str, localstack: str) -> None:
        self._pool = ThreadPoolExecutor(_AT_A_TIME)
        self._services = client(model), client(localstack)
        self._begun: dict[str, Future[list[Difference]]] = {}

    def begin(self, name: str, steps: Sequence[Step]) -> None:
        """Plays `steps`, a history called `name`, once, as soon as it is their turn."""
        if name not in self._begun:
            self._begun[name] = self._pool.submit(self._play, steps)

    def differences(self, name: str, steps: Sequence[Step]) -> list[Difference]:
        """What a client sees otherwise in `steps`, a history called `name`."""
        self.begin(name, steps)
        return self._begun[name].result()

    def end(self) -> None:
        """Plays no more."""
        self._pool.shutdown(cancel_futures=True)

    def _play(self, steps: Sequence[Step]) -> list[Difference]:
        prefix = f"h{uuid.uuid4().hex[:12]}"
        outcomes = [play(steps, service, prefix) for service in self._services]
        seen: list[Any] = [visible(steps, each, prefix) for each in outcomes]
        return differences(steps, seen[0], seen[1], outcomes[1])


@pytest.fixture(scope="session")
def plays(model: str, localstack: str) -> Iterator[Plays]:
    both = Plays(model, localstack)
    yield both
    both.end()


@pytest.fixture(scope="session")
def recorder() -> Recorder:
    """Which calls the product made, target by target."""
    return Recorder()


@pytest.fixture(scope="session")
def known() -> Differences:
    """The table of known differences, which remembers what was met."""
    return Differences()


@pytest.fixture(scope="session", params=TARGETS)
def target(request: pytest.FixtureRequest, recorder: Recorder) -> Iterator[Target]:
    """The stand-ins that the environment points to, one after the other: every test that takes it runs on each."""
    if request.param == LOCALSTACK:
        context = localstack_target(request.getfixturevalue("localstack"))
    else:
        context = embedded_target() if request.param == EMBEDDED else moto_target()
    with context as started, recorder.on(started.name):
        yield started


_LAST: Final = "test_every_call.py"
_run_on: Final[Counter[str]] = Counter()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What looks at the calls that the other tests have made comes last."""
    items.sort(key=lambda item: item.path.name == _LAST)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, Any, Any]:
    """Counts the tests by the services that they ran against."""
    report = yield
    if report.when == "call" and isinstance(item, pytest.Function):
        on = item.callspec.params.get("target") if hasattr(item, "callspec") else None
        if on is None and {"plays", "localstack"} & set(item.fixturenames):
            on = LOCALSTACK
        if on is not None:
            _run_on[on] += 1
    return report


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Says how many tests ran against LocalStack."""
    if _run_on:
        counts = ", ".join(f"{_run_on[name]} against {name}" for name in TARGETS if name != LOCALSTACK)
        terminalreporter.write_line(f"{_run_on[LOCALSTACK]} tests ran against LocalStack 4.14.0; {counts}.")
