"""Creates what a folder declares in AWS's own request shapes.

A file is one call: `NN-<service>.<operation>.json`, made in the order of the names. What exists already is left as it
is, so that provisioning twice does no harm.
"""

import json
from pathlib import Path
from typing import Any, Final

from botocore.exceptions import ClientError

from pipelines.runtime.aws import aws_errors, client, error_code, validate_shape
from pipelines.runtime.clock import Clock, SystemClock
from pipelines.runtime.errors import ConfigurationError, EndpointDownError

_EXISTS: Final = frozenset({
    "AlreadyExistsException", "BucketAlreadyOwnedByYou", "BucketAlreadyExists", "ResourceConflictException",
    "ResourceInUseException",
})  # fmt: skip
_ACTIVE_TIMEOUT_S: Final = 120.0


def provision(folder: Path, *, skip: frozenset[str] = frozenset({"lambda"}), clock: Clock | None = None) -> list[str]:
    """Makes the calls that the files of `folder` declare, and waits until streams are ACTIVE.

    Args:
        folder: with `NN-<service>.<operation>.json` files.
        skip: services that are not called; a target without Lambda calls the handler in process.
        clock: for waiting.

    Returns:
        What was called, e.g. ["kinesis.create_stream", ...].

    Raises:
        ConfigurationError: a file is no JSON, or no request of its operation; names the file.
        HydrantError: AWS refuses a call.
    """
    clock = clock or SystemClock()
    called = []
    for path in sorted(folder.glob("*.json")):
        service, _, operation = path.stem.partition("-")[2].partition(".")
        if service in skip:
            continue
        _call(service, operation, _request(path, service, operation), path.name)
        called.append(f"{service}.{operation}")
        if (service, operation) == ("kinesis", "create_stream"):
            _wait_until_active(_request(path, service, operation)["StreamName"], clock)
    return called


def _request(path: Path, service: str, operation: str) -> dict[str, Any]:
    try:
        request: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        validate_shape(service, "".join(word.title() for word in operation.split("_")), request)
    except (ValueError, ConfigurationError) as error:
        message = f"{path} is no request of {service} {operation}: {error}"
        raise ConfigurationError(message, fix="AWS's API reference has its shape") from error
    return request


def _call(service: str, operation: str, request: dict[str, Any], file: str) -> None:
    with aws_errors(f"{service} {operation} of {file}"):
        try:
            getattr(client(service), operation)(**request)
        except ClientError as error:
            if error_code(error) not in _EXISTS:
                raise


def _wait_until_active(stream: str, clock: Clock) -> None:
    kinesis = client("kinesis")
    give_up_s = clock.monotonic_s() + _ACTIVE_TIMEOUT_S
    while True:
        with aws_errors(f"Kinesis stream {stream}"):
            status = kinesis.describe_stream_summary(StreamName=stream)["StreamDescriptionSummary"]["StreamStatus"]
        if status == "ACTIVE":
            return
        if clock.monotonic_s() > give_up_s:
            message = f"Kinesis stream {stream} is still {status} after {_ACTIVE_TIMEOUT_S:.0f} s."
            raise EndpointDownError(message, fix="look at the stream in the console, or start the stand-in again")
        clock.sleep(0.2)
