"""The restriction and its tracker: laws over arbitrary shard trees."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kinesis_fake import FakeKinesis
from shard_tree import ShardTree

from pipelines.kinesis import restriction as restrictions
from pipelines.kinesis.cache import CursorCache
from pipelines.kinesis.cursor import Cursor
from pipelines.kinesis.fetch import Fetcher
from pipelines.kinesis.lineage import ShardInfo
from pipelines.kinesis.positions import SHARD_END, TRIM_HORIZON, ShardPosition, StartingPosition
from pipelines.kinesis.reader import Offer, Reader
from pipelines.kinesis.restriction import Claim, Restriction, ShardRange
from pipelines.kinesis.service import StreamService
from pipelines.kinesis.tracker import StreamRestrictionTracker
from pipelines.kinesis.until import StopFile
from pipelines.runtime.clock import ManualClock
from pipelines.runtime.errors import InvalidDataError

V1 = (
    b'\x01[{"shard":"shardId-000000000000","start":{"type":"AFTER_SEQUENCE_NUMBER",'
    b'"seq":"49600000000000000000000000000000000007"},"behind":12},'
    b'{"shard":"shardId-000000000001","start":{"type":"AT_TIMESTAMP","ms":1700000000000},'
    b'"stop":{"type":"AFTER_SEQUENCE_NUMBER","seq":"496"}},'
    b'{"shard":"shardId-000000000002","start":{"type":"TRIM_HORIZON"},'
    b'"waits_for":["shardId-000000000000","shardId-000000000001"]}]'
)
"""As the version before wrote it."""
V1_VALUE = Restriction((
    ShardRange("shardId-000000000000", ShardPosition.after("49600000000000000000000000000000000007"), millis_behind=12),
    ShardRange(
        "shardId-000000000001",
        ShardPosition("AT_TIMESTAMP", timestamp_ms=1_700_000_000_000),
        ShardPosition.after("496"),
    ),
    ShardRange(
        "shardId-000000000002", TRIM_HORIZON, waits_for=("shardId-000000000000", "shardId-000000000001")
    ),
))  # fmt: skip
V2 = (
    b'\x02[{"shard":"shardId-000000000000","start":{"type":"AFTER_SEQUENCE_NUMBER","seq":"49600","sub":0},"behind":7,'
    b'"rate":1.5},{"shard":"shardId-000000000001","start":{"type":"TRIM_HORIZON"},"stop":{"type":"SHARD_END"},'
    b'"waits_for":["shardId-000000000000"],"gated":true,'
    b'"hash":["170141183460469231731687303715884105728","340282366920938463463374607431768211455"]}]'
)
V2_VALUE = Restriction((
    ShardRange("shardId-000000000000", ShardPosition.after("49600", 0), millis_behind=7, rate=1.5),
    ShardRange(
        "shardId-000000000001",
        TRIM_HORIZON,
        SHARD_END,
        ("shardId-000000000000",),
        gated=True,
        hash_range=(2**127, 2**128 - 1),
    ),
))  # fmt: skip


class World:
    """A stream that changes while it is read: the same random history for the same seed."""

    def __init__(self, seed: int, shards: int) -> None:
        self.random = random.Random(seed)
        self.clock = ManualClock()
        self.stream = FakeKinesis(self.clock, shards, page_records=self.random.randint(1, 4))
        self.steps = self.random.randint(0, 12)

    def history(self) -> None:
        for _ in range(self.steps):
            self.step()

    def step(self) -> None:
        self.clock.advance(0.05)
        open_shards = self.stream.open_shards()
        match self.random.choice("ppppsm"):
            case "p":
                self.stream.put(self.random.choice(open_shards), self.random.choice((1, 2, 5, 20)))
            case "s":
                self.stream.split(self.random.choice(open_shards))
            case "m" if len(open_shards) > 1:
                index = self.random.randrange(len(open_shards) - 1)
                self.stream.merge(*self.random.sample(open_shards[index : index + 2], 2))

    def reader(self, until=None) -> Reader:
        fetcher = Fetcher(StreamService("s", self.stream, clock=self.clock))
        cache = CursorCache(lambda shard, position: Cursor(fetcher, shard, position, self.clock))
        return Reader(cache, self.clock, until)

    def whole(self) -> Restriction:
        shards = StreamService("s", self.stream).shards()
        return restrictions.initial(shards, StartingPosition("TRIM_HORIZON"))

    def parts(self, at_most: int = 99) -> list[Restriction]:
        return restrictions.split(self.whole(), at_most)


def read(world: World, restriction: Restriction, checkpoint_after=None, until=None):
    """Reads as `process()` does, until everything is read or after so many claims; what is left is the residual."""
    tracker = StreamRestrictionTracker(restriction)
    reader = world.reader(until)
    left, records, claims = restriction, [], 0
    while not left.done:
        if claims == checkpoint_after:
            primary, residual = tracker.try_split(0)
            assert residual == left
            return records, primary, residual
        step = reader.poll(left)
        if not isinstance(step, Offer):
            world.clock.advance(step.seconds + 0.01)
            continue
        assert tracker.try_claim(step.claim)
        claims += 1
        left = left.after(step.claim)
        if step.page is not None:
            records += records_of(step.page)
    assert tracker.check_done()
    return records, tracker.current_restriction(), None


def records_of(page) -> list[tuple[str, str]]:
    return list(zip(page["shard_id"].to_pylist(), page["sequence_number"].to_pylist(), strict=True))


def assert_parents_first(world: World, records: list[tuple[str, str]]) -> None:
    """Each shard's records in order, and a parent's last before its children's first."""
    seen: set[str] = set()
    last: dict[str, int] = {}
    for shard_id, number in records:
        assert last.get(shard_id, 0) < int(number)
        last[shard_id] = int(number)
        seen.add(shard_id)
    for index, (shard_id, _) in enumerate(records):
        parents = set(world.stream.shards[shard_id].parents)
        assert not parents & {later for later, _ in records[index:]}


