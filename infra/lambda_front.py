"""Lambda's Invoke API in front of containers of AWS's Lambda image: `python -m infra.lambda_front NAME=URL ...`.

The runtime interface emulator in such a container knows one function, called `function`, and one invocation at a time.
This gives each its name, as AWS's SDKs call it (by name or ARN, qualified or not), lets invocations wait for their
turn, and answers what Lambda itself would: that there is no such function, that the event is too large (A4.5), that the
function failed. So AWS_ENDPOINT_URL_LAMBDA is all that a client has to know.
"""

import argparse
import json
import re
import sys
import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final
from urllib.parse import unquote

import urllib3

REQUEST_LIMIT_BYTES: Final = 6_291_456
RESPONSE_LIMIT_BYTES: Final = 6_291_556
"""What Lambda's synchronous Invoke takes and gives back (A4.5)."""

_PATH: Final = re.compile(r"/2015-03-31/functions/([^/]+)/invocations(?:\?.*)?")
_EMULATOR: Final = "/2015-03-31/functions/function/invocations"
_TIMED_OUT: Final = "Task timed out after"
_READ_TIMEOUT_S: Final = 910.0
"""A function may run for 15 minutes."""

Answer = tuple[int, dict[str, str], bytes]
"""Status, headers and body."""


class Front:
    """The functions there are. Thread-safe.

    Args:
        functions: name -> base URL of the container that runs it.
        reserved: an invocation that comes while another one runs is throttled, as with a reserved concurrency of one;
            else it waits.
    """

    def __init__(self, functions: Mapping[str, str], *, reserved: bool = False) -> None:
        self._functions = dict(functions)
        self._reserved = reserved
        self._turns = {name: threading.Lock() for name in functions}
        self._pool = urllib3.PoolManager(retries=False, timeout=urllib3.Timeout(connect=5, read=_READ_TIMEOUT_S))

    def missing(self) -> list[str]:
        """The functions whose containers do not answer."""
        return [name for name, url in self._functions.items() if not self._is_up(url)]

    def invoke(self, function: str, payload: bytes) -> Answer:
        """Lambda's answer to Invoke.

        Args:
            function: name, or ARN, with or without a qualifier.
            payload: the event.
        """
        name = function_name(function)
        if name not in self._functions:
            return _error(404, "ResourceNotFoundException", f"Function not found: {function}")
        if len(payload) > REQUEST_LIMIT_BYTES:
            message = f"Request must be smaller than {REQUEST_LIMIT_BYTES} bytes for the InvokeFunction operation"
            return _error(413, "RequestTooLargeException", message)
        if not self._turns[name].acquire(blocking=not self._reserved):
            return _error(
                429,
                "TooManyRequestsException",
                "Rate Exceeded.",
                reason="ReservedFunctionConcurrentInvocationLimitExceeded",
            )
        try:
            answer = self._pool.request("POST", self._functions[name] + _EMULATOR, body=payload)
        except urllib3.exceptions.HTTPError as error:
            return _error(502, "ServiceException", f"The container of {name} does not answer: {error}")
        finally:
            self._turns[name].release()
        return told(answer.status, answer.data)

    def _is_up(self, url: str) -> bool:
        try:
            host = urllib3.util.parse_url(url)
            urllib3.util.connection.create_connection((host.host or "", host.port or 80), timeout=2).close()
        except OSError:
            return False
        return True


def function_name(function: str) -> str:
    """The name in a function's name or ARN; without qualifier (`:$LATEST`)."""
    parts = unquote(function).split(":")
    return parts[6] if parts[0] == "arn" and len(parts) > 6 else parts[0]


def told(status: int, body: bytes) -> Answer:
    """The emulator's answer as Lambda itself would give it: what went wrong in a function is told in a header."""
    if status >= 500:
        return _error(502, "ServiceException", body.decode(errors="replace")[:200])
    headers = {"Content-Type": "application/json", "X-Amz-Executed-Version": "$LATEST"}
    if len(body) > RESPONSE_LIMIT_BYTES:
        message = f"Response payload size exceeded maximum allowed payload size ({RESPONSE_LIMIT_BYTES} bytes)."
        body = json.dumps({"errorMessage": message, "errorType": "Function.ResponseSizeTooLarge"}).encode()
    elif body.startswith(_TIMED_OUT.encode()):  # plain text, of the emulator
        body = json.dumps({"errorMessage": body.decode(errors="replace"), "errorType": "Sandbox.Timedout"}).encode()
    elif not _is_error(body):
        return 200, headers, body
    return 200, headers | {"X-Amz-Function-Error": "Unhandled"}, body


def _is_error(body: bytes) -> bool:
    if b'"errorType"' not in body:
        return False
    try:
        read = json.loads(body)
    except ValueError:
        return False
    return isinstance(read, dict) and "errorType" in read and "records" not in read


def _error(status: int, code: str, message: str, reason: str = "") -> Answer:
    described = {"Type": "User" if status < 500 else "Service", "Message": message}
    if reason:
        described["Reason"] = reason
    headers = {"Content-Type": "application/json", "x-amzn-ErrorType": code}
    return status, headers, json.dumps(described).encode()


def server(front: Front, address: tuple[str, int]) -> ThreadingHTTPServer:
    """An HTTP server that is bound; GET /health tells whether every function is up."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            missing = front.missing()
            body = json.dumps({"missing": missing}).encode()
            self._reply((503 if missing else 200, {"Content-Type": "application/json"}, body))

        def do_POST(self) -> None:
            length = self.headers.get("Content-Length", "0")
            if not length.isdecimal() or "Transfer-Encoding" in self.headers:
                self.close_connection = True  # where the body ends is not known
                self._reply(_error(411, "LengthRequired", "a body needs a Content-Length that is a number"))
                return
            payload = self.rfile.read(int(length))
            found = _PATH.fullmatch(self.path)
            if found is None:
                self._reply(_error(404, "UnknownOperationException", f"only Invoke is here, not {self.path}"))
            else:
                self._reply(front.invoke(unquote(found.group(1)), payload))

        def _reply(self, answer: Answer) -> None:
            status, headers, body = answer
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Says nothing: the functions have logs of their own."""

    return ThreadingHTTPServer(address, Handler)


def main() -> None:
    """Serves until it is ended."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("functions", nargs="+", metavar="NAME=URL", help="a function and its container's base URL")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=9001)
    parser.add_argument("--reserved", action="store_true", help="throttle what comes while a function is busy")
    given = parser.parse_args()
    functions = dict(function.split("=", 1) for function in given.functions if "=" in function)
    if len(functions) != len(given.functions):
        sys.exit("Each function is NAME=URL, e.g. flights-transform=http://flights-transform:8080.")
    server(Front(functions, reserved=given.reserved), (given.host, given.port)).serve_forever()


if __name__ == "__main__":
    main()
