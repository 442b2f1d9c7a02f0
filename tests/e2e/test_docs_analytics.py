"""The example of docs/analytics.md runs as it stands there, and prints what the page says."""

import os
import re
import subprocess
import sys
from pathlib import Path

from infra.embedded.target import EmbeddedTarget

PAGE = Path(__file__).parents[2] / "docs/analytics.md"


def blocks(kind: str) -> list[str]:
    return re.findall(rf"^```{kind}\n(.*?)^```", PAGE.read_text(), flags=re.DOTALL | re.MULTILINE)


def test_the_example_scores_windows_and_tells_what_is_late_and_bad(tmp_path) -> None:
    (example,) = blocks("python")
    (printed,) = blocks("text")
    path = tmp_path / "example.py"
    path.write_text(example)
    with EmbeddedTarget().started():
        ended = subprocess.run(
            [sys.executable, str(path)], env=os.environ, capture_output=True, text=True, timeout=180, check=False
        )
    assert ended.returncode == 0, ended.stderr[-2000:]
    assert sorted(ended.stdout.splitlines()) == sorted(printed.splitlines())
