"""The embedded Kinesis against LocalStack: the same histories, and what a client sees of them."""

from collections.abc import Sequence

import pytest
from compare import Difference
from conftest import Plays
from differences import ROWS, explanation
from directed import AGREED, DIRECTED
from histories import SEEDS, history


@pytest.fixture(scope="session")
def random_plays(plays: Plays, request: pytest.FixtureRequest) -> Plays:
    """Begins all random histories that tests of this run ask for, so that they are played side by side."""
    tests = [item for item in request.session.items if isinstance(item, pytest.Function)]
    wanted = [item.callspec.params.get("seed") for item in tests if hasattr(item, "callspec")]
    for seed in SEEDS:
        if seed in wanted or any(item.name.startswith("test_every_known_difference_is_still") for item in tests):
            plays.begin(f"seed {seed}", history(seed))
    return plays


def unexplained(found: Sequence[Difference]) -> str:
    return "\n".join(str(difference) for difference in found if explanation(difference) is None)


def met(found: Sequence[Difference]) -> set[str]:
    return {row.id for row in map(explanation, found) if row is not None}


@pytest.mark.parametrize("seed", SEEDS)
def test_a_random_history_looks_the_same_on_both(seed: int, random_plays: Plays) -> None:
    otherwise = unexplained(random_plays.differences(f"seed {seed}", history(seed)))
    assert not otherwise, f"history({seed}):\n{otherwise}"


@pytest.mark.parametrize("name", AGREED)
def test_a_history_written_by_hand_looks_the_same_on_both(name: str, plays: Plays) -> None:
    assert not unexplained(plays.differences(name, AGREED[name]))


@pytest.mark.parametrize("row", DIRECTED)
def test_a_history_written_for_a_known_difference_meets_it_and_no_other(row: str, plays: Plays) -> None:
    for number, steps in enumerate(DIRECTED[row]):
        found = plays.differences(f"{row} {number}", steps)
        assert not unexplained(found)
        assert row in met(found), "LocalStack does as AWS does: this row is no longer needed"


@pytest.mark.timeout(1800)
def test_every_known_difference_is_still_met_by_a_history(random_plays: Plays) -> None:
    seen = set().union(*(met(random_plays.differences(f"seed {seed}", history(seed))) for seed in SEEDS))
    assert {row.id for row in ROWS} - set(DIRECTED) - seen == set(), "these rows are no longer needed"
