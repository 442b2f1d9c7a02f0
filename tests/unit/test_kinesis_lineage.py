"""The tree of shards: who may be read together, who is read first, who inherits what expired."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from shard_tree import HASH_KEYS, ShardTree

from pipelines.kinesis.lineage import ShardInfo, ancestors, groups, heirs, lineage, owner

STEPS = st.lists(st.tuples(st.sampled_from(["split", "merge", "merge"]), st.integers(0, 99)), max_size=14)
IDS = st.sampled_from("abcdefgh")


def grown(tree: ShardTree, steps) -> ShardTree:
    for action, which in steps:
        getattr(tree, action)(which)
    return tree


def reaches(start: str, neighbours: dict[str, set[str]]) -> set[str]:
    found, front = {start}, [start]
    while front:
        for other in neighbours[front.pop()] - found:
            found.add(other)
            front.append(other)
    return found


@given(st.dictionaries(IDS, st.lists(IDS, max_size=3), max_size=8))
def test_groups_are_the_connected_parts_in_the_order_given(drawn):
    waits_for = {shard: [other for other in others if other in drawn] for shard, others in drawn.items()}
    neighbours = {
        shard: {other for other in waits_for if other in waits_for[shard] or shard in waits_for[other]}
        for shard in waits_for
    }
    found = groups(waits_for)
    assert [shard for group in found for shard in group if group[0] == shard] == [group[0] for group in found]
    for group in found:
        assert set(group) == reaches(group[0], neighbours)
        assert group == [shard for shard in waits_for if shard in group]
    assert sorted(shard for group in found for shard in group) == sorted(waits_for)


@given(st.integers(1, 4), STEPS, st.data())
def test_b12_lineage_is_every_descendant_that_is_listed_parents_first(shards, steps, data):
    tree = grown(ShardTree(shards), steps)
    of = data.draw(st.sets(st.sampled_from(list(tree.nodes)), min_size=1, max_size=3))
    children = {shard_id: set(node.children) for shard_id, node in tree.nodes.items()}
    below = set().union(*(reaches(shard_id, children) for shard_id in of))
    assert ancestors(tree.nodes, {shard.shard_id: shard for shard in tree.listed()}) == {
        shard_id for shard_id, node in tree.nodes.items() if node.children
    }
    found = lineage({shard_id: tree.nodes[shard_id].info.hash_range for shard_id in of}, tree.listed())
    assert {shard.shard_id for shard in found} == below
    assert_parents_first(found)


def assert_parents_first(found) -> None:
    names = [shard.shard_id for shard in found]
    for index, shard in enumerate(found):
        assert set(shard.parents).isdisjoint(names[index:])


@given(st.integers(1, 4), STEPS, STEPS, st.integers(0, 20))
def test_b12_b13_lineage_goes_over_what_expired(shards, before, after, which):
    """From shards that were open at one time all that came later is found, whatever expired in between."""
    tree = grown(ShardTree(shards), before)
    being_read = tree.open()
    older = set(tree.nodes) - set(being_read)
    grown(tree, after).expire(which)
    found = lineage({shard_id: tree.nodes[shard_id].info.hash_range for shard_id in being_read}, tree.listed())
    listed = {shard.shard_id: shard for shard in tree.listed()}
    assert {shard.shard_id for shard in found} == listed.keys() - older
    assert_parents_first(found)
    for shard in found:
        if listed.keys().isdisjoint(listed[shard.shard_id].parents):  # an heir waits for all that may have its records
            low, high = shard.hash_range
            overlapping = {
                shard_id
                for shard_id in set(being_read) - listed.keys()
                if tree.nodes[shard_id].info.hash_range[0] <= high and low <= tree.nodes[shard_id].info.hash_range[1]
            }
            assert set(shard.parents) == overlapping or shard.shard_id in being_read
        else:
            assert shard.parents == listed[shard.shard_id].parents


def test_b13_lineage_leaves_out_what_follows_somebody_elses_shard():
    """Of the two parents of a child one is read here; both have expired, and the first hash key was the other's."""
    child, next_child = ShardInfo("c", ("a", "b"), hash_range=(0, 19)), ShardInfo("d", ("c",), hash_range=(0, 9))
    assert lineage({"b": (10, 19)}, [child, next_child]) == ()
    found = lineage({"a": (0, 9)}, [child, next_child])
    assert [(shard.shard_id, shard.parents) for shard in found] == [("c", ("a",)), ("d", ("c",))]
    found = lineage({"a": (0, 9), "b": (10, 19)}, [child, next_child])
    assert [(shard.shard_id, shard.parents) for shard in found] == [("c", ("a", "b")), ("d", ("c",))]
    # Without hash keys the names have to do.
    assert lineage({"b": None}, [child]) == (child,)
    bare = ShardInfo("c", ("a", "b"))
    assert lineage({"b": (10, 19)}, [bare]) == (bare,)


