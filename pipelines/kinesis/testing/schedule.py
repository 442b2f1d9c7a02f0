"""A runner that does what runners may do, in the order that a schedule chooses, and what must come out of it."""

from collections import Counter
from collections.abc import Hashable
from typing import Final

from pipelines.kinesis.testing.bundle import Bundle, Work, WorkerFailedError
from pipelines.kinesis.testing.case import Choose, LawError, Output, SdfCase
from pipelines.kinesis.testing.reading import Workers, difference

FRACTIONS: Final = (0.5, 0.25, 0.75, 1e-9, 1 - 1e-9)
"""Splits that are no checkpoint; a checkpoint is a split at 0."""
_MOST_ACTIONS: Final = 48
_MOST_RUNNING: Final = 4


class Schedule:
    """Reads a case in one of all the ways it may be read in.

    Bundles run beside each other, on workers that read before or not; around each claim and behind each output the
    runner may split, and another bundle may run; bundles fail, and are repeated from their primary; a residual is read
    before, while or after its primary is; the world goes on. After that all is left in peace and read to its end.

    Args:
        case: what is read.
        choose: decides.

    Attributes:
        steps: what happened.
        outputs: all that was committed, in the order of commits.
    """

    def __init__(self, case: SdfCase, choose: Choose) -> None:
        self.steps: list[str] = []
        self.outputs: list[Output] = []
        self._case = case
        self._choose = choose
        self._workers = Workers(case, frozen=False)
        self._pending: list[Work] = []
        self._running: list[Bundle] = []
        self._in_order = bool(case.ordered and choose(2) == 0)
        self._actions = choose(_MOST_ACTIONS)
        self._nested = False

    def run(self) -> None:
        """Reads it all.

        Raises:
            LawError: some law was broken on the way, or what came out is not what was in there.
        """
        try:
            self._begin()
            while self._actions > 0 and (self._pending or self._running):
                self._act()
            self._finish()
            self._judge()
        except LawError as error:
            raise LawError(error.law, error.what, self.steps) from error

    def _begin(self) -> None:
        work = self._workers.begin()
        parts = self._workers.split(work) if self._choose(2) else [work]
        self._pending = list(parts)
        self._say("read " + ", ".join(part.name for part in parts))

    def _act(self) -> None:
        """One thing that a runner does between two outputs."""
        self._actions -= 1
        action = self._choose(8)
        ready = self._ready()
        if action == 7:
            self._world()
        elif action == 6 and self._running:
            self._fail(self._running[self._choose(len(self._running))])
        elif ready and len(self._running) < _MOST_RUNNING and (not self._running or action in (4, 5)):
            self._start(ready[self._choose(len(ready))], wait=bool(self._choose(2)))
        elif self._running:
            self._step(self._running[self._choose(len(self._running))])

    def _ready(self) -> list[int]:
        return [
            index
            for index, work in enumerate(self._pending)
            if not (self._in_order and work.behind is not None and not work.behind.done)
        ]

    def _start(self, index: int, *, wait: bool) -> Bundle:
        work = self._pending.pop(index)
        if wait:
            self._case.wait(work.delay_s)
        fresh = self._actions > 0 and self._choose(3) == 2
        self._say(f"start {work.name}" + (" on a new worker" if fresh else ""))
        bundle = self._workers.start(work, self._interrupted, fresh=fresh)
        self._running.append(bundle)
        return bundle

    def _step(self, bundle: Bundle) -> bool:
        try:
            if bundle.step():
                self._say(f"{bundle.work.name} outputs")
                return True
        except WorkerFailedError:
            self._fail(bundle)
            return False
        self._running.remove(bundle)
        self._workers.give(bundle.worker)
        self.outputs += bundle.outputs
        if bundle.deferred is None:
            bundle.work.ticket.committed = True
        else:
            self._pending.append(bundle.deferred)
        self._say(f"commit {bundle.work.name}" + (f", which defers {bundle.deferred.name}" if bundle.deferred else ""))
        return False

    def _fail(self, bundle: Bundle) -> None:
        self._say(f"{bundle.work.name} fails and is to be repeated")
        bundle.fail()
        self._running.remove(bundle)
        self._pending.append(bundle.work)

    def _world(self) -> None:
        happened = self._case.world_step(self._choose)
        if happened:
            self._say(happened)

    def _interrupted(self, bundle: Bundle, where: str) -> None:
        """What others do while `process()` of `bundle` is at `where`."""
        if self._actions <= 0:
            return
        action = self._choose(12)
        if action < 7:
            return
        self._actions -= 1
        if action in (7, 8):
            self._split(bundle, FRACTIONS[self._choose(len(FRACTIONS))], where)
        elif action == 9:
            self._split(bundle, 0.0, where)
        elif action == 10:
            self._world()
        elif not self._nested:
            self._beside(bundle, where)

    def _split(self, bundle: Bundle, fraction: float, where: str) -> None:
        residual = bundle.split(fraction)
        if residual is None:
            self._say(f"{bundle.work.name} is not split at {fraction} {where}")
            return
        self._pending.append(residual)
        self._say(f"split {bundle.work.name} at {fraction} {where}: {residual.name} is for others")

    def _beside(self, bundle: Bundle, where: str) -> None:
        """Either the bundle fails right here, or another one runs from its start to its end."""
        ready = self._ready()
        if where != "behind an output" and self._choose(2):
            raise WorkerFailedError
        if not ready:
            return
        self._nested = True
        try:
            self._say(f"while {bundle.work.name} is {where}:")
            other = self._start(ready[self._choose(len(ready))], wait=False)
            while self._step(other):
                pass
        finally:
            self._nested = False

    def _finish(self) -> None:
        """Reads what is left, in peace."""
        self._actions = 0
        self._say("from here on nothing happens but reading")
        calls = quiet = 0
        while self._running or self._pending:
            if not self._running:
                index = self._ready()[0]
                self._start(index, wait=True)
            bundle = self._running[0]
            while self._step(bundle):
                pass
            calls += 1
            quiet = 0 if bundle.outputs or bundle.watched.granted or bundle.bounded else quiet + 1
            if not self._running and quiet >= self._case.quiet_calls * max(1, len(self._pending)):
                return
            if calls > self._case.most_calls:
                law = "exactly once"
                raise LawError(law, f"reading did not end within {self._case.most_calls} process() calls")

    def _judge(self) -> None:
        records = list(self._case.downstream(self.outputs))
        got = Counter(record.identity for record in records)
        wanted: Counter[Hashable] = Counter(set(self._case.expected()))
        for identity in set(self._case.accounted(self.outputs)) - got.keys():
            wanted.pop(identity, None)
        unlike = difference(wanted, got)
        if unlike:
            law = "exactly once"
            raise LawError(law, unlike)
        if not self._in_order:
            return
        last: dict[Hashable, tuple[object, Hashable]] = {}
        for record in records:
            if record.key in last and record.order < last[record.key][0]:
                law, before = "order", last[record.key][1]
                raise LawError(law, f"of key {record.key!r}, {record.identity} came behind {before}")
            last[record.key] = (record.order, record.identity)

    def _say(self, step: str) -> None:
        self.steps.append(step)
