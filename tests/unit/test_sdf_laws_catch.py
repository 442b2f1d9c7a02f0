"""The laws catch DoFns that are wrong: each of these breaks one thing in what keeps all laws."""

import functools
import itertools
import math
import pickle
import random

import apache_beam as beam
import pytest
from apache_beam.io.iobase import RestrictionProgress
from apache_beam.io.restriction_trackers import OffsetRange, OffsetRestrictionTracker
from apache_beam.io.watermark_estimators import ManualWatermarkEstimator, MonotonicWatermarkEstimator
from apache_beam.transforms.window import TimestampedValue
from apache_beam.utils.timestamp import Duration, Timestamp
from sdf_toys import OFFSETS, WATERMARK, Count, CountCase, Lines, ManualWatermark, Offsets, Tail, TailCase

from pipelines.kinesis.testing import LawError, check_laws


def with_tracker(tracker_of, provider=Offsets):
    """The DoFn with another tracker."""

    class Provider(provider):
        def create_tracker(self, restriction):
            return tracker_of(restriction)

    return with_provider(Provider)


def with_provider(provider, estimators=ManualWatermark, count=Count):
    restrictions, watermarks = provider(), estimators()

    class Broken(beam.DoFn):
        def process(
            self,
            element,
            tracker=beam.DoFn.RestrictionParam(restrictions),
            watermark=beam.DoFn.WatermarkEstimatorParam(watermarks),
        ):
            yield from count.process(self, element, tracker, watermark)

    return Broken


def with_process(process):
    class Broken(Count):
        def process(
            self,
            element,
            tracker=beam.DoFn.RestrictionParam(OFFSETS),
            watermark=beam.DoFn.WatermarkEstimatorParam(WATERMARK),
        ):
            yield from process(self, element, tracker, watermark)

    return Broken


class LosesTheResidualsFirst(OffsetRestrictionTracker):
    def try_split(self, fraction_of_remainder):
        parts = super().try_split(fraction_of_remainder)
        return parts and (parts[0], OffsetRange(min(parts[1].start + 1, parts[1].stop), parts[1].stop))


class KeepsWhatItGaveAway(OffsetRestrictionTracker):
    def try_split(self, fraction_of_remainder):
        whole = self._range
        parts = super().try_split(fraction_of_remainder)
        if parts and fraction_of_remainder:
            self._range = OffsetRange(parts[0].start, min(parts[0].stop + 1, whole.stop))
            return self._range, parts[1]
        return parts


class SaysAnotherPrimary(OffsetRestrictionTracker):
    def try_split(self, fraction_of_remainder):
        parts = super().try_split(fraction_of_remainder)
        return parts and (OffsetRange(parts[0].start, parts[0].start), parts[1])


class GrantsBehindACheckpoint(OffsetRestrictionTracker):
    def try_claim(self, position):
        return super().try_claim(position) or self._checkpointed


class GrantsBehindARefusal(OffsetRestrictionTracker):
    refused = False

    def try_claim(self, position):
        granted = super().try_claim(position)
        was_refused, self.refused = self.refused, self.refused or not granted
        return granted or was_refused


class GrantsTwice(OffsetRestrictionTracker):
    def try_claim(self, position):
        if position == self._last_claim_attempt:
            return True
        return super().try_claim(position)


class NeverRaises(OffsetRestrictionTracker):
    def check_done(self):
        return True


class RaisesWhenDone(OffsetRestrictionTracker):
    def check_done(self):
        message = "never done"
        raise ValueError(message)


class StopsCheckingAtHalf(OffsetRestrictionTracker):
    def check_done(self):
        if (self._last_claim_attempt or 0) < self._range.stop // 2:
            super().check_done()


class HasNegativeProgress(OffsetRestrictionTracker):
    def current_progress(self):
        return RestrictionProgress(completed=(self._current_position or 0), remaining=3 - (self._current_position or 0))


class HasGrowingProgress(OffsetRestrictionTracker):
    def current_progress(self):
        return RestrictionProgress(completed=0, remaining=1 + (self._current_position or 0))


