"""Every call of AWS that the product makes was made by a test of this folder, on each target: run the whole folder."""

import pytest
from call_differences import Differences
from calls import ELSEWHERE, NO_CALLS, Recorder, calls_of_the_product
from targets import TARGETS


@pytest.mark.parametrize("target_name", TARGETS)
def test_every_call_of_the_product_was_made_on_this_target(target_name: str, recorder: Recorder) -> None:
    if not any(on == target_name for on, *_ in recorder.made):
        pytest.fail(f"No test ran on {target_name}: run the whole folder, `make test-integration`.", pytrace=False)
    assert [str(call) for call in recorder.missing(target_name)] == []


@pytest.mark.parametrize("target_name", TARGETS)
def test_every_known_difference_was_met_on_this_target(target_name: str, known: Differences) -> None:
    assert known.unmet(target_name) == [], (
        "no test asks for these rows of call_differences.py, or not the whole folder ran"
    )


def test_what_is_excepted_is_still_there() -> None:
    calls = calls_of_the_product()
    assert NO_CALLS.keys() <= {call.text for call in calls}
    assert {operation for _, operation in ELSEWHERE} <= {call.operation for call in calls}
