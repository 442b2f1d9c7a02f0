"""One `process()` call as the SDK makes it, step by step: coders at both ends, check_done, the deferred residual."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Final

from apache_beam.pvalue import TaggedOutput
from apache_beam.runners.sdf_utils import ThreadsafeRestrictionTracker, ThreadsafeWatermarkEstimator
from apache_beam.transforms.window import TimestampedValue
from apache_beam.utils.timestamp import MIN_TIMESTAMP, Duration, Timestamp
from apache_beam.utils.windowed_value import WindowedValue

from pipelines.kinesis.testing.case import LawError, Output, SdfCase
from pipelines.kinesis.testing.watch import WatchedTracker, WatchedView
from pipelines.kinesis.testing.worker import Worker, calling

Interrupt = Callable[["Bundle", str], None]
"""Called where another thread or machine may come in: around claims and behind outputs."""


_END: Final = object()


class WorkerFailedError(BaseException):
    """Raised into `process()` by a schedule: the bundle fails, through no fault of the DoFn's."""


@dataclass
class Ticket:
    """Of a piece of work, over all attempts at it, all that it defers and all that is split off.

    Attributes:
        committed: it is read to its end, and its outputs are final.
        parts: of what it was split into; it is done when they are.
    """

    committed: bool = False
    parts: "tuple[Ticket, ...]" = ()

    @property
    def done(self) -> bool:
        return self.committed or (bool(self.parts) and all(part.done for part in self.parts))


@dataclass(frozen=True)
class Work:
    """What a runner holds of an element that is not read to its end.

    Attributes:
        name: for schedules.
        restriction: encoded.
        state: of the watermark estimator, encoded.
        watermark: no output is earlier than this, as the runner was told; None when it was told nothing.
        size: what `restriction_size` said.
        ticket: for whoever has to wait until this is read.
        behind: what is to be read first, where order matters; None for nothing.
        delay_s: the pause that was asked for before it is resumed.
    """

    name: str
    restriction: bytes
    state: bytes
    watermark: Timestamp | None
    size: float
    ticket: Ticket = field(default_factory=Ticket)
    behind: Ticket | None = None
    delay_s: float = 0.0


