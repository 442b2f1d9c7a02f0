"""The README's Python runs as it stands there."""

import os
import re
import subprocess
import sys
from pathlib import Path

from infra.embedded.target import EmbeddedTarget
from pipelines.kinesis.put import Record, put_records
from pipelines.runtime.aws import client

README = Path(__file__).parents[2] / "README.md"


def test_the_snippet_reads_a_stream_to_its_end() -> None:
    (snippet,) = re.findall(r"^```python\n(.*?)^```", README.read_text(), flags=re.DOTALL | re.MULTILINE)
    with EmbeddedTarget().started():
        kinesis = client("kinesis")
        kinesis.create_stream(StreamName="flights", ShardCount=2)
        kinesis.get_waiter("stream_exists").wait(StreamName="flights", WaiterConfig={"Delay": 1})
        put_records(kinesis, "flights", [Record(b"{}", str(n)) for n in range(100)])
        ended = subprocess.run(
            [sys.executable, "-c", snippet], env=os.environ, capture_output=True, text=True, timeout=120, check=False
        )
    assert ended.returncode == 0, ended.stderr[-2000:]
    pages = re.findall(r"^(\d+) records of shardId-\d{12}$", ended.stdout, flags=re.MULTILINE)
    assert sum(map(int, pages)) == 100
