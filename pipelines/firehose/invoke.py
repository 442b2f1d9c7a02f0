"""Ways to call a transform function: AWS Lambda's API, or the handler in this process.

Both answer as Lambda's synchronous Invoke does (A4.5), so that what calls them cannot tell one from the other.
"""

import importlib.util
import json
import os
import queue
import sys
import threading
import traceback
import uuid
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any, Final, Protocol

import orjson

from pipelines.runtime.aws import aws_errors, client
from pipelines.runtime.clock import Clock, SystemClock
from pipelines.runtime.errors import ConfigurationError, TransientError

REQUEST_LIMIT_BYTES: Final = 6_291_456
"""The largest event that Lambda's synchronous Invoke takes: 6 MiB (A4.5)."""
RESPONSE_LIMIT_BYTES: Final = 6_291_556
"""The largest response that it hands back, by its own message."""

_READ_TIMEOUT_S: Final = 310
"""Firehose waits five minutes for a function (A4.5); the connection must not give up before."""
_UNHANDLED: Final = "Unhandled"
_TASK_TIMED_OUT: Final = "Task timed out after"


class FunctionTimedOut(TransientError):
    """The function did not answer within its time limit; AWS's code for it is Lambda.FunctionTimedOut."""


@dataclass(frozen=True, slots=True)
class InvokeResult:
    """What Lambda's Invoke answers.

    Attributes:
        payload: the function's response as JSON, or its error object (errorMessage, errorType, stackTrace).
        function_error: None when the function returned; "Unhandled" when it failed.
    """

    payload: bytes
    function_error: str | None = None


class Invoker(Protocol):
    """Calls one function. It can be pickled, and called from several threads."""

    def invoke(self, payload: bytes) -> InvokeResult:
        """Calls the function with `payload`, a JSON event of at most `REQUEST_LIMIT_BYTES`, and waits for the answer.

        Raises:
            FunctionTimedOut: it did not answer within its time limit.
            ThrottledError: its concurrency limit is reached.
            NotFoundError: there is no such function.
            CredentialsError: it may not be called with these credentials.
            TransientError: Lambda does not answer, or failed itself.
            ConfigurationError: Lambda refuses the call, or there is nothing to call.
        """


class BotoInvoker:
    """Calls a function through Lambda's API: AWS, or whatever AWS_ENDPOINT_URL_LAMBDA points at.

    Each call is tried once; who calls has the retries (A4.8).

    Args:
        function: the function's ARN, qualified or not, or its name.
    """

    def __init__(self, function: str) -> None:
        self._function = function
        self._client: Any = None  # made by the first call: a client cannot be pickled

    def __reduce__(self) -> tuple[type["BotoInvoker"], tuple[str]]:
        return BotoInvoker, (self._function,)

    def invoke(self, payload: bytes) -> InvokeResult:
        """See `Invoker.invoke`."""
        if self._client is None:
            self._client = client("lambda", max_attempts=1, read_timeout_s=_READ_TIMEOUT_S)
        with aws_errors(f"Lambda function {self._function}"):
            response = self._client.invoke(FunctionName=self._function, Payload=payload)
            answer = response["Payload"].read()
        return _result(answer, response.get("FunctionError"))


