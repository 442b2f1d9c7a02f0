"""What a splittable DoFn tells of itself to be put through the laws: `SdfCase`, and the values the laws speak in."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import apache_beam as beam
from apache_beam.utils.timestamp import Timestamp

Choose = Callable[[int], int]
"""Decides what happens: `choose(n)` is one of 0 .. n - 1, and 0 the plainest. `random.Random(7).randrange` is one, and
`choices(data)` another, which hypothesis draws, records and shrinks."""


@dataclass(frozen=True, slots=True)
class Output:
    """One output of `process()`, out of its TaggedOutput and TimestampedValue.

    Attributes:
        value: the element.
        timestamp: what the DoFn gave it; None when it gave none, and the element has its input's.
        tag: the output's tag; None for the main output.
    """

    value: Any
    timestamp: Timestamp | None = None
    tag: str | None = None


@dataclass(frozen=True, slots=True)
class Record:
    """One record in what was output: what must be there exactly once.

    Attributes:
        identity: tells it from all others.
        key: records of one key have an order; those of two keys have none.
        order: grows along the records of a key, and may be equal for records that have no order among them.
    """

    identity: Hashable
    key: Hashable = None
    order: Any = 0


class LawError(AssertionError):
    """A law is broken.

    Args:
        law: its name.
        what: what was seen.
        schedule: what had happened, in its order.
    """

    def __init__(self, law: str, what: str, schedule: Sequence[str] = ()) -> None:
        steps = "".join(f"\n  {number}. {step}" for number, step in enumerate(schedule, 1))
        super().__init__(f"the law '{law}' is broken: {what}" + (f"\nThe schedule was:{steps}" if steps else ""))
        self.law = law
        self.what = what


class SdfCase(ABC):
    """A splittable DoFn, one element for it, and the world it reads.

    A case is made anew for each example; what it reads must not be changed by reading.

    Attributes:
        element: the DoFn's input.
        ordered: the records of a key come in their order, also when the runner splits at a fraction and reads both
            parts at once. Not demanded is the order across a checkpoint whose residual is read before the bundle that
            it was taken from is committed.
        exact_progress: a claim of a bounded restriction moves work from what remains to what is completed, and neither
            adds to it nor takes from it. False for a tracker that can only estimate what remains.
        done_leaves_nothing: the tracker's `remaining_work` is 0 when its work is done. False for a tracker that counts
            the claim in hand as remaining, as Beam's OffsetRestrictionTracker does.
        size_tolerance: how much of a bounded restriction's size may be missing from, or too much in, its two parts'.
        quiet_calls: an unbounded restriction is taken as read when so many `process()` calls in a row had no output.
        most_calls: reading that takes more `process()` calls than this does not end.
    """

    element: Any = None
    ordered: bool = False
    exact_progress: bool = True
    done_leaves_nothing: bool = True
    size_tolerance: float = 1e-6
    quiet_calls: int = 3
    most_calls: int = 1000

    @abstractmethod
    def make_dofn(self) -> beam.DoFn:
        """The DoFn as a worker gets it, before `setup()`. Called once a worker."""

    @abstractmethod
    def records_of(self, output: Output) -> Iterable[Record]:
        """The records in one output, in their order; none in outputs that are no data."""

    @abstractmethod
    def expected(self) -> Iterable[Hashable]:
        """The identities of all records that the element stands for by now."""

    def downstream(self, outputs: Sequence[Output]) -> Iterable[Record]:
        """The records behind what the pipeline does right behind the DoFn, for DoFns that are no use without it.

        Args:
            outputs: all that was committed, in the order of commits.
        """
        return (record for output in outputs for record in self.records_of(output))

    def accounted(self, outputs: Sequence[Output]) -> Iterable[Hashable]:
        """Identities that `outputs` report as gone from the source before they could be read; they need not come."""
        return ()

    def world_step(self, choose: Choose) -> str | None:
        """Lets something happen in the world: a put, a fault, time that passes.

        Returns:
            What happened, for the schedule of an error; None when the world never changes.
        """
        return None

    def wait(self, seconds: float) -> None:  # noqa: B027 (a case without a clock needs none)
        """Lets `seconds` pass on the clock that the DoFn was given, as a runner does before it resumes."""


def choices(data: Any) -> Choose:
    """A `Choose` of hypothesis, from the value of its strategy `data()`."""
    from hypothesis import strategies

    return lambda n: data.draw(strategies.integers(0, n - 1)) if n > 1 else 0
