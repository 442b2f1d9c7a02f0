"""Reading a piece of work to its end, one bundle after the other, in a world that stands still."""

import itertools
from collections import Counter, deque
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Any

from pipelines.kinesis.testing.bundle import Bundle, Interrupt, Work
from pipelines.kinesis.testing.case import LawError, Output, Record, SdfCase
from pipelines.kinesis.testing.worker import Worker


class Workers:
    """The workers of a case. A worker that a bundle failed on is not used again.

    Args:
        case: what is read.
        frozen: its world stands still while they work.

    Attributes:
        steps: what happened, for errors.
    """

    def __init__(self, case: SdfCase, *, frozen: bool) -> None:
        self.case = case
        self.steps: list[str] = []
        self._frozen = frozen
        self._idle: list[Worker] = []
        self._names = map("work {}".format, itertools.count(1))

    def begin(self) -> Work:
        """All of the element, as the SDK makes it."""
        worker = self.take()
        whole = worker.initial_restriction()
        work = self._untouched(worker, whole)
        self.give(worker)
        return work

    def split(self, work: Work) -> list[Work]:
        """The initial split."""
        worker = self.take()
        parts = worker.split(worker.decode_restriction(work.restriction))
        works = [self._untouched(worker, part) for part in parts]
        self.give(worker)
        return works

    def truncate(self, work: Work) -> Work | None:
        """What is left to read of `work` when the pipeline is drained."""
        worker = self.take()
        short = worker.truncate(worker.decode_restriction(work.restriction))
        self.give(worker)
        if short is None:
            return None
        if not short:
            law = "truncate"
            raise LawError(law, f"the SDK takes {short!r} for nothing, as its truth value is false")
        size = worker.size(short)
        return Work(f"{work.name}, truncated", worker.encode_restriction(short), work.state, work.watermark, size)

    def start(self, work: Work, interrupt: Interrupt | None = None, *, fresh: bool = False) -> Bundle:
        """An attempt at `work`; `fresh` on a worker that read nothing yet."""
        worker = Worker(self.case) if fresh else self.take()
        return Bundle(self.case, worker, work, interrupt, frozen=self._frozen, names=self._names)

    def take(self) -> Worker:
        return self._idle.pop() if self._idle else Worker(self.case)

    def give(self, worker: Worker) -> None:
        self._idle.append(worker)

    def _untouched(self, worker: Worker, restriction: Any) -> Work:
        state = worker.encode_state(worker.initial_state(restriction))
        size = worker.size(restriction)
        return Work(next(self._names), worker.encode_restriction(restriction), state, None, size)


class Reading:
    """Reads works and all that they leave, in turns, each bundle after the one before.

    Args:
        workers: they read.
        works: what to read.
        interrupt: see `Interrupt`.

    Attributes:
        queue: what is still to be read; who interrupts may append to it.
        outputs: in the order of commits.
    """

    def __init__(self, workers: Workers, works: Iterable[Work], interrupt: Interrupt | None = None) -> None:
        self.queue = deque(works)
        self.outputs: list[Output] = []
        self._workers = workers
        self._interrupt = interrupt

    def run(self, law: str = "coverage", between: Callable[[], None] | None = None, *, quiet_ends: bool = True) -> None:
        """Reads until nothing is left or, where that is unbounded, until nothing comes any more.

        Args:
            law: is broken when reading takes more than the case's `most_calls`.
            between: called before each bundle.
            quiet_ends: whether unbounded work may be left; if not, it must end.

        Raises:
            LawError: `law`, or one that is broken in any reading.
        """
        try:
            self._run(law, between, quiet_ends=quiet_ends)
        except LawError as error:
            raise LawError(error.law, error.what, self._workers.steps) from error

    def _run(self, law: str, between: Callable[[], None] | None, *, quiet_ends: bool) -> None:
        workers, case, calls, quiet = self._workers, self._workers.case, 0, 0
        while self.queue:
            work = self.queue.popleft()
            if between is not None:
                between()
            case.wait(work.delay_s)
            workers.steps.append(f"read {work.name}")
            bundle = workers.start(work, self._interrupt)
            while bundle.step():
                pass
            workers.give(bundle.worker)
            self.outputs += bundle.outputs
            if bundle.deferred is not None:
                self.queue.append(bundle.deferred)
            calls += 1
            quiet = 0 if bundle.outputs or bundle.watched.granted or bundle.bounded else quiet + 1
            if quiet_ends and quiet >= case.quiet_calls * max(1, len(self.queue)):
                return
            if calls > case.most_calls:
                raise LawError(law, f"reading did not end within {case.most_calls} process() calls")


def read(workers: Workers, works: Iterable[Work], interrupt: Interrupt | None = None, law: str = "coverage") -> Reading:
    """`works`, read as `Reading` says."""
    reading = Reading(workers, works, interrupt)
    reading.run(law)
    return reading


def interruptions(case: SdfCase) -> int:
    """In how many places the reading of all can be interrupted; not less than 1."""
    workers, count = Workers(case, frozen=True), 0

    def add(bundle: Bundle, where: str) -> None:
        nonlocal count
        count += 1

    read(workers, [workers.begin()], add)
    return max(1, count)


def identities(case: SdfCase, outputs: Sequence[Output]) -> Counter[Hashable]:
    """How often each record is in `outputs`."""
    return Counter(record.identity for record in records(case, outputs))


def records(case: SdfCase, outputs: Sequence[Output]) -> list[Record]:
    """The records in `outputs`, each as often as it was output."""
    return [record for output in outputs for record in case.records_of(output)]


def difference(wanted: Counter[Hashable], got: Counter[Hashable]) -> str:
    """In words: what `got` has too little and too much of; empty when they are equal."""
    lost, more = wanted - got, got - wanted
    doubled = {identity: count for identity, count in more.items() if wanted[identity]}
    invented = [identity for identity in more if not wanted[identity]]
    parts = [
        f"{word} {_some(found)}"
        for word, found in (("lost", list(lost)), ("doubled", list(doubled)), ("never there:", invented))
        if found
    ]
    return "; ".join(parts)


def _some(found: list[Hashable]) -> str:
    names = sorted(map(str, found))
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
