"""The example of docs/kinesis.md runs as it stands there, and prints what the page says."""

from collections import Counter
from pathlib import Path

from page_examples import blocks, printed

from infra.embedded.target import EmbeddedTarget


def test_the_example_writes_reads_and_counts(tmp_path: Path) -> None:
    (example,) = blocks("kinesis.md", "python")
    with EmbeddedTarget().started():
        lines = printed(example, tmp_path)
    counts: Counter[str] = Counter()
    for line in lines:  # a second line for a taxi where a minute ended meanwhile
        taxi, count = line.split()
        counts[taxi] += int(count)
    assert counts == {f"taxi-{n}": 100 for n in range(10)}
