"""A detector's published detections, which `hydrant bench nab` scores as it scores what it has run itself."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from pipelines.cli.benchmarks.nab_corpus import Corpus, shared
from pipelines.cli.benchmarks.nab_score import normalised, outcome
from pipelines.runtime.errors import InvalidDataError

FILE: Final = "published/random_cut_forest.json"
"""Where a corpus' folder has them, if it has them."""
FOREST: Final = "published_random_cut_forest"
WHOLE: Final = "published_random_cut_forest_on_the_whole_corpus"
_SOURCE: Final = "results/randomCutForest in NAB's repository, at its published thresholds, by the scorer used here"
_WHOLE_SOURCE: Final = "results/final_results.json in NAB's repository: as published, of all its 58 series"


@dataclass(frozen=True)
class Published:
    """What was published of a detector.

    Attributes:
        detections: profile -> series -> the rows that it reports.
        rows: profile -> series -> how many rows the series had.
        normalised: profile -> its published score on the whole of NAB.
    """

    detections: Mapping[str, Mapping[str, tuple[int, ...]]]
    rows: Mapping[str, Mapping[str, int]]
    normalised: Mapping[str, float]


def figures(folder: Path, corpus: Corpus) -> dict[str, Any]:
    """What `hydrant bench nab` tells of the published detector.

    Args:
        folder: of the corpus; its detections stand at `FILE`, or are not there.
        corpus: what was read from that folder.

    Returns:
        Under `FOREST` the score for each profile on the corpus' series; where they cannot be had, nothing, and under
        `left_out` why. Under `WHOLE`, always, what was published of NAB's whole corpus.

    Raises:
        InvalidDataError: the file is there and cannot be read.
    """
    whole = read(shared() / FILE).normalised
    told: dict[str, Any] = {WHOLE: {**whole, "series": 58, "source": _WHOLE_SOURCE}}
    path = folder / FILE
    if not path.is_file():
        return {**told, "left_out": {FOREST: f"{folder} has no {FILE}: nothing was published of its series"}}
    published = read(path)
    reason = mismatch(published, corpus)
    if reason:
        return {**told, "left_out": {FOREST: f"{path} is not of this corpus: {reason}"}}
    return {**told, FOREST: {**score(published, corpus), "source": _SOURCE}}


def read(path: Path) -> Published:
    """The file at `path`.

    Raises:
        InvalidDataError: it is not of the layout of `scenarios/cloudwatch/nab/published`.
    """
    try:
        profiles = json.loads(path.read_text(encoding="utf-8"))["profiles"]
        return Published(
            {
                profile: {name: tuple(map(int, series["detections"])) for name, series in one["series"].items()}
                for profile, one in profiles.items()
            },
            {
                profile: {name: int(series["rows"]) for name, series in one["series"].items()}
                for profile, one in profiles.items()
            },
            {profile: float(one["normalised"]) for profile, one in profiles.items()},
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        message = f"{path} cannot be read as published detections: {type(error).__name__}: {error}"
        raise InvalidDataError(message, "compare it with scenarios/cloudwatch/nab/published") from error


def mismatch(published: Published, corpus: Corpus) -> str:
    """Why `published` cannot be of the corpus; empty when nothing speaks against it."""
    for profile in corpus.profiles:
        rows = published.rows.get(profile)
        if rows is None:
            return f"it has no profile {profile}"
        for name, one in corpus.series.items():
            if name not in rows:
                return f"it has nothing of {name}"
            if rows[name] != len(one.values):
                return f"{name} has {len(one.values):,} rows here and {rows[name]:,} there"
            outside = [row for row in published.detections[profile][name] if not 0 <= row < rows[name]]
            if outside:
                return f"{name} has no row {outside[0]:,}"
    return ""


def score(published: Published, corpus: Corpus) -> dict[str, float]:
    """NAB's score for each profile: of the detections as they are, since a threshold was already chosen for them."""
    windows = sum(len(one.windows) for one in corpus.labelled.values())
    found = {}
    for profile, costs in corpus.profiles.items():
        total = 0.0
        for name, labelled in corpus.labelled.items():
            reported = np.zeros(len(corpus.series[name].values))
            reported[list(published.detections[profile][name])] = 1.0
            total += outcome(labelled, reported.tolist(), 1.0, costs).score
        found[profile] = normalised(total, windows, costs) if windows else 0.0
    return found
