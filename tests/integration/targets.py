"""Where the product's AWS calls are tried: LocalStack, the embedded stand-ins, moto. One environment each."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import boto3
from botocore.config import Config
from localstack_client.session import Session

from infra.embedded.target import REGION, EmbeddedTarget
from infra.environment import environment
from pipelines.runtime.processes import Child, module

LOCALSTACK: Final = "localstack"
EMBEDDED: Final = "embedded"
MOTO: Final = "moto"
TARGETS: Final = (LOCALSTACK, EMBEDDED, MOTO)
ACCOUNT: Final = "000000000000"
"""The account that all stand-ins have."""

_SETTINGS: Final = {
    "AWS_REGION": REGION,
    "AWS_DEFAULT_REGION": REGION,
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_EC2_METADATA_DISABLED": "true",
}


@dataclass(frozen=True)
class Target:
    """Stand-ins for AWS that run, and to which the environment points.

    Attributes:
        name: one of TARGETS.
        env: the AWS SDK's variables.
    """

    name: str
    env: Mapping[str, str]

    def endpoint(self, service: str) -> str:
        """Where `service` answers."""
        return self.env.get(f"AWS_ENDPOINT_URL_{service.upper()}") or self.env["AWS_ENDPOINT_URL"]

    def client(self, service: str) -> Any:
        """A client for what a test itself does and looks at: the product makes its own, from the environment."""
        session = Session() if self.name == LOCALSTACK and service != "glue" else boto3.session.Session()
        return session.client(service, config=Config(s3={"addressing_style": "path"}))


@contextmanager
def localstack_target(endpoint: str) -> Iterator[Target]:
    """LocalStack for Kinesis, S3, Firehose and CloudWatch; its free image has no Glue, which is moto's.

    Args:
        endpoint: where LocalStack answers.
    """
    with _moto() as glue:
        env = {"AWS_ENDPOINT_URL": endpoint, "AWS_ENDPOINT_URL_GLUE": glue, **_SETTINGS}
        with environment(env):
            yield Target(LOCALSTACK, env)


@contextmanager
def embedded_target() -> Iterator[Target]:
    """What `hydrant run` takes where nothing is said: the model Kinesis, moto for everything else."""
    with EmbeddedTarget().started() as embedded:
        yield Target(EMBEDDED, embedded.env)


@contextmanager
def moto_target() -> Iterator[Target]:
    """moto for everything, Kinesis too."""
    with _moto() as endpoint:
        env = {"AWS_ENDPOINT_URL": endpoint, **_SETTINGS}
        with environment(env):
            yield Target(MOTO, env)


@contextmanager
def _moto() -> Iterator[str]:
    child = Child("moto", module("infra.embedded.moto_server"))
    try:
        yield child.ready()["endpoint"]
    finally:
        child.stop()
