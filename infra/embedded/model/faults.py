"""Faults to order: what the stand-in does wrong, for tests that want to see it survived."""

import random
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from infra.embedded.model.errors import KinesisError
from pipelines.runtime.clock import Clock


class DropConnectionError(Exception):
    """The connection is to be closed without an answer."""


@dataclass
class _Failure:
    operation: str
    code: str
    status: int
    times: int


class Faults:
    """The faults in force; none at first. Thread-safe.

    Args:
        clock: for latency.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self.order({})

    def order(self, wanted: Mapping[str, Any]) -> None:
        """Puts `wanted` in force, instead of what was.

        `{"fail": [{"operation": "GetRecords", "code": "InternalFailure", "status": 500, "times": 3}],
        "drop": [{"operation": "GetRecords", "times": 1}], "latency_s": 0.05,
        "throttle": {"fraction": 0.2, "seed": 1}}`. `fail` and `drop` are for the next `times` (1) calls of the
        operation, `throttle` for that fraction of all entries of PutRecords; `{}` ends them all.
        """
        failures = [
            _Failure(f["operation"], f["code"], f.get("status", 400), f.get("times", 1)) for f in wanted.get("fail", [])
        ] + [_Failure(f["operation"], "", 0, f.get("times", 1)) for f in wanted.get("drop", [])]
        throttle = wanted.get("throttle") or {}
        with self._lock:
            self._failures = failures
            self._latency_s = float(wanted.get("latency_s", 0))
            self._fraction = float(throttle.get("fraction", 0))
            self._rng = random.Random(throttle.get("seed", 0))

    def before(self, operation: str) -> None:
        """Called before each operation.

        Raises:
            KinesisError: the ordered error.
            DropConnectionError: no answer at all.
        """
        if self._latency_s:
            self._clock.sleep(self._latency_s)
        if not self._failures:
            return
        with self._lock:
            for failure in self._failures:
                if failure.operation == operation and failure.times > 0:
                    failure.times -= 1
                    if not failure.code:
                        raise DropConnectionError
                    raise KinesisError(failure.code, "Ordered by the test.", failure.status)

    def refused(self, entries: int) -> set[int]:
        """Which entries of a PutRecords of that many `entries` are refused."""
        if not self._fraction:
            return set()
        with self._lock:
            return {index for index in range(entries) if self._rng.random() < self._fraction}