class ForgetsProgress(OffsetRestrictionTracker):
    def current_progress(self):
        done = self._current_position or 0
        return RestrictionProgress(completed=0, remaining=self._range.stop - done)


class IsDoneTooSoon(OffsetRestrictionTracker):
    def current_progress(self):
        progress = super().current_progress()
        return RestrictionProgress(completed=1, remaining=0) if progress.completed_work > 0.3 else progress


class DropsTheStop(beam.coders.Coder):
    def encode(self, value):
        return b"%d" % value.start

    def decode(self, encoded):
        return OffsetRange(int(encoded), 9)


class DropsTheStopAndCannotCompare(DropsTheStop):
    def decode(self, encoded):
        return Incomparable(int(encoded), 9)


class Incomparable(OffsetRange):
    __eq__ = object.__eq__
    __hash__ = object.__hash__

    def split(self, *_):
        yield self

    def split_at(self, split_pos):
        return Incomparable(self.start, split_pos), Incomparable(split_pos, self.stop)


class CountsItsCalls(beam.coders.Coder):
    """Says that it is deterministic."""

    numbers = itertools.count()

    def encode(self, value):
        return pickle.dumps((next(self.numbers), value))

    def decode(self, encoded):
        return pickle.loads(encoded)[1]

    def is_deterministic(self):
        return True


class Noted(OffsetRange):
    """Has a note that does not count."""

    def __init__(self, start, stop, note=0):
        super().__init__(start, stop)
        self.note = note


class WritesTheNote(beam.coders.Coder):
    def encode(self, value):
        return b"%d %d %d" % (value.start, value.stop, getattr(value, "note", 0))

    def decode(self, encoded):
        return Noted(*map(int, encoded.split()))

    def is_deterministic(self):
        return True


class TakesNotes(OffsetRestrictionTracker):
    def try_claim(self, position):
        granted = super().try_claim(position)
        if granted:
            self._range = Noted(self._range.start, self._range.stop, position)
        return granted

    def try_split(self, fraction_of_remainder):
        note = getattr(self._range, "note", 0)
        parts = super().try_split(fraction_of_remainder)
        return parts and (parts[0], Noted(parts[1].start, parts[1].stop, note))


def with_coder(coder):
    class Provider(Offsets):
        def initial_restriction(self, element):
            whole = super().initial_restriction(element)
            return Incomparable(whole.start, whole.stop) if coder is DropsTheStopAndCannotCompare else whole

        def restriction_coder(self):
            return coder()

        def create_tracker(self, restriction):
            return (TakesNotes if coder is WritesTheNote else OffsetRestrictionTracker)(restriction)

    return with_provider(Provider)


class HasNegativeSize(Offsets):
    def restriction_size(self, element, restriction):
        return restriction.size() - 2


class HasOtherSizes(Offsets):
    def restriction_size(self, element, restriction):
        return restriction.size() ** 2


class SplitsWithAHole(Offsets):
    def split(self, element, restriction):
        middle = restriction.stop // 2
        yield OffsetRange(restriction.start, middle)
        yield OffsetRange(min(middle + 1, restriction.stop), restriction.stop)


class SplitsTwice(Offsets):
    def split(self, element, restriction):
        yield restriction
        yield restriction


class TruncatesToNothing(Offsets):
    """Beam loses what is not None and false."""

    def truncate(self, element, restriction):
        return ()


class TruncatesToAll(Offsets):
    def truncate(self, element, restriction):
        return OffsetRange(0, restriction.stop)


class DrainsForEver(Lines):
    def truncate(self, element, restriction):
        return restriction


class FalseWhenHalf(OffsetRange):
    def __bool__(self):
        return self.start < 4


class FalseTracker(OffsetRestrictionTracker):
    def try_split(self, fraction_of_remainder):
        parts = super().try_split(fraction_of_remainder)
        return parts and (parts[0], FalseWhenHalf(parts[1].start, parts[1].stop))


