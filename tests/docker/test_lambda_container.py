"""Transform functions in containers of AWS's Lambda image, through Lambda's API: A4.5 to A4.12 as on AWS.

The image is public.ecr.aws/lambda/python:3.13. `make test-docker` runs this; it needs Docker.
"""

import json
import shutil
import subprocess
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from infra.lambda_front import Front, server
from pipelines.firehose.config import LambdaProcessorConfig
from pipelines.firehose.invoke import BotoInvoker, FunctionTimedOut
from pipelines.firehose.transform import LambdaProcessor
from pipelines.kinesis.page import PAGE_SCHEMA
from pipelines.runtime.clock import SystemClock
from pipelines.runtime.errors import ConfigurationError, ThrottledError

IMAGE = "public.ecr.aws/lambda/python:3.13"
SCENARIO = Path(__file__).parents[2] / "scenarios/flights/handler.py"
HANDLER = """
import base64, json, time

def lambda_handler(event, context):
    if "records" not in event:
        what = event["do"]
        if what == "echo":
            return {"got": event, "ms": context.get_remaining_time_in_millis() > 0}
        if what == "fail":
            raise ValueError("not today")
        if what == "hang":
            time.sleep(60)
        if what == "wait":
            time.sleep(2)
            return "waited"
        if what == "large":
            return "x" * 7_000_000
        if what == "exit":
            import sys
            sys.exit(3)
        return what
    first = base64.b64decode(event["records"][0]["data"])
    if first == b"fail":
        raise ValueError("not today")
    if first == b"hang":
        time.sleep(60)
    return {"records": [{"recordId": r["recordId"], "result": "Ok", "data": r["data"]} for r in event["records"]]}
"""


def docker(*arguments: str) -> str:
    try:
        return subprocess.run(["docker", *arguments], check=True, capture_output=True, text=True).stdout.strip()
    except FileNotFoundError:
        pytest.fail("There is no Docker here: install it, and run `make test-docker` again.", pytrace=False)
    except subprocess.CalledProcessError as error:
        pytest.fail(f"`docker {' '.join(arguments[:3])}` failed: {error.stderr.strip()}", pytrace=False)


Start = Callable[..., str]


@pytest.fixture(scope="module")
def container(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Start]:
    """Starts a container with a handler; its base URL."""
    started = []

    def start(handler: Path | str, timeout_s: int = 3) -> str:
        folder = tmp_path_factory.mktemp("task")
        if isinstance(handler, Path):
            shutil.copy(handler, folder / "handler.py")
        else:
            (folder / "handler.py").write_text(handler)
        folder.chmod(0o755)
        container = docker(
            "run", "--detach", "--publish", "127.0.0.1::8080", "--env", f"AWS_LAMBDA_FUNCTION_TIMEOUT={timeout_s}",
            "--volume", f"{folder}:/var/task:ro", IMAGE, "handler.lambda_handler",
        )  # fmt: skip
        started.append(container)
        url = f"http://{docker('port', container, '8080/tcp').splitlines()[0]}"
        give_up_s = time.monotonic() + 60
        listening = "import socket; socket.create_connection(('127.0.0.1', 8080), 2)"  # Docker's proxy always listens
        look = ["docker", "exec", container, "python3", "-c", listening]
        while subprocess.run(look, capture_output=True, check=False).returncode:
            assert time.monotonic() < give_up_s, docker("logs", container)
            time.sleep(0.05)
        return url

    yield start
    for each in started:
        subprocess.run(["docker", "rm", "--force", "--volumes", each], check=False, capture_output=True)


@pytest.fixture
def front(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., str]]:
    made = []

    def serve(url: str, **options: Any) -> str:
        one = server(Front({"f": url}, **options), ("127.0.0.1", 0))
        made.append(one)
        threading.Thread(target=one.serve_forever, args=(0.02,), daemon=True).start()
        endpoint = f"http://127.0.0.1:{one.server_port}"
        for name, value in {
            "AWS_ENDPOINT_URL_LAMBDA": endpoint,
            "AWS_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
        }.items():
            monkeypatch.setenv(name, value)
        return endpoint

    yield serve
    for one in made:
        one.shutdown()
        one.server_close()


@pytest.fixture(scope="module")
def function(container: Start) -> str:
    return container(HANDLER)


def do(what: str) -> bytes:
    return json.dumps({"do": what}).encode()


def test_an_answer_comes_back_and_the_container_is_used_again(function: str, front: Callable[..., str]) -> None:
    endpoint = front(function)
    for number in range(3):
        result = BotoInvoker("f").invoke(json.dumps({"do": "echo", "n": number}).encode())
        assert json.loads(result.payload) == {"got": {"do": "echo", "n": number}, "ms": True}
        assert result.function_error is None
    assert json.load(urllib.request.urlopen(f"{endpoint}/health", timeout=10)) == {"missing": []}


