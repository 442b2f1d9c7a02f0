"""The laws of the tracker alone: what it grants, when it is done, and what it says of its progress."""

from typing import Any

from pipelines.kinesis.testing.bundle import Bundle
from pipelines.kinesis.testing.case import Choose, LawError, SdfCase
from pipelines.kinesis.testing.reading import Workers, read
from pipelines.kinesis.testing.schedule import FRACTIONS
from pipelines.kinesis.testing.watch import progress_of


def claims(case: SdfCase, choose: Choose) -> None:
    """Nothing is granted twice, nor behind a checkpoint, nor behind a claim that was refused.

    The claims that a reading made are made again, of new trackers of the same restriction.
    """
    law = "claims"
    workers = Workers(case, frozen=True)
    bundles: dict[int, tuple[bytes, Bundle]] = {}

    def remember(bundle: Bundle, where: str) -> None:
        bundles.setdefault(id(bundle), (bundle.work.restriction, bundle))

    read(workers, [workers.begin()], remember)
    made = [(restriction, bundle.watched.granted) for restriction, bundle in bundles.values() if bundle.watched.granted]
    if not made:
        return
    encoded, granted = made[choose(len(made))]
    count, fraction = choose(len(granted) + 1), (0.0, *FRACTIONS)[choose(1 + len(FRACTIONS))]
    worker = workers.take()
    first, rest = granted[:count], granted[count:]
    steps = [f"claim {position}" for position in first]

    def claimed() -> Any:
        tracker = worker.tracker(worker.decode_restriction(encoded))
        for position in first:
            if not tracker.try_claim(position):
                raise LawError(law, f"{position} was granted in one reading and refused in another", steps)
        return tracker

    if first:
        again = first[choose(count)]
        if grants(claimed(), again):
            raise LawError(law, f"{again} was granted twice", steps)
    tracker = claimed()
    if not tracker.try_split(fraction):
        return
    steps.append(f"split at {fraction}")
    why = "a checkpoint" if fraction == 0 else ""
    for position in rest:
        if grants(tracker, position):
            if why:
                raise LawError(law, f"{position} was granted behind {why}", steps)
            steps.append(f"claim {position}")
        else:
            why = why or f"the claim of {position}, which was refused"


def check_done(case: SdfCase, choose: Choose) -> None:
    """`check_done` raises as long as there is a claim that will be granted."""
    workers = Workers(case, frozen=True)
    passed: dict[int, tuple[Bundle, int]] = {}

    def ask(bundle: Bundle, where: str) -> None:
        if id(bundle) not in passed and passes(bundle):
            passed[id(bundle)] = (bundle, len(bundle.watched.granted))

    read(workers, [workers.begin()], ask)
    for bundle, count in passed.values():
        for position in bundle.watched.granted[count:]:
            law = "check_done"
            raise LawError(law, f"it did not raise before {position} was claimed, which was granted", workers.steps)


def progress(case: SdfCase, choose: Choose) -> None:
    """Nothing remains only when all is done, and then nothing does (`done_leaves_nothing`).

    That no amount is negative is watched at every claim of every law, and that a claim adds nothing to what remains
    and moves as much as it takes to what is completed at those of a bounded restriction in a world that stands still.
    """
    law = "progress"
    workers = Workers(case, frozen=True)

    def look(bundle: Bundle, where: str) -> None:
        seen = progress_of(bundle.watched)
        if seen is None:
            return
        done = passes(bundle)
        if seen[1] == 0 and not done:
            raise LawError(law, f"nothing remains {where}, and check_done() says that something does")
        if seen[1] > 0 and done and case.done_leaves_nothing:
            raise LawError(law, f"{seen[1]} remains {where}, and check_done() says that nothing does")

    read(workers, [workers.begin()], look)


def passes(bundle: Bundle) -> bool:
    """Whether `check_done` says that all is done."""
    try:
        bundle.tracker.check_done()
    except ValueError:
        return False
    return True


def grants(tracker: Any, position: Any) -> bool:
    """Whether a claim is granted, by a tracker that may raise where it could refuse."""
    try:
        return bool(tracker.try_claim(position))
    except Exception:
        return False
