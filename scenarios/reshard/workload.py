"""What the scenario puts: real flights, held back where a split or merge is due, so that each happens under load."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from pipelines.kinesis.put import Record
from scenarios.flights.workload import make_workload as make_flights
from scenarios.reshard.resharding import Resharding


@dataclass(frozen=True)
class Workload:
    """Flights to put, in as many equal parts as there are steps, and one before and one behind them.

    Step n begins when part n has been handed out, and part n + 2 follows only when step n has been made: every step has
    records put while it is made, and a part of its own before the next one begins.

    Attributes:
        flights: the records.
        steps: how many splits and merges there are.
        resharding: makes them; None makes none.
    """

    flights: tuple[Record, ...]
    steps: int
    resharding: Resharding | None = None

    def __len__(self) -> int:
        return len(self.flights)

    def records(self) -> Iterator[Record]:
        """The records in the order in which they are put."""
        parts = self.steps + 2
        edges = [round(len(self.flights) * part / parts) for part in range(parts + 1)]
        for part in range(parts):
            if self.resharding is not None:
                if part >= 2:
                    self.resharding.wait()
                if 1 <= part <= self.steps:
                    self.resharding.begin()
            yield from islice(self.flights, edges[part], edges[part + 1])


def flight_records(count: int | None, seed: int) -> tuple[Record, ...]:
    """`count` flights as JSON, keyed by aircraft, with the malformed ones of the scenario `flights` among them."""
    return tuple(make_flights(count, seed).records())