def closed(world: World) -> World:
    """All shards closed, so that reading them ends."""
    while len(world.stream.open_shards()) > 1:
        world.stream.merge(*world.stream.open_shards()[:2])
    world.stream.close(world.stream.open_shards()[0])
    return world


@given(seed=st.integers(0, 2**32), shards=st.integers(1, 4))
@settings(max_examples=60, deadline=None)
def test_b10_b12_closed_tree_is_read_once_parents_first(seed, shards):
    world = World(seed, shards)
    world.history()
    closed(world)
    records = []
    for part in world.parts():
        records += read(world, part)[0]
    assert sorted(number for _, number in records) == world.stream.all_numbers()
    seen: list[str] = []
    for shard_id, _ in records:
        if shard_id not in seen:
            seen.append(shard_id)
    # In one restriction a parent's last record is before its children's first.
    for index, (shard_id, _) in enumerate(records):
        ancestors = set(world.stream.shards[shard_id].parents)
        assert not ancestors & {later for later, _ in records[index:]}


@given(seed=st.integers(0, 2**32), shards=st.integers(1, 4), at_most=st.integers(1, 4))
@settings(max_examples=200, deadline=None)
def test_b12_reshards_while_reading_lose_and_double_nothing(seed, shards, at_most):
    """A merge across two restrictions has one owner; in one restriction a child is behind all of its parents."""
    world = World(seed, shards)
    lefts = world.parts(at_most)
    readers = [world.reader() for _ in lefts]
    records: list[tuple[str, str]] = []
    for turn in range(2000):
        if turn < 3 * world.steps:
            world.step()
        elif turn == 3 * world.steps:
            closed(world)
        live = [index for index, left in enumerate(lefts) if not left.done]
        if not live:
            break
        index = world.random.choice(live)
        step = readers[index].poll(lefts[index])
        world.clock.advance(0.3)
        if isinstance(step, Offer):
            lefts[index] = lefts[index].after(step.claim)
            if step.page is not None:
                records += records_of(step.page)
    assert all(left.done for left in lefts)
    assert sorted(number for _, number in records) == world.stream.all_numbers()
    if at_most == 1:
        assert_parents_first(world, records)


