"""How a series is held between bundles: as bytes in Beam's state, which counts, and alive in the process beside it.

Beam encodes what a bundle wrote into a state when the bundle ends. So a series is put there alive, and taken down to
bytes once a bundle, however often it is changed in it.
"""

import struct
import weakref
from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

from apache_beam.coders import Coder

from pipelines.analytics.journal import Journal
from pipelines.analytics.order import NOTHING_RELEASED
from pipelines.analytics.state import SeriesState

NO_TIMER: Final = 1 << 62
_HEAD: Final = struct.Struct(">16sqq??")


@dataclass(frozen=True, slots=True)
class Head:
    """What is known of a series without reading the rest of its state.

    Attributes:
        token: another one whenever the state is; what lives beside it carries the one that it is equal to.
        mark_ms: up to where the series has been released.
        due_ms: the watermark at which its timer stands; NO_TIMER when it has none.
        has_snapshot: whether there is a snapshot of it; else it starts anew.
        has_journal: whether there are entries since.
    """

    token: bytes = b""
    mark_ms: int = NOTHING_RELEASED
    due_ms: int = NO_TIMER
    has_snapshot: bool = False
    has_journal: bool = False

    def pack(self) -> bytes:
        """All of it."""
        return _HEAD.pack(self.token, self.mark_ms, self.due_ms, self.has_snapshot, self.has_journal)

    @classmethod
    def unpack(cls, packed: bytes | None) -> "Head":
        """The inverse of `pack`; of nothing, the head of a series that is new."""
        return cls(*_HEAD.unpack(packed)) if packed else cls()


class Snapshot:
    """A series as its state holds it: alive until Beam writes it down, then bytes."""

    def __init__(self, state: SeriesState | None, packed: bytes = b"") -> None:
        self._state = state
        self._packed = packed

    @property
    def is_alive(self) -> bool:
        """Whether the bundle that put it into the state is still under way: what changes will be in it."""
        return self._state is not None

    def pack(self) -> bytes:
        """The bytes; the series is not followed any longer."""
        if self._state is not None:
            self._packed, self._state = self._state.pack(), None
        return self._packed


class SnapshotCoder(Coder):
    """Beam coder of `Snapshot`."""

    def encode(self, value: Snapshot) -> bytes:
        return value.pack()

    def decode(self, encoded: bytes) -> Snapshot:
        return Snapshot(None, encoded)

    def is_deterministic(self) -> bool:
        return False


@dataclass(slots=True)
class Alive:
    """A series in this process.

    Attributes:
        state: the series.
        journal: what is written down of it since its snapshot.
        has_snapshot: whether the state holds one.
    """

    state: SeriesState
    journal: Journal
    has_snapshot: bool
    _latest: "weakref.ref[Snapshot] | None" = None  # its bytes are Beam's, not ours to keep

    def is_followed(self) -> bool:
        """Whether this bundle has put a snapshot into the state, in which further changes will be."""
        latest = self._latest() if self._latest is not None else None
        return latest is not None and latest.is_alive

    def snapshot(self) -> Snapshot:
        """A snapshot for the state; the journal begins anew."""
        snapshot = Snapshot(self.state)
        self.journal, self.has_snapshot, self._latest = Journal(), True, weakref.ref(snapshot)
        return snapshot


class AliveSeries:
    """The series that this process had last, each with the token of the state that it is equal to.

    Args:
        most: how many.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._of: OrderedDict[str, tuple[bytes, Alive]] = OrderedDict()

    def take(self, series: str, token: bytes) -> Alive | None:
        """The series, for the caller alone; None when it is not what the state holds."""
        known, alive = self._of.pop(series, (b"", None))
        return alive if known == token else None

    def give(self, series: str, token: bytes, alive: Alive) -> None:
        """`alive` is equal to the state that carries `token`."""
        self._of[series] = (token, alive)
        if len(self._of) > self._most:
            self._of.popitem(last=False)