class GoesBack(ManualWatermarkEstimator):
    def current_watermark(self):
        return self._watermark - Duration(2) if self._watermark.micros % 2_000_000 else self._watermark


class ForgetsItsState(ManualWatermarkEstimator):
    def get_estimator_state(self):
        return Timestamp(0)


def estimated_by(estimator):
    class Estimators(ManualWatermark):
        def create_watermark_estimator(self, estimator_state):
            return estimator(estimator_state)

    return with_provider(Offsets, Estimators)


class ForgetsTheTime(beam.coders.Coder):
    def encode(self, value):
        return b""

    def decode(self, encoded):
        return Timestamp(0)


class WithForgetfulCoder(ManualWatermark):
    def estimator_state_coder(self):
        return ForgetsTheTime()


def sets_the_watermark_first(self, element, tracker, watermark):
    for offset in range(tracker.current_restriction().start, element + 1):
        if not tracker.try_claim(offset):
            return
        yield TimestampedValue(offset, Timestamp(offset))
        watermark.set_watermark(Timestamp(offset + 2))


def gives_no_timestamps(self, element, tracker, watermark):
    for offset in range(tracker.current_restriction().start, element + 1):
        if not tracker.try_claim(offset):
            return
        yield offset


def outputs_before_it_claims(self, element, tracker, watermark):
    for offset in range(tracker.current_restriction().start, element):
        yield TimestampedValue(offset, Timestamp(offset))
        if not tracker.try_claim(offset):
            return
    tracker.try_claim(element)


def ignores_refusals(self, element, tracker, watermark):
    for offset in range(tracker.current_restriction().start, element):
        tracker.try_claim(offset)
        yield TimestampedValue(offset, Timestamp(offset))


def stops_early(self, element, tracker, watermark):
    for offset in range(tracker.current_restriction().start, element - 1):
        if not tracker.try_claim(offset):
            return
        yield TimestampedValue(offset, Timestamp(offset))


def keeps_its_place(self, element, tracker, watermark):
    """What was read stays with the DoFn, and is skipped when it is read again."""
    self.read = getattr(self, "read", set())
    for offset in range(tracker.current_restriction().start, element + 1):
        if not tracker.try_claim(offset):
            return
        if offset not in self.read:
            yield TimestampedValue(offset, Timestamp(offset))
        self.read.add(offset)


def fails_in_the_end(self, element, tracker, watermark):
    yield from Count.process(self, element, tracker, watermark)
    message = "out of order"
    raise RuntimeError(message)


MONOTONIC = MonotonicWatermarkEstimator.default_provider()


class BeamsMonotonicWatermark(beam.DoFn):
    """Beam's own default provider cannot compare its first watermark, which is None."""

    def process(
        self,
        element,
        tracker=beam.DoFn.RestrictionParam(OFFSETS),
        watermark=beam.DoFn.WatermarkEstimatorParam(MONOTONIC),
    ):
        for offset in range(tracker.current_restriction().start, element + 1):
            if not tracker.try_claim(offset):
                return
            yield TimestampedValue(offset, Timestamp(offset))


class FalseProvider(Offsets):
    def create_tracker(self, restriction):
        return FalseTracker(restriction)

    def restriction_coder(self):
        return Halves()


class Halves(beam.coders.Coder):
    def encode(self, value):
        return b"%d %d" % (value.start, value.stop)

    def decode(self, encoded):
        return FalseWhenHalf(*map(int, encoded.split()))


