"""Creates what a folder declares in AWS's own request shapes, and deletes it again.

A file is one call: `NN-<service>.<operation>.json`, made in the order of the names. What exists already is left as it
is, so that provisioning twice does no harm.
"""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from botocore.exceptions import ClientError, UnknownServiceError
from botocore.model import OperationNotFoundError

from pipelines.runtime.aws import aws_errors, client, error_code, validate_shape
from pipelines.runtime.clock import Clock, SystemClock
from pipelines.runtime.errors import ConfigurationError, EndpointDownError, NotFoundError

_EXISTS: Final = frozenset({
    "AlreadyExistsException", "BucketAlreadyOwnedByYou", "ResourceConflictException", "ResourceInUseException",
})  # fmt: skip
"""Not BucketAlreadyExists: that bucket is another account's."""
_NAME: Final = re.compile(r"\d+-([\w-]+)\.(\w+)")
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
        NotFoundError: there is no such folder.
        ConfigurationError: a file is no JSON, or no request of its operation; names the file.
        HydrantError: AWS refuses a call.
    """
    clock = clock or SystemClock()
    if not folder.is_dir():
        message = f"There is no folder {folder}."
        raise NotFoundError(message, fix="name one with files like 10-kinesis.create_stream.json")
    called = []
    for path in sorted(folder.glob("*.json")):
        service, operation = _called(path)
        if service in skip:
            continue
        _call(service, operation, _request(path, service, operation), path.name)
        called.append(f"{service}.{operation}")
        if (service, operation) == ("kinesis", "create_stream"):
            _wait_until_active(_request(path, service, operation)["StreamName"], clock)
    return called


def remove(folder: Path, *, skip: frozenset[str] = frozenset({"lambda"}), clock: Clock | None = None) -> list[str]:
    """Deletes what the files of `folder` declare, in reverse order, buckets with every object; what is gone is left so.

    Args:
        folder: see `provision`.
        skip: services that are not called.
        clock: for waiting until a stream is gone.

    Returns:
        What was deleted, e.g. ["s3.delete_bucket", ...].

    Raises:
        ConfigurationError: a file is no request of its operation, or creates something that this does not delete.
        HydrantError: AWS refuses a call.
    """
    removed = []
    for path in sorted(folder.glob("*.json"), reverse=True):
        service, operation = _called(path)
        if service in skip:
            continue
        deletion = _DELETIONS.get((service, operation))
        if deletion is None:
            message = f"{path} is a {service} {operation}, which is not deleted again."
            raise ConfigurationError(message, fix="delete it yourself")
        request = _request(path, service, operation)
        with aws_errors(f"{service} {deletion[0]} for {path.name}"):
            try:
                if (service, operation) == ("s3", "create_bucket"):
                    _empty(request["Bucket"])
                elif service == "kinesis":
                    # LocalStack 4.14 refuses to delete a stream that is not there, and half a second later deletes the
                    # one that has been created under its name.
                    client("kinesis").describe_stream_summary(StreamName=request["StreamName"])
                getattr(client(service), deletion[0])(**deletion[1](request))
            except ClientError as error:
                if error_code(error) not in _GONE:
                    raise
                continue
        removed.append(f"{service}.{deletion[0]}")
        if service == "kinesis":
            _wait_until_gone(request["StreamName"], clock or SystemClock())
    return removed


_GONE: Final = frozenset({"EntityNotFoundException", "NoSuchBucket", "ResourceNotFoundException"})
_DELETIONS: Final[dict[tuple[str, str], tuple[str, Callable[[dict[str, Any]], dict[str, Any]]]]] = {
    ("firehose", "create_delivery_stream"): (
        "delete_delivery_stream",
        lambda request: {"DeliveryStreamName": request["DeliveryStreamName"]},
    ),
    ("glue", "create_database"): ("delete_database", lambda request: {"Name": request["DatabaseInput"]["Name"]}),
    ("glue", "create_table"): (
        "delete_table",
        lambda request: {"DatabaseName": request["DatabaseName"], "Name": request["TableInput"]["Name"]},
    ),
    ("kinesis", "create_stream"): (
        "delete_stream",
        lambda request: {"StreamName": request["StreamName"], "EnforceConsumerDeletion": True},
    ),
    ("s3", "create_bucket"): ("delete_bucket", lambda request: {"Bucket": request["Bucket"]}),
}


def _empty(bucket: str) -> None:
    s3 = client("s3")
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket):
        if keys := [{"Key": found["Key"]} for found in page.get("Contents", ())]:
            s3.delete_objects(Bucket=bucket, Delete={"Objects": keys, "Quiet": True})


def _called(path: Path) -> tuple[str, str]:
    name = _NAME.fullmatch(path.stem)
    if not name:
        message = f"{path} names no operation."
        raise ConfigurationError(message, fix="name it as in 10-kinesis.create_stream.json")
    return name.group(1), name.group(2)


def _request(path: Path, service: str, operation: str) -> dict[str, Any]:
    try:
        request: Any = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(request, dict):
            message = "it is no JSON object"
            raise ConfigurationError(message)
        validate_shape(service, "".join(word.title() for word in operation.split("_")), request)
    except (ValueError, ConfigurationError, UnknownServiceError, OperationNotFoundError) as error:
        message = f"{path} is no request of {service} {operation}: {' '.join(str(error).split())}"
        raise ConfigurationError(message, fix="AWS's API reference has its shape") from error
    return request


def _call(service: str, operation: str, request: dict[str, Any], file: str) -> None:
    with aws_errors(f"{service} {operation} of {file}"):
        try:
            getattr(client(service), operation)(**request)
        except ClientError as error:
            if not operation.startswith("create_") or error_code(error) not in _EXISTS:
                raise


def _wait_until_active(stream: str, clock: Clock) -> None:
    kinesis = client("kinesis")
    give_up_s = clock.monotonic_s() + _ACTIVE_TIMEOUT_S
    status = "not there"
    while clock.monotonic_s() <= give_up_s:
        with aws_errors(f"Kinesis stream {stream}"):
            try:
                status = kinesis.describe_stream_summary(StreamName=stream)["StreamDescriptionSummary"]["StreamStatus"]
            except ClientError as error:
                if error_code(error) not in _GONE:  # it may be a moment until what was created is known everywhere
                    raise
        if status == "ACTIVE":
            return
        clock.sleep(0.2)
    message = f"Kinesis stream {stream} is still {status} after {_ACTIVE_TIMEOUT_S:.0f} s."
    raise EndpointDownError(message, fix="look at the stream in the console, or start the stand-in again")


def _wait_until_gone(stream: str, clock: Clock) -> None:
    kinesis = client("kinesis")
    give_up_s = clock.monotonic_s() + _ACTIVE_TIMEOUT_S
    while clock.monotonic_s() < give_up_s:
        with aws_errors(f"Kinesis stream {stream}"):
            try:
                kinesis.describe_stream_summary(StreamName=stream)
            except ClientError as error:
                if error_code(error) in _GONE:
                    return
                raise
        clock.sleep(0.2)
    message = f"Kinesis stream {stream} is still there {_ACTIVE_TIMEOUT_S:.0f} s after it was deleted."
    raise EndpointDownError(message, fix="look at the stream in the console, or start the stand-in again")
