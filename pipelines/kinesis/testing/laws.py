"""All laws of splittable DoFns together: `LAWS` and `check_laws`. docs/sdf-laws.md says what each is for."""

from collections.abc import Callable, Sequence
from typing import Final

from pipelines.kinesis.testing.case import Choose, SdfCase
from pipelines.kinesis.testing.schedule import Schedule
from pipelines.kinesis.testing.split_laws import checkpoints, coverage, initial_split, truncate
from pipelines.kinesis.testing.tracker_laws import check_done, claims, progress
from pipelines.kinesis.testing.value_laws import coders, watermark

Law = Callable[[SdfCase, Choose], None]
"""Raises `LawError` when the case breaks it in what `choose` chose."""


def exactly_once(case: SdfCase, choose: Choose) -> None:
    """Every record comes exactly once, and those of a key in order (`ordered`), whatever runner and world do."""
    Schedule(case, choose).run()


LAWS: Final[Sequence[Law]] = (
    exactly_once, coverage, initial_split, checkpoints, truncate, claims, check_done, progress, watermark, coders,
)  # fmt: skip
"""All of them, the widest first."""


def check_laws(make_case: Callable[[], SdfCase], choose: Choose) -> None:
    """Puts a splittable DoFn through all laws once.

    Args:
        make_case: makes the case anew for each law, and the world that it reads.
        choose: decides what happens; see `Choose`.

    Raises:
        LawError: which law is broken, and by which schedule.
    """
    for law in LAWS:
        law(make_case(), choose)
