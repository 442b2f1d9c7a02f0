"""Environments of their own for the contestants from PyPI, made on first use in the cache folder.

They are no optional dependencies of ours: `async-kinesis` needs an `aiobotocore`, and with it a botocore, older than
ours, and one resolution for all would hold everybody's boto3 back.
"""

import os
import shutil
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Final

from pipelines.runtime.errors import RunnerError

ASYNC_KINESIS: Final = ("async-kinesis==3.0.1",)
# 3.2.0 is the newest; it names jars of the KCL that Maven Central did not have when this was written.
AMAZON_KCLPY: Final = ("amazon-kclpy==3.1.3", "moto[dynamodb,server]==5.2.5", "h2==4.4.1", "psutil>=7")
_INSTALL_S: Final = 900
_COMPLETE: Final = "complete"


def python_of(requirements: tuple[str, ...], say: Callable[[str], None]) -> str:
    """The interpreter of an environment with `requirements`.

    Args:
        requirements: what pip installs; the first gives the folder its name.
        say: told what is being done.

    Raises:
        RunnerError: it cannot be made here.
    """
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    name = f"{requirements[0].replace('==', '-')}-{zlib.crc32(' '.join(requirements).encode()):08x}"
    folder = cache / "hydrant" / "bench" / f"{name}-py{sys.version_info[0]}{sys.version_info[1]}"
    python = folder / "bin" / "python"
    if not (folder / _COMPLETE).is_file():
        say(f"Installing {requirements[0]} in {folder}, once...")
        shutil.rmtree(folder, ignore_errors=True)
        _run([sys.executable, "-m", "venv", str(folder)])
        _run([str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *requirements])
        (folder / _COMPLETE).touch()
    return str(python)


def _run(command: list[str]) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_INSTALL_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        message = f"`{Path(command[0]).name} {' '.join(command[1:4])}` failed: {error}"
        raise RunnerError(message) from error
    if done.returncode != 0:
        last = [line.strip() for line in (done.stderr or done.stdout).splitlines() if "error" in line.lower()][:1]
        message = f"`{Path(command[0]).name} {' '.join(command[1:4])}` failed: {''.join(last) or 'it said nothing'}"
        raise RunnerError(message)
