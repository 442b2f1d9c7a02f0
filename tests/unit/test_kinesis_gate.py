"""The gate: what passes, once and in order, whatever order the items come in."""

import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kinesis_fake import FakeKinesis
from shard_tree import ShardTree

from pipelines.kinesis import restriction as restrictions
from pipelines.kinesis.cache import CursorCache
from pipelines.kinesis.cursor import Cursor
from pipelines.kinesis.fetch import Fetcher
from pipelines.kinesis.gate import Gate, GateItem
from pipelines.kinesis.page import make_page
from pipelines.kinesis.positions import StartingPosition
from pipelines.kinesis.read import _gate_item
from pipelines.kinesis.reader import Offer, Reader, Wait, start_of
from pipelines.kinesis.restriction import Claim, Restriction, ShardRange
from pipelines.kinesis.service import StreamService
from pipelines.runtime.clock import ManualClock


class Gating:
    """The gate as its DoFn drives it: state as JSON, what is held in a bag that is only read when it must be."""

    def __init__(self) -> None:
        self.state = Gate().to_json()
        self.held: list[GateItem] = []

    @property
    def gate(self) -> Gate:
        return Gate.from_json(self.state)

    def take(self, item: GateItem) -> list[GateItem]:
        """What passes."""
        gate = self.gate
        gate.lose(item)
        if not gate.may_pass(item) and item.gone is None:
            gate.hold(item)
            self.held.append(item)
            self.state = gate.to_json()
            return []
        frees = gate.frees(item)
        passed, rest = gate.pass_through(item, self.held if frees else [])
        if frees:
            self.held = rest
        else:
            assert rest in ([], [item])
            self.held += rest
        self.state = gate.to_json()
        assert gate.held == Counter(other.shard_id for other in self.held)
        assert not any(gate.may_pass(other) for other in self.held)
        return passed


class Story:
    """A stream that is resharded while several restrictions read it, one of which may hand shards to another."""

    def __init__(self, chance: random.Random, shards: int, parts: int) -> None:
        self.chance = chance
        self.tree = ShardTree(shards)
        whole = restrictions.initial(self.tree.listed(), StartingPosition("TRIM_HORIZON"))
        self.parts = restrictions.split(whole, parts)
        self.under_way: list[GateItem] = []
        self.delivered: list[GateItem] = []
        self.gating = Gating()
        self.seen: list[tuple[str, str]] = []
        """Shard and sequence number of each page that reached the output, in order."""
        self.ended: list[str] = []
        """The shards that were read to their end, in order."""

    def happens(self, action: str) -> None:
        which = self.chance.randrange(99)
        if action == "claim":
            part = which % len(self.parts)
            readable = self.parts[part].readable()
            if readable:
                self.claim(part, self.chance.choice(readable))
        elif action == "hand over":
            self.hand_over(which % len(self.parts))
        elif action == "deliver":
            self.deliver()
        else:
            getattr(self.tree, action)(which)

    def claim(self, part: int, shard: ShardRange, end: int | None = None) -> None:
        """The next page of `shard`, or its end; reading ends at the sequence number `end`."""
        claim = self.tree.next_claim(self.parts[part], shard)
        if end is not None and (claim is None or (claim.position and int(claim.position.sequence_number) > end)):
            claim = Claim(shard.shard_id, ends=True)
        if claim is None:
            return
        self.parts[part] = left = self.parts[part].after(claim)
        if claim.position and not shard.gated:
            self.seen.append((shard.shard_id, claim.position.sequence_number))
        if claim.ends:
            self.ended.append(shard.shard_id)
        item = _gate_item(shard, left, Offer(claim), 0)
        if item is not None:
            self.under_way.append(item)

    def hand_over(self, part: int) -> None:
        groups = self.parts[part].groups()
        if len(groups) > 1:
            moved = self.chance.choice(groups)
            self.parts.append(moved)
            self.parts[part] = self.parts[part].without([shard.shard_id for shard in moved.shards])

    def deliver(self) -> None:
        if self.under_way:
            item = self.under_way.pop(self.chance.randrange(len(self.under_way)))
            self.delivered.append(item)
            self.take(item)

    def deliver_again(self) -> None:
        """A double of a gated page or of a mark, as long as the gate has not left the mark's children behind."""
        known = {*self.gating.gate.reached, *self.gating.gate.waiting}
        doubles = [
            item
            for item in self.delivered
            if (item.gated and not item.ends)
            or (item.children and known.issuperset(child for child, _ in item.children))
        ]
        if doubles:
            self.take(self.chance.choice(doubles))

    def take(self, item: GateItem) -> None:
        passed = [other for other in self.gating.take(item) if other.gated]
        self.seen += [(other.shard_id, other.reached) for other in passed if other.reached != other.follows]

    def finish(self, end: int | None = None) -> None:
        """Everything is read, to the sequence number `end` or to the shards' end, and delivered."""
        if end is None:
            self.tree.end()
        while not all(part.done for part in self.parts):
            part = self.chance.choice([index for index, part in enumerate(self.parts) if not part.done])
            self.claim(part, self.chance.choice(self.parts[part].readable()), end)
        while self.under_way:
            self.deliver()

    def check(self, end: int | None = None) -> None:
        """Every page came out once, each shard's in order, a child's behind those of both parents."""
        pages = {
            shard_id: [str(number) for number in node.pages if end is None or number <= end]
            for shard_id, node in self.tree.nodes.items()
        }
        for shard_id in self.tree.nodes:
            assert [number for seen_in, number in self.seen if seen_in == shard_id] == pages[shard_id]
        for index, (shard_id, _) in enumerate(self.seen):
            assert {later for later, _ in self.seen[index:]}.isdisjoint(self.tree.nodes[shard_id].info.parents)
        assert len(set(self.ended)) == len(self.ended)


