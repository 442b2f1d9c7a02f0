"""Which faults are due when, and what injects them: proxies before Kinesis, S3 and Lambda, and the invoker below."""

import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Final

import orjson

from infra.environment import environment
from infra.faults import function, kinesis, s3
from infra.faults.function import CALL_FAULTS, FunctionFaults, LambdaFaults
from infra.faults.journal import Journal
from infra.faults.kinesis import KinesisFaults
from infra.faults.proxy import FaultProxy
from infra.faults.s3 import S3Faults
from infra.faults.schedule import Schedule
from pipelines.firehose.invoke import FunctionTimedOut, Invoker, InvokeResult
from pipelines.runtime.errors import ConfigurationError, ThrottledError

PLANS: Final[Mapping[str, tuple[str | None, ...]]] = {
    "one error": (function.ERROR,),
    "one time-out": (function.TIMED_OUT,),
    "throttled once": (function.THROTTLED,),
    "three failures": (function.THROTTLED, function.TIMED_OUT, function.ERROR),
    "errors": (function.ERROR,) * 4,
    "time-outs": (function.TIMED_OUT,) * 4,
    "throttled": (function.THROTTLED,) * 4,
    "four failures": (function.ERROR, function.THROTTLED, function.TIMED_OUT, function.THROTTLED),
    "an error, then a record missing": (function.ERROR, function.MISSING_RECORDS),
    **{kind: (kind,) for kind in function.ANSWER_FAULTS},
}
"""What becomes of each attempt of a batch, with NumberOfRetries 3: four failures are one too many (A4.8)."""


@dataclass(frozen=True)
class Faults:
    """What is due in a run, and what has happened.

    Attributes:
        kinesis: of PutRecords and GetRecords.
        s3: of PutObject.
        function: of the transform function.
        journal: every call and every fault.
    """

    kinesis: KinesisFaults
    s3: S3Faults
    function: FunctionFaults
    journal: Journal

    @classmethod
    def of(cls, seed: int) -> "Faults":
        """The faults of a seed: about every second call of each kind."""
        journal = Journal()
        puts = Schedule(
            seed, "PutRecords", {kinesis.THROTTLED: 1, kinesis.REFUSED_IN_PART: 2, kinesis.FAILED_IN_PART: 1}, calm=4
        )
        gets = Schedule(seed, "GetRecords", dict.fromkeys(kinesis.GET_FAULTS, 1), calm=6)
        objects = {kind: 1 for kind in s3.PUT_FAULTS if kind != s3.OUTAGE}
        return cls(
            KinesisFaults(puts, gets, journal, seed),
            S3Faults(Schedule(seed, "PutObject", objects, calm=4, first={s3.OUTAGE: 1}), journal),
            FunctionFaults(Schedule(seed, "Invoke", dict.fromkeys(PLANS, 1), calm=7), PLANS, journal),
            journal,
        )


_in_force: FunctionFaults | None = None
_changing: Final = threading.Lock()


@contextmanager
def in_force(faults: Faults) -> Iterator[None]:
    """Starts the proxies, and points AWS's clients of this process that are made from now on at them.

    Raises:
        ConfigurationError: the endpoints are AWS's own.
    """
    global _in_force  # noqa: PLW0603 - an invoker is pickled on its way to the worker, and finds its faults here
    with ExitStack() as stack:
        changes = {}
        for service, of_service in (
            ("KINESIS", faults.kinesis),
            ("S3", faults.s3),
            ("LAMBDA", LambdaFaults(faults.function)),
        ):
            proxy = stack.enter_context(FaultProxy(_endpoint(service), of_service, faults.journal))
            changes[f"AWS_ENDPOINT_URL_{service}"] = proxy.endpoint
        stack.callback(faults.journal.close)
        stack.enter_context(environment(changes))
        with _changing:
            _in_force = faults.function
        try:
            yield
        finally:
            with _changing:
                _in_force = None


def _endpoint(service: str) -> str:
    found = os.environ.get(f"AWS_ENDPOINT_URL_{service}") or os.environ.get("AWS_ENDPOINT_URL")
    if not found:
        message = "AWS itself cannot be made to fail on a schedule: its clients sign for AWS's address."
        raise ConfigurationError(message, fix="run with --target embedded or localstack")
    return found


@dataclass(frozen=True)
class FaultyInvoker:
    """Calls a function, unless a fault is due; see `pipelines.firehose.invoke.Invoker`.

    For a handler in this process. Where Lambda is an endpoint, its proxy does the same.

    Args:
        inner: calls the function.
    """

    inner: Invoker

    def invoke(self, payload: bytes) -> InvokeResult:
        """See `Invoker.invoke`."""
        faults = _in_force
        if faults is None:
            return self.inner.invoke(payload)
        attempt = faults.begin(payload)
        if attempt.fault in CALL_FAULTS:
            faults.call_failed(attempt)
            if attempt.fault == function.TIMED_OUT:
                message = "redelivery-transform: Task timed out after 60.00 seconds"
                raise FunctionTimedOut(message)
            if attempt.fault == function.THROTTLED:
                message = "Lambda function redelivery-transform is throttled (TooManyRequestsException): Rate Exceeded."
                raise ThrottledError(message, fix="wait, or raise the limit")
            described = {"errorMessage": "Injected on schedule", "errorType": "RuntimeError"}
            return InvokeResult(orjson.dumps(described), "Unhandled")
        result = self.inner.invoke(payload)
        if result.function_error is not None:
            return result  # it failed by itself
        return InvokeResult(faults.answered(attempt, result.payload))
