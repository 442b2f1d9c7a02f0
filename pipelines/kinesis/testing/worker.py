"""A DoFn on a worker: its parameters found and its methods called as the SDK finds and calls them."""

import functools
import math
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import apache_beam as beam
from apache_beam.io.iobase import RestrictionTracker, WatermarkEstimator
from apache_beam.runners.sdf_utils import NoOpWatermarkEstimatorProvider
from apache_beam.transforms.core import RestrictionProvider, WatermarkEstimatorProvider, get_function_arguments

from pipelines.kinesis.testing.case import LawError, SdfCase
from pipelines.kinesis.testing.watch import compares


@contextmanager
def calling(what: str) -> Iterator[None]:
    """What is called must not raise.

    Raises:
        LawError: it did.
    """
    try:
        yield
    except LawError:
        raise
    except Exception as error:
        law = "no error"
        raise LawError(law, f"{what} raised {error!r}") from error


class Worker:
    """One instance of the DoFn, set up. Used by one bundle at a time. Every method raises `LawError` where it may not.

    Args:
        case: makes the DoFn.

    Raises:
        TypeError: the DoFn is not splittable, or `process()` takes what a worker of this kind does not have.
    """

    def __init__(self, case: SdfCase) -> None:
        self._element = case.element
        self._dofn = case.make_dofn()
        kind: Any = type(self._dofn)
        self._parameters = _parameters(kind)
        self._provider: RestrictionProvider = self._parameters.tracker.restriction_provider or self._dofn
        self._estimators: WatermarkEstimatorProvider = NoOpWatermarkEstimatorProvider()
        if self._parameters.estimator is not None:
            self._estimators = self._parameters.estimator.watermark_estimator_provider or self._dofn
        self._restrictions = _CheckedCoder("restriction", self._provider.restriction_coder())
        self._states = _CheckedCoder("watermark estimator state", self._estimators.estimator_state_coder())
        with calling("setup()"):
            self._dofn.setup()

    def initial_restriction(self) -> Any:
        with calling("initial_restriction()"):
            return self._provider.initial_restriction(self._element)

    def initial_state(self, restriction: Any) -> Any:
        with calling("initial_estimator_state()"):
            return self._estimators.initial_estimator_state(self._element, restriction)

    def split(self, restriction: Any) -> list[Any]:
        with calling("split_and_size()"):
            return [part for part, _ in self._provider.split_and_size(self._element, restriction)]

    def truncate(self, restriction: Any) -> Any:
        with calling("truncate()"):
            return self._provider.truncate(self._element, restriction)

    def size(self, restriction: Any) -> float:
        with calling("restriction_size()"):
            size = self._provider.restriction_size(self._element, restriction)
        if not (math.isfinite(size) and size >= 0):
            law = "size"
            raise LawError(law, f"{size} is no size of {restriction}")
        return float(size)

    def tracker(self, restriction: Any) -> RestrictionTracker:
        with calling("create_tracker()"):
            return self._provider.create_tracker(restriction)

    def estimator(self, state: Any) -> WatermarkEstimator:
        with calling("create_watermark_estimator()"):
            return self._estimators.create_watermark_estimator(state)

    def start_bundle(self) -> None:
        with calling("start_bundle()"):
            self._dofn.start_bundle()

    def process(self, tracker: Any, estimator: Any) -> Generator[Any, None, None]:
        """The outputs of `process()`, as they are taken."""
        arguments = {self._parameters.tracker_name: tracker}
        if self._parameters.estimator is not None:
            arguments[self._parameters.estimator_name] = estimator
        yield from self._dofn.process(self._element, **arguments) or ()

    def finish_bundle(self) -> list[Any]:
        """What `finish_bundle()` outputs."""
        with calling("finish_bundle()"):
            return list(self._dofn.finish_bundle() or ())

    def close(self) -> None:
        with calling("teardown()"):
            self._dofn.teardown()

    def encode_restriction(self, restriction: Any) -> bytes:
        return self._restrictions.encode(restriction)

    def decode_restriction(self, encoded: bytes) -> Any:
        return self._restrictions.decode(encoded)

    def encode_state(self, state: Any) -> bytes:
        return self._states.encode(state)

    def decode_state(self, encoded: bytes) -> Any:
        return self._states.decode(encoded)


class _CheckedCoder:
    """A coder whose every value is coded there and back."""

    def __init__(self, what: str, coder: Any) -> None:
        self._what = what
        self._coder = coder
        self._seen: list[tuple[Any, bytes]] = []

    def encode(self, value: Any) -> bytes:
        with calling(f"coding the {self._what} {value!r}"):
            encoded: bytes = self._coder.encode(value)
            again = self._coder.decode(encoded)
            if compares(value) and again != value:
                self._break(f"{value!r} comes back as {again!r}")
            if self._coder.is_deterministic():
                if self._coder.encode(again) != encoded:
                    self._break(f"{value!r} gives other bytes when it was coded before")
                for seen, bytes_of_seen in self._seen:
                    if compares(value) and seen == value and bytes_of_seen != encoded:
                        self._break(f"{seen!r} and {value!r} are equal, and their bytes are not")
                self._seen = [*self._seen[-7:], (again, encoded)]
        return encoded

    def decode(self, encoded: bytes) -> Any:
        with calling(f"decoding the {self._what} {encoded!r}"):
            return self._coder.decode(encoded)

    def _break(self, what: str) -> None:
        law = "coder"
        raise LawError(law, f"the {self._what} {what}")


@dataclass(frozen=True)
class _Parameters:
    """The parameters of `process()` that Beam fills, found by their defaults as Beam finds them."""

    tracker_name: str
    tracker: Any
    estimator_name: str = ""
    estimator: Any = None


@functools.cache
def _parameters(dofn: type[beam.DoFn]) -> _Parameters:
    names, defaults = get_function_arguments(dofn, "process")
    found: dict[str, Any] = {}
    for name, default in zip(names[len(names) - len(defaults) :], defaults, strict=True):
        if isinstance(default, beam.DoFn.RestrictionParam):
            found |= {"tracker_name": name, "tracker": default}
        elif isinstance(default, beam.DoFn.WatermarkEstimatorParam):
            found |= {"estimator_name": name, "estimator": default}
        elif default in beam.DoFn.DoFnProcessParams:
            message = f"process() of {dofn.__name__} takes {name}={default!r}, which these laws do not give it"
            raise TypeError(message)
    if "tracker" not in found:
        message = f"{dofn.__name__} is no splittable DoFn: no parameter of process() is a DoFn.RestrictionParam()"
        raise TypeError(message)
    return _Parameters(**found)