ACTIONS = ("put", "put", "put", "split", "merge", "merge", "deliver", "deliver", "hand over", *["claim"] * 6)
STORIES = {
    "seed": st.integers(0, 2**32), "shards": st.integers(2, 4), "parts": st.integers(2, 4), "size": st.integers(0, 120)
}  # fmt: skip


@given(**STORIES)
@settings(max_examples=400, deadline=None)
def test_b12_everything_passes_once_in_order_behind_both_parents(seed, shards, parts, size):
    story = Story(random.Random(seed), shards, parts)
    for _ in range(size):
        story.happens(story.chance.choice(ACTIONS))
    story.finish()
    story.check()
    gate = story.gating.gate
    assert (gate.reached, gate.waiting, gate.held, story.gating.held) == ({}, {}, {}, [])
    assert len(gate.ended) <= len(story.tree.nodes)
    assert all(not story.tree.nodes[shard_id].children for shard_id in gate.ended)


@given(**STORIES)
@settings(max_examples=200, deadline=None)
def test_doubles_change_nothing(seed, shards, parts, size):
    story = Story(random.Random(seed), shards, parts)
    for _ in range(size):
        story.happens(story.chance.choice(ACTIONS))
        story.deliver_again()
    story.finish()
    story.check()
    # A page that comes again when its shard has ended is held for good: nothing tells it from one that is early.
    assert (story.gating.gate.reached, story.gating.gate.waiting) == ({}, {})
    assert all(item in story.delivered for item in story.gating.held)


@given(**STORIES)
@settings(max_examples=200, deadline=None)
def test_what_was_read_passes_also_when_reading_ends_before_the_shards_do(seed, shards, parts, size):
    story = Story(random.Random(seed), shards, parts)
    for _ in range(size):
        story.happens(story.chance.choice(ACTIONS))
    claimed = [int(shard.start.sequence_number or 0) for part in story.parts for shard in part.shards]
    numbers = [number for node in story.tree.nodes.values() for number in node.pages]
    end = max([*claimed, *(int(number) for _, number in story.seen), *(int(i.reached or 0) for i in story.delivered)])
    end = max([end, *(int(item.reached or 0) for item in story.under_way)])
    assert end <= max([0, *numbers])
    story.finish(end)
    story.check(end)
    # What is still held is the end of shards in which nothing was read, as nothing was in their parents.
    assert all(item.reached == item.follows for item in story.gating.held)


@given(**STORIES)
@settings(max_examples=150, deadline=None)
def test_state_is_no_larger_than_the_front(seed, shards, parts, size):
    """Besides shards that ended without children it names what is open, and what has a parent that was seen to end."""
    story = Story(random.Random(seed), shards, parts)
    ended: set[str] = set()
    for _ in range(size):
        story.happens(story.chance.choice(ACTIONS))
        gate, nodes = story.gating.gate, story.tree.nodes
        marked = {item.shard_id for item in story.delivered if item.ends}
        for shard_id in (*gate.reached, *gate.waiting):
            assert marked & set(nodes[shard_id].info.parents)
        held_ends = {item.shard_id for item in story.gating.held if item.ends}
        ended |= marked - held_ends
        assert ended.isdisjoint([*gate.reached, *gate.waiting])
        assert all(set(missing) <= set(nodes[child].info.parents) - ended for child, missing in gate.waiting.items())


