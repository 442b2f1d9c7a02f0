"""The laws of what is handed over: restrictions, estimator states and their coders."""

from pipelines.kinesis.testing.bundle import Bundle
from pipelines.kinesis.testing.case import Choose, LawError, SdfCase
from pipelines.kinesis.testing.reading import Reading, Workers, read
from pipelines.kinesis.testing.schedule import FRACTIONS


def watermark(case: SdfCase, choose: Choose) -> None:
    """The estimator made from a state that was coded is not behind the one it came from.

    That it never goes back, and that no output is earlier than it, is watched in each bundle of each law.
    """
    workers = Workers(case, frozen=True)

    def resume(bundle: Bundle, where: str) -> None:
        worker = bundle.worker
        before = bundle.estimator.current_watermark()
        state = worker.decode_state(worker.encode_state(bundle.estimator.get_estimator_state()))
        after = worker.estimator(state).current_watermark()
        if before is not None and (after is None or after < before):
            law = "watermark"
            raise LawError(law, f"it was {before} {where}, and {after} when it was made anew from {state!r}")

    read(workers, [workers.begin()], resume)


def coders(case: SdfCase, choose: Choose) -> None:
    """What is coded comes back equal, and equal values give equal bytes where the coder says deterministic.

    Asked at each interruption, and of both parts of splits. Each hand-over of each other law goes through the coders
    too, so that what a coder drops is missed there.
    """
    workers = Workers(case, frozen=True)
    fraction, splits = (0.0, *FRACTIONS)[choose(1 + len(FRACTIONS))], choose(4)

    def look(bundle: Bundle, where: str) -> None:
        nonlocal splits
        bundle.worker.encode_restriction(bundle.tracker.current_restriction())
        bundle.worker.encode_state(bundle.estimator.get_estimator_state())
        if splits and choose(2):
            splits -= 1
            residual = bundle.split(fraction)
            if residual is not None:
                workers.steps.append(f"split {bundle.work.name} at {fraction} {where}")
                reading.queue.append(residual)

    reading = Reading(workers, [workers.begin()], look)
    reading.run()
