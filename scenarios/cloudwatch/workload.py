"""What the scenario puts: eight real CloudWatch metrics, merged by time, disordered, some of them late.

Source: the Numenta Anomaly Benchmark (MIT, see nab/LICENSE.txt), category realAWSCloudwatch: a value every five
minutes for two weeks. The metrics were recorded in different weeks; so that they can share a stream, each is moved by
whole days to begin on `FIRST_DAY`, its labelled windows with it. The time of day stays.
"""

import json
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Final

import pandas as pd

from pipelines.kinesis.put import Record

NAB: Final = Path(__file__).parent / "nab"
CATEGORY: Final = "realAWSCloudwatch"
METRICS: Final = (
    "ec2_cpu_utilization_24ae8d",
    "ec2_cpu_utilization_5f5533",
    "ec2_cpu_utilization_825cc2",
    "ec2_cpu_utilization_c6585a",
    "ec2_disk_write_bytes_1ef3de",
    "ec2_network_in_257a54",
    "elb_request_count_8c0756",
    "rds_cpu_utilization_e47b3b",
)
FIRST_DAY: Final = date(2014, 4, 10)
DISORDER: Final = timedelta(minutes=30)
"""So much later than its time a record is put at most, on the stream's own time."""
LATE: Final = timedelta(days=2)
"""So much later are those that are late."""
LATE_EVERY: Final = 400
BAD_EVERY: Final = 3_000
_BAD: Final = (b'{"metric": "ec2_cpu_utilization_24ae8d", "timestamp": "yesterday", "value": 1.0}', b"not JSON")


@dataclass(frozen=True)
class Value:
    """One value of a metric.

    Attributes:
        metric: its name.
        at: its time, moved.
        value: the number.
        late: whether it is put so late that it may not be taken.
    """

    metric: str
    at: datetime
    value: float
    late: bool

    @property
    def at_ms(self) -> int:
        return round(self.at.timestamp() * 1000)

    def record(self) -> Record:
        """As it is put; all of a metric go to one shard."""
        text = {"metric": self.metric, "timestamp": self.at.isoformat(), "value": self.value}
        return Record(json.dumps(text).encode(), self.metric)


@dataclass(frozen=True)
class Workload:
    """Records to put, in their order: values, and bytes that are none."""

    puts: Sequence[Value | bytes]

    def __len__(self) -> int:
        return len(self.puts)

    def records(self) -> Iterator[Record]:
        """The records in the order in which they are put."""
        for put in self.puts:
            yield put.record() if isinstance(put, Value) else Record(put, METRICS[0])

    @property
    def values(self) -> list[Value]:
        """What is a value of a metric."""
        return [put for put in self.puts if isinstance(put, Value)]


def make_workload(count: int | None, seed: int) -> Workload:
    """The first `count` values of all metrics together, or all, disordered by `seed`; and some that are none."""
    rng = random.Random(seed)
    merged = sorted((at, metric, value) for metric, series in _series().items() for at, value in series)
    timed: list[tuple[datetime, int, Value | bytes]] = []
    for place, (at, metric, value) in enumerate(merged[:count]):
        late = place % LATE_EVERY == LATE_EVERY - 1
        put_at = at + DISORDER * rng.random() + (LATE if late else timedelta())
        timed.append((put_at, place, Value(metric, at, value, late)))
        if place % BAD_EVERY == BAD_EVERY // 2:
            timed.append((at, place, rng.choice(_BAD)))
    return Workload([put for _, _, put in sorted(timed, key=lambda entry: entry[:2])])


def labels() -> Mapping[str, list[tuple[int, int]]]:
    """By metric its labelled anomalies, from and to in ms since the epoch, moved as its values are."""
    read = json.loads((NAB / "windows.json").read_text(encoding="utf-8"))
    found = {}
    for metric in METRICS:
        moved = _moved_by(metric)
        spans = read[f"{CATEGORY}/{metric}.csv"]
        found[metric] = [(_ms(_time(begin) + moved), _ms(_time(end) + moved)) for begin, end in spans]
    return found


@cache
def _series() -> Mapping[str, list[tuple[datetime, float]]]:
    found = {}
    for metric in METRICS:
        table, moved = _table(metric), _moved_by(metric)
        found[metric] = [
            (_time(at) + moved, float(value)) for at, value in zip(table["timestamp"], table["value"], strict=True)
        ]
    return found


@cache
def _table(metric: str) -> pd.DataFrame:
    return pd.read_csv(NAB / "data" / CATEGORY / f"{metric}.csv")


def _moved_by(metric: str) -> timedelta:
    return FIRST_DAY - _time(_table(metric)["timestamp"][0]).date()


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def _ms(at: datetime) -> int:
    return round(at.timestamp() * 1000)
