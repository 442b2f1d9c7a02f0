"""Fixtures of the tests that run pipelines: `kinesis`, `aws`, `runner` and `run`; stand_ins.py says what they are.

The processes live as long as the session; streams and buckets are new for each test, and the environment is the
test's own. DoFns run in the test's process.
"""

import os
from collections.abc import Iterator

import pytest
from stand_ins import Aws, KinesisStandIn, Run

from infra.embedded.target import REGION
from pipelines.runtime.processes import Child, module


@pytest.fixture(scope="session")
def kinesis_process() -> Iterator[str]:
    child = Child("the embedded Kinesis", module("infra.embedded.kinesis_server", "--port", "0"))
    yield child.ready()["endpoint"]
    child.stop()


@pytest.fixture(scope="session")
def moto_process() -> Iterator[str]:
    child = Child("moto (S3, Glue, Firehose)", module("infra.embedded.moto_server"))
    yield child.ready()["endpoint"]
    child.stop()


@pytest.fixture
def aws_environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Nothing of AWS in the environment but a region and credentials for stand-ins."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name, value in {
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_ACCESS_KEY_ID": "embedded",
        "AWS_SECRET_ACCESS_KEY": "embedded",
        "AWS_EC2_METADATA_DISABLED": "true",
        # Whoever runs the tests may have files of their own.
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    }.items():
        monkeypatch.setenv(name, value)
    return monkeypatch


@pytest.fixture
def kinesis(kinesis_process: str, aws_environment: pytest.MonkeyPatch) -> Iterator[KinesisStandIn]:
    aws_environment.setenv("AWS_ENDPOINT_URL_KINESIS", kinesis_process)
    stand_in = KinesisStandIn(kinesis_process)
    yield stand_in
    stand_in.order({})


@pytest.fixture
def aws(kinesis: KinesisStandIn, moto_process: str, aws_environment: pytest.MonkeyPatch) -> Aws:
    aws_environment.setenv("AWS_ENDPOINT_URL", moto_process)
    return Aws(kinesis, moto_process)


@pytest.fixture(params=["prism"])
def runner(request: pytest.FixtureRequest) -> str:
    """What pipelines run on; every test of a pipeline is to pass on each."""
    return str(request.param)


@pytest.fixture
def run(runner: str) -> Run:
    return Run(runner)
