"""The corpus that `hydrant bench nab` runs on: series with labelled windows, and the profiles of NAB's scoring."""

import csv
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path

from pipelines.cli.benchmarks.nab_score import Labelled, Profile, label
from pipelines.runtime.errors import InvalidDataError, NotFoundError


@dataclass(frozen=True)
class Series:
    """One file of the corpus.

    Attributes:
        times_ms: of its rows, ms since the epoch, UTC.
        values: of its rows.
        labelled: its rows as the scorer sees them. No detector gets this.
    """

    times_ms: tuple[int, ...]
    values: tuple[float, ...]
    labelled: Labelled


@dataclass(frozen=True)
class Corpus:
    """Series by name (`category/file.csv`), in the order of their names, and NAB's profiles by name."""

    series: Mapping[str, Series]
    profiles: Mapping[str, Profile]

    @property
    def labelled(self) -> dict[str, Labelled]:
        return {name: one.labelled for name, one in self.series.items()}


def shared() -> Path:
    """The half of NAB that the scenario cloudwatch holds."""
    return Path(str(files("scenarios.cloudwatch"))) / "nab"


def load(folder: Path) -> Corpus:
    """Reads a folder of the layout `data/<category>/<file>.csv` (timestamp,value), `windows.json`, `profiles.json`.

    Raises:
        NotFoundError: one of these is missing.
        InvalidDataError: a row, a window or a profile cannot be read.
    """
    paths = sorted(folder.glob("data/*/*.csv"))
    missing = [name for name in ("windows.json", "profiles.json") if not (folder / name).is_file()]
    if missing or not paths:
        message = f"{folder} has no {missing[0] if missing else 'data/<category>/<file>.csv'}"
        raise NotFoundError(message, "name a folder of NAB's layout with --corpus")
    try:
        windows = json.loads((folder / "windows.json").read_text(encoding="utf-8"))
        costs = json.loads((folder / "profiles.json").read_text(encoding="utf-8"))
        profiles = {name: _profile(profile["CostMatrix"]) for name, profile in costs.items()}
        names = [path.relative_to(folder / "data").as_posix() for path in paths]
        series = {name: _series(path, windows[name]) for name, path in zip(names, paths, strict=True)}
    except (ValueError, KeyError, TypeError) as error:
        message = f"{folder} cannot be read as a corpus: {type(error).__name__}: {error}"
        raise InvalidDataError(message, "compare it with scenarios/cloudwatch/nab") from error
    return Corpus(series, profiles)


def _profile(costs: Mapping[str, float]) -> Profile:
    return Profile(costs["tpWeight"], costs["fnWeight"], costs["fpWeight"])


def _series(path: Path, windows: list[tuple[str, str]]) -> Series:
    with path.open(encoding="utf-8", newline="") as file:
        rows = [(_time(row["timestamp"]), float(row["value"])) for row in csv.DictReader(file)]
    times = [time for time, _ in rows]
    labelled = label(times, [(_time(start), _time(end)) for start, end in windows])
    return Series(tuple(round(time.timestamp() * 1000) for time in times), tuple(v for _, v in rows), labelled)


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)
