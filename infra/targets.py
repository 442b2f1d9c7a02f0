"""The targets that somebody else has started: LocalStack on this machine, and AWS."""

import os
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from localstack_client import config as localstack

from pipelines.runtime.errors import CredentialsError, EndpointDownError
from pipelines.runtime.processes import Child


class _Running:
    """A target whose services run already."""

    children: Sequence[Child] = ()
    runs_handlers_in_process = False

    def __init__(self) -> None:
        self.env: dict[str, str] = {}

    @contextmanager
    def _with_env(self) -> Iterator[None]:
        before = {name: os.environ.get(name) for name in self.env}
        os.environ.update(self.env)
        try:
            yield
        finally:
            for name, value in before.items():
                if value is None:
                    os.environ.pop(name, None)
                else:
                    os.environ[name] = value


class LocalStackTarget(_Running):
    """LocalStack, where localstack-client looks for it. Its free image has no Glue: AWS_ENDPOINT_URL_GLUE names one.

    Implements `pipelines.cli.plugins.Target`.
    """

    name = "localstack"
    runs_handlers_in_process = True  # the free image runs no function without a Docker socket

    @contextmanager
    def started(self) -> Iterator["LocalStackTarget"]:
        """Checks that LocalStack answers, and points our environment at it.

        Raises:
            EndpointDownError: nothing listens there.
        """
        endpoint = os.environ.get("AWS_ENDPOINT_URL") or localstack.get_service_endpoint("kinesis")
        host, _, port = endpoint.rpartition("//")[2].rstrip("/").partition(":")
        try:
            socket.create_connection((host, int(port or 80)), timeout=3).close()
        except OSError as error:
            message = f"Nothing answers at {endpoint}, where LocalStack should be."
            raise EndpointDownError(message, fix="start LocalStack, or run with --target embedded") from error
        self.env = {
            "AWS_ENDPOINT_URL": endpoint,
            "AWS_DEFAULT_REGION": os.environ.get("AWS_DEFAULT_REGION", "us-east-1"),
            "AWS_ACCESS_KEY_ID": os.environ.get("AWS_ACCESS_KEY_ID", "test"),
            "AWS_SECRET_ACCESS_KEY": os.environ.get("AWS_SECRET_ACCESS_KEY", "test"),
        }
        with self._with_env():
            yield self


class AwsTarget(_Running):
    """AWS itself, with the environment as it is: what runs costs money.

    Implements `pipelines.cli.plugins.Target`.
    """

    name = "aws"

    @contextmanager
    def started(self) -> Iterator["AwsTarget"]:
        """Checks that nothing points elsewhere.

        Raises:
            CredentialsError: AWS_ENDPOINT_URL is set, so this would not be AWS.
        """
        if os.environ.get("AWS_ENDPOINT_URL"):
            message = "AWS_ENDPOINT_URL is set, so --target aws would not reach AWS."
            raise CredentialsError(message, fix="unset AWS_ENDPOINT_URL")
        yield self
