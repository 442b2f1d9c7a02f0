"""A splittable DoFn made of Beam's own parts, which keeps all laws, for others to break."""

import apache_beam as beam
from apache_beam.io.restriction_trackers import OffsetRange, OffsetRestrictionTracker
from apache_beam.io.watermark_estimators import ManualWatermarkEstimator
from apache_beam.transforms.core import RestrictionProvider, WatermarkEstimatorProvider
from apache_beam.transforms.window import TimestampedValue
from apache_beam.utils.timestamp import Duration, Timestamp

from pipelines.kinesis.testing import Record, SdfCase

END = 10**9
"""Nobody reads as far."""


class ManualWatermark(WatermarkEstimatorProvider):
    def initial_estimator_state(self, element, restriction):
        return Timestamp(restriction.start)

    def create_watermark_estimator(self, estimator_state):
        return ManualWatermarkEstimator(estimator_state)


class Offsets(RestrictionProvider):
    def initial_restriction(self, element):
        return OffsetRange(0, element)

    def create_tracker(self, restriction):
        return OffsetRestrictionTracker(restriction)

    def restriction_size(self, element, restriction):
        return restriction.size()

    def split(self, element, restriction):
        yield from restriction.split(3)


OFFSETS = Offsets()
WATERMARK = ManualWatermark()


class Count(beam.DoFn):
    """A number n -> the offsets 0 .. n - 1, each with itself as its timestamp in seconds; at most 4 a call."""

    def process(
        self,
        element,
        tracker=beam.DoFn.RestrictionParam(OFFSETS),
        watermark=beam.DoFn.WatermarkEstimatorParam(WATERMARK),
    ):
        start = tracker.current_restriction().start
        for offset in range(start, element + 1):
            if offset == start + 4:
                tracker.defer_remainder(Duration(1))
                return
            if not tracker.try_claim(offset):
                return
            yield TimestampedValue(offset, Timestamp(offset))
            watermark.set_watermark(Timestamp(offset))


class UnboundedOffsetTracker(OffsetRestrictionTracker):
    def is_bounded(self):
        return False


class Lines(Offsets):
    def initial_restriction(self, element):
        return OffsetRange(0, END)

    def create_tracker(self, restriction):
        return UnboundedOffsetTracker(restriction)

    def split(self, element, restriction):
        yield restriction


LINES = Lines()


class Tail(beam.DoFn):
    """A list that grows -> its items, for ever; what is there, and again a second later."""

    def process(
        self,
        element,
        tracker=beam.DoFn.RestrictionParam(LINES),
        watermark=beam.DoFn.WatermarkEstimatorParam(WATERMARK),
    ):
        for offset in range(tracker.current_restriction().start, len(element)):
            if not tracker.try_claim(offset):
                return
            yield TimestampedValue(element[offset], Timestamp(offset))
            watermark.set_watermark(Timestamp(offset))
        tracker.defer_remainder(Duration(1))


class TailCase(SdfCase):
    """Follows a list of numbers that grows.

    Args:
        count: how many are there at first.
        dofn: makes the DoFn.
    """

    done_leaves_nothing = False

    def __init__(self, count, dofn=Tail):
        self.element = list(range(count))
        self.make = dofn

    def make_dofn(self):
        return self.make()

    def records_of(self, output):
        yield Record(output.value, key="all", order=output.value)

    def expected(self):
        return self.element

    def world_step(self, choose):
        more = 1 + choose(2)
        self.element += range(len(self.element), len(self.element) + more)
        return f"{more} more"


class CountCase(SdfCase):
    """Counts to `element`.

    Args:
        element: how far.
        dofn: makes the DoFn.
    """

    # OffsetRestrictionTracker counts the offset that it granted last as work that remains.
    done_leaves_nothing = False

    def __init__(self, element, dofn=Count):
        self.element = element
        self.make = dofn
        self.waited_s = 0.0

    def make_dofn(self):
        return self.make()

    def records_of(self, output):
        yield Record(output.value, key="all", order=output.value)

    def expected(self):
        return range(self.element)

    def wait(self, seconds):
        self.waited_s += seconds