@given(seed=st.integers(0, 2**32), shards=st.integers(1, 3), data=st.data())
@settings(max_examples=60, deadline=None)
def test_checkpoint_at_any_claim_primary_and_residual_are_the_original(seed, shards, data):
    world = World(seed, shards)
    world.history()
    closed(world)
    for part in world.parts():
        whole, _, _ = read(world, part)
        cut = data.draw(st.integers(0, 8))
        before, primary, residual = read(world, part, checkpoint_after=cut)
        if residual is None:
            assert before == whole
            continue
        assert sorted(before + read(world, residual)[0]) == sorted(whole)
        # The primary, read again on its own, is what was claimed before the checkpoint and nothing else.
        assert sorted(read(world, primary)[0]) == sorted(before)
        for restriction in (primary, residual):
            assert restrictions.decode(restrictions.encode(restriction)) == restriction


@given(seed=st.integers(0, 2**32), shards=st.integers(1, 3))
@settings(max_examples=40, deadline=None)
def test_checkpoint_at_every_claim_reads_what_no_checkpoint_reads(seed, shards):
    world = World(seed, shards)
    world.history()
    closed(world)
    for part in world.parts():
        whole, _, _ = read(world, part)
        pieces, left = [], part
        while left is not None:
            records, _, left = read(world, left, checkpoint_after=1)
            pieces += records
            left = left and restrictions.decode(restrictions.encode(left))
        assert sorted(pieces) == sorted(whole)


def claim(number: int, shard: str = "shardId-0", **more) -> Claim:
    return Claim(shard, ShardPosition.after(str(number)), **more)


def one(start: ShardPosition = TRIM_HORIZON, **more) -> Restriction:
    return Restriction((ShardRange("shardId-0", start, **more),))


def test_no_claim_after_a_split():
    tracker = StreamRestrictionTracker(one())
    assert tracker.try_claim(claim(10))
    primary, residual = tracker.try_split(0)
    assert not tracker.try_claim(claim(20))
    assert tracker.try_split(0) is None
    assert tracker.check_done()
    assert tracker.current_restriction() == primary == one(stop=ShardPosition.after("10"))
    assert residual == one(ShardPosition.after("10"))


@pytest.mark.parametrize("number", [9, 10])
def test_b5_claims_grow_as_numbers_not_as_text(number):
    tracker = StreamRestrictionTracker(one())
    assert tracker.try_claim(claim(10))
    with pytest.raises(ValueError, match="outside"):
        tracker.try_claim(claim(number))
    assert tracker.try_claim(claim(100))


def test_claim_behind_the_stop_is_refused():
    with pytest.raises(ValueError, match="outside"):
        one(stop=ShardPosition.after("10")).after(claim(11))


def test_claim_of_a_child_before_its_parent_is_refused():
    both = Restriction((ShardRange("a", TRIM_HORIZON), ShardRange("b", TRIM_HORIZON, waits_for=("a",))))
    with pytest.raises(ValueError, match="not to be read"):
        both.after(claim(1, "b"))


def test_check_done_names_what_is_left():
    tracker = StreamRestrictionTracker(one())
    assert tracker.try_claim(claim(10))
    with pytest.raises(ValueError, match="shardId-0"):
        tracker.check_done()
    assert tracker.try_claim(Claim("shardId-0", ends=True))
    assert tracker.check_done()
    assert tracker.try_split(0) is None


