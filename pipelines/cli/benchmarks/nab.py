"""`hydrant bench nab`: ours and baselines on the Numenta Anomaly Benchmark's series, by NAB's own score."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from pipelines.cli.benchmarks import nab_baselines, nab_published
from pipelines.cli.benchmarks.nab_corpus import Corpus, load, shared
from pipelines.cli.benchmarks.nab_score import best_threshold, normalised, outcome

OURS = "ours"
Detect = Callable[[Corpus], Mapping[str, Sequence[float]]]


def run(folder: Path | None, tell: Callable[[str], None], ours: Detect | None = None) -> dict[str, Any]:
    """Scores ours and every baseline on a corpus.

    Args:
        folder: of NAB's layout; None for the half that is in the project.
        tell: is told what runs.
        ours: what gives the scores of each series; by default the graph on Prism.

    Returns:
        By detector, NAB's score for each profile, the `thresholds` it was reached at, and `ours_by_series`; each half
        of the series by itself stands under `halves`, at the threshold that the other half would have chosen. Beside
        them what was published of another detector, see `nab_published.figures`.

    Raises:
        NotFoundError: the folder is none of NAB's layout, or a baseline's library is not installed.
        InvalidDataError: something in the folder cannot be read.
    """
    from pipelines.cli.benchmarks.nab_beam import ours as through_beam

    folder = folder or shared()
    corpus = load(folder)
    published = nab_published.figures(folder, corpus)
    rows = sum(len(one.values) for one in corpus.series.values())
    tell(f"{len(corpus.series)} series, {rows:,} rows: ours through Beam on Prism...")
    scores: dict[str, Mapping[str, Sequence[float]]] = {OURS: (ours or through_beam)(corpus)}
    with ProcessPoolExecutor(2) as pool:
        for name, detect in nab_baselines.DETECTORS.items():
            tell(f"{name}...")
            found = pool.map(detect, [one.values for one in corpus.series.values()])
            scores[name] = dict(zip(corpus.series, found, strict=True))
    result: dict[str, Any] = {"series": len(corpus.series), "rows": rows}
    result["thresholds"] = {}
    for name, detected in scores.items():
        result[name], result["thresholds"][name] = score(corpus, detected)
    result["halves"] = halves(corpus, scores[OURS])
    result["ours_by_series"] = by_series(corpus, scores[OURS], result["thresholds"][OURS]["standard"])
    return {**result, **published}


def score(corpus: Corpus, detected: Mapping[str, Sequence[float]]) -> tuple[dict[str, float], dict[str, float]]:
    """NAB's score of a detector for each profile, and the threshold of each."""
    labelled = corpus.labelled
    windows = sum(len(one.windows) for one in labelled.values())
    scores, thresholds = {}, {}
    for name, profile in corpus.profiles.items():
        thresholds[name], total = best_threshold(labelled, detected, profile)
        scores[name] = normalised(total, windows, profile) if windows else 0.0
    return scores, thresholds


def halves(corpus: Corpus, detected: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """The standard score of every second series and of the others, each at the threshold of the other half."""
    names, profile = list(corpus.series), corpus.profiles["standard"]
    parts = {"even": names[::2], "odd": names[1::2]}
    found = {}
    for name, other in (("even", "odd"), ("odd", "even")):
        chosen = {one: corpus.series[one].labelled for one in parts[other]}
        tested = {one: corpus.series[one].labelled for one in parts[name]}
        windows = sum(len(one.windows) for one in tested.values())
        if not chosen or not windows:
            continue
        threshold, _ = best_threshold(chosen, detected, profile)
        total = sum(outcome(one, detected[key], threshold, profile).score for key, one in tested.items())
        found[name] = normalised(total, windows, profile)
    return found


def by_series(corpus: Corpus, detected: Mapping[str, Sequence[float]], threshold: float) -> dict[str, Any]:
    """What was found in each series at a threshold, standard profile."""
    profile = corpus.profiles["standard"]
    told = {}
    for name, one in corpus.series.items():
        reached = outcome(one.labelled, detected[name], threshold, profile)
        told[name] = {"found": reached.found, "missed": reached.missed, "false_alarms": reached.false_alarms}
    return told