A, B = (0, 99), (100, 199)


@pytest.mark.parametrize(
    ("child", "hash_ranges", "expected"),
    [
        (ShardInfo("c", ("a", "b"), hash_range=(0, 199)), {"a": A, "b": B}, "a"),
        (ShardInfo("c", ("b", "a"), hash_range=(0, 199)), {"a": A, "b": B}, "a"),
        (ShardInfo("c", ("a", "b"), hash_range=(0, 199)), {"a": B, "b": A}, "b"),
        (ShardInfo("c", ("a", "b"), hash_range=(0, 199)), {"b": A}, "b"),
        (ShardInfo("c", ("a", "b"), hash_range=(0, 199)), {"b": B}, "a"),  # it is not b
        (ShardInfo("c", ("a", "b"), hash_range=(0, 199)), {"a": B, "b": None}, "b"),
        (ShardInfo("c", ("b", "a"), hash_range=(0, 199)), {}, "a"),
        (ShardInfo("c", ("b", "a")), {"a": B, "b": A}, "a"),
        (ShardInfo("c", ("b",), hash_range=(0, 199)), {}, "b"),
    ],
)
def test_b12_a_child_follows_the_parent_that_took_its_first_hash_key(child, hash_ranges, expected):
    assert owner(child, hash_ranges) == expected


def test_first_hash_key_includes_both_ends_of_a_range():
    assert [ShardInfo("a", hash_range=(key, 300)).begins_in((10, 20)) for key in (9, 10, 20, 21)] == [
        False, True, True, False
    ]  # fmt: skip
    assert not ShardInfo("a").begins_in((0, HASH_KEYS))
    assert not ShardInfo("a", hash_range=(0, 1)).begins_in(None)
    assert [ShardInfo("a", hash_range=(5, 9)).shares(keys) for keys in ((0, 4), (0, 5), (6, 7), (9, 12), (10, 12))] == [
        False, True, True, True, False
    ]  # fmt: skip
    assert not ShardInfo("a", hash_range=(0, 1)).shares(None)
    assert not ShardInfo("a").shares((0, 1))


@given(st.integers(1, 4), STEPS, STEPS, st.integers(0, 20))
def test_b12_b13_no_heir_is_in_two_and_none_is_left_out(shards, before, after, which):
    """Shards that were open at one time, some of which have expired: who is left has just one of them to follow."""
    tree = grown(ShardTree(shards), before)
    being_read = tree.open()
    older = set(tree.nodes) - set(being_read)
    grown(tree, after).expire(which)
    listed = {shard.shard_id: shard for shard in tree.listed()}
    reported: list[str] = []
    for shard_id in being_read:
        if shard_id in listed:
            reported.append(shard_id)
            continue
        low, high = tree.nodes[shard_id].info.hash_range
        for heir in heirs(shard_id, (low, high), tree.listed()):
            if heir.parents == (shard_id,):
                assert low <= heir.hash_range[0] <= high
                reported.append(heir.shard_id)
            else:  # it follows the other parent too, which expires with this one
                raise AssertionError(heir)
    oldest = {
        shard_id
        for shard_id, shard in listed.items()
        if not listed.keys() & set(shard.parents) and shard_id not in older
    }
    roots = [shard_id for shard_id in reported if shard_id in oldest]
    assert sorted(roots) == sorted(oldest)
    assert set(reported) - oldest <= set(being_read)


def test_b13_children_that_expired_before_their_siblings_have_heirs_too():
    """A shard is split, one half is split again and expires, the other half is still open."""
    tree = ShardTree(1)
    (whole,) = tree.open()
    first, second = tree.split(0)
    quarters = tree.split(tree.open().index(first))
    tree.expire(1)
    assert tree.expired == {whole, first}
    found = heirs(whole, (0, HASH_KEYS - 1), tree.listed())
    assert {heir.shard_id for heir in found} == {second, *quarters}
    assert {heir.parents for heir in found} == {(whole,)}


def test_b12_a_childs_other_parent_that_is_still_listed_stays_its_parent():
    left, right = ShardInfo("b", hash_range=(50, 99)), ShardInfo("c", ("a", "b"), hash_range=(0, 99))
    assert heirs("a", (0, 49), [left, right]) == (right,)
    assert heirs("a", None, [left, right]) == (right,)


def test_without_hash_keys_only_children_are_heirs():
    child, other = ShardInfo("b", ("a",)), ShardInfo("c", ("b2",), hash_range=(0, 9))
    assert heirs("a", None, [child, other]) == (child,)
    assert heirs("a", (0, 9), [ShardInfo("c", ("b2",))]) == ()
