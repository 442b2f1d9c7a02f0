"""The gate: pages of shards that descend from a merge across restrictions, in order behind their parents' pages.

A merge's child must come behind both parents (B12). When two restrictions read the parents, neither knows when the
other is done, and a splittable DoFn has no state to tell. So the child is read by the one that reads its owner, the
parent that took its first hash key, its pages and those of its descendants go through this gate, and each restriction
marks the end of a shard that the gate has to know of. All of a stream's gated pages meet under one key: the release of
a child and that of its own child must not overtake each other.

Every item names the position that it follows, so the gate puts a shard's items in order whatever order the runner
brings them in, and drops one that comes twice.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Self

import orjson
import pyarrow as pa

from pipelines.kinesis.page import decode_batch, encode_batch


@dataclass(frozen=True, slots=True)
class GateItem:
    """A claim that the gate has to know of.

    Attributes:
        shard_id: the shard.
        follows: sequence number that the claim began behind; empty at the shard's beginning.
        reached: sequence number of the claim's last record; `follows` when it moved nowhere.
        gated: its pages pass the gate; else only the mark of its end does.
        ends: nothing of the shard follows.
        children: for an ended shard its children and all their parents, as far as they are known.
        timestamp_ms: of the page; of the end otherwise.
        page: the records, if there are any.
    """

    shard_id: str
    follows: str = ""
    reached: str = ""
    gated: bool = True
    ends: bool = False
    children: tuple[tuple[str, tuple[str, ...]], ...] = ()
    timestamp_ms: int = 0
    page: pa.RecordBatch | None = None

    def encode(self) -> bytes:
        """As a line of JSON, and the page behind it."""
        members = [
            self.shard_id, self.follows, self.reached, self.gated, self.ends, self.children, self.timestamp_ms
        ]  # fmt: skip
        return orjson.dumps(members) + b"\n" + (b"" if self.page is None else encode_batch(self.page))

    @classmethod
    def decode(cls, encoded: bytes) -> Self:
        """The inverse of `encode`."""
        head, _, body = encoded.partition(b"\n")
        shard_id, follows, reached, gated, ends, children, timestamp_ms = orjson.loads(head)
        tree = tuple((child, tuple(parents)) for child, parents in children)
        return cls(shard_id, follows, reached, gated, ends, tree, timestamp_ms, decode_batch(body) if body else None)


@dataclass
class Gate:
    """What the gate knows: the front of the lineage, and nothing of what lies behind it.

    Attributes:
        reached: for each gated shard that is open, the sequence number its pages have got to.
        waiting: for each gated shard that is not, the parents whose end has not been seen.
        ended: shards that ended without children being known, as when reading ends before the shard does.
        held: for each shard how many of its items are held.
    """

    reached: dict[str, str] = field(default_factory=dict)
    waiting: dict[str, list[str]] = field(default_factory=dict)
    ended: list[str] = field(default_factory=list)
    held: dict[str, int] = field(default_factory=dict)

    def may_pass(self, item: GateItem) -> bool:
        """Whether `item` is not to be held."""
        if not item.gated:
            return True
        at = self.reached.get(item.shard_id)
        return at is not None and (item.follows == at or self._is_double(item))

    def frees(self, item: GateItem) -> bool:
        """Whether something that is held may pass behind `item`, which may."""
        return bool(self.held) and (item.ends or item.shard_id in self.held)

    def hold(self, item: GateItem) -> None:
        """Notes that `item` is held."""
        self.held[item.shard_id] = self.held.get(item.shard_id, 0) + 1

    def pass_through(self, item: GateItem, held: Sequence[GateItem]) -> tuple[list[GateItem], list[GateItem]]:
        """What passes behind `item`, which may pass, in order, `item` first; and what is held from now on.

        Args:
            item: as it comes.
            held: all that was held before, when `frees` says so; else nothing.
        """
        passed: list[GateItem] = []
        rest = list(held)
        queue = [item]
        while queue:
            current = queue.pop(0)
            if not self._is_double(current):
                self._note(current)
                passed.append(current)
            queue = [other for other in rest if self.may_pass(other)]
            rest = [other for other in rest if not self.may_pass(other)]
            rest += queue[1:]  # each may change what the next one finds
            queue = queue[:1]
        if held:
            self.held = dict(Counter(other.shard_id for other in rest))
        return passed, rest

    def to_json(self) -> bytes:
        """As the state keeps it."""
        return orjson.dumps([self.reached, self.waiting, self.ended, self.held])

    @classmethod
    def from_json(cls, encoded: bytes) -> Self:
        """The inverse of `to_json`."""
        return cls(*orjson.loads(encoded))

    def _is_double(self, item: GateItem) -> bool:
        at = self.reached.get(item.shard_id)
        return item.gated and at is not None and not item.ends and int(item.reached or 0) <= int(at or 0)

    def _note(self, item: GateItem) -> None:
        if item.gated:
            self.reached[item.shard_id] = item.reached
        if not item.ends:
            return
        self.reached.pop(item.shard_id, None)
        if not item.children:
            self.ended.append(item.shard_id)
        for child, parents in item.children:
            if child not in self.reached:
                self.waiting.setdefault(child, [parent for parent in parents if parent not in self.ended])
        for child, missing in list(self.waiting.items()):
            if item.shard_id in missing:
                missing.remove(item.shard_id)
            if not missing:
                del self.waiting[child]
                self.reached[child] = ""
