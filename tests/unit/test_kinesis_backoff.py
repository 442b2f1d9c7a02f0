"""When a shard's calls are given up."""

import pytest

from pipelines.kinesis.backoff import FAILURE_BUDGET_S, FAILURE_TRIES, Backoff
from pipelines.runtime.clock import ManualClock
from pipelines.runtime.errors import EndpointDownError, ServiceFaultError, ThrottledError

FAULT = ServiceFaultError("broken", fix="wait")


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def backoff(clock) -> Backoff:
    return Backoff("All reads of a", clock)


def test_a_reader_that_was_not_run_for_a_while_has_not_tried(backoff, clock):
    for _ in range(FAILURE_TRIES - 1):
        backoff.failed(FAULT)
        clock.advance(FAILURE_BUDGET_S + 1)
    with pytest.raises(EndpointDownError, match=r"^All reads of a failed for 30 s\. broken\. Fix: wait"):
        backoff.failed(FAULT)


def test_many_tries_within_the_budget_are_not_given_up(backoff, clock):
    for _ in range(20):
        backoff.failed(FAULT)
        clock.advance(FAILURE_BUDGET_S / 20)
    assert backoff.failures == 20
    clock.advance(0.1)
    with pytest.raises(EndpointDownError):
        backoff.failed(FAULT)


@pytest.mark.parametrize("between", ["success", "throttled"])
def test_what_was_answered_in_between_begins_anew(backoff, clock, between):
    for _ in range(FAILURE_TRIES):
        backoff.failed(FAULT)
    clock.advance(FAILURE_BUDGET_S - 1)
    if between == "success":
        backoff.succeeded()
        assert (backoff.failures, backoff.until_s) == (0, 0.0)
    else:
        backoff.failed(ThrottledError("slow down"))
    for _ in range(FAILURE_TRIES):
        clock.advance(FAILURE_BUDGET_S / FAILURE_TRIES - 1)
        backoff.failed(FAULT)