class Bundle:
    """One attempt at a piece of work, on a worker of its own. Used by one thread.

    Attributes:
        work: what is read; after a split the primary, which is what a failed attempt is repeated from.
        outputs: so far.
        deferred: what `process()` left for later, once it has returned; None when nothing.

    Args:
        case: the DoFn's case.
        worker: it reads; not used by another bundle at the same time.
        work: what to read.
        interrupt: see `Interrupt`.
        frozen: the world does not change meanwhile.
        names: for residuals.
    """

    def __init__(
        self,
        case: SdfCase,
        worker: Worker,
        work: Work,
        interrupt: Interrupt | None = None,
        *,
        frozen: bool,
        names: Iterator[str],
    ) -> None:
        self.work = work
        self.outputs: list[Output] = []
        self.deferred: Work | None = None
        self.worker = worker
        self._case = case
        self._interrupt = interrupt
        self._errors: list[BaseException] = []
        self._watermark = work.watermark
        self._names = names
        tracker = worker.tracker(worker.decode_restriction(work.restriction))
        self.bounded = bool(tracker.is_bounded())
        self.watched = WatchedTracker(
            tracker, self._errors.append, exact=frozen and self.bounded and case.exact_progress
        )
        self.tracker = ThreadsafeRestrictionTracker(self.watched)
        self.estimator = ThreadsafeWatermarkEstimator(worker.estimator(worker.decode_state(work.state)))
        self._view = WatchedView(self.tracker, self._interrupted)
        self._sample()
        worker.start_bundle()
        self._results = worker.process(self._view, self.estimator)

    def step(self) -> bool:
        """Goes on to the next output.

        Returns:
            False when `process()` has returned and nothing was wrong.

        Raises:
            LawError: a law was broken on the way.
            WorkerFailedError: by the schedule's own wish.
        """
        try:
            with calling("process()"):
                result = next(self._results, _END)
        finally:
            self._raise_broken()
        if result is _END:
            self._end()
            return False
        self._take(result)
        self._raise_broken()
        self._interrupted("behind an output")
        self._raise_broken()
        return True

    def split(self, fraction: float) -> Work | None:
        """Splits as the SDK does for a runner; the primary is what this bundle goes on with.

        Returns:
            The residual; None when the tracker does not split.
        """
        # In the SDK's order: what is told of the residual was true before the split.
        watermark = self._sample()
        state = self.worker.encode_state(self.estimator.get_estimator_state())
        whole = self.work
        parts = self.tracker.try_split(fraction)
        if not parts:
            return None
        primary, residual = parts
        rest = self._work(next(self._names), residual, state, watermark)
        # A failed attempt is repeated with the state it began with: what came from it was thrown away.
        self.work = self._work(whole.name, primary, whole.state, whole.watermark)
        whole.ticket.parts = (self.work.ticket, rest.ticket)
        if fraction == 0:
            rest = replace(rest, behind=self.work.ticket)
        if self.bounded:
            self._compare_sizes(whole.size, rest.size, fraction)
        return rest

    def fail(self) -> None:
        """Ends the attempt as the SDK does when something behind the DoFn fails; its outputs are thrown away."""
        with calling("process(), closed early,"):
            self._results.close()
        self.worker.close()

    def _end(self) -> None:
        self._sample()
        try:
            self.tracker.check_done()
        except ValueError as error:
            law = "check_done"
            raise LawError(law, f"process() returned and left work behind: {error}") from error
        status = self.tracker.deferred_status()
        if status:
            residual, delay = status
            watermark = self._sample()
            state = self.worker.encode_state(self.estimator.get_estimator_state())
            rest = self._work(next(self._names), residual, state, watermark)
            self.deferred = replace(rest, ticket=self.work.ticket, delay_s=self._delay_s(delay))
        elif (lost := self.tracker._deferred_residual) is not None:
            law = "coverage"
            raise LawError(law, f"the SDK takes {lost!r} for nothing, as its truth value is false, and loses it")
        self.outputs += map(_unwrapped, self.worker.finish_bundle())
        self._raise_broken()

    def _delay_s(self, delay: Duration) -> float:
        # The SDK takes off the time that went by since; what was asked for is the same in every run.
        asked = self._view.pause if isinstance(self._view.pause, Duration) else delay
        return max(0.0, asked.micros / 1e6)

    def _take(self, result: Any) -> None:
        output = _unwrapped(result)
        if self.watched.refused:
            self._errors.append(LawError("claims", f"{output.value!r} was output {self.watched.closed}"))
        elif not self.watched.granted:
            self._errors.append(LawError("claims", f"{output.value!r} was output before any claim"))
        at = MIN_TIMESTAMP if output.timestamp is None else output.timestamp
        if self._watermark is not None and at < self._watermark:
            has = "no timestamp, so its input's, which" if output.timestamp is None else f"the timestamp {at}, which"
            what = f"the output {output.value!r} has {has} is earlier than the watermark, {self._watermark}"
            self._errors.append(LawError("watermark", what))
        with calling("observe_timestamp()"):
            self.estimator.observe_timestamp(at)
        self.outputs.append(output)

    def _sample(self) -> Timestamp | None:
        with calling("current_watermark()"):
            seen: Timestamp | None = self.estimator.current_watermark()
        if self._watermark is not None and (seen is None or seen < self._watermark):
            self._errors.append(LawError("watermark", f"it went back from {self._watermark} to {seen}"))
        elif seen is not None:
            self._watermark = seen
        return seen

    def _interrupted(self, where: str) -> None:
        # Raised from here, the DoFn could take it for one of its own, or catch it.
        try:
            self._sample()
            if self._interrupt is not None:
                self._interrupt(self, where)
        except BaseException as error:
            self._errors.append(error)
            raise

    def _work(self, name: str, restriction: Any, state: bytes, watermark: Timestamp | None) -> Work:
        size = self.worker.size(restriction)
        return Work(name, self.worker.encode_restriction(restriction), state, watermark, size)

    def _compare_sizes(self, whole: float, rest: float, fraction: float) -> None:
        parts = self.work.size + rest
        if abs(parts - whole) > self._case.size_tolerance * max(1.0, whole):
            what = f"a split at {fraction} made {whole} into {self.work.size} and {rest}"
            self._errors.append(LawError("size", what))

    def _raise_broken(self) -> None:
        if self._errors:
            raise self._errors[0]


def _unwrapped(result: Any) -> Output:
    tag = timestamp = None
    if isinstance(result, TaggedOutput):
        tag, result = result.tag, result.value
    if isinstance(result, (TimestampedValue, WindowedValue)):
        timestamp, result = Timestamp.of(result.timestamp), result.value
    return Output(result, timestamp, tag)
