"""What the scenario puts: the lines of a real access log, as they are."""

import gzip
import random
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from pipelines.kinesis.put import Record

LOG: Final = Path(__file__).parent / "data" / "apache_access.log.gz"


@dataclass(frozen=True)
class Workload:
    """Lines to put.

    Attributes:
        lines: each with its newline, in the order of the log.
    """

    lines: tuple[bytes, ...]

    def __len__(self) -> int:
        return len(self.lines)

    def records(self) -> Iterator[Record]:
        """A record a line; the partition key is the visitor's address, so that one visitor's lines stay in order."""
        for line in self.lines:
            yield Record(line, line.split(b" ", 1)[0].decode())


@cache
def log_lines() -> tuple[bytes, ...]:
    """Every line of the log, byte for byte."""
    with gzip.open(LOG) as log:
        return tuple(log.readlines())


def make_workload(count: int | None, seed: int) -> Workload:
    """`count` lines in the order of the log, or all of them.

    Args:
        count: at most all there are; None for all.
        seed: which lines, when it is not all.
    """
    lines = log_lines()
    if count is None or count >= len(lines):
        return Workload(lines)
    chosen = sorted(random.Random(seed).sample(range(len(lines)), count))
    return Workload(tuple(lines[at] for at in chosen))
