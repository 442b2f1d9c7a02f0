"""Every call of AWS that the product makes was made by a test of this folder, on each target: run the whole folder."""

import pytest
from calls import ELSEWHERE, NO_CALLS, Recorder, calls_of_the_product
from targets import TARGETS


@pytest.mark.parametrize("target_name", TARGETS)
def test_every_call_of_the_product_was_made_on_this_target(target_name: str, recorder: Recorder) -> None:
    if not any(on == target_name for on, *_ in recorder.made):
        pytest.fail(f"No test ran on {target_name}: run the whole folder, `make test-integration`.", pytrace=False)
    assert [str(call) for call in recorder.missing(target_name)] == []


def test_what_is_excepted_is_still_there() -> None:
    calls = calls_of_the_product()
    assert NO_CALLS.keys() <= {call.text for call in calls}
    assert {operation for _, operation in ELSEWHERE} <= {call.operation for call in calls}
