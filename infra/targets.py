"""The targets that somebody else has started: LocalStack on this machine, and AWS."""

import os
import shutil
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final
from urllib.parse import urlsplit
from urllib.request import urlopen

from localstack_client import config as localstack

from infra.environment import environment
from pipelines.runtime.errors import ConfigurationError, EndpointDownError
from pipelines.runtime.processes import Child

_START: Final = "`docker compose --profile keep up --wait keep` starts it; without Docker run with --target embedded"
_NO_DOCKER: Final = (
    "Docker is not installed here, which would start it: https://docs.docker.com/engine/install/; "
    "without Docker run with --target embedded"
)

_BESIDE: Final = {
    "AWS_ENDPOINT_URL_FIREHOSE": ("http://localhost:4567", "/moto-api/"),
    "AWS_ENDPOINT_URL_GLUE": ("http://localhost:4567", "/moto-api/"),
    "AWS_ENDPOINT_URL_LAMBDA": ("http://localhost:9001", "/health"),
}
"""What `docker compose --profile keep up` has besides LocalStack: where it is, and what answers only there."""


class _Running:
    """A target whose services run already."""

    children: Sequence[Child] = ()
    runs_handlers_in_process = False

    def __init__(self) -> None:
        self.env: dict[str, str] = {}


class LocalStackTarget(_Running):
    """LocalStack, where localstack-client looks for it, with what docker-compose.yml has beside it.

    LocalStack's free image has no Glue and runs no function without a Docker socket, and its Firehose delivers on its
    own. AWS_ENDPOINT_URL_GLUE, _FIREHOSE and _LAMBDA name others; where they are not set, those of docker-compose.yml
    are taken if they answer. Without a Lambda, handlers are called in this process.

    Implements `pipelines.cli.plugins.Target`.
    """

    name = "localstack"

    @contextmanager
    def started(self) -> Iterator["LocalStackTarget"]:
        """Checks that LocalStack answers, and points our environment at it.

        Raises:
            ConfigurationError: AWS_ENDPOINT_URL is no URL.
            EndpointDownError: nothing listens there.
        """
        endpoint = os.environ.get("AWS_ENDPOINT_URL") or localstack.get_service_endpoint("kinesis")
        try:
            url = urlsplit(endpoint)
            address = (url.hostname or "", url.port or {"http": 80, "https": 443}[url.scheme])
        except (KeyError, ValueError) as error:
            message = f"AWS_ENDPOINT_URL is {endpoint}, which is no URL."
            raise ConfigurationError(message, fix="set it as in http://localhost:4566, or unset it") from error
        try:
            socket.create_connection(address, timeout=3).close()
        except OSError as error:
            message = f"Nothing answers at {endpoint}, where LocalStack should be."
            raise EndpointDownError(message, fix=_START if shutil.which("docker") else _NO_DOCKER) from error
        region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or "us-east-1"
        self.env = {
            "AWS_ENDPOINT_URL": endpoint,
            "AWS_REGION": region,
            "AWS_DEFAULT_REGION": region,
            "AWS_ACCESS_KEY_ID": os.environ.get("AWS_ACCESS_KEY_ID", "test"),
            "AWS_SECRET_ACCESS_KEY": os.environ.get("AWS_SECRET_ACCESS_KEY", "test"),
        }
        for name, (default, path) in _BESIDE.items():
            if os.environ.get(name) or _answers(default + path):
                self.env[name] = os.environ.get(name) or default
        self.runs_handlers_in_process = "AWS_ENDPOINT_URL_LAMBDA" not in self.env
        with environment(self.env):
            yield self


def _answers(url: str) -> bool:
    try:
        with urlopen(url, timeout=3) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


class AwsTarget(_Running):
    """AWS itself, with the environment as it is: what runs costs money.

    Implements `pipelines.cli.plugins.Target`.
    """

    name = "aws"

    @contextmanager
    def started(self) -> Iterator["AwsTarget"]:
        """Checks that nothing points elsewhere.

        Raises:
            ConfigurationError: a variable names an endpoint that is not AWS's.
        """
        for name, endpoint in sorted(os.environ.items()):
            if name.startswith("AWS_ENDPOINT_URL") and endpoint and not _is_aws(endpoint):
                message = f"{name} is {endpoint}, so --target aws would not reach AWS."
                raise ConfigurationError(message, fix=f"unset {name}")
        yield self


def _is_aws(endpoint: str) -> bool:
    """A VPC endpoint is AWS as well."""
    try:
        host = urlsplit(endpoint).hostname or ""
    except ValueError:  # no URL at all
        return False
    return host.endswith((".amazonaws.com", ".amazonaws.com.cn", ".api.aws"))
