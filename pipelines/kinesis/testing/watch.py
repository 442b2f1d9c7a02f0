"""The tracker and its view as Beam has them, watched: which claims were granted, and from when on none may be."""

import math
from collections.abc import Callable
from typing import Any

from apache_beam.io.iobase import RestrictionProgress, RestrictionTracker
from apache_beam.runners.sdf_utils import RestrictionTrackerView, ThreadsafeRestrictionTracker

from pipelines.kinesis.testing.case import LawError

Broken = Callable[[LawError], None]
"""Takes a broken law, where raising it could be swallowed by the DoFn."""


def compares(value: object) -> bool:
    """Whether `==` says more of `value` than that it is the same object."""
    return type(value).__eq__ is not object.__eq__


def progress_of(tracker: Any) -> tuple[float, float] | None:
    """Completed and remaining work; None of a tracker that does not tell.

    Raises:
        LawError: it is no amount of work.
    """
    try:
        progress: RestrictionProgress | None = tracker.current_progress()
    except NotImplementedError:
        return None
    if progress is None:
        return None
    completed, remaining = float(progress.completed_work), float(progress.remaining_work)
    if not (math.isfinite(completed) and math.isfinite(remaining) and completed >= 0 and remaining >= 0):
        law = "progress"
        raise LawError(law, f"{completed} completed and {remaining} remaining is no amount of work")
    return completed, remaining


class WatchedTracker(RestrictionTracker):
    """A tracker that forwards all to the DoFn's own.

    Attributes:
        granted: the positions of the claims that were granted, in their order.
        refused: a claim was; nothing may be output any more.
        closed: why no claim may be granted any more; empty while one may.

    Args:
        tracker: the DoFn's.
        broken: told of laws that do not hold.
        exact: a claim changes neither what is completed and what remains together, nor adds to what remains.
    """

    def __init__(self, tracker: RestrictionTracker, broken: Broken, *, exact: bool) -> None:
        self.granted: list[Any] = []
        self.refused = False
        self.closed = ""
        self._tracker = tracker
        self._broken = broken
        self._exact = exact

    def current_restriction(self) -> Any:
        return self._tracker.current_restriction()

    def current_progress(self) -> RestrictionProgress:
        return self._tracker.current_progress()

    def check_done(self) -> Any:
        return self._tracker.check_done()

    def is_bounded(self) -> bool:
        return self._tracker.is_bounded()

    def try_claim(self, position: Any) -> bool:
        before = self._progress()
        granted = bool(self._tracker.try_claim(position))
        if not granted:
            self.refused = True
            self.closed = self.closed or f"after the claim of {position} was refused"
            return False
        if self.closed:
            self._broken(LawError("claims", f"{position} was granted {self.closed}"))
        if position in self.granted:
            self._broken(LawError("claims", f"{position} was granted twice"))
        self.granted.append(position)
        after = self._progress()
        if self._exact and before and after:
            self._compare(position, before, after)
        return True

    def try_split(self, fraction_of_remainder: float) -> Any:
        parts = self._tracker.try_split(fraction_of_remainder)
        if not parts:
            return parts
        primary, _ = parts
        if fraction_of_remainder == 0:
            self.closed = self.closed or "after a checkpoint"
        current = self._tracker.current_restriction()
        if compares(primary) and current != primary:
            what = f"after a split at {fraction_of_remainder} the tracker's restriction is {current}, not {primary}"
            self._broken(LawError("coverage", what))
        return parts

    def _progress(self) -> tuple[float, float] | None:
        try:
            return progress_of(self._tracker)
        except LawError as error:
            self._broken(error)
            return None

    def _compare(self, position: Any, before: tuple[float, float], after: tuple[float, float]) -> None:
        slack = 1e-9 * max(1.0, sum(before))
        if after[1] > before[1] + slack:
            what = f"the claim of {position} raised the remaining work from {before[1]} to {after[1]}"
            self._broken(LawError("progress", what))
        if abs(sum(after) - sum(before)) > slack:
            what = f"the claim of {position} changed completed and remaining work from {before} to {after}"
            self._broken(LawError("progress", what))


class WatchedView(RestrictionTrackerView):
    """The view that `process()` gets; around each claim others may do what they may do at any time.

    Attributes:
        pause: for how long, or until when, `process()` deferred what is left.

    Args:
        tracker: the thread-safe tracker.
        interrupt: called before each claim and after each that was granted.
    """

    def __init__(self, tracker: ThreadsafeRestrictionTracker, interrupt: Callable[[str], None]) -> None:
        super().__init__(tracker)
        self.pause: Any = None
        self._interrupt = interrupt

    def try_claim(self, position: Any) -> bool:
        self._interrupt("before a claim")
        granted = bool(super().try_claim(position))
        if granted:
            self._interrupt("after a claim")
        return granted

    def defer_remainder(self, deferred_time: Any = None) -> None:
        self.pause = deferred_time
        super().defer_remainder(deferred_time)
