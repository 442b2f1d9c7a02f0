"""When a fault is due: a deck of kinds, shuffled by the seed and dealt out call by call."""

import random
import threading
from collections.abc import Mapping


class Schedule:
    """Deals a kind of fault, or none, to each call; the nth answer depends on the seed and n alone. Thread-safe.

    Faults drawn by lot would leave out a kind now and then. Of a deck of `block` cards each kind comes exactly as often
    as it is in there: so many calls, so many faults of each kind, only their order is chance.

    Args:
        seed: of the order.
        name: what is scheduled, so that two schedules of a seed differ.
        kinds: how often each kind is in a deck.
        calm: how many calls of a deck have no fault.
        first: kinds that are in the first deck only, besides.
    """

    def __init__(
        self, seed: int, name: str, kinds: Mapping[str, int], calm: int, first: Mapping[str, int] | None = None
    ) -> None:
        self._seed = seed
        self._name = name
        self._deck: list[str | None] = [kind for kind, times in kinds.items() for _ in range(times)] + [None] * calm
        self._first: list[str | None] = [kind for kind, times in (first or {}).items() for _ in range(times)]
        if not self._deck:
            message = f"The schedule {name} has neither a kind of fault nor a calm call"
            raise ValueError(message)
        self._lock = threading.Lock()
        self._shuffled = 0
        self._left: list[str | None] = []

    @property
    def block(self) -> int:
        """Calls of a deck, but for the first."""
        return len(self._deck)

    def next(self) -> str | None:
        """The fault of the next call."""
        with self._lock:
            if not self._left:
                self._left = [*self._deck, *([] if self._shuffled else self._first)]
                random.Random(f"{self._seed}/{self._name}/{self._shuffled}").shuffle(self._left)
                self._shuffled += 1
            return self._left.pop()
