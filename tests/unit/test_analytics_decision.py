"""When a score is an anomaly: causal, once an episode, from the series' own past."""

import statistics

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.analytics.decision import Decided, Decider, Decision
from pipelines.analytics.state import Unscored
from pipelines.runtime.errors import ConfigurationError

SCORES = st.lists(st.floats(0.1, 10), max_size=60)


def decided(scores, decision=Decision(2.0)) -> list[bool]:  # noqa: B008 - it is frozen
    decider = Decider(decision)
    return [decider.decide(score) for score in scores]


def test_an_episode_is_told_once_and_again_where_it_grows_worse():
    scores = [1.0, 1.1, 0.9, 1.0, 1.1, 3.0, 2.9, 2.8, 9.0, 5.0]
    assert decided(scores) == [False] * 5 + [True, False, False, True, False]


def test_what_is_longer_ago_than_a_tenth_of_the_series_may_be_exceeded_again():
    """At least 100 scores are looked back on."""
    assert decided([1.0] * 40 + [3.0] + [1.0] * 100 + [2.9])[-1]
    assert not decided([1.0] * 40 + [3.0] + [1.0] * 99 + [2.9])[-1]


@given(SCORES, st.integers(0, 3), st.sampled_from([0.0, 1.0, 3.0]))
def test_it_is_the_definition(scores, times, deviations):
    """By the standard library's mean and deviation, of all that came before."""
    scores = scores * times  # up to 180, of which 100 are looked back on
    for at, found in enumerate(decided(scores, Decision(deviations))):
        before = scores[:at]
        if len(before) < 2:
            assert not found
            continue
        threshold = max(*before[-100:], statistics.mean(before) + deviations * statistics.stdev(before), 0)
        if abs(scores[at] - threshold) > 1e-9:
            assert found == (scores[at] > threshold)


@given(SCORES, SCORES)
def test_it_knows_nothing_of_what_follows(scores, following):
    assert decided(scores + following)[: len(scores)] == decided(scores)


@given(SCORES, st.integers(0, 60))
def test_a_restart_changes_nothing(scores, at):
    decider = Decider(Decision(2.0))
    first = [decider.decide(score) for score in scores[:at]]
    again = Decider.unpack(decider.pack(), Decision(2.0))
    assert first + [again.decide(score) for score in scores[at:]] == decided(scores)


def results(scores) -> pa.RecordBatch:
    return pa.RecordBatch.from_pydict({"ANOMALY_SCORE": pa.array(scores, pa.float64())})


def test_c11_what_has_no_score_and_what_was_learnt_only_is_no_anomaly_and_no_past():
    scoring = Decided(Unscored(), Decision(1.0))
    scored = scoring.start("a").score(results([0.0] * 4 + [1.0, None, 1.1, 1.0, 5.0]))
    assert scored["anomaly"].to_pylist() == [False] * 8 + [True]
    assert scored["threshold"].to_pylist()[:7] == [None] * 7  # two scores at least
    assert scored.schema == scoring.schema(results([]).schema)


def test_a_scorer_is_restored_with_its_decision():
    scoring = Decided(Unscored(), Decision(1.0))
    scorer = scoring.start("a")
    scorer.score(results([1.0, 1.1, 4.0]))
    again = scoring.restore("a", scorer.snapshot())
    following = results([3.9, 1.0, 1.0, 1.0, 4.0])
    assert again.score(following).equals(scorer.score(following))


@pytest.mark.parametrize("deviations", [-1.0, float("nan")])
def test_a_decision_that_makes_no_sense_is_refused(deviations):
    with pytest.raises(ConfigurationError, match="Decision has") as raised:
        Decision(deviations)
    assert raised.value.fix
