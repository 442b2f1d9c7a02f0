"""The examples on a page of docs/, and what they print."""

import os
import re
import subprocess
import sys
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"


def blocks(page: str, kind: str) -> list[str]:
    """The fenced blocks of a kind, in order."""
    return re.findall(rf"^```{kind}\n(.*?)^```", (DOCS / page).read_text(), flags=re.DOTALL | re.MULTILINE)


def printed(example: str, folder: Path) -> list[str]:
    """The lines that an example prints, run as a file of its own; it ends with 0."""
    path = folder / "example.py"
    path.write_text(example)
    ended = subprocess.run(
        [sys.executable, str(path)], env=os.environ, capture_output=True, text=True, timeout=180, check=False
    )
    assert ended.returncode == 0, ended.stderr[-2000:]
    return ended.stdout.splitlines()
