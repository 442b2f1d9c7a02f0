"""Laws that any splittable DoFn must keep, to put one's own through: docs/sdf-laws.md.

Needs nothing but Beam; `choices` needs hypothesis.
"""

from pipelines.kinesis.testing.case import Choose, LawError, Output, Record, SdfCase, choices
from pipelines.kinesis.testing.laws import LAWS, Law, check_laws, exactly_once
from pipelines.kinesis.testing.split_laws import (
    check_split,
    checkpoints,
    coverage,
    every_split,
    initial_split,
    truncate,
)
from pipelines.kinesis.testing.tracker_laws import check_done, claims, progress
from pipelines.kinesis.testing.value_laws import coders, watermark

__all__ = [
    "LAWS",
    "Choose",
    "Law",
    "LawError",
    "Output",
    "Record",
    "SdfCase",
    "check_done",
    "check_laws",
    "check_split",
    "checkpoints",
    "choices",
    "claims",
    "coders",
    "coverage",
    "every_split",
    "exactly_once",
    "initial_split",
    "progress",
    "truncate",
    "watermark",
]
