"""The gate: pages of shards that descend from a merge across restrictions, in order behind their parents' pages.

A merge's child must come behind both parents (B12). When two restrictions read the parents, neither knows when the
other is done, and a splittable DoFn has no state to tell. So the child is read by the one that reads its owner, the
parent that took its first hash key, its pages and those of its descendants go through this gate, and each restriction
marks the end of a shard that the gate has to know of. All of a stream's gated pages meet under one key: the release of
a child and that of its own child must not overtake each other.

Every item names the position that it follows, so the gate puts a shard's items in order whatever order the runner
brings them in, and drops one that comes twice; one that comes again behind its shard's end is held and never output.
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
        gone: for a shard that ends because the stream has it no more (B12): parents of shards that there still are,
            which have expired too, and which nobody will read to their end. None for any other.
    """

    shard_id: str
    follows: str = ""
    reached: str = ""
    gated: bool = True
    ends: bool = False
    children: tuple[tuple[str, tuple[str, ...]], ...] = ()
    timestamp_ms: int = 0
    page: pa.RecordBatch | None = None
    gone: tuple[str, ...] | None = None

    def encode(self) -> bytes:
        """As a line of JSON, and the page behind it."""
        members = [
            self.shard_id, self.follows, self.reached, self.gated, self.ends, self.children, self.timestamp_ms,
            *([] if self.gone is None else [self.gone]),
        ]  # fmt: skip
        return orjson.dumps(members) + b"\n" + (b"" if self.page is None else encode_batch(self.page))

    @classmethod
    def decode(cls, encoded: bytes) -> Self:
        """The inverse of `encode`."""
        head, _, body = encoded.partition(b"\n")
        shard_id, follows, reached, gated, ends, children, timestamp_ms, *gone = orjson.loads(head)
        tree = tuple((child, tuple(parents)) for child, parents in children)
        page = decode_batch(body) if body else None
        gone = None if not gone else tuple(gone[0])
        return cls(shard_id, follows, reached, gated, ends, tree, timestamp_ms, page, gone)


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

    def lose(self, item: GateItem) -> None:
        """Notes what `item` tells of expired shards, also if it is to be held: what waits for them waits in vain."""
        if item.gone is None:
            return
        self._end(item.gone)
        if self.waiting.pop(item.shard_id, None) is not None:
            self.reached[item.shard_id] = ""

    def may_pass(self, item: GateItem) -> bool:
        """Whether `item` is not to be held."""
        if not item.gated:
            return True
        at = self.reached.get(item.shard_id)
        return at is not None and (item.follows == at or self._is_double(item))

    def frees(self, item: GateItem) -> bool:
        """Whether something that is held may pass behind `item`, which may."""
        return bool(self.held) and (item.ends or item.gone is not None or item.shard_id in self.held)

    def hold(self, item: GateItem) -> None:
        """Notes that `item` is held."""
        self.held[item.shard_id] = self.held.get(item.shard_id, 0) + 1

    def pass_through(self, item: GateItem, held: Sequence[GateItem]) -> tuple[list[GateItem], list[GateItem]]:
        """What passes now that `item` has come, in order, `item` first if it may; and what is held from now on.

        Args:
            item: as it comes.
            held: all that was held before, when `frees` says so; else nothing.
        """
        passed: list[GateItem] = []
        rest = [item, *held]
        while (at := next((index for index, other in enumerate(rest) if self.may_pass(other)), None)) is not None:
            current = rest.pop(at)  # one after the other: each may change what the next one finds
            if not self._is_double(current):
                self._note(current)
                passed.append(current)
        if held or rest:
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
        for child, parents in item.children:
            if child not in self.reached:
                self.waiting.setdefault(child, [parent for parent in parents if parent not in self.ended])
        self._end([item.shard_id], is_known=bool(item.children) and item.gone is None)

    def _end(self, shard_ids: Sequence[str], *, is_known: bool = False) -> None:
        """Whoever waits for these waits no longer; who will is not known yet, unless `is_known`."""
        if not is_known:
            self.ended += [shard_id for shard_id in shard_ids if shard_id not in self.ended]
        for child, missing in list(self.waiting.items()):
            missing[:] = [parent for parent in missing if parent not in shard_ids]
            if not missing:
                del self.waiting[child]
                self.reached[child] = ""
