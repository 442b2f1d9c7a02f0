"""Files that other processes read while they are written."""

import os
import threading
from pathlib import Path


def write_atomically(path: Path, text: str) -> None:
    """Writes `text` to `path` so that a reader sees what was there before or all of it, never a part."""
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}.tmp")
    try:
        unfinished.write_text(text, encoding="utf-8")
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
