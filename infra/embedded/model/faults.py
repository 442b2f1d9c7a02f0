"""Faults to order: what the stand-in does wrong, for tests that want to see it survived."""

import random
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from infra.embedded.model.errors import KinesisError, malformed
from infra.embedded.model.garble import HOWS, garble
from pipelines.runtime.clock import Clock


class DropConnectionError(Exception):
    """The connection is to be closed without an answer."""


@dataclass
class _Failure:
    operation: str
    code: str
    status: int
    times: int


@dataclass
class _Garble:
    operation: str
    how: str
    shard: str | None
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
        "throttle": {"fraction": 0.2, "seed": 1, "code": "InternalFailure"},
        "garble": [{"operation": "GetRecords", "how": "bad_base64", "times": 1, "shard": "shardId-000000000000"}]}`.
        `fail` and `drop` are for the next `times` (1) calls of the operation. `throttle` is for that fraction of all
        entries of PutRecords, with that code or ProvisionedThroughputExceededException (B2). `garble` is for the next
        `times` (1) answers, of that shard where it is given, that have what `how` spoils (see `garble`). What a
        subscription pushes is ordered as the operation SubscribeToShardEvent. `{}` ends them all.

        Raises:
            KinesisError: ValidationException, for a `how` that there is not.
        """
        failures = [
            _Failure(f["operation"], f["code"], f.get("status", 400), f.get("times", 1)) for f in wanted.get("fail", [])
        ] + [_Failure(f["operation"], "", 0, f.get("times", 1)) for f in wanted.get("drop", [])]
        garbles = [
            _Garble(g["operation"], g["how"], g.get("shard"), g.get("times", 1)) for g in wanted.get("garble", [])
        ]
        for each in garbles:
            if each.how not in HOWS:
                raise malformed(f"Answers are garbled by {', '.join(HOWS)}, not by {each.how}.")
        throttle = wanted.get("throttle") or {}
        with self._lock:
            self._failures = failures
            self.garbles = garbles
            self._latency_s = float(wanted.get("latency_s", 0))
            self._fraction = float(throttle.get("fraction", 0))
            self.refusal = str(throttle.get("code", "ProvisionedThroughputExceededException"))
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

    def spoiled(self, operation: str, shard: str | None, body: bytes) -> bytes:
        """The answer's `body`, garbled where that is ordered for `operation` on `shard`."""
        with self._lock:
            for order in self.garbles:
                if order.operation == operation and order.times > 0 and order.shard in {None, shard}:
                    spoiled = garble(body, order.how)
                    if spoiled is not None:
                        order.times -= 1
                        return spoiled
        return body

    def refused(self, entries: int) -> set[int]:
        """Which entries of a PutRecords of that many `entries` are refused, with the code `refusal`."""
        if not self._fraction:
            return set()
        with self._lock:
            return {index for index in range(entries) if self._rng.random() < self._fraction}
