"""The processes behind `source_live`: `python -m pipelines.cli.benchmarks.source_live_processes read|put ...`.

    read STREAM SHARDS FOLDER        creates the stream and reads it until the file FOLDER/stop is there
    put STREAM RATE SECONDS FOLDER   puts RATE flights a second, each with the time it was put at

Each says that it is ready in one line of JSON, leaves what it found in FOLDER, and is then ended.
"""

import json
import os
import signal
import sys
from itertools import cycle
from pathlib import Path
from typing import Any, Final

from pipelines.runtime.aws import client
from pipelines.runtime.clock import SystemClock

_BATCHES_PER_S: Final = 10


def read(stream: str, shards: str, folder: str) -> None:
    """The reader: everything behind its first line is what is measured."""
    from pipelines.cli.benchmarks.source_beam import watch

    kinesis = client("kinesis")
    kinesis.create_stream(StreamName=stream, ShardCount=int(shards))
    kinesis.get_waiter("stream_exists").wait(StreamName=stream, WaiterConfig={"Delay": 1})
    _ready()
    _tell(Path(folder, "seen.json"), watch(stream, str(Path(folder, "stop"))))


def put(stream: str, rate: str, seconds: str, folder: str) -> None:
    """The producer: PutRecords ten times a second, each record with the time just before its call."""
    from pipelines.cli.benchmarks.flights import json_lines
    from pipelines.cli.benchmarks.replay_stream import COLUMNS
    from pipelines.cli.benchmarks.source_beam import PUT_MS

    kinesis, clock = client("kinesis"), SystemClock()
    flights = cycle(json_lines(10_000, list(COLUMNS)))
    ends: dict[str, str] = {}
    records = 0
    _ready()
    started_s, started_ms = clock.monotonic_s(), clock.now_ms()
    due_s, end_s = started_s, started_s + float(seconds)
    while due_s < end_s and clock.monotonic_s() < end_s:  # a stand-in that does not keep up gets less
        clock.sleep(max(0.0, due_s - clock.monotonic_s()))
        put_ms = PUT_MS % clock.now_ms()
        batch = [
            {"Data": put_ms + next(flights)[1:], "PartitionKey": str(records + index)}
            for index in range(int(rate) // _BATCHES_PER_S)
        ]
        answer = kinesis.put_records(StreamName=stream, Records=batch)
        if answer["FailedRecordCount"]:
            sys.exit(f"a put failed: {answer['Records']}")
        for place in answer["Records"]:
            ends[place["ShardId"]] = max(ends.get(place["ShardId"], ""), place["SequenceNumber"], key=_number)
        records += len(batch)
        due_s += 1 / _BATCHES_PER_S
    _tell(Path(folder, "put.json"), {"started_ms": started_ms, "records": records, "ends": ends})


def _number(text: str) -> int:
    return int(text or 0)


def _ready() -> None:
    sys.stdout.write(json.dumps({"ready": True}) + "\n")
    sys.stdout.flush()


def _tell(path: Path, what: Any) -> None:
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(what), encoding="utf-8")
    os.replace(partial, path)
    signal.pause()  # who started it has read the file when it ends it


def main(what: str, *arguments: str) -> None:
    """Runs one of the two."""
    if what == "read":
        read(*arguments)
    else:
        put(*arguments)


if __name__ == "__main__":
    main(*sys.argv[1:])