@dataclass(frozen=True)
class InProcessInvoker:
    """Calls a handler of this machine, in this process: breakpoints in it are hit, nothing is deployed.

    As in Lambda, one invocation at a time sees the handler's module, and its globals live from one to the next. Unlike
    there, a handler that exceeds its time limit cannot be killed: the invocation counts as timed out, its thread goes
    on to its end. While a debugger is attached there is no time limit.

    Args:
        handler_path: the file that holds the handler. Modules beside it can be imported by it, as in a Lambda package.
        handler_name: Lambda's Handler, "<file without .py>.<function>".
        function_arn: what the handler reads as `context.invoked_function_arn`.
        timeout_s: Lambda's Timeout.
        memory_mib: Lambda's MemorySize; the handler reads it, nothing limits it.
        clock: for `context.get_remaining_time_in_millis()`.
        environment: Lambda's Environment: variables that the handler reads. They are set in this process, and stay.

    Raises:
        ConfigurationError: there is no such file, or `handler_name` does not fit it.
    """

    handler_path: Path
    handler_name: str
    function_arn: str
    timeout_s: float = 3.0
    memory_mib: int = 128
    clock: Clock = field(default_factory=SystemClock)
    environment: Mapping[str, str] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        path = self.handler_path.resolve()
        object.__setattr__(self, "handler_path", path)  # absolute: a worker may have another working directory
        if not path.is_file():
            message = f"The function's file {path} does not exist."
            raise ConfigurationError(message, fix="write the handler there, or correct the path")
        module, _, attribute = self.handler_name.rpartition(".")
        if module != path.stem or not attribute.isidentifier():
            message = f"Handler {self.handler_name!r} does not name a function in {path.name}."
            raise ConfigurationError(message, fix=f"set Handler to {path.stem}.<function>")

    def load(self) -> None:
        """Imports the handler's module now, in place of with the first invocation.

        Raises:
            ConfigurationError: the module cannot be imported or lacks the function.
        """
        os.environ.update(self.environment)
        _load(self.handler_path, self.handler_name.rpartition(".")[2])

    def invoke(self, payload: bytes) -> InvokeResult:
        """See `Invoker.invoke`.

        Raises:
            ConfigurationError: also when the handler's module cannot be imported or lacks the function.
        """
        if len(payload) > REQUEST_LIMIT_BYTES:
            message = f"Request must be smaller than {REQUEST_LIMIT_BYTES} bytes for the InvokeFunction operation"
            raise ConfigurationError(message)
        os.environ.update(self.environment)  # before the import: a module may read it there
        function = _load(self.handler_path, self.handler_name.rpartition(".")[2])
        with function.one_at_a_time:
            return _result(*self._answer(function.handler, payload))

    def _answer(self, handler: Callable[..., Any], payload: bytes) -> tuple[bytes, str | None]:
        context = LambdaContext(
            function_name=self.function_arn.split(":function:")[-1].split(":")[0],
            invoked_function_arn=self.function_arn,
            memory_limit_in_mb=str(self.memory_mib),
            aws_request_id=str(uuid.uuid4()),
            deadline_s=self.clock.monotonic_s() + self.timeout_s,
            clock=self.clock,
        )
        if _debugger_attached():
            return _run(handler, payload, context)
        answers: queue.SimpleQueue[tuple[bytes, str | None]] = queue.SimpleQueue()
        threading.Thread(
            target=lambda: answers.put(_run(handler, payload, context)),
            name=f"lambda-{context.function_name}",
            daemon=True,
        ).start()
        try:
            return answers.get(timeout=self.timeout_s)
        except queue.Empty:
            seconds = f"{self.timeout_s:.2f} seconds"
            message = f"{context.function_name}: {_TASK_TIMED_OUT} {seconds}"
            raise FunctionTimedOut(message, fix="make the handler quicker, or its Timeout longer") from None


@dataclass(frozen=True)
class LambdaContext:
    """The context object a handler gets, with the names of Lambda's Python runtime."""

    function_name: str
    invoked_function_arn: str
    memory_limit_in_mb: str  # text, as Lambda's runtime hands it over
    aws_request_id: str
    deadline_s: float
    clock: Clock
    function_version: str = "$LATEST"
    identity: None = None
    client_context: None = None

    @property
    def log_group_name(self) -> str:
        return f"/aws/lambda/{self.function_name}"

    @property
    def log_stream_name(self) -> str:
        return f"[{self.function_version}]{self.aws_request_id}"

    def get_remaining_time_in_millis(self) -> int:
        """Milliseconds until the function's time limit."""
        return max(0, round((self.deadline_s - self.clock.monotonic_s()) * 1000))


