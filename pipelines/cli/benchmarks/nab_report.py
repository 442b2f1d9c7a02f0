"""What `hydrant bench nab` prints."""

from collections.abc import Iterator, Mapping
from typing import Any

from rich.table import Table

from pipelines.cli.benchmarks.nab_published import FOREST, WHOLE

_PROFILES = ("standard", "reward_low_FP_rate", "reward_low_FN_rate")


def tables(result: Mapping[str, Any]) -> Iterator[Table]:
    """The detectors' scores, and what ours found in each series."""
    scores = Table("detector", *_PROFILES, title=f"NAB's score on {result['series']} series, {result['rows']:,} rows")
    for name in result["thresholds"]:
        scores.add_row(name, *(f"{result[name][profile]:.1f}" for profile in _PROFILES))
    if FOREST in result:
        scores.add_row(FOREST, *(f"{result[FOREST][profile]:.1f}" for profile in _PROFILES))
    told = [f"{name} is left out: {why}" for name, why in result.get("left_out", {}).items()]
    whole = ", ".join(f"{result[WHOLE][profile]:.1f}" for profile in _PROFILES)
    scores.caption = "\n".join([*told, f"Published of all {result[WHOLE]['series']} series of NAB: {whole}"])
    yield scores
    if result["halves"]:
        halves = Table("half of the series", "standard", title="ours, at the threshold the other half chooses")
        for name, score in result["halves"].items():
            halves.add_row(name, f"{score:.1f}")
        yield halves
    series = Table("series", "found", "missed", "false alarms", title="ours, standard profile")
    for name, one in result["ours_by_series"].items():
        series.add_row(name, *(str(one[key]) for key in ("found", "missed", "false_alarms")))
    yield series
