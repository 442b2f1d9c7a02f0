"""The source keeps the laws of splittable DoFns in any history of its stream (B7 to B13, B16); what is wrong is caught.

An example makes a stream with a history, chooses how it is read, and what befalls runner, reader and stream meanwhile.
"""

import functools
import logging
import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from apache_beam.io.iobase import RestrictionProgress
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sdf_laws import AtOnce, KinesisCase

from pipelines.kinesis import read
from pipelines.kinesis.restriction import Claim, Restriction
from pipelines.kinesis.testing import (
    LAWS,
    LawError,
    check_done,
    choices,
    claims,
    coverage,
    every_split,
    exactly_once,
    progress,
)
from pipelines.kinesis.tracker import StreamRestrictionTracker

EXAMPLES = max(600, settings().max_examples)
EXAMPLES_OF_ONE_LAW = max(60, settings().max_examples // 10)
SETTINGS: dict[str, Any] = {
    "deadline": None,
    "suppress_health_check": [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example],
}


@pytest.fixture(autouse=True, scope="module")
def calls_are_made_at_once() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(read, "ThreadPoolExecutor", lambda *_: AtOnce())
        logging.disable(logging.WARNING)  # of each gap
        yield
        logging.disable(logging.NOTSET)


@given(data=st.data())
@settings(max_examples=EXAMPLES, **SETTINGS)
def test_b12_b13_every_record_is_read_once_and_in_order_whatever_happens(data):
    choose = choices(data)
    exactly_once(KinesisCase(choose), choose)


@pytest.mark.parametrize("law", [law for law in LAWS if law is not exactly_once], ids=lambda law: law.__name__)
@given(data=st.data())
@settings(max_examples=EXAMPLES_OF_ONE_LAW, **SETTINGS)
def test_the_source_keeps_the_law(law, data):
    choose = choices(data)
    law(KinesisCase(choose), choose)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_stream_is_split_at_every_claim(seed):
    assert every_split(lambda: KinesisCase(random.Random(seed).randrange)) > 3


class LosesAShard(StreamRestrictionTracker):
    """The residual of a checkpoint lacks a shard."""

    def try_split(self, fraction_of_remainder):
        parts = super().try_split(fraction_of_remainder)
        return parts and (parts[0], Restriction(parts[1].shards[1:] or parts[1].shards))


class KeepsWhatItHandsOver(StreamRestrictionTracker):
    """The primary goes on with the shards of the residual."""

    def try_split(self, fraction_of_remainder):
        left, whole = self._left, self._whole
        parts = super().try_split(fraction_of_remainder)
        if parts and fraction_of_remainder:
            self._left, self._whole = left, whole
            return whole, parts[1]
        return parts


class HandsOverWhatItReads(StreamRestrictionTracker):
    """A shard that was claimed from goes to the residual before its pages are committed."""

    def try_split(self, fraction_of_remainder):
        self._touched.clear()
        return super().try_split(fraction_of_remainder)


class HandsOverChildren(StreamRestrictionTracker):
    """The children of a shard that ended go to the residual; a repeated primary finds them again."""

    def try_claim(self, position):
        children = {shard.shard_id for shard in self._left.shards if position.shard_id in shard.waits_for}
        granted = super().try_claim(position)
        self._touched -= children
        return granted


class DoesNotBoundThePrimary(StreamRestrictionTracker):
    """The primary of a checkpoint has no end: repeated, it reads the residual too."""

    def try_split(self, fraction_of_remainder):
        whole = self._whole
        parts = super().try_split(fraction_of_remainder)
        if parts and not fraction_of_remainder:
            self._whole = whole
            return whole, parts[1]
        return parts


class ForgetsTheCheckpoint(StreamRestrictionTracker):
    """Claims are granted behind a checkpoint."""

    def try_claim(self, position):
        self._checkpointed = False
        return super().try_claim(position)


class ForgetsARefusal(StreamRestrictionTracker):
    """Claims are granted behind one that was refused."""

    def try_claim(self, position):
        self._refused = False
        return super().try_claim(position)


class IsAlwaysDone(StreamRestrictionTracker):
    def check_done(self):
        return True


class SaysThatNothingRemains(StreamRestrictionTracker):
    def current_progress(self):
        return RestrictionProgress(completed=1, remaining=0)


class GrantsItAgain(StreamRestrictionTracker):
    """A claim that does not follow the one before is granted."""

    def try_claim(self, position: Claim) -> bool:
        try:
            return super().try_claim(position)
        except ValueError:
            return True


MUTANTS = [
    (LosesAShard, coverage, "coverage"),
    (KeepsWhatItHandsOver, coverage, "coverage"),
    (HandsOverWhatItReads, exactly_once, "order"),
    (HandsOverChildren, coverage, "coverage"),
    (DoesNotBoundThePrimary, coverage, "coverage"),
    (ForgetsTheCheckpoint, claims, "claims"),
    (ForgetsARefusal, claims, "claims"),
    (GrantsItAgain, claims, "claims"),
    (IsAlwaysDone, check_done, "check_done"),
    (SaysThatNothingRemains, progress, "progress"),
]


@pytest.mark.parametrize(("tracker", "law", "name"), MUTANTS, ids=[tracker.__name__ for tracker, *_ in MUTANTS])
def test_a_tracker_that_is_wrong_is_caught(tracker, law, name):
    class Broken(read.ReadPages):
        def create_tracker(self, restriction):
            return tracker(restriction, splittable=self._options.desired_num_splits > 1)

    found = caught(law, functools.partial(KinesisCase, reads=Broken))
    assert found.law == name


def caught(law: Callable[..., None], make_case: Callable[..., KinesisCase]) -> LawError:
    with pytest.raises(LawError) as error:
        for seed in range(EXAMPLES):
            choose = random.Random(seed).randrange
            law(make_case(choose), choose)
    return error.value