@pytest.mark.parametrize(("low", "high"), [("a", "b"), ("b", "a")])
@pytest.mark.parametrize("known", [True, False])
def test_b12_merge_child_of_two_restrictions_has_one_owner(low, high, known):
    """It is the parent that took the child's first hash key, or that of the smaller id where no hash keys are known."""
    keys = {low: (0, 9), high: (10, 19)}
    child = ShardInfo("c", ("b", "a"), hash_range=(0, 19))
    lefts = [
        Restriction((ShardRange(shard, TRIM_HORIZON, hash_range=keys[shard] if known else None),))
        for shard in (low if known else "a", high if known else "b")
    ]
    after = [left.after(Claim(left.shards[0].shard_id, ends=True, children=(child,))) for left in lefts]
    assert after[0].shards == (ShardRange("c", TRIM_HORIZON, gated=True, hash_range=(0, 19)),)
    assert after[1].done


@pytest.mark.parametrize("low", ["a", "b"])
def test_b12_lineage_tells_the_hash_keys_that_a_restriction_does_not_know(low):
    """A restriction of version 1 has none: both sides find the same owner."""
    parents = [ShardInfo(shard, hash_range=(0, 9) if shard == low else (10, 19)) for shard in "ab"]
    child = ShardInfo("c", ("a", "b"), hash_range=(0, 19))
    for shard in "ab":
        left = Restriction((ShardRange(shard, TRIM_HORIZON),))
        left = left.after(Claim(shard, ends=True, children=(child,), lineage=(*parents, child)))
        assert [joined.shard_id for joined in left.shards] == (["c"] if shard == low else [])


@pytest.mark.parametrize("stop", [ShardPosition.after("9"), SHARD_END])
def test_b10_what_follows_a_shard_that_is_read_up_to_a_known_end_is_anothers(stop):
    """A primary that is repeated finds the children of its shards again: the residual has them."""
    children = (ShardInfo("b", ("shardId-0",)),)
    assert one(stop=stop).after(claim(9, ends=True, children=children)).shards == ()
    assert [shard.shard_id for shard in one().after(claim(9, ends=True, children=children)).shards] == ["b"]


def test_b12_what_descends_from_a_gated_shard_is_gated():
    left = Restriction((ShardRange("c", TRIM_HORIZON, gated=True, hash_range=(0, 19)), ShardRange("d", TRIM_HORIZON)))
    children = (ShardInfo("e", ("c",), hash_range=(0, 9)), ShardInfo("f", ("c",), hash_range=(10, 19)))
    left = left.after(Claim("c", ends=True, children=children))
    assert [(shard.shard_id, shard.gated) for shard in left.shards] == [("d", False), ("e", True), ("f", True)]
    merged = (ShardInfo("g", ("f", "d"), hash_range=(10, 29)),)
    left = left.after(Claim("d", ends=True, children=merged))
    assert left.find("g") == ShardRange("g", TRIM_HORIZON, waits_for=("f",), gated=True, hash_range=(10, 29))


def test_b12_merge_child_waits_for_a_parent_that_has_not_been_come_to():
    """Reading lags behind in u: its child t, which has closed too, is not known yet when s ends."""
    left = Restriction((ShardRange("u", TRIM_HORIZON, hash_range=(0, 9)), ShardRange("s", TRIM_HORIZON)))
    u, s, t = ShardInfo("u", hash_range=(0, 9)), ShardInfo("s"), ShardInfo("t", ("u",), hash_range=(5, 9))
    child = ShardInfo("c", ("t", "s"), hash_range=(5, 19))
    left = left.after(Claim("s", ends=True, children=(child,), lineage=(u, s, t, child)))
    assert {shard.shard_id: shard.waits_for for shard in left.shards} == {"u": (), "t": ("u",), "c": ("t",)}
    assert not any(shard.gated for shard in left.shards)
    left = left.after(Claim("u", ends=True, children=(t, ShardInfo("t2", ("u",), hash_range=(0, 4)))))
    assert [shard.shard_id for shard in left.readable()] == ["t", "t2"]
    left = left.after(Claim("t", ends=True, children=(child,)))
    assert [shard.shard_id for shard in left.readable()] == ["c", "t2"]