ITEMS = st.builds(
    GateItem,
    st.text(min_size=1, max_size=20),
    st.integers(0, 10**57).map(str),
    st.integers(0, 10**57).map(str),
    st.booleans(),
    st.booleans(),
    st.lists(st.tuples(st.text(max_size=9), st.lists(st.text(max_size=9), max_size=2).map(tuple)), max_size=2).map(
        tuple
    ),
    st.integers(0, 2**42),
    st.none() | st.integers(1, 3).map(lambda n: make_page("s", [b"a\nb"] * n, ["k"] * n, ["1"] * n, [5] * n)),
    st.none() | st.lists(st.text(max_size=9), max_size=2).map(tuple),
)


@given(ITEMS)
def test_item_survives_its_bytes(item):
    assert GateItem.decode(item.encode()) == item


def test_item_has_its_bytes_for_ever():
    item = GateItem("c", "1", "2", True, True, (("d", ("b", "c")),), 7)
    assert item.encode() == b'["c","1","2",true,true,[["d",["b","c"]]],7]\n'
    expired = GateItem("c", "1", "1", True, True, (("d", ("c",)),), 7, gone=("b",))
    assert expired.encode() == b'["c","1","1",true,true,[["d",["c"]]],7,["b"]]\n'
    assert GateItem.decode(expired.encode()) == expired


def mark(shard_id, *children) -> GateItem:
    return GateItem(shard_id, gated=False, ends=True, children=children)


def page(shard_id, follows, reached, **more) -> GateItem:
    return GateItem(shard_id, str(follows or ""), str(reached), **more)


def test_b12_a_merges_child_is_held_until_both_parents_are_marked():
    gating, child = Gating(), ("c", ("a", "b"))
    assert gating.take(page("c", 0, 1)) == []
    assert gating.take(page("c", 1, 2)) == []
    assert gating.take(mark("b", child)) == [mark("b", child)]
    assert (gating.gate.waiting, gating.gate.held) == ({"c": ["a"]}, {"c": 2})
    assert gating.take(mark("a", child)) == [mark("a", child), page("c", 0, 1), page("c", 1, 2)]
    assert (gating.gate.reached, gating.gate.waiting, gating.gate.held) == ({"c": "2"}, {}, {})


def test_pages_of_an_open_shard_are_put_in_order():
    gating = Gating()
    gating.take(mark("a", ("c", ("a",))))
    assert gating.take(page("c", 9, 10)) == []
    assert gating.take(page("c", 7, 9)) == []
    assert gating.take(page("c", 0, 7)) == [page("c", 0, 7), page("c", 7, 9), page("c", 9, 10)]


def test_a_page_that_comes_again_is_dropped_and_the_next_one_is_not():
    gating = Gating()
    gating.take(mark("a", ("c", ("a",))))
    assert len(gating.take(page("c", 0, 7))) == 1
    assert gating.take(page("c", 0, 7)) == []
    assert len(gating.take(page("c", 7, 10))) == 1  # by number, not as text: 10 is behind 7
    assert gating.take(page("c", 0, 7)) == []
    assert gating.gate.held == {}


def test_a_page_is_held_until_the_one_before_it_has_come():
    gating = Gating()
    gating.take(mark("a", ("c", ("a",))))
    gating.take(page("c", 0, 7))
    assert gating.take(page("c", 11, 12)) == []
    assert gating.gate.held == {"c": 1}
    assert gating.take(page("c", 7, 11)) == [page("c", 7, 11), page("c", 11, 12)]


def test_a_pages_end_comes_with_it_and_opens_the_children():
    gating = Gating()
    gating.take(mark("a", ("c", ("a",))))
    last = page("c", 0, 7, ends=True, children=(("d", ("c",)), ("e", ("c",))))
    assert gating.take(page("d", 0, 9)) == []
    assert gating.take(last) == [last, page("d", 0, 9)]
    assert gating.gate.reached == {"d": "9", "e": ""}


def test_what_frees_nothing_is_not_asked_for():
    gate = Gate(reached={"c": "7"}, held={"d": 1})
    assert not gate.frees(page("c", 7, 9))
    assert gate.frees(page("c", 7, 9, ends=True))
    assert Gate(reached={"c": "7"}, held={"c": 1}).frees(page("c", 7, 9))
    assert not Gate().frees(mark("a"))


@pytest.mark.parametrize("first", ["a", "b"])
def test_a_parent_whose_reading_ended_before_it_did_is_not_waited_for(first):
    """It ends without children being known; before or behind the mark that names the child."""
    gating = Gating()
    marks = {"a": mark("a", ("c", ("a", "b"))), "b": mark("b")}
    gating.take(page("c", 0, 1))
    gating.take(marks[first])
    assert len(gating.take(marks["b" if first == "a" else "a"])) == 2
    assert gating.gate.reached == {"c": "1"}


