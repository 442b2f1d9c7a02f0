"""Lambda's Invoke API before containers: names, turns, limits, and the emulator's answers told as Lambda tells them."""

import asyncio
import json
import socket
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from infra.forward import forward
from infra.lambda_front import REQUEST_LIMIT_BYTES, RESPONSE_LIMIT_BYTES, Front, function_name, server, told
from pipelines.firehose.invoke import BotoInvoker, FunctionTimedOut
from pipelines.runtime.errors import ConfigurationError, NotFoundError, ThrottledError
from pipelines.runtime.processes import free_port

ARN = "arn:aws:lambda:us-east-1:000000000000:function:upper"


class Emulator:
    """Answers as the runtime interface emulator in a container; `answer` says what."""

    def __init__(self) -> None:
        self.answer: Callable[[bytes], bytes] = bytes.upper
        self.at_once = self.most_at_once = 0
        counting = threading.Lock()
        emulator = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                assert self.path == "/2015-03-31/functions/function/invocations"
                event = self.rfile.read(int(self.headers["Content-Length"]))
                with counting:
                    emulator.at_once += 1
                    emulator.most_at_once = max(emulator.most_at_once, emulator.at_once)
                body = emulator.answer(event)
                with counting:
                    emulator.at_once -= 1
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}"


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    made = Emulator()
    yield made
    made.server.shutdown()
    made.server.server_close()


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Front], str]]:
    servers = []

    def start(front: Front) -> str:
        made = server(front, ("127.0.0.1", 0))
        servers.append(made)
        threading.Thread(target=made.serve_forever, args=(0.02,), daemon=True).start()
        endpoint = f"http://127.0.0.1:{made.server_port}"
        monkeypatch.setenv("AWS_ENDPOINT_URL_LAMBDA", endpoint)
        monkeypatch.setenv("AWS_REGION", "us-east-1")
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
        return endpoint

    yield start
    for made in servers:
        made.shutdown()
        made.server_close()


@pytest.mark.parametrize("function", ["upper", "upper:$LATEST", ARN, f"{ARN}:$LATEST", f"{ARN}:3"])
def test_a_function_is_called_by_its_name_or_arn(
    emulator: Emulator, serve: Callable[[Front], str], function: str
) -> None:
    serve(Front({"upper": emulator.url}))
    result = BotoInvoker(function).invoke(b'{"a": 1}')
    assert (result.payload, result.function_error) == (b'{"A": 1}', None)
    assert function_name(function) == "upper"


def test_a4_11_a_function_that_is_not_there_is_not_found(emulator: Emulator, serve: Callable[[Front], str]) -> None:
    serve(Front({"upper": emulator.url}))
    with pytest.raises(NotFoundError, match="Function not found: lower"):
        BotoInvoker("lower").invoke(b"{}")


def test_a4_5_an_event_of_6_mib_is_passed_on_and_a_larger_one_refused(
    emulator: Emulator, serve: Callable[[Front], str]
) -> None:
    serve(Front({"upper": emulator.url}))
    emulator.answer = lambda event: str(len(event)).encode()
    assert BotoInvoker("upper").invoke(bytes(REQUEST_LIMIT_BYTES)).payload == str(REQUEST_LIMIT_BYTES).encode()
    with pytest.raises(
        ConfigurationError, match="RequestTooLargeException: Request must be smaller than 6291456 bytes"
    ):
        BotoInvoker("upper").invoke(bytes(REQUEST_LIMIT_BYTES + 1))


def test_invocations_wait_for_their_turn(emulator: Emulator, serve: Callable[[Front], str]) -> None:
    serve(Front({"upper": emulator.url}))
    pause = threading.Event()
    emulator.answer = lambda event: (pause.wait(0.02), event.upper())[1]
    answers: list[bytes] = []
    calls = [
        threading.Thread(target=lambda n=n: answers.append(BotoInvoker("upper").invoke(b'"x%d"' % n).payload))
        for n in range(5)
    ]
    for call in calls:
        call.start()
    for call in calls:
        call.join(30)
    assert sorted(answers) == [b'"X%d"' % n for n in range(5)]
    assert emulator.most_at_once == 1