def test_b12_lineage_that_is_read_elsewhere_does_not_join():
    """The other parent, and its own, belong to another restriction."""
    left = Restriction((ShardRange("s", TRIM_HORIZON, hash_range=(0, 9)),))
    child = ShardInfo("c", ("t", "s"), hash_range=(0, 19))
    lineage = (ShardInfo("s", hash_range=(0, 9)), child)
    left = left.after(Claim("s", ends=True, children=(child,), lineage=lineage))
    assert left.shards == (ShardRange("c", TRIM_HORIZON, gated=True, hash_range=(0, 19)),)


ACTIONS = ("put", "put", "put", "split", "merge", "merge", "claim", "claim", "claim", "claim")


@given(seed=st.integers(0, 2**32), shards=st.integers(1, 3), size=st.integers(0, 100), expires=st.booleans())
@settings(max_examples=600, deadline=None)
def test_b12_b13_in_one_restriction_any_history_is_read_once_and_in_order(seed, shards, size, expires):
    """Reshards and expiries while reading lags behind anywhere: what has not expired is read, behind its parents."""
    chance = random.Random(seed)
    tree = ShardTree(shards)
    left = restrictions.initial(tree.listed(), StartingPosition("TRIM_HORIZON"))
    read: list[tuple[str, int]] = []
    lost: set[str] = set()
    ended: list[str] = []

    def claim_of(shard: ShardRange) -> None:
        nonlocal left
        next_claim = tree.next_claim(left, shard)
        if next_claim is None:
            return
        if shard.shard_id in tree.expired:
            lost.add(shard.shard_id)
        left = left.after(next_claim)
        if next_claim.position:
            read.append((shard.shard_id, int(next_claim.position.sequence_number)))
        if next_claim.ends:
            ended.append(shard.shard_id)

    for _ in range(size):
        action, which = chance.choice(ACTIONS), chance.randrange(99)
        if action == "claim":
            readable = left.readable()
            claim_of(readable[-1 - which // 2 % len(readable)] if which % 2 else readable[-1])  # the first ones lag
        else:
            getattr(tree, action)(which)
        if expires and chance.random() < 0.05:
            tree.expire(chance.randrange(99))
    tree.end()
    while not left.done:
        claim_of(chance.choice(left.readable()))
    assert len(set(ended)) == len(ended)
    # Those that expired before anybody came to them are gaps, and their pages alone are missing.
    assert set(tree.nodes) - set(ended) <= tree.expired
    for shard_id, node in tree.nodes.items():
        numbers = [number for read_in, number in read if read_in == shard_id]
        is_whole = shard_id in ended and shard_id not in lost
        assert numbers == (node.pages if is_whole else node.pages[: len(numbers)])
    for index, (shard_id, _) in enumerate(read):
        assert {later for later, _ in read[index:]}.isdisjoint(tree.nodes[shard_id].info.parents)


def test_b12_merge_child_waits_for_both_parents():
    child = ShardInfo("c", ("a", "b"))
    left = Restriction((ShardRange("a", TRIM_HORIZON), ShardRange("b", TRIM_HORIZON)))
    left = left.after(Claim("b", ends=True, children=(child,)))
    assert [shard.shard_id for shard in left.readable()] == ["a"]
    left = left.after(Claim("a", ends=True, children=(child,)))
    assert [shard.shard_id for shard in left.readable()] == ["c"]


def test_b12_split_keeps_groups_whole():
    shards = [ShardInfo("a", closed=True), ShardInfo("b"), ShardInfo("c", ("a", "x")), ShardInfo("d", ("a",))]
    parts = restrictions.split(restrictions.initial(shards, StartingPosition("TRIM_HORIZON")), 9)
    assert [[shard.shard_id for shard in part.shards] for part in parts] == [["a", "c", "d"], ["b"]]
    assert [shard.shard_id for shard in parts[0].readable()] == ["a"]


@given(
    order=st.permutations(range(12)),
    closed=st.sets(st.integers(0, 11)),
    at_most=st.integers(1, 14),
)
def test_b11_split_puts_neighbours_in_hash_keys_together(order, closed, at_most):
    """Of 12 shards in any order, some of them closed and with a child: a part is a stretch of the hash keys."""
    shards = []
    for number in order:
        shards.append(ShardInfo(f"shard-{number}", hash_range=(number * 10, number * 10 + 9)))
        if number in closed:
            shards.append(ShardInfo(f"child-{number}", (f"shard-{number}",), hash_range=(number * 10, number * 10 + 4)))
    whole = restrictions.initial(shards, StartingPosition("TRIM_HORIZON"))
    parts = restrictions.split(whole, at_most)
    assert len(parts) == min(at_most, 12)
    roots = [[shard.hash_range[0] // 10 for shard in part.readable()] for part in parts]
    assert [sorted(part) for part in roots] == [list(range(min(part), max(part) + 1)) for part in roots]
    assert max(map(len, roots)) - min(map(len, roots)) <= 1
    assert sorted((shard for part in parts for shard in part.shards), key=str) == sorted(whole.shards, key=str)


def test_split_into_one_is_the_whole_in_the_order_of_hash_keys():
    shards = [ShardInfo("b", hash_range=(5, 9)), ShardInfo("a", hash_range=(0, 4))]
    (part,) = restrictions.split(restrictions.initial(shards, StartingPosition("TRIM_HORIZON")), 1)
    assert [shard.shard_id for shard in part.shards] == ["a", "b"]


def test_split_of_a_stream_without_shards_to_read_gives_nothing():
    assert restrictions.split(Restriction(()), 3) == []


def test_b7_after_sequence_number_skips_the_ancestors_of_named_shards():
    shards = [ShardInfo("a"), ShardInfo("b", ("a",)), ShardInfo("c", ("b",)), ShardInfo("d", ("b",)), ShardInfo("e")]
    whole = restrictions.initial(shards, StartingPosition.after({"c": "50"}))
    assert [(shard.shard_id, shard.start, shard.waits_for) for shard in whole.shards] == [
        ("c", ShardPosition.after("50"), ()),
        ("d", TRIM_HORIZON, ()),
        ("e", TRIM_HORIZON, ()),
    ]


def test_b13_a_named_shard_that_has_expired_stays_in_so_that_it_is_missed():
    start = StartingPosition.after({"gone": "50", "b": "60"}, otherwise_ms=5)
    whole = restrictions.initial([ShardInfo("a"), ShardInfo("b", ("a",)), ShardInfo("c", ("gone",))], start)
    assert {shard.shard_id: (shard.start, shard.waits_for) for shard in whole.shards} == {
        "gone": (ShardPosition.after("50"), ()),
        "b": (ShardPosition.after("60"), ()),
        "c": (ShardPosition("AT_TIMESTAMP", timestamp_ms=5), ("gone",)),
    }


def test_b7_at_timestamp_holds_for_children_too():
    shards = [ShardInfo("a", closed=True), ShardInfo("b", ("a",))]
    whole = restrictions.initial(shards, StartingPosition.at_timestamp(5))
    assert {shard.start for shard in whole.shards} == {ShardPosition("AT_TIMESTAMP", timestamp_ms=5)}


def test_b9_size_follows_millis_behind_and_is_never_nothing_while_unknown():
    assert one().backlog_bytes() == 60_000
    assert one().after(claim(1, millis_behind=250)).backlog_bytes() == 250
    assert one().after(claim(1, millis_behind=0)).backlog_bytes() == 1
    assert one().after(Claim("shardId-0", ends=True)).backlog_bytes() == 0
    tracker = StreamRestrictionTracker(one())
    tracker.try_claim(claim(1, millis_behind=10_000, data_bytes=777))
    progress = tracker.current_progress()
    assert (progress.completed_work, progress.remaining_work) == (777, 10_000)
    assert not tracker.is_bounded()


def test_b9_size_is_in_bytes_by_the_rate_of_the_page_seen_last():
    left = one().after(claim(1, millis_behind=1000, data_bytes=500, span_ms=100))
    assert left.backlog_bytes() == 5_000
    left = left.after(claim(2, millis_behind=200, data_bytes=900, span_ms=0))  # arrived at once: the rate is not known
    assert left.backlog_bytes() == 1_000
    left = left.after(claim(3, millis_behind=200, data_bytes=0, span_ms=50))
    assert left.backlog_bytes() == 1
    assert left.after(claim(4, millis_behind=None, data_bytes=10, span_ms=5)).backlog_bytes() == 120_000


def test_a_restriction_is_bounded_when_the_end_of_each_shard_is_known():
    assert not one().bounded
    assert one(stop=ShardPosition.after("9")).bounded
    assert one(SHARD_END).bounded
    assert not Restriction((*one(SHARD_END).shards, ShardRange("b", TRIM_HORIZON))).bounded


def test_coder_reads_what_version_1_wrote():
    assert restrictions.decode(V1) == V1_VALUE
    assert [shard.millis_behind for shard in restrictions.decode(V1).shards] == [12, None, None]
    assert restrictions.encode(V1_VALUE) == b"\x02" + V1[1:]


def test_coder_has_its_bytes_for_ever():
    assert restrictions.encode(V2_VALUE) == V2
    decoded = restrictions.decode(V2)
    assert decoded == V2_VALUE
    assert [(shard.millis_behind, shard.rate) for shard in decoded.shards] == [(7, 1.5), (None, None)]


def test_what_version_1_left_is_read_on():
    left = restrictions.decode(V1)
    assert [shard.shard_id for shard in left.readable()] == ["shardId-000000000000", "shardId-000000000001"]
    left = left.after(Claim("shardId-000000000001", ShardPosition.after("496"), ends=True))
    assert [shard.shard_id for shard in left.readable()] == ["shardId-000000000000"]
    left = left.after(Claim("shardId-000000000000", ends=True))
    assert [shard.shard_id for shard in left.readable()] == ["shardId-000000000002"]


SHARD_POSITIONS = st.sampled_from([TRIM_HORIZON, SHARD_END]) | st.builds(
    ShardPosition,
    st.sampled_from(["AT_SEQUENCE_NUMBER", "AFTER_SEQUENCE_NUMBER"]),
    st.integers(1, 10**57).map(str),
    st.none() | st.integers(0, 2**31),
)


@given(
    st.lists(
        st.builds(
            ShardRange,
            st.text(min_size=1, max_size=5),
            SHARD_POSITIONS,
            st.none() | SHARD_POSITIONS,
            st.lists(st.sampled_from("abc"), max_size=2).map(tuple),
            st.booleans(),
            st.none() | st.tuples(st.integers(0, 2**128 - 1), st.integers(0, 2**128 - 1)),
            st.none() | st.integers(0, 2**53),
            st.none() | st.floats(0, 1e9),
        ),
        max_size=4,
    )
)
def test_coder_gives_back_every_member(shards):
    whole = Restriction(tuple(shards))
    decoded = restrictions.decode(restrictions.encode(whole))
    assert decoded == whole
    assert [(shard.millis_behind, shard.rate) for shard in decoded.shards] == [
        (shard.millis_behind, shard.rate) for shard in shards
    ]


@pytest.mark.parametrize("encoded", [b"", b"\x00[]", b"\x03[]"])
def test_coder_refuses_an_unknown_version(encoded):
    with pytest.raises(InvalidDataError, match="version"):
        restrictions.decode(encoded)


def test_stop_file_empty_object_ends_every_part_where_it_stands(tmp_path):
    world = World(1, 2)
    world.stream.put("shardId-000000000000", 9)
    stop = StopFile(str(tmp_path / "stop"))
    stop.write({})
    for part in world.parts():
        records, _, residual = read(world, part, until=stop)
        assert (records, residual) == ([], None)