def expired(shard_id, *children, gone=(), **more) -> GateItem:
    """The end of a shard that the stream has no more: what descends from it names it as the only parent."""
    descends = tuple((child, (shard_id,)) for child in children)
    return GateItem(shard_id, ends=True, children=descends, gone=tuple(gone), **more)


def test_b12_a_child_does_not_wait_for_a_parent_that_has_expired_unread():
    """Of c's parents a was read; b lay behind x, which has expired, and b with it."""
    for turned in (False, True):
        gating = Gating()
        items = [mark("a", ("c", ("a", "b"))), expired("x", gone=["b"], gated=False)]
        assert gating.take(page("c", 0, 7)) == []
        for item in reversed(items) if turned else items:
            passed = gating.take(item)
        assert passed[-1] == page("c", 0, 7)
        assert (gating.gate.reached, gating.gate.waiting, gating.held) == ({"c": "7"}, {}, [])


def test_b12_an_expired_shard_does_not_wait_for_its_parents():
    """Its end is known to the gate before theirs, which may never come."""
    gating = Gating()
    gating.take(mark("a", ("c", ("a", "b"))))
    end = expired("c", "d")
    assert gating.take(page("d", 0, 7)) == []
    assert gating.take(end) == [end, page("d", 0, 7)]
    assert (gating.gate.reached, gating.gate.waiting) == ({"d": "7"}, {})


def test_b12_an_expired_parents_end_counts_also_for_a_child_that_is_told_of_later():
    """It named what descends from it, and not its child, which has expired too."""
    gating = Gating()
    gating.take(mark("z", ("a", ("z",)), ("b", ("z",))))
    gating.take(expired("b", "e", gone=["c"]))
    gating.take(GateItem("a", ends=True, children=(("c", ("a", "b")),)))
    assert gating.gate.reached == {"c": "", "e": ""}
    last = expired("c", "e", "f", gone=["c"])
    assert gating.take(last) == [last]
    assert gating.gate.reached == {"e": "", "f": ""}


def test_an_expired_shards_end_that_is_early_frees_what_it_tells_of():
    """It is held itself, as pages of its own are still to come."""
    gating = Gating()
    gating.take(mark("z", ("y", ("z",))))
    gating.take(mark("a", ("c", ("a", "b"))))
    gating.take(page("c", 0, 3))
    end = expired("y", follows="5", reached="5", gone=["b"])
    assert gating.take(end) == [page("c", 0, 3)]
    assert gating.held == [end]
    assert gating.take(page("y", 0, 5)) == [page("y", 0, 5), end]
    assert gating.held == []


def test_b12_positions_behind_the_gate_lead_to_a_reading_that_neither_loses_nor_doubles():
    """Two restrictions read the parents of a merge; what was put out, wherever it stops, is where another goes on."""
    for stops_after in range(1, 12):
        clock = ManualClock()
        stream = FakeKinesis(clock, shards=2)
        one, other = stream.open_shards()
        service = StreamService("flights", stream, clock=clock)
        parts = restrictions.split(start_of(service, StartingPosition.parse("TRIM_HORIZON"), clock), 2)
        stream.put(one, 2)
        stream.put(other, 9)
        child = stream.merge(one, other)
        stream.put(child, 4)
        stream.close(child)
        read, positions = [], {}
        for shard_id, numbers in gated_pages(stream, clock, parts):
            read += numbers
            positions[shard_id] = numbers[-1]
            if len(read) >= stops_after:
                break
        again = start_of(service, StartingPosition.after(positions), clock)
        for _, numbers in gated_pages(stream, clock, [again]):
            read += numbers
        assert sorted(read) == stream.all_numbers()
        assert read == sorted(read, key=lambda number: (number in stream.all_numbers()[-4:], read.index(number)))


def gated_pages(stream: FakeKinesis, clock: ManualClock, parts: list[Restriction]):
    """(shard id, sequence numbers) of each page that comes out, of several restrictions read in turns."""
    fetcher = Fetcher(StreamService("flights", stream, clock=clock))
    cache = CursorCache(lambda shard, position: Cursor(fetcher, shard, position, clock))
    gating, readers = Gating(), [Reader(cache, clock) for _ in parts]
    while not all(part.done for part in parts):
        for index, reader in enumerate(readers):
            if parts[index].done:
                continue
            step = reader.poll(parts[index])
            if isinstance(step, Wait):
                clock.sleep(step.seconds + 0.001)
                continue
            shard = parts[index].find(step.claim.shard_id)
            parts[index] = parts[index].after(step.claim)
            out = [step.page] if not shard.gated else []
            item = _gate_item(shard, parts[index], step, 0)
            out += [other.page for other in gating.take(item)] if item else []
            for found in out:
                if found is not None:
                    yield found["shard_id"][0].as_py(), found["sequence_number"].to_pylist()
    assert gating.held == []
