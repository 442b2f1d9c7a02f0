"""Both services, each at an endpoint of its own, and the histories that are played on them."""

import os
import uuid
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Final

import pytest
from compare import Difference, differences
from localstack_service import localstack_kinesis
from player import client, play
from steps import Step
from visible import visible

from infra.environment import environment
from pipelines.runtime.processes import Child, module

_AT_A_TIME: Final = 4
"""Histories played at the same time: LocalStack's two processes are what takes long."""


@pytest.fixture(scope="session")
def localstack() -> Iterator[str]:
    with environment({}, without=[name for name in os.environ if name.startswith("AWS_")]):
        try:
            with localstack_kinesis() as endpoint:
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
