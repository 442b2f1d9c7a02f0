"""Creates what a folder declares in AWS's own request shapes.

A file is one call: `NN-<service>.<operation>.json`, made in the order of the names. What exists already is left as it
is, so that provisioning twice does no harm.
"""

import json
from pathlib import Path
from typing import Any, Final

from pipelines.runtime.aws import aws_errors, client, error_code, validate_shape
from pipelines.runtime.clock import Clock, SystemClock
from pipelines.runtime.errors import ConfigurationError, TransientError

from botocore.exceptions import ClientError

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
