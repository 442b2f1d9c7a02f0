"""The restriction and its tracker: laws over arbitrary shard trees."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kinesis_fake import FakeKinesis

from pipelines.kinesis import restriction as restrictions
from pipelines.kinesis.cursor import CursorCache
from pipelines.kinesis.positions import SHARD_END, TRIM_HORIZON, ShardPosition, StartingPosition
from pipelines.kinesis.reader import Offer, Reader
from pipelines.kinesis.restriction import Claim, Restriction, ShardInfo, ShardRange
from pipelines.kinesis.service import StreamService
from pipelines.kinesis.tracker import StreamRestrictionTracker
from pipelines.kinesis.until import StopFile
from pipelines.runtime.clock import ManualClock
from pipelines.runtime.errors import InvalidDataError

V1 = (
    b'\x01[{"shard":"shardId-000000000000","start":{"type":"AFTER_SEQUENCE_NUMBER","seq":"49600","sub":2},"behind":7},'
    b'{"shard":"shardId-000000000001","start":{"type":"AT_TIMESTAMP","ms":1700000000000},'
    b'"stop":{"type":"SHARD_END"},"waits_for":["shardId-000000000000"]}]'
)
V1_VALUE = Restriction((
    ShardRange("shardId-000000000000", ShardPosition.after("49600", 2), millis_behind=7),
    ShardRange(
        "shardId-000000000001",
        ShardPosition("AT_TIMESTAMP", timestamp_ms=1_700_000_000_000),
        SHARD_END,
        ("shardId-000000000000",),
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
                self.stream.put(self.random.choice(open_shards), self.random.randint(1, 5))
            case "s":
                self.stream.split(self.random.choice(open_shards))
            case "m" if len(open_shards) > 1:
                self.stream.merge(*self.random.sample(open_shards, 2))

    def reader(self, until=None) -> Reader:
        return Reader(CursorCache(StreamService("s", self.stream), self.clock), self.clock, until)

    def parts(self) -> list[Restriction]:
        shards = StreamService("s", self.stream).shards()
        return restrictions.split(restrictions.initial(shards, StartingPosition("TRIM_HORIZON")))


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
            records += zip(step.page["shard_id"].to_pylist(), step.page["sequence_number"].to_pylist(), strict=True)
    assert tracker.check_done()
    return records, tracker.current_restriction(), None


def closed(world: World) -> World:
    """All shards closed, so that reading them ends."""
    while len(world.stream.open_shards()) > 1:
        world.stream.merge(*world.stream.open_shards()[:2])
    world.stream.shards[world.stream.open_shards()[0]].closed = True
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


@given(seed=st.integers(0, 2**32), shards=st.integers(1, 4))
@settings(max_examples=60, deadline=None)
def test_b12_reshards_while_reading_lose_and_double_nothing(seed, shards):
    """Roots in restrictions of their own, resharding in between: a merge across two of them has one owner."""
    world = World(seed, shards)
    lefts = world.parts()
    readers = [world.reader() for _ in lefts]
    numbers: list[str] = []
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
            numbers += step.page["sequence_number"].to_pylist() if step.page is not None else []
    assert all(left.done for left in lefts)
    assert sorted(numbers) == world.stream.all_numbers()


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
    primary, residual = tracker.try_split(0.5)
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


def test_b12_merge_child_of_two_restrictions_has_one_owner():
    child = ShardInfo("c", ("b", "a"))
    lefts = [Restriction((ShardRange(shard, TRIM_HORIZON),)) for shard in ("a", "b")]
    after = [left.after(Claim(left.shards[0].shard_id, ends=True, children=(child,))) for left in lefts]
    assert [shard.shard_id for shard in after[0].shards] == ["c"]
    assert after[1].done


def test_b12_merge_child_waits_for_both_parents():
    child = ShardInfo("c", ("a", "b"))
    left = Restriction((ShardRange("a", TRIM_HORIZON), ShardRange("b", TRIM_HORIZON)))
    left = left.after(Claim("b", ends=True, children=(child,)))
    assert [shard.shard_id for shard in left.readable()] == ["a"]
    left = left.after(Claim("a", ends=True, children=(child,)))
    assert [shard.shard_id for shard in left.readable()] == ["c"]


def test_split_gives_one_restriction_a_group():
    shards = [ShardInfo("a", closed=True), ShardInfo("b"), ShardInfo("c", ("a", "x")), ShardInfo("d", ("a",))]
    parts = restrictions.split(restrictions.initial(shards, StartingPosition("TRIM_HORIZON")))
    assert [[shard.shard_id for shard in part.shards] for part in parts] == [["a", "c", "d"], ["b"]]
    assert [shard.shard_id for shard in parts[0].readable()] == ["a"]


def test_b7_after_sequence_number_skips_the_ancestors_of_named_shards():
    shards = [ShardInfo("a"), ShardInfo("b", ("a",)), ShardInfo("c", ("b",)), ShardInfo("d", ("b",)), ShardInfo("e")]
    whole = restrictions.initial(shards, StartingPosition.after({"c": "50"}))
    assert [(shard.shard_id, shard.start, shard.waits_for) for shard in whole.shards] == [
        ("c", ShardPosition.after("50"), ()),
        ("d", TRIM_HORIZON, ()),
        ("e", TRIM_HORIZON, ()),
    ]


def test_b7_at_timestamp_holds_for_children_too():
    shards = [ShardInfo("a", closed=True), ShardInfo("b", ("a",))]
    whole = restrictions.initial(shards, StartingPosition.at_timestamp(5))
    assert {shard.start for shard in whole.shards} == {ShardPosition("AT_TIMESTAMP", timestamp_ms=5)}


def test_b9_size_follows_millis_behind_and_is_never_nothing_while_unknown():
    assert one().backlog_ms() == 60_000
    assert one().after(claim(1, millis_behind=250)).backlog_ms() == 250
    assert one().after(claim(1, millis_behind=0)).backlog_ms() == 1
    assert one().after(Claim("shardId-0", ends=True)).backlog_ms() == 0
    tracker = StreamRestrictionTracker(one())
    tracker.try_claim(claim(1, millis_behind=10_000))
    progress = tracker.current_progress()
    assert (progress.completed_work, progress.remaining_work) == (50_000, 10_000)
    assert not tracker.is_bounded()


def test_coder_reads_what_version_1_wrote():
    assert restrictions.decode(V1) == V1_VALUE
    assert restrictions.decode(V1).shards[0].millis_behind == 7
    assert restrictions.encode(V1_VALUE) == V1


@pytest.mark.parametrize("encoded", [b"", b"\x02[]"])
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
