"""Which environment a target sets, and that it is as before when the target is left, however it is left."""

import os
import socket
from collections.abc import Callable, Iterator

import psutil
import pytest

from infra.embedded import target as embedded
from infra.embedded.target import EmbeddedTarget
from infra.environment import environment
from infra.targets import AwsTarget, LocalStackTarget
from pipelines.cli.plugins import find_target
from pipelines.runtime.aws import client
from pipelines.runtime.errors import ConfigurationError, EndpointDownError, RunnerError
from pipelines.runtime.processes import Child, free_port


def ours() -> dict[str, str]:
    """Our environment, but for what pytest changes in it on its own."""
    return {name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"}


@pytest.fixture(autouse=True)
def before(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Our environment, with nothing of AWS but what a user may have."""
    for name in [name for name in os.environ if name.startswith(("AWS_", "LOCALSTACK", "EDGE_PORT"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_PROFILE", "mine")
    return ours()


def child_pids() -> set[int]:
    return {process.pid for process in psutil.Process().children(recursive=True)}


def test_the_environment_is_restored_after_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HYDRANT_A", "old")
    monkeypatch.setenv("HYDRANT_B", "old")
    before = ours()
    with pytest.raises(ZeroDivisionError), environment({"HYDRANT_A": "new", "HYDRANT_C": "new"}, without=["HYDRANT_B"]):
        assert os.environ["HYDRANT_A"] == os.environ["HYDRANT_C"] == "new"
        assert "HYDRANT_B" not in os.environ
        _ = 1 / 0
    assert ours() == before


def test_what_others_change_meanwhile_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HYDRANT_OTHER", raising=False)
    with environment({"HYDRANT_A": "new"}):
        monkeypatch.setenv("HYDRANT_OTHER", "stays")
    assert os.environ["HYDRANT_OTHER"] == "stays"
    assert "HYDRANT_A" not in os.environ


def test_the_embedded_target_leads_every_client_to_its_stand_ins(
    before: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # All of these would lead a client elsewhere, or nowhere.
    for name in ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL_STS", "AWS_USE_FIPS_ENDPOINT", "AWS_SESSION_TOKEN"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    changed = ours()
    there = child_pids()
    with EmbeddedTarget().started() as target:
        assert {name for name in os.environ if name.startswith("AWS_")} == set(target.env)
        assert target.env.items() <= os.environ.items()
        client("kinesis").create_stream(StreamName="flights", ShardCount=1)
        client("s3").create_bucket(Bucket="lake")
        assert client("s3").meta.endpoint_url != client("kinesis").meta.endpoint_url
        for child in target.children:
            child.check()
    assert ours() == changed
    assert child_pids() <= there


class Failing:
    """Makes children until the last of `allowed`; then fails as the operating system does."""

    def __init__(self, allowed: int) -> None:
        self.allowed = allowed
        self.stopped: list[str] = []

    def __call__(self, name: str, command: list[str]) -> "Failing.Fake":
        if self.allowed == 0:
            raise OSError(11, "Resource temporarily unavailable")
        self.allowed -= 1
        return self.Fake(name, self)

    class Fake:
        def __init__(self, name: str, made_by: "Failing") -> None:
            self.name, self.made_by = name, made_by

        def ready(self) -> dict[str, str]:
            if self.name.startswith("moto"):
                return {"endpoint": "http://127.0.0.1:1"}
            raise RunnerError("the embedded Kinesis has ended with status 1")

        def stop(self) -> None:
            self.made_by.stopped.append(self.name)


@pytest.mark.parametrize(("allowed", "error"), [(0, OSError), (1, OSError), (2, RunnerError)])
def test_a_stand_in_that_does_not_start_takes_the_other_with_it(
    before: dict[str, str], monkeypatch: pytest.MonkeyPatch, allowed: int, error: type[Exception]
) -> None:
    made = Failing(allowed)
    monkeypatch.setattr(embedded, "Child", made)
    with pytest.raises(error), EmbeddedTarget().started():
        pytest.fail("it started")
    assert len(made.stopped) == allowed
    assert ours() == before


def test_an_error_while_the_embedded_target_is_used_ends_it(
    before: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = Failing(2)
    monkeypatch.setattr(embedded, "Child", made)
    monkeypatch.setattr(Failing.Fake, "ready", lambda self: {"endpoint": "http://127.0.0.1:1"})
    with pytest.raises(KeyboardInterrupt), EmbeddedTarget().started():
        raise KeyboardInterrupt
    assert len(made.stopped) == 2
    assert ours() == before


@pytest.fixture
def listening() -> Iterator[Callable[[], str]]:
    """The address of something that listens on loopback."""
    open_ = []

    def listen() -> str:
        open_.append(socket.create_server(("127.0.0.1", 0)))
        return f"http://127.0.0.1:{open_[-1].getsockname()[1]}"

    yield listen
    for one in open_:
        one.close()


def test_localstack_is_where_the_environment_says(
    listening: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", listening() + "/")
    monkeypatch.setenv("AWS_ENDPOINT_URL_GLUE", "http://127.0.0.1:5000")
    before = ours()
    with LocalStackTarget().started() as target:
        assert os.environ["AWS_ENDPOINT_URL"] == before["AWS_ENDPOINT_URL"]
        assert os.environ["AWS_ENDPOINT_URL_GLUE"] == "http://127.0.0.1:5000"
        assert (os.environ["AWS_ACCESS_KEY_ID"], os.environ["AWS_DEFAULT_REGION"]) == ("test", "us-east-1")
        assert target.children == ()
    assert ours() == before


def test_localstack_keeps_the_users_region_and_credentials(
    listening: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", listening())
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "000000000001")
    with LocalStackTarget().started():
        assert os.environ["AWS_DEFAULT_REGION"] == os.environ["AWS_REGION"] == "eu-west-1"
        assert os.environ["AWS_ACCESS_KEY_ID"] == "000000000001"


def test_localstack_is_else_where_its_own_client_looks(
    listening: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    endpoint = listening()
    monkeypatch.setattr("infra.targets.localstack.get_service_endpoint", lambda service: endpoint)
    with LocalStackTarget().started() as target:
        assert target.env["AWS_ENDPOINT_URL"] == endpoint


def test_localstack_that_is_not_there_is_named_with_the_fix(
    before: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free_port()}")
    with pytest.raises(EndpointDownError, match="where LocalStack should be") as raised, LocalStackTarget().started():
        pytest.fail("it started")
    assert os.environ["AWS_ENDPOINT_URL"] in raised.value.message
    assert "--target embedded" in raised.value.fix


@pytest.mark.parametrize("endpoint", ["localhost:4566", "http://localhost:none", "4566"])
def test_an_endpoint_that_is_no_url_is_named(monkeypatch: pytest.MonkeyPatch, endpoint: str) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    with pytest.raises(ConfigurationError, match=endpoint) as raised, LocalStackTarget().started():
        pytest.fail("it started")
    assert "http://localhost:4566" in raised.value.fix


def test_aws_is_used_as_the_environment_is(before: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "https://bucket.vpce-1a2b.s3.us-east-1.vpce.amazonaws.com")
    changed = ours()
    with AwsTarget().started() as target:
        assert ours() == changed
        assert (target.env, target.children, target.runs_handlers_in_process) == ({}, (), False)


def test_aws_is_refused_where_an_endpoint_is_no_url(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://[::1")
    with pytest.raises(ConfigurationError, match="would not reach AWS"), AwsTarget().started():
        pass


@pytest.mark.parametrize("name", ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_KINESIS"])
def test_aws_is_refused_while_a_variable_leads_elsewhere(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "http://127.0.0.1:4566")
    with pytest.raises(ConfigurationError, match=f"{name} is http://127.0.0.1:4566") as raised, AwsTarget().started():
        pytest.fail("it started")
    assert raised.value.fix == f"unset {name}"


@pytest.mark.parametrize("kind", [EmbeddedTarget, LocalStackTarget, AwsTarget])
def test_each_target_is_found_by_its_name(kind: type) -> None:
    target = find_target(kind.name)
    assert type(target) is kind
    assert all(isinstance(child, Child) for child in target.children)