def test_a4_12_with_a_reserved_concurrency_of_one_a_second_call_is_throttled(
    emulator: Emulator, serve: Callable[[Front], str]
) -> None:
    serve(Front({"upper": emulator.url}, reserved=True))
    begun, go_on = threading.Event(), threading.Event()
    emulator.answer = lambda event: (begun.set(), go_on.wait(30), event)[2]
    first: list[bytes] = []
    running = threading.Thread(target=lambda: first.append(BotoInvoker("upper").invoke(b'"first"').payload))
    running.start()
    assert begun.wait(30)
    with pytest.raises(ThrottledError, match="TooManyRequestsException"):
        BotoInvoker("upper").invoke(b'"second"')
    go_on.set()
    running.join(30)
    assert first == [b'"first"']
    assert BotoInvoker("upper").invoke(b'"third"').payload == b'"third"'


def test_a4_10_what_the_emulator_says_is_told_as_lambda_tells_it(
    emulator: Emulator, serve: Callable[[Front], str]
) -> None:
    serve(Front({"upper": emulator.url}))
    failed = b'{"errorMessage": "no", "errorType": "ValueError", "stackTrace": []}'
    emulator.answer = lambda event: failed
    result = BotoInvoker("upper").invoke(b"{}")
    assert (result.payload, result.function_error) == (failed, "Unhandled")
    emulator.answer = lambda event: b"Task timed out after 3.00 seconds"
    with pytest.raises(FunctionTimedOut, match=r"Task timed out after 3\.00 seconds"):
        BotoInvoker("upper").invoke(b"{}")
    emulator.answer = lambda event: b'"' + bytes(RESPONSE_LIMIT_BYTES) + b'"'
    large = BotoInvoker("upper").invoke(b"{}")
    assert large.function_error == "Unhandled"
    assert json.loads(large.payload)["errorType"] == "Function.ResponseSizeTooLarge"


def test_an_answer_that_only_speaks_of_errors_is_none() -> None:
    for body in (b'{"records": [], "errorType": "x"}', b'["errorType"]', b'{"errorType": ', b"null"):
        assert told(200, body)[1].get("X-Amz-Function-Error") is None
    assert told(500, b"broken")[0] == 502


def test_a_container_that_is_not_there_is_a_fault_of_the_service(serve: Callable[[Front], str]) -> None:
    endpoint = serve(Front({"gone": f"http://127.0.0.1:{free_port()}"}))
    client = boto3.client(
        "lambda", "us-east-1", endpoint_url=endpoint, config=Config(retries={"total_max_attempts": 1})
    )
    with pytest.raises(ClientError, match="ServiceException"):
        client.invoke(FunctionName="gone", Payload=b"{}")


def test_health_names_what_is_missing(emulator: Emulator) -> None:
    front = Front({"upper": emulator.url, "gone": f"http://127.0.0.1:{free_port()}"})
    assert front.missing() == ["gone"]
    assert Front({"upper": emulator.url}).missing() == []


def test_connections_are_passed_on_in_both_directions_until_either_side_ends() -> None:
    async def story() -> bytes:
        async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while data := await reader.read(10):
                writer.write(data[::-1])
            writer.close()

        inner = await asyncio.start_server(echo, "127.0.0.1", 0)
        port = free_port()
        outer = await forward(port, "127.0.0.1", inner.sockets[0].getsockname()[1], "127.0.0.1")
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"abc")
        first = await reader.readexactly(3)
        writer.write_eof()
        rest = await reader.read()
        writer.close()
        outer.close()
        inner.close()
        return first + rest

    assert asyncio.run(asyncio.wait_for(story(), 20)) == b"cba"


@pytest.mark.parametrize("header", ["Content-Length: many", "Transfer-Encoding: chunked"])
def test_a_body_of_unknown_length_is_refused(serve: Callable[[Front], str], emulator: Emulator, header: str) -> None:
    host, _, port = serve(Front({"upper": emulator.url})).rpartition("//")[2].partition(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        path = "/2015-03-31/functions/upper/invocations"
        connection.sendall(f"POST {path} HTTP/1.1\r\nHost: here\r\n{header}\r\n\r\n".encode())
        answer = connection.makefile("rb").read()
    assert answer.startswith(b"HTTP/1.1 411 ")
    assert b"Content-Length" in answer.partition(b"\r\n\r\n")[2]