LOST = {"coverage", "exactly once", "checkpoints"}
BROKEN = {
    "try_split loses the residual's first": (with_tracker(LosesTheResidualsFirst), LOST | {"size"}),
    "the primary keeps what was given away": (with_tracker(KeepsWhatItGaveAway), LOST | {"size"}),
    "the tracker's restriction is not the primary": (with_tracker(SaysAnotherPrimary), {"coverage"}),
    "a claim is granted behind a checkpoint": (with_tracker(GrantsBehindACheckpoint), {"claims"}),
    "a claim is granted behind a refusal": (with_tracker(GrantsBehindARefusal), {"claims"}),
    "a claim is granted twice": (with_tracker(GrantsTwice), {"claims"}),
    "check_done never raises": (with_tracker(NeverRaises), {"check_done"}),
    "check_done always raises": (with_tracker(RaisesWhenDone), {"check_done"}),
    "check_done passes at half": (with_tracker(StopsCheckingAtHalf), {"check_done"}),
    "progress is negative": (with_tracker(HasNegativeProgress), {"progress"}),
    "progress grows by a claim": (with_tracker(HasGrowingProgress), {"progress"}),
    "progress does not add up": (with_tracker(ForgetsProgress), {"progress"}),
    "nothing remains before the end": (with_tracker(IsDoneTooSoon), {"progress"}),
    "the coder drops the stop": (with_coder(DropsTheStop), {"coder"}),
    "the coder drops the stop, values do not compare": (with_coder(DropsTheStopAndCannotCompare), LOST | {"size"}),
    "the coder counts its calls": (with_coder(CountsItsCalls), {"coder"}),
    "the coder writes what is not compared": (with_coder(WritesTheNote), {"coder"}),
    "a size is negative": (with_provider(HasNegativeSize), {"size"}),
    "sizes do not add up": (with_provider(HasOtherSizes), {"size"}),
    "the initial split has a hole": (with_provider(SplitsWithAHole), {"initial split", "exactly once"}),
    "the initial split reads twice": (with_provider(SplitsTwice), {"initial split", "exactly once"}),
    "truncate gives something false": (with_provider(TruncatesToNothing), {"truncate"}),
    "truncate gives what was read": (with_provider(TruncatesToAll), {"truncate", "watermark"}),
    "a residual is false": (with_provider(FalseProvider), {"coverage"}),
    "the watermark goes back": (estimated_by(GoesBack), {"watermark"}),
    "the watermark is forgotten": (estimated_by(ForgetsItsState), {"watermark"}),
    "the watermark's coder forgets it": (with_provider(Offsets, WithForgetfulCoder), {"coder"}),
    "the watermark is ahead of the outputs": (with_process(sets_the_watermark_first), {"watermark"}),
    "outputs have no timestamp": (with_process(gives_no_timestamps), {"watermark"}),
    "process outputs before it claims": (with_process(outputs_before_it_claims), {"claims"}),
    "process ignores refusals": (with_process(ignores_refusals), {"claims"}),
    "process stops early": (with_process(stops_early), {"check_done"}),
    "the DoFn keeps its place between bundles": (with_process(keeps_its_place), LOST | {"initial split"}),
    "process raises": (with_process(fails_in_the_end), {"no error"}),
    "Beam's monotonic watermark, which cannot start": (BeamsMonotonicWatermark, {"no error"}),
}


@pytest.mark.parametrize(("dofn", "laws"), BROKEN.values(), ids=BROKEN)
def test_what_is_broken_is_caught(dofn, laws):
    assert caught(lambda seed: CountCase(7, dofn)).law in laws


@pytest.mark.parametrize("tracker", [LosesTheResidualsFirst, KeepsWhatItGaveAway])
def test_what_is_lost_or_doubled_is_caught_where_sizes_say_nothing(tracker):
    class Case(CountCase):
        size_tolerance = math.inf

    assert caught(lambda seed: Case(7, with_tracker(tracker))).law in LOST


def test_a_drain_that_never_ends_is_caught():
    found = caught(lambda seed: TailCase(seed % 5, with_provider(DrainsForEver, count=Tail)))
    assert (found.law, found.what) == ("truncate", "reading did not end within 1000 process() calls")


def test_an_error_names_the_law_what_was_seen_and_the_schedule():
    found = caught(lambda seed: CountCase(7, BROKEN["the initial split has a hole"][0]))
    assert "the law 'exactly once' is broken: lost 3" in str(found)
    assert "1. read work 2, work 3" in str(found)


def caught(make_case):
    with pytest.raises(LawError) as error:
        for seed in range(200):
            check_laws(functools.partial(make_case, seed), random.Random(seed).randrange)
    return error.value
