"""The laws of splitting: what is handed over and what is kept are the whole, at every place and fraction."""

from collections import Counter
from collections.abc import Callable
from typing import Any, Final

from pipelines.kinesis.testing.bundle import Bundle, Work
from pipelines.kinesis.testing.case import Choose, LawError, SdfCase
from pipelines.kinesis.testing.reading import (
    Reading,
    Workers,
    difference,
    identities,
    interruptions,
    read,
    records,
)
from pipelines.kinesis.testing.schedule import FRACTIONS
from pipelines.kinesis.testing.tracker_laws import passes

SPLITS: Final = (0.0, *FRACTIONS)
"""Where a runner splits: 0 is a checkpoint."""


def coverage(case: SdfCase, choose: Choose) -> None:
    """At one place and fraction, primary and residual are the whole: see `check_split`."""
    check_split(case, choose(interruptions(case)), SPLITS[choose(len(SPLITS))])


def check_split(case: SdfCase, place: int, fraction: float) -> bool:
    """A split at the `place`-th interruption: reading both parts gives what reading the whole gives.

    And reading the primary from its beginning, as is done when the bundle fails, gives what the bundle gave.

    Returns:
        Whether the tracker split there.

    Raises:
        LawError: not so.
    """
    workers = Workers(case, frozen=True)
    whole = read(workers, [workers.begin()])
    workers.steps.clear()
    taken: list[tuple[Work, Work, int]] = []
    places = iter(range(place + 1))

    def split(bundle: Bundle, where: str) -> None:
        if next(places, None) == place:
            residual = bundle.split(fraction)
            if residual is not None:
                workers.steps.append(f"split {bundle.work.name} at {fraction} {where}")
                taken.append((bundle.work, residual, len(reading.outputs)))

    reading = Reading(workers, [workers.begin()], split)
    reading.run()
    if not taken:
        return False
    primary, residual, before = taken[0]
    rest = read(workers, [residual])
    again = read(workers, [primary])
    parts = [*reading.outputs, *rest.outputs]
    _same("primary and residual are not the whole", workers, whole.outputs, parts)
    _same("the primary repeated is not the primary", workers, reading.outputs[before:], again.outputs)
    return True


def every_split(make_case: Callable[[], SdfCase]) -> int:
    """`coverage` at every place where a runner can split, at each of `SPLITS`, each in a case of its own.

    Returns:
        How many splits were taken.
    """
    places = interruptions(make_case())
    return sum(check_split(make_case(), place, fraction) for place in range(places) for fraction in SPLITS)


def initial_split(case: SdfCase, choose: Choose) -> None:
    """Reading the parts of the initial split gives what reading the whole gives."""
    workers = Workers(case, frozen=True)
    whole = read(workers, [workers.begin()])
    works = workers.split(workers.begin())
    parts = read(workers, works, law="initial split")
    what = f"the {len(works)} parts are not the whole"
    _same(what, workers, whole.outputs, parts.outputs, law="initial split")


def checkpoints(case: SdfCase, choose: Choose) -> None:
    """A checkpoint at any claim, or all of them, changes neither the records nor the order within a key."""
    law = "checkpoints"
    workers = Workers(case, frozen=True)
    whole = read(workers, [workers.begin()])
    workers.steps.clear()
    at = ("before a claim", "after a claim", "behind an output", "")[choose(4)]
    stopped: set[bytes] = set()

    def checkpoint(bundle: Bundle, where: str) -> None:
        if at not in ("", where) or (not at and choose(2)):
            return
        if not bundle.watched.granted:
            # A runner that stopped every bundle before its first claim would never read anything.
            if bundle.work.restriction in stopped:
                return
            stopped.add(bundle.work.restriction)
        residual = bundle.split(0.0)
        if residual is None:
            return
        workers.steps.append(f"checkpoint {bundle.work.name} {where}")
        reading.queue.append(residual)
        if not passes(bundle):
            broken = "check_done"
            raise LawError(broken, "it raised behind a checkpoint, which leaves the primary nothing to do")

    reading = Reading(workers, [workers.begin()], checkpoint)
    reading.run(law)
    _same("not the same", workers, whole.outputs, reading.outputs, law=law)
    got = _by_key(case, reading)
    for key, wanted in _by_key(case, whole).items():
        if got[key] != wanted:
            raise LawError(law, f"of key {key!r}, {wanted} came as {got[key]}", workers.steps)


def truncate(case: SdfCase, choose: Choose) -> None:
    """What `truncate` leaves is part of the whole, and ends although the world goes on."""
    law = "truncate"
    place = choose(interruptions(case) + 1)
    workers = Workers(case, frozen=False)
    places = iter(range(place + 1))
    taken: list[Work] = []

    def stop(bundle: Bundle, where: str) -> None:
        if place and next(places, None) == place - 1:
            residual = bundle.split(0.0)
            if residual is not None:
                workers.steps.append(f"checkpoint {bundle.work.name} {where}, and drain")
                taken.append(residual)

    def go_on() -> None:
        happened = case.world_step(choose)
        if happened:
            workers.steps.append(happened)

    reading = Reading(workers, [workers.begin()], stop)
    if place:
        reading.run()
    before = reading.outputs if taken else []
    short = workers.truncate(taken[0] if taken else workers.begin())
    if short is None:
        return
    drained = Reading(workers, [short])
    drained.run(law, go_on, quiet_ends=False)
    seen = identities(case, [*before, *drained.outputs])
    beyond = seen - Counter(set(case.expected()))
    if beyond:
        what = f"{sorted(map(str, beyond))[:5]} was not in what was truncated, or was read twice"
        raise LawError(law, what, workers.steps)


def _by_key(case: SdfCase, reading: Reading) -> dict[Any, list[Any]]:
    by_key: dict[Any, list[Any]] = {}
    for record in records(case, reading.outputs):
        by_key.setdefault(record.key, []).append(record.identity)
    return by_key


def _same(what: str, workers: Workers, wanted: list[Any], got: list[Any], law: str = "coverage") -> None:
    unlike = difference(identities(workers.case, wanted), identities(workers.case, got))
    if unlike:
        raise LawError(law, f"{what}: {unlike}", workers.steps)
