"""AWS clients: the one module that imports boto3, and where AWS's errors become ours.

Clients are configured by the AWS SDK's own environment variables and nothing else: AWS_ENDPOINT_URL and
AWS_ENDPOINT_URL_<SERVICE> for a stand-in, AWS_REGION / AWS_DEFAULT_REGION, AWS_ACCESS_KEY_ID and the rest of the
credential chain. A DoFn makes its clients in `setup()`, so they are made on the worker, from the worker's environment.
"""

import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from typing import Any
from urllib.parse import urlsplit

import boto3
import botocore.session
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionClosedError,
    ConnectTimeoutError,
    CredentialRetrievalError,
    EndpointConnectionError,
    HTTPClientError,
    NoCredentialsError,
    NoRegionError,
    ParamValidationError,
    PartialCredentialsError,
    ProfileNotFound,
    ReadTimeoutError,
    SSOError,
    TokenRetrievalError,
)
from botocore.validate import ParamValidator

from pipelines.runtime import errors

_THROTTLES = frozenset({
    "ProvisionedThroughputExceededException", "LimitExceededException", "ThrottlingException", "Throttling",
    "TooManyRequestsException", "SlowDown", "RequestLimitExceeded", "KMSThrottlingException",
})  # fmt: skip
_MISSING = frozenset({
    "ResourceNotFoundException", "EntityNotFoundException", "NoSuchBucket", "NoSuchKey", "404", "NotFound",
})  # fmt: skip
_DENIED = frozenset({
    "UnrecognizedClientException", "InvalidClientTokenId", "AccessDenied", "AccessDeniedException",
    "InvalidSignatureException", "SignatureDoesNotMatch", "ExpiredToken", "ExpiredTokenException",
    "InvalidAccessKeyId", "MissingAuthenticationTokenException", "403",
})  # fmt: skip
_UP = "start it with `hydrant up` and copy its export lines, or unset AWS_ENDPOINT_URL to use AWS"