def _run(handler: Callable[..., Any], payload: bytes, context: LambdaContext) -> tuple[bytes, str | None]:
    """Event in, payload and function error out, as Lambda's Python runtime does it."""
    try:
        response = handler(orjson.loads(payload), context)
    except SystemExit as exit_:
        status = exit_.code if isinstance(exit_.code, int) else int(exit_.code is not None)
        reason = f"exited with error: exit status {status}" if status else "exited without providing a reason"
        message = f"RequestId: {context.aws_request_id} Error: Runtime {reason}"
        return _error_payload("Runtime.ExitError", message), _UNHANDLED
    except BaseException as error:
        frames = traceback.extract_tb(error.__traceback__)[1:]  # without this function's own
        stack = traceback.format_list(frames)
        return _error_payload(type(error).__name__, str(error), stack), _UNHANDLED
    try:
        return json.dumps(response).encode(), None  # json, not orjson: Lambda's runtime refuses what json refuses
    except Exception as error:
        message = f"Unable to marshal response: {error}"
        return _error_payload("Runtime.MarshalError", message, []), _UNHANDLED


def _error_payload(error_type: str, message: str, stack: list[str] | None = None) -> bytes:
    described = {"errorMessage": message, "errorType": error_type}
    return json.dumps(described if stack is None else {**described, "stackTrace": stack}).encode()


def _result(payload: bytes, function_error: str | None) -> InvokeResult:
    """The result of a call, told by the payload as well: stand-ins leave out the header X-Amz-Function-Error."""
    if len(payload) > RESPONSE_LIMIT_BYTES:
        message = f"Response payload size exceeded maximum allowed payload size ({RESPONSE_LIMIT_BYTES} bytes)."
        return InvokeResult(_error_payload("Function.ResponseSizeTooLarge", message), _UNHANDLED)
    if payload.startswith(_TASK_TIMED_OUT.encode()):  # plain text from AWS's runtime interface emulator
        raise FunctionTimedOut(payload.decode(errors="replace"))
    if function_error is None and b'"errorType"' not in payload:  # base64 holds no quotes: seldom there by chance
        return InvokeResult(payload)
    body = _json_object(payload)
    if function_error is None and ("errorType" not in body or "records" in body):
        return InvokeResult(payload)
    if body.get("errorType") == "Sandbox.Timedout" or _TASK_TIMED_OUT in str(body.get("errorMessage")):
        raise FunctionTimedOut(str(body.get("errorMessage")))
    return InvokeResult(payload, function_error or _UNHANDLED)


def _json_object(payload: bytes) -> dict[str, Any]:
    try:
        read = orjson.loads(payload)
    except orjson.JSONDecodeError:
        return {}
    return read if isinstance(read, dict) else {}


def _debugger_attached() -> bool:
    if sys.gettrace() is not None:
        return True
    debugpy = sys.modules.get("debugpy")
    return debugpy is not None and bool(debugpy.is_client_connected())


@dataclass(frozen=True)
class _Function:
    handler: Callable[..., Any]
    one_at_a_time: threading.Lock = field(default_factory=threading.Lock)


_functions: dict[tuple[Path, str], _Function] = {}
_loading = threading.Lock()


def _load(path: Path, attribute: str) -> _Function:
    """The function `attribute` of the file, whose module is imported once in a process."""
    with _loading:
        if function := _functions.get((path, attribute)):
            return function
        handler = getattr(_import(path), attribute, None)
        if not callable(handler):
            message = f"{path} has no function {attribute}."
            raise ConfigurationError(message, fix=f"define `def {attribute}(event, context)` in it, or correct Handler")
        return _functions.setdefault((path, attribute), _Function(handler))


def _import(path: Path) -> ModuleType:
    # A name of its own, for two scenarios may both have a handler.py; the file name stays the real one, and a debugger
    # binds breakpoints by file name.
    name = f"hydrant_function_{path.stem}_{zlib.crc32(str(path).encode()):08x}"
    if name in sys.modules:
        return sys.modules[name]
    if str(path.parent) not in sys.path:
        sys.path.append(str(path.parent))
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        message = f"{path} is not a Python file."
        raise ConfigurationError(message, fix="name the handler's .py file")
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except BaseException as error:
        del sys.modules[name]
        message = f"The function's module {path} cannot be imported: {type(error).__name__}: {error}."
        raise ConfigurationError(message, fix=f"run `python {path}` and mend what it reports") from error
    return module