def test_a4_10_an_exception_is_a_function_error_with_its_type(function: str, front: Callable[..., str]) -> None:
    front(function)
    result = BotoInvoker("f").invoke(do("fail"))
    assert result.function_error == "Unhandled"
    assert {"errorMessage": "not today", "errorType": "ValueError"}.items() <= json.loads(result.payload).items()
    assert json.loads(BotoInvoker("f").invoke(do("echo")).payload)["ms"] is True


def test_a4_5_a_function_that_takes_too_long_is_stopped_and_the_next_call_works(
    function: str, front: Callable[..., str]
) -> None:
    front(function)
    begun_s = time.monotonic()
    with pytest.raises(FunctionTimedOut, match="Task timed out after 3"):
        BotoInvoker("f").invoke(do("hang"))
    assert 2.5 < time.monotonic() - begun_s < 20
    assert json.loads(BotoInvoker("f").invoke(do("echo")).payload)["ms"] is True


def test_a4_5_an_answer_above_6_mb_is_a_function_error(function: str, front: Callable[..., str]) -> None:
    front(function)
    result = BotoInvoker("f").invoke(do("large"))
    assert result.function_error == "Unhandled"
    assert json.loads(result.payload)["errorType"] == "Function.ResponseSizeTooLarge"


def test_a4_5_an_event_above_6_mb_is_refused(function: str, front: Callable[..., str]) -> None:
    front(function)
    with pytest.raises(ConfigurationError, match="Request must be smaller than 6291456 bytes"):
        BotoInvoker("f").invoke(do("x" * 7_000_000))


def test_a_function_that_ends_its_process_is_a_function_error(function: str, front: Callable[..., str]) -> None:
    front(function)
    assert BotoInvoker("f").invoke(do("exit")).function_error == "Unhandled"
    assert json.loads(BotoInvoker("f").invoke(do("echo")).payload)["ms"] is True


def test_a4_12_a_second_call_at_once_is_throttled_where_concurrency_is_reserved(
    function: str, front: Callable[..., str]
) -> None:
    front(function, reserved=True)
    first: list[bytes] = []
    running = threading.Thread(target=lambda: first.append(BotoInvoker("f").invoke(do("wait")).payload))
    running.start()
    give_up_s = time.monotonic() + 30
    with pytest.raises(ThrottledError, match="TooManyRequestsException"):
        while time.monotonic() < give_up_s:
            BotoInvoker("f").invoke(do("echo"))
            time.sleep(0.02)
    running.join(30)
    if not first:  # one of the short calls was under way when the long one came
        with suppress(ThrottledError):
            first.append(BotoInvoker("f").invoke(do("wait")).payload)
    assert first == [b'"waited"']


def page(*data: bytes) -> pa.RecordBatch:
    rows = [
        {
            "data": each,
            "partition_key": "k",
            "sequence_number": str(49590338271490256608559692538361571095921575989136588898 + number),
            "sub_sequence_number": 0,
            "shard_id": "shardId-000000000000",
            "arrival_ms": 1_790_000_000_000,
        }
        for number, each in enumerate(data)
    ]
    return pa.RecordBatch.from_pylist(rows, schema=PAGE_SCHEMA)


@pytest.mark.parametrize(
    ("first", "code"),
    [(b"fail", "Lambda.FunctionError"), (b"hang", "Lambda.FunctionTimedOut")],
    ids=["error", "time-out"],
)
def test_a4_8_a4_10_a_batch_that_fails_is_tried_again_and_ends_with_awss_code(
    function: str, front: Callable[..., str], first: bytes, code: str
) -> None:
    front(function)
    config = LambdaProcessorConfig("f", number_of_retries=1)
    processor = LambdaProcessor(config, "arn:aws:firehose:::x", "us-east-1", "arn:s", BotoInvoker("f"), SystemClock())
    result = processor.process(page(first, b"other"))
    assert [(each.error_code, each.attempts_made) for each in result.failures] == [(code, 2)] * 2
    assert processor.process(page(b"fine", b"too")).ok.column("data").to_pylist() == [b"fine", b"too"]


def test_a4_1_a4_3_the_handler_of_flights_answers_in_its_container_as_in_this_process(
    container: Start, front: Callable[..., str]
) -> None:
    from scenarios.flights.scenario import scenario
    from scenarios.flights.workload import make_workload

    front(container(SCENARIO, timeout_s=60))
    data = [record.data for record in make_workload(500, seed=3).records()]
    config = LambdaProcessorConfig("f")
    results = [
        LambdaProcessor(config, "arn:aws:firehose:::x", "us-east-1", "arn:s", invoker, SystemClock()).process(
            page(*data)
        )
        for invoker in (BotoInvoker("f"), scenario.invoker("f"))
    ]
    assert results[0].ok.equals(results[1].ok)
    assert results[0].dropped.equals(results[1].dropped)
    assert [each.sequence_number for each in results[0].failures] == [
        each.sequence_number for each in results[1].failures
    ]
    assert results[0].ok.num_rows > 400