def client(service: str, *, max_attempts: int = 5, max_pool_connections: int = 16, read_timeout_s: float = 60) -> Any:
    """A boto3 client for `service` ("kinesis", "s3", ...), configured by the SDK's environment variables.

    Args:
        service: boto3's service name.
        max_attempts: calls made in all, botocore's standard retry mode; 1 for callers with a back-off of their own.
        max_pool_connections: HTTP connections kept open.
        read_timeout_s: seconds without a byte of the answer before the call counts as failed.

    Raises:
        ConfigurationError: no region is configured, the profile does not exist, or the endpoint is no URL.
    """
    config = Config(
        retries={"mode": "standard", "total_max_attempts": max_attempts},
        max_pool_connections=max_pool_connections,
        connect_timeout=5,
        read_timeout=read_timeout_s,
        s3={"addressing_style": "path"},
        # Checksums beyond Content-MD5 cost CPU a second time and stand-ins ignore them; AWS asks for none on PutObject.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )
    try:
        with aws_errors(f"{service} client"), _one_at_a_time:
            return _session().client(service, config=config)
    except ValueError as error:  # what botocore raises for an endpoint that is no URL
        message = f"No {service} client can be made: {error}."
        raise errors.ConfigurationError(message, fix="set AWS_ENDPOINT_URL as in http://localhost:4566") from error


def _session() -> Any:
    """The session for the SDK's settings as they are now in the environment.

    A session reads botocore's service models, megabytes of JSON, and keeps them; a session a client would read them
    again and again. Clients may be used by several threads, sessions may not.
    """
    settings = tuple(sorted((name, value) for name, value in os.environ.items() if name.startswith("AWS_")))
    if settings not in _sessions:
        _sessions.clear()
        # boto3 alone of AWS's SDKs knows AWS_DEFAULT_REGION only.
        _sessions[settings] = boto3.session.Session(region_name=os.environ.get("AWS_REGION") or None)
    return _sessions[settings]


def forget_credentials() -> None:
    """The next client reads the credentials anew, also those of a file or variable that something has rewritten."""
    with _one_at_a_time:
        _sessions.clear()


def is_on_aws(client_: Any) -> bool:
    """Whether a boto3 client talks to AWS itself, and not to a stand-in."""
    endpoint = getattr(getattr(client_, "meta", None), "endpoint_url", None) or ""
    return ".amazonaws." in urlsplit(endpoint).netloc


_sessions: dict[tuple[tuple[str, str], ...], Any] = {}
_one_at_a_time = threading.Lock()


def s3_filesystem() -> Any:
    """A `pyarrow.fs.S3FileSystem` with the endpoint, the region and the credentials of `client("s3")`.

    Raises:
        ConfigurationError: no region is configured.
        CredentialsError: no credentials are configured.
    """
    from pyarrow.fs import S3FileSystem  # starts the AWS SDK for C++: only for those who read through Arrow

    s3 = client("s3")
    with aws_errors("S3"):
        with _one_at_a_time:
            found = _session().get_credentials()
        if found is None:
            raise NoCredentialsError
        credentials = found.get_frozen_credentials()
    endpoint = urlsplit(s3.meta.endpoint_url)
    return S3FileSystem(
        access_key=credentials.access_key,
        secret_key=credentials.secret_key,
        session_token=credentials.token,
        region=s3.meta.region_name,
        scheme=endpoint.scheme,
        endpoint_override=None if is_on_aws(s3) else endpoint.netloc,
        connect_timeout=5,
        request_timeout=60,
    )


@contextmanager
def aws_errors(what: str) -> Iterator[None]:
    """Turns every botocore error raised inside into one of ours.

    Args:
        what: what was being done, for the message, e.g. "stream flights".
    """
    try:
        yield
    except (ClientError, BotoCoreError) as error:
        raise translate(error, what) from error


@cache
def service_model(service: str) -> Any:
    """Botocore's model of `service`: its operations and shapes, as AWS publishes them."""
    return botocore.session.get_session().get_service_model(service)


def validate_shape(service: str, operation: str, request: Mapping[str, Any]) -> None:
    """Checks `request` against botocore's model: required members, no unknown ones, types and lengths.

    Raises:
        ConfigurationError: with botocore's report of everything that is wrong.
    """
    shape = service_model(service).operation_model(operation).input_shape
    report = ParamValidator().validate(dict(request), shape)
    if report.has_errors():
        message = f"{service} {operation}: {report.generate_report()}"
        raise errors.ConfigurationError(message)


def translate(error: Exception, what: str) -> errors.HydrantError:
    """The error of ours for a botocore `error` met while doing `what`."""
    if isinstance(error, ClientError):
        return _from_response(error, what)
    if isinstance(error, NoCredentialsError | PartialCredentialsError | TokenRetrievalError):
        return errors.CredentialsError(
            f"No AWS credentials for {what}.",
            fix="`aws configure`, or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (any value for a stand-in)",
        )
    if isinstance(error, SSOError | CredentialRetrievalError):
        return errors.CredentialsError(f"The AWS credentials for {what} cannot be had: {error}.", fix="`aws sso login`")
    if isinstance(error, ProfileNotFound):
        return errors.ConfigurationError(f"{error}.", fix="`aws configure list-profiles`, or unset AWS_PROFILE")
    if isinstance(error, NoRegionError):
        return errors.ConfigurationError(f"No AWS region for {what}.", fix="export AWS_REGION=us-east-1")
    if isinstance(error, ParamValidationError):
        return errors.ConfigurationError(f"AWS would refuse the request for {what}: {error}")
    if isinstance(
        error,
        EndpointConnectionError | ConnectTimeoutError | ReadTimeoutError | ConnectionClosedError | HTTPClientError,
    ):
        return errors.EndpointDownError(f"No answer from the endpoint of {what}: {error}.", fix=_UP)
    return errors.TerminalError(f"{what}: {error}")


def error_code(error: ClientError) -> str:
    """AWS's code of a ClientError, e.g. "ResourceNotFoundException"."""
    return str(error.response.get("Error", {}).get("Code", ""))


def _from_response(error: ClientError, what: str) -> errors.HydrantError:
    code = error_code(error)
    message = str(error.response.get("Error", {}).get("Message", "")) or str(error)
    status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    if code == "ExpiredIteratorException":
        return errors.ExpiredIteratorError(f"{what}: {code}: {message}")
    if code == "ExpiredNextTokenException":
        return errors.ExpiredNextTokenError(f"{what}: {code}: {message}")
    if code in _THROTTLES or status == 429:
        return errors.ThrottledError(f"{what} is throttled ({code}): {message}", fix="wait, or raise the limit")
    if code in _MISSING:
        return errors.NotFoundError(
            f"{what} does not exist ({code}): {message}", fix="check the name, the region and AWS_ENDPOINT_URL"
        )
    if code in _DENIED:
        return errors.CredentialsError(
            f"AWS refuses the credentials for {what} ({code}): {message}", fix="`aws sts get-caller-identity`"
        )
    if status >= 500:
        return errors.ServiceFaultError(f"{what}: the service failed ({code}): {message}", fix="try again")
    return errors.ConfigurationError(f"{what}: {code}: {message}")
