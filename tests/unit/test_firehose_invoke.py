"""Ways to call a transform function: a handler in this process, and Lambda's API over HTTP (A4.5, A4.8)."""

import json
import pickle
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pipelines.firehose.invoke import (
    REQUEST_LIMIT_BYTES,
    RESPONSE_LIMIT_BYTES,
    BotoInvoker,
    FunctionTimedOut,
    InProcessInvoker,
    InvokeResult,
)
from pipelines.runtime.clock import ManualClock
from pipelines.runtime.errors import (
    ConfigurationError,
    CredentialsError,
    EndpointDownError,
    HydrantError,
    NotFoundError,
    ServiceFaultError,
    ThrottledError,
)

ARN = "arn:aws:lambda:us-east-1:000000000000:function:flights-transform:$LATEST"


@pytest.fixture(autouse=True)
def clean_interpreter(monkeypatch: pytest.MonkeyPatch) -> None:
    """A coverage run or a debugger must not switch off the time limits that are tested here; sys.path comes back."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(sys, "gettrace", lambda: None)
    monkeypatch.delitem(sys.modules, "debugpy", raising=False)


def invoker(folder: Path, source: str, *, timeout_s: float = 5.0, clock: ManualClock | None = None) -> InProcessInvoker:
    path = folder / "handler.py"
    path.write_text(source)
    return InProcessInvoker(
        path, "handler.handle", ARN, timeout_s=timeout_s, memory_mib=512, clock=clock or ManualClock()
    )


def handle(folder: Path, body: str, event: object = None) -> InvokeResult:
    return invoker(folder, f"import sys\ndef handle(event, context):\n    {body}\n").invoke(json.dumps(event).encode())


# --- the handler's answer


def test_a4_5_the_handler_gets_the_event_and_its_return_is_the_payload(tmp_path: Path) -> None:
    result = handle(tmp_path, "return {'got': event, 'é': (1, None, True)}", {"records": [{"data": "YQ=="}]})
    assert result.function_error is None
    assert json.loads(result.payload) == {"got": {"records": [{"data": "YQ=="}]}, "é": [1, None, True]}


def test_a4_5_the_context_is_lambdas(tmp_path: Path) -> None:
    body = (
        "return [context.function_name, context.function_version, context.invoked_function_arn,"
        " context.memory_limit_in_mb, context.log_group_name, context.get_remaining_time_in_millis(),"
        " len(context.aws_request_id), context.aws_request_id in context.log_stream_name,"
        " context.identity, context.client_context]"
    )
    assert json.loads(handle(tmp_path, body).payload) == [
        "flights-transform", "$LATEST", ARN, "512", "/aws/lambda/flights-transform", 5_000, 36, True, None, None,
    ]  # fmt: skip


def test_a4_5_remaining_time_shrinks_with_the_clock(tmp_path: Path) -> None:
    clock = ManualClock()
    source = (
        "def handle(event, context):\n"
        "    before = context.get_remaining_time_in_millis()\n"
        "    context.clock.advance(4)\n"
        "    after = context.get_remaining_time_in_millis()\n"
        "    context.clock.advance(4)\n"
        "    return [before, after, context.get_remaining_time_in_millis()]\n"
    )
    assert json.loads(invoker(tmp_path, source, clock=clock).invoke(b"{}").payload) == [5_000, 1_000, 0]


def test_a4_10_an_exception_is_lambdas_error_object(tmp_path: Path) -> None:
    result = handle(tmp_path, "raise ValueError('no flight')")
    assert result.function_error == "Unhandled"
    error = json.loads(result.payload)
    assert (error["errorType"], error["errorMessage"]) == ("ValueError", "no flight")
    (frame,) = error["stackTrace"]
    assert f'File "{tmp_path / "handler.py"}", line 3, in handle' in frame


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("sys.exit(3)", "Runtime exited with error: exit status 3"),
        ("sys.exit('why')", "Runtime exited with error: exit status 1"),
        ("sys.exit()", "Runtime exited without providing a reason"),
        ("sys.exit(0)", "Runtime exited without providing a reason"),
    ],
)
def test_a4_10_sys_exit_is_a_runtime_exit(tmp_path: Path, body: str, message: str) -> None:
    result = handle(tmp_path, body)
    assert result.function_error == "Unhandled"
    error = json.loads(result.payload)
    assert error["errorType"] == "Runtime.ExitError"
    assert error["errorMessage"].endswith(message)


@pytest.mark.parametrize(
    "body", ["return b'x'", "return {1, 2}", "return {(1, 2): 3}", "x = []; x.append(x); return x"]
)
def test_a4_10_what_json_cannot_hold_is_a_marshal_error(tmp_path: Path, body: str) -> None:
    result = handle(tmp_path, body)
    assert result.function_error == "Unhandled"
    error = json.loads(result.payload)
    assert error["errorType"] == "Runtime.MarshalError"
    assert error["errorMessage"].startswith("Unable to marshal response: ")


def test_a4_10_a_handler_that_is_no_handler_is_a_function_error(tmp_path: Path) -> None:
    result = invoker(tmp_path, "def handle(event):\n    return event\n").invoke(b"{}")
    assert (result.function_error, json.loads(result.payload)["errorType"]) == ("Unhandled", "TypeError")


def test_a4_5_a_response_over_the_limit_is_a_function_error_and_one_below_is_not(tmp_path: Path) -> None:
    result = handle(tmp_path, f"return 'x' * {RESPONSE_LIMIT_BYTES}")
    assert result.function_error == "Unhandled"
    assert json.loads(result.payload)["errorType"] == "Function.ResponseSizeTooLarge"
    (tmp_path / "other").mkdir()
    fits = handle(tmp_path / "other", f"return 'x' * ({RESPONSE_LIMIT_BYTES} - 2)")
    assert (fits.function_error, len(fits.payload)) == (None, RESPONSE_LIMIT_BYTES)


def test_a4_5_an_event_over_the_limit_is_refused(tmp_path: Path) -> None:
    function = invoker(tmp_path, "def handle(event, context):\n    return len(event)\n")
    fits = b'"' + b"x" * (REQUEST_LIMIT_BYTES - 2) + b'"'
    assert function.invoke(fits).payload == str(REQUEST_LIMIT_BYTES - 2).encode()
    with pytest.raises(ConfigurationError, match="6291456"):
        function.invoke(fits + b" ")


# --- time-outs


SLOW = "import time\ndef handle(event, context):\n    time.sleep(event)\n    return 'done'\n"


def test_a4_8_a_handler_over_its_time_limit_times_out_and_the_next_call_runs(tmp_path: Path) -> None:
    function = invoker(tmp_path, SLOW, timeout_s=0.1)
    before_s = time.monotonic()
    with pytest.raises(FunctionTimedOut, match=r"flights-transform: Task timed out after 0\.10 seconds"):
        function.invoke(b"1.0")
    assert time.monotonic() - before_s < 0.9
    assert function.invoke(b"0").payload == b'"done"'


def test_a4_8_a_debugger_stops_the_time_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    function = invoker(tmp_path, SLOW, timeout_s=0.05)
    connected = True
    monkeypatch.setitem(sys.modules, "debugpy", SimpleNamespace(is_client_connected=lambda: connected))
    assert function.invoke(b"0.2").payload == b'"done"'
    connected = False
    with pytest.raises(FunctionTimedOut):
        function.invoke(b"0.2")
    monkeypatch.setattr(sys, "gettrace", lambda: print)
    assert function.invoke(b"0.2").payload == b'"done"'


# --- the handler's module


def test_a4_5_the_module_is_loaded_once_and_its_globals_live_on(tmp_path: Path) -> None:
    source = "calls = []\ndef handle(event, context):\n    calls.append(event)\n    return calls\n"
    first, second = invoker(tmp_path, source), invoker(tmp_path, source)
    first.invoke(b"1")
    assert second.invoke(b"2").payload == b"[1, 2]"
    copy = pickle.loads(pickle.dumps(InProcessInvoker(tmp_path / "handler.py", "handler.handle", ARN)))
    assert copy.invoke(b"3").payload == b"[1, 2, 3]"


def test_a4_5_one_invocation_at_a_time_sees_the_module(tmp_path: Path) -> None:
    source = (
        "import time\n"
        "inside = most = 0\n"
        "def handle(event, context):\n"
        "    global inside, most\n"
        "    inside += 1\n"
        "    most = max(most, inside)\n"
        "    time.sleep(0.02)\n"
        "    inside -= 1\n"
        "    return most\n"
    )
    function = invoker(tmp_path, source)
    answers: list[bytes] = []
    threads = [threading.Thread(target=lambda: answers.append(function.invoke(b"0").payload)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [b"1"] * 4


def test_a4_5_two_handlers_of_one_name_are_two_modules_with_their_real_files(tmp_path: Path) -> None:
    paths = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        source = f"def handle(event, context):\n    return ['{name}', __file__, handle.__code__.co_filename]\n"
        function = invoker(tmp_path / name, source)
        paths.append(str(tmp_path / name / "handler.py"))
        assert json.loads(function.invoke(b"0").payload) == [name, paths[-1], paths[-1]]
    assert "handler" not in sys.modules


def test_a4_5_a_handler_imports_the_modules_beside_it(tmp_path: Path) -> None:
    (tmp_path / "beside_the_handler.py").write_text("ANSWER = 42\n")
    source = "import beside_the_handler\ndef handle(event, context):\n    return beside_the_handler.ANSWER\n"
    assert invoker(tmp_path, source).invoke(b"0").payload == b"42"


def test_a4_a_relative_path_is_fixed_where_it_was_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "handler.py").write_text("def handle(event, context):\n    return 1\n")
    monkeypatch.chdir(tmp_path)
    pickled = pickle.dumps(InProcessInvoker(Path("handler.py"), "handler.handle", ARN))
    monkeypatch.chdir("/")
    assert pickle.loads(pickled).invoke(b"0").payload == b"1"


def test_a4_a_missing_file_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"absent\.py does not exist") as raised:
        InProcessInvoker(tmp_path / "absent.py", "absent.handle", ARN)
    assert raised.value.fix


@pytest.mark.parametrize("name", ["handle", "other.handle", "handler.", "handler.not a name", ""])
def test_a4_a_handler_name_that_does_not_fit_the_file_is_one_clear_error(tmp_path: Path, name: str) -> None:
    (tmp_path / "handler.py").write_text("def handle(event, context): ...\n")
    with pytest.raises(ConfigurationError, match=r"does not name a function in handler\.py") as raised:
        InProcessInvoker(tmp_path / "handler.py", name, ARN)
    assert raised.value.fix == "set Handler to handler.<function>"


@pytest.mark.parametrize("source", ["other = 1\n", "handle = 1\n"])
def test_a4_a_missing_function_is_one_clear_error(tmp_path: Path, source: str) -> None:
    with pytest.raises(ConfigurationError, match=r"handler\.py has no function handle"):
        invoker(tmp_path, source).invoke(b"0")


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("import not_there_at_all\n", "ModuleNotFoundError"),
        ("def (\n", "SyntaxError"),
        ("raise SystemExit(1)\n", "SystemExit"),
    ],
)
def test_a4_a_module_that_does_not_import_is_one_clear_error_each_time(
    tmp_path: Path, source: str, reason: str
) -> None:
    function = invoker(tmp_path, source)
    for _ in range(2):
        with pytest.raises(ConfigurationError, match=reason) as raised:
            function.invoke(b"0")
        assert "handler.py" in raised.value.fix


# --- Lambda's API


@dataclass
class LambdaApi:
    """A stand-in for Lambda's Invoke over HTTP: answers as told, keeps what it was asked."""

    answer: tuple[int, dict[str, str], bytes] = (200, {}, b"{}")
    requests: list[tuple[str, bytes]] = field(default_factory=list)


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Iterator[LambdaApi]:
    state = LambdaApi()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            state.requests.append((self.path, self.rfile.read(int(self.headers["Content-Length"]))))
            status, headers, body = state.answer
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
            """Keeps the test's output clean."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    monkeypatch.setenv("AWS_ENDPOINT_URL_LAMBDA", f"http://127.0.0.1:{server.server_port}")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    yield state
    server.shutdown()
    server.server_close()
    thread.join()


def test_a4_5_lambda_is_invoked_synchronously_with_the_event(api: LambdaApi) -> None:
    api.answer = (200, {}, b'{"records":[]}')
    assert BotoInvoker(ARN).invoke(b'{"records":[1]}') == InvokeResult(b'{"records":[]}', None)
    ((path, body),) = api.requests
    assert path.startswith("/2015-03-31/functions/")
    assert body == b'{"records":[1]}'


def test_a4_5_a_pickled_invoker_connects_anew(api: LambdaApi) -> None:
    used = BotoInvoker("function")
    used.invoke(b"{}")
    assert pickle.loads(pickle.dumps(used)).invoke(b"1") == InvokeResult(b"{}", None)
    assert [path for path, _ in api.requests] == ["/2015-03-31/functions/function/invocations"] * 2


ERROR = b'{"errorMessage":"no","errorType":"ValueError"}'


@pytest.mark.parametrize("headers", [{"X-Amz-Function-Error": "Unhandled"}, {}], ids=["header", "no header"])
def test_a4_10_a_function_error_is_seen_with_and_without_its_header(api: LambdaApi, headers: dict[str, str]) -> None:
    api.answer = (200, headers, ERROR)
    assert BotoInvoker(ARN).invoke(b"{}") == InvokeResult(ERROR, "Unhandled")


@pytest.mark.parametrize(
    "body",
    [b'{"records":[],"errorType":"x"}', b'["errorType"]', b'{"data":"\\"errorType\\""}', b'"errorType" is no JSON'],
)
def test_a4_10_the_word_error_type_alone_is_no_function_error(api: LambdaApi, body: bytes) -> None:
    api.answer = (200, {}, body)
    assert BotoInvoker(ARN).invoke(b"{}") == InvokeResult(body, None)


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        (
            {"X-Amz-Function-Error": "Unhandled"},
            b'{"errorMessage":"2026-01-01T00:00:00Z id Task timed out after 3.00 seconds"}',
        ),
        (
            {},
            b'{"errorType":"Sandbox.Timedout","errorMessage":"RequestId: id Error: Task timed out after 3.00 seconds"}',
        ),
        ({}, b"Task timed out after 3.00 seconds"),
    ],
    ids=["AWS", "AWS since 2024", "runtime interface emulator"],
)
def test_a4_10_lambdas_own_time_out_is_told_from_other_errors(
    api: LambdaApi, headers: dict[str, str], body: bytes
) -> None:
    api.answer = (200, headers, body)
    with pytest.raises(FunctionTimedOut, match="Task timed out after"):
        BotoInvoker(ARN).invoke(b"{}")


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        (429, "TooManyRequestsException", ThrottledError),
        (404, "ResourceNotFoundException", NotFoundError),
        (403, "AccessDeniedException", CredentialsError),
        (500, "ServiceException", ServiceFaultError),
        (413, "RequestTooLargeException", ConfigurationError),
    ],
)
def test_a4_10_lambdas_refusals_become_ours_after_one_call(
    api: LambdaApi, status: int, code: str, expected: type[HydrantError]
) -> None:
    api.answer = (status, {"x-amzn-ErrorType": code}, b'{"Message":"why"}')
    with pytest.raises(expected, match="why"):
        BotoInvoker(ARN).invoke(b"{}")
    assert len(api.requests) == 1  # the retries are Firehose's (A4.8), not the SDK's


def test_a4_8_no_endpoint_is_a_transient_error(api: LambdaApi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_LAMBDA", "http://127.0.0.1:9")
    with pytest.raises(EndpointDownError):
        BotoInvoker(ARN).invoke(b"{}")
    assert api.requests == []
