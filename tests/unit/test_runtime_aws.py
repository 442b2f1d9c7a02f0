"""AWS's errors as ours, requests against botocore's model, and clients that share what is costly."""

import pickle
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import botocore.exceptions as boto
import pytest

from pipelines.runtime import aws, errors
from pipelines.runtime.aws import aws_errors, client, s3_filesystem, translate, validate_shape
from pipelines.runtime.processes import free_port


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> pytest.MonkeyPatch:
    """A region and credentials, and nothing else that the SDK would find."""
    for name in [name for name in aws.os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name, value in {
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": str(tmp_path / "config"),
        "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "credentials"),
    }.items():
        monkeypatch.setenv(name, value)
    return monkeypatch


def answered(code: str, status: int = 400, message: str = "AWS says so") -> boto.ClientError:
    return boto.ClientError(
        {"Error": {"Code": code, "Message": message}, "ResponseMetadata": {"HTTPStatusCode": status}}, "GetRecords"
    )


@pytest.mark.parametrize(
    ("error", "kind", "fix"),
    [
        (boto.NoCredentialsError(), errors.CredentialsError, "aws configure"),
        (boto.PartialCredentialsError(provider="env", cred_var="x"), errors.CredentialsError, "aws configure"),
        (boto.NoRegionError(), errors.ConfigurationError, "AWS_REGION"),
        (boto.UnauthorizedSSOTokenError(), errors.CredentialsError, "aws sso login"),
        (boto.CredentialRetrievalError(provider="x", error_msg="y"), errors.CredentialsError, "aws sso login"),
        (boto.EndpointConnectionError(endpoint_url="http://x"), errors.EndpointDownError, "hydrant up"),
        (boto.ConnectTimeoutError(endpoint_url="http://x"), errors.EndpointDownError, "hydrant up"),
        (boto.ReadTimeoutError(endpoint_url="http://x"), errors.EndpointDownError, "hydrant up"),
        (boto.ConnectionClosedError(endpoint_url="http://x"), errors.EndpointDownError, "hydrant up"),
        (boto.HTTPClientError(error=OSError("reset")), errors.EndpointDownError, "hydrant up"),
        (answered("ProvisionedThroughputExceededException"), errors.ThrottledError, "wait"),
        (answered("LimitExceededException"), errors.ThrottledError, "wait"),
        (answered("SlowDown", 503), errors.ThrottledError, "wait"),
        (answered("Whatever", 429), errors.ThrottledError, "wait"),
        (answered("AccessDeniedException"), errors.CredentialsError, "sts get-caller-identity"),
        (answered("AccessDenied", 403), errors.CredentialsError, "sts get-caller-identity"),
        (answered("403", 403), errors.CredentialsError, "sts get-caller-identity"),
        (answered("UnrecognizedClientException"), errors.CredentialsError, "sts get-caller-identity"),
        (answered("ResourceNotFoundException"), errors.NotFoundError, "AWS_ENDPOINT_URL"),
        (answered("EntityNotFoundException"), errors.NotFoundError, "AWS_ENDPOINT_URL"),
        (answered("NoSuchBucket", 404), errors.NotFoundError, "AWS_ENDPOINT_URL"),
        (answered("404", 404), errors.NotFoundError, "AWS_ENDPOINT_URL"),
        (answered("InternalFailure", 500), errors.ServiceFaultError, "again"),
        (answered("503", 503), errors.ServiceFaultError, "again"),
    ],
    ids=lambda value: value.response["Error"]["Code"] if isinstance(value, boto.ClientError) else None,
)
def test_each_error_has_its_class_its_subject_and_a_fix(error: Exception, kind: type, fix: str) -> None:
    ours = translate(error, "stream flights")
    assert type(ours) is kind
    assert "stream flights" in ours.message
    assert fix in ours.fix
    if isinstance(error, boto.ClientError):
        assert "AWS says so" in ours.message


def test_an_expired_iterator_and_a_refused_request_keep_awss_code_and_message() -> None:
    expired = translate(answered("ExpiredIteratorException", message="Iterator expired."), "stream flights")
    assert type(expired) is errors.ExpiredIteratorError
    assert expired.message == "stream flights: ExpiredIteratorException: Iterator expired."
    expired = translate(answered("ExpiredNextTokenException", message="Token expired."), "stream flights")
    assert type(expired) is errors.ExpiredNextTokenError
    assert expired.message == "stream flights: ExpiredNextTokenException: Token expired."
    refused = translate(answered("InvalidArgumentException", message="ShardId is odd"), "stream flights")
    assert type(refused) is errors.ConfigurationError
    assert refused.message == "stream flights: InvalidArgumentException: ShardId is odd"


@pytest.mark.parametrize(
    "error",
    [answered("ThrottlingException"), boto.EndpointConnectionError(endpoint_url="x"), answered("x", 500)],
)
def test_what_may_pass_is_transient(error: Exception) -> None:
    assert isinstance(translate(error, "it"), errors.TransientError)


def test_an_answer_without_a_message_is_described_all_the_same() -> None:
    bare = boto.ClientError({"Error": {"Code": "404"}}, "HeadObject")
    assert "HeadObject" in translate(bare, "s3://lake/x").message
    assert type(translate(boto.ClientError({}, "HeadObject"), "it")) is errors.ConfigurationError


def test_only_the_sdks_errors_are_translated_and_the_original_is_kept() -> None:
    with pytest.raises(ZeroDivisionError), aws_errors("it"):
        _ = 1 / 0
    original = answered("NoSuchKey")
    with pytest.raises(errors.NotFoundError) as raised, aws_errors("it"):
        raise original
    assert raised.value.__cause__ is original


def test_no_region_no_credentials_no_profile(environment: pytest.MonkeyPatch) -> None:
    environment.delenv("AWS_ACCESS_KEY_ID")
    environment.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(errors.CredentialsError), aws_errors("streams"):
        client("kinesis").list_streams()
    with pytest.raises(errors.CredentialsError):
        s3_filesystem()
    environment.delenv("AWS_DEFAULT_REGION")
    with pytest.raises(errors.ConfigurationError, match="region"):
        client("kinesis")
    environment.setenv("AWS_PROFILE", "nobody")
    with pytest.raises(errors.ConfigurationError, match="nobody") as raised:
        client("kinesis")
    assert "AWS_PROFILE" in raised.value.fix


def test_nothing_listens(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free_port()}")
    with pytest.raises(errors.EndpointDownError, match="stream flights"), aws_errors("stream flights"):
        client("kinesis", max_attempts=1).list_streams()


def test_an_endpoint_that_is_no_address_is_named(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("AWS_ENDPOINT_URL", "localhost:4566")
    with pytest.raises(errors.ConfigurationError, match="localhost:4566") as raised:
        client("kinesis")
    assert "AWS_ENDPOINT_URL" in raised.value.fix


class _Silent(BaseHTTPRequestHandler):
    calls: list[str] = []

    def do_POST(self) -> None:
        self.calls.append(self.path)
        self.send_response(500)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def failing_service(environment: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Answers each call with 500; the calls."""
    _Silent.calls = []
    server = HTTPServer(("127.0.0.1", 0), _Silent)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    environment.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}")
    yield _Silent.calls
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("attempts", [1, 2])
def test_attempts_are_calls_in_all(failing_service: list[str], attempts: int) -> None:
    with pytest.raises(errors.ServiceFaultError), aws_errors("streams"):
        client("kinesis", max_attempts=attempts).list_streams()
    assert len(failing_service) == attempts


def test_a_service_that_never_answers_is_given_up(environment: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        environment.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{silent.getsockname()[1]}")
        with pytest.raises(errors.EndpointDownError), aws_errors("streams"):
            client("kinesis", max_attempts=1, read_timeout_s=0.2).list_streams()


def test_clients_of_one_environment_share_a_session_and_of_another_have_another(
    environment: pytest.MonkeyPatch,
) -> None:
    session = aws._session()
    client("s3")
    client("kinesis")
    assert aws._session() is session
    environment.setenv("AWS_ENDPOINT_URL_KINESIS", "http://127.0.0.1:4567")
    assert aws._session() is not session
    assert client("kinesis").meta.endpoint_url == "http://127.0.0.1:4567"
    environment.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    assert client("kinesis").meta.region_name == "eu-west-1"
    environment.setenv("UNRELATED", "x")
    assert aws._session() is aws._session()


def test_a_region_is_read_from_either_variable(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("AWS_REGION", "eu-central-1")
    environment.delenv("AWS_DEFAULT_REGION")
    assert client("kinesis").meta.region_name == "eu-central-1"


def test_many_threads_may_make_clients_at_once() -> None:
    made: list[Any] = []
    threads = [threading.Thread(target=lambda: made.append(client("kinesis"))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len({id(one) for one in made}) == 8


def test_arrow_reads_where_the_client_does(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:4566")
    files = s3_filesystem()
    assert files.region == "us-east-1"
    assert "4566" in str(files.__reduce__())


def test_a_request_is_held_against_botocores_model() -> None:
    validate_shape("kinesis", "CreateStream", {"StreamName": "flights", "ShardCount": 4})
    with pytest.raises(errors.ConfigurationError) as raised:
        validate_shape("kinesis", "CreateStream", {"ShardCount": "four", "Shards": 4})
    for problem in ("kinesis CreateStream", '"StreamName"', '"Shards"', "Invalid type for parameter ShardCount"):
        assert problem in raised.value.message


def test_a_client_error_survives_pickling() -> None:
    ours = translate(answered("NoSuchBucket"), "bucket lake")
    again = pickle.loads(pickle.dumps(ours))
    assert (type(again), again.message, again.fix) == (type(ours), ours.message, ours.fix)
