"""DoFns that end a pipeline or never do, and the processes it leaves; test_launch.py runs them."""

import os
import signal
import time
from collections.abc import Iterator
from typing import Any

import apache_beam as beam
import psutil
from apache_beam.io.restriction_trackers import OffsetRange, OffsetRestrictionTracker
from apache_beam.transforms.core import RestrictionProvider
from apache_beam.utils.timestamp import Duration

from pipelines.runtime.metrics import StageMetrics


class Raise(beam.DoFn):
    """Raises `error` in its method `where`."""

    def __init__(self, error: Exception, where: str = "process") -> None:
        self._error = error
        self._where = where

    def setup(self) -> None:
        self._reached("setup")

    def process(self, element: object) -> Iterator[object]:
        self._reached("process")
        yield element

    def finish_bundle(self) -> None:
        self._reached("finish_bundle")

    def _reached(self, where: str) -> None:
        if where == self._where:
            raise self._error


class Endless(beam.DoFn, RestrictionProvider):
    """Unbounded: a number every tenth of a second, counted by the metrics of the source."""

    def initial_restriction(self, element: object) -> OffsetRange:
        return OffsetRange(0, 10**9)

    def create_tracker(self, restriction: OffsetRange) -> OffsetRestrictionTracker:
        return OffsetRestrictionTracker(restriction)

    def restriction_size(self, element: object, restriction: OffsetRange) -> int:
        return 1

    @beam.DoFn.unbounded_per_element()
    def process(self, element: object, tracker: Any = beam.DoFn.RestrictionParam()) -> Iterator[int]:
        number = tracker.current_restriction().start
        if tracker.try_claim(number):
            StageMetrics("source").records_out.inc()
            yield number
            tracker.defer_remainder(Duration.of(0.1))


def endless(pipeline: beam.Pipeline) -> Any:
    return pipeline | beam.Create([0]) | beam.ParDo(Endless())


def family() -> list[psutil.Process]:
    """The processes that we have started, and theirs."""
    return [process for process in psutil.Process().children(recursive=True) if process.is_running()]


def left_behind(before: list[psutil.Process], deadline_s: float = 10.0) -> list[psutil.Process]:
    """What still runs at the deadline of what was started since `before`."""
    give_up_s = time.monotonic() + deadline_s
    while True:
        left = [process for process in family() if process not in before and process.status() != psutil.STATUS_ZOMBIE]
        if not left or time.monotonic() > give_up_s:
            return left
        time.sleep(0.05)


def kill_prism(before: list[psutil.Process]) -> None:
    """`kill -9` of Prism itself, not of what watches over it."""
    (prism,) = [process for process in family() if process not in before and process.name() == "prism"]
    os.kill(prism.pid, signal.SIGKILL)
