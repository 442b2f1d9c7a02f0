"""The example of docs/kinesis.md runs as it stands there, and prints what the page says."""

import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

from infra.embedded.target import EmbeddedTarget

PAGE = Path(__file__).parents[2] / "docs/kinesis.md"


def test_the_example_writes_reads_and_counts(tmp_path) -> None:
    (example,) = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), flags=re.DOTALL | re.MULTILINE)
    path = tmp_path / "example.py"
    path.write_text(example)
    with EmbeddedTarget().started():
        ended = subprocess.run(
            [sys.executable, str(path)], env=os.environ, capture_output=True, text=True, timeout=180, check=False
        )
    assert ended.returncode == 0, ended.stderr[-2000:]
    counts: Counter[str] = Counter()
    for line in ended.stdout.splitlines():  # a second line for a taxi where a minute ended meanwhile
        taxi, count = line.split()
        counts[taxi] += int(count)
    assert counts == {f"taxi-{n}": 100 for n in range(10)}
