"""A stream that is split and merged while its reader is killed again and again. `make soak-reshard`, about 11 minutes.

Eight shards, a producer that never stops, a split or merge every 20 s, and a reader (`ReadFromKinesis` on Prism in a
process of its own) that is killed with SIGKILL every 30 s and goes on from the positions it had exported. At the end
every record that was put must have been seen; seen twice only if it was in the page that the reader had taken when it
was killed; and each partition key's records must have come in the order in which they were put.
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import apache_beam as beam
import pyarrow as pa

STREAM = "soak"
SHARDS = 8
KEYS = [f"key-{number}" for number in range(200)]
RESHARD_S, KILL_S, BATCH_S = 20.0, 30.0, 0.1


class Sink(beam.DoFn):
    """PCollection[page] -> the same: appends each page to a file as one line, with one call that writes it."""

    def __init__(self, path: str) -> None:
        self._path = path

    def setup(self) -> None:
        self._file = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def process(self, page: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
        columns = (page.column(name).to_pylist() for name in ("shard_id", "sequence_number", "data"))
        rows = [(shard, number, data.decode()) for shard, number, data in zip(*columns, strict=True)]
        os.write(self._file, json.dumps(rows).encode() + b"\n")
        yield page


def read(folder: Path, run: int) -> None:
    """The reader: from the positions in `folder` on, until the stop file there says where it ends."""
    from pipelines.kinesis import ExportPositions, ReadFromKinesis, StopFile, read_positions
    from pipelines.runtime.launch import run_pipeline
    from pipelines.runtime.options import HydrantOptions

    start = read_positions(folder / "positions").start
    until = StopFile(str(folder / "stop.json"))

    def build(pipeline: beam.Pipeline) -> None:
        pages = pipeline | ReadFromKinesis(STREAM, start, until)
        pages | beam.ParDo(Sink(str(folder / f"seen-{run:04}.jsonl"))) | ExportPositions(folder / "positions")

    run_pipeline(build, HydrantOptions.for_runner("prism"))


class Producer(threading.Thread):
    """Puts the next record of every key, over and over; what it put is in `placed`, by data."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.placed: dict[str, Any] = {}
        self.stopped = threading.Event()
        self.error: BaseException | None = None

    def run(self) -> None:
        from pipelines.kinesis.put import Record, put_records
        from pipelines.runtime.aws import client

        kinesis = client("kinesis")
        turn = 0
        try:
            while not self.stopped.wait(BATCH_S):
                batch = [Record(f"{key}:{turn}".encode(), key) for key in KEYS]
                for record, place in zip(batch, put_records(kinesis, STREAM, batch), strict=True):
                    self.placed[record.data.decode()] = place
                turn += 1
        except BaseException as error:
            self.error = error


def reshard(kinesis: Any, rng: random.Random) -> str:
    """Splits or merges at random, between half and twice as many shards as there were; says what it did."""
    from pipelines.kinesis.service import StreamService

    open_shards = sorted(
        (shard for shard in StreamService(STREAM, kinesis).shards() if not shard.closed),
        key=lambda shard: shard.hash_range or (0, 0),
    )
    if len(open_shards) > SHARDS // 2 and (len(open_shards) >= 2 * SHARDS or rng.random() < 0.5):
        index = rng.randrange(len(open_shards) - 1)
        one, other = open_shards[index].shard_id, open_shards[index + 1].shard_id
        kinesis.merge_shards(StreamName=STREAM, ShardToMerge=one, AdjacentShardToMerge=other)
        return f"merged {one} and {other}"
    shard = rng.choice(open_shards)
    assert shard.hash_range is not None
    low, high = shard.hash_range
    kinesis.split_shard(StreamName=STREAM, ShardToSplit=shard.shard_id, NewStartingHashKey=str((low + high) // 2))
    return f"split {shard.shard_id}"


def start_reader(folder: Path, run: int) -> subprocess.Popen[bytes]:
    errors = (folder / f"reader-{run:04}.log").open("wb")
    with errors:
        return subprocess.Popen([sys.executable, __file__, "read", str(folder), str(run)], stderr=errors)


def lines(path: Path) -> list[list[list[str]]]:
    """The pages of one run; a last line that was not written whole was not seen."""
    return [json.loads(line) for line in path.read_text().split("\n")[:-1]]


def main(seconds: float, seed: int) -> int:
    """Runs for `seconds`, then reads to the end and compares; 1 when something is not as it should be."""
    import tempfile

    from infra.embedded.target import EmbeddedTarget
    from pipelines.runtime.aws import client

    rng = random.Random(seed)
    with EmbeddedTarget().started(), tempfile.TemporaryDirectory(prefix="hydrant-soak-") as name:
        folder = Path(name)
        (folder / "positions").mkdir()
        kinesis = client("kinesis")
        kinesis.create_stream(StreamName=STREAM, ShardCount=SHARDS)
        kinesis.get_waiter("stream_exists").wait(StreamName=STREAM, WaiterConfig={"Delay": 1})
        producer = Producer()
        producer.start()
        begin = time.monotonic()
        run, reshards = 1, Counter[str]()
        reader = start_reader(folder, run)
        next_reshard, next_kill = begin + RESHARD_S, begin + KILL_S
        while time.monotonic() - begin < seconds and producer.error is None:
            time.sleep(
                min(next_reshard, next_kill) - time.monotonic()
                if min(next_reshard, next_kill) > time.monotonic()
                else 0
            )
            if time.monotonic() >= next_reshard:
                next_reshard += RESHARD_S
                did = reshard(kinesis, rng)
                reshards[did.split()[0]] += 1
                sys.stdout.write(f"{time.monotonic() - begin:6.1f} s  {did}\n")
            if time.monotonic() >= next_kill:
                next_kill += KILL_S
                if reader.poll() is not None:
                    sys.stdout.write(f"the reader had ended: {(folder / f'reader-{run:04}.log').read_text()[-2000:]}\n")
                    return 1
                reader.send_signal(signal.SIGKILL)
                reader.wait()
                run += 1
                reader = start_reader(folder, run)
                sys.stdout.write(f"{time.monotonic() - begin:6.1f} s  killed; {len(producer.placed):,} put so far\n")
            sys.stdout.flush()
        producer.stopped.set()
        producer.join()
        ends: dict[str, str] = {}
        for place in producer.placed.values():
            ends[place.shard_id] = max(ends.get(place.shard_id, "0"), place.sequence_number, key=int)
        from pipelines.kinesis import StopFile

        StopFile(str(folder / "stop.json")).write(ends)
        status = reader.wait(timeout=180)
        sys.stdout.write(f"{time.monotonic() - begin:6.1f} s  read to the end\n")
        runs = [
            lines(folder / f"seen-{n:04}.jsonl") if (folder / f"seen-{n:04}.jsonl").exists() else []
            for n in range(1, run + 1)
        ]
    return judge(producer, runs, status, reshards)


def judge(producer: Producer, runs: list[list[list[list[str]]]], status: int, reshards: Counter[str]) -> int:
    """Compares what was seen with what was put, says so, and gives the exit status."""
    seen = Counter(data for pages in runs for page in pages for _, _, data in page)
    lost = producer.placed.keys() - seen.keys()
    foreign = seen.keys() - producer.placed.keys()
    doubled = {data: count for data, count in seen.items() if count > 1}
    in_hand = {data for pages in runs[:-1] if pages for _, _, data in pages[-1]}
    outside = doubled.keys() - in_hand
    first_at: dict[str, list[int]] = {}
    for data in dict.fromkeys(data for pages in runs for page in pages for _, _, data in page):
        key, _, turn = data.partition(":")
        first_at.setdefault(key, []).append(int(turn))
    unordered = [key for key, turns in first_at.items() if turns != sorted(turns)]
    sys.stdout.write(
        f"{len(producer.placed):,} put in {len({place.shard_id for place in producer.placed.values()})} shards, "
        f"{reshards['split']} splits, {reshards['merged']} merges, {len(runs) - 1} kills: {len(lost)} lost, "
        f"{len(doubled)} doubled, of these {len(outside)} outside of the page in hand at a kill, {len(foreign)} "
        f"foreign, {len(unordered)} keys out of order, status of the last reader {status}\n"
    )
    if producer.error is not None:
        sys.stdout.write(f"the producer failed: {producer.error}\n")
    bad = lost or foreign or outside or unordered or status or producer.error
    return 1 if bad else 0


if __name__ == "__main__":
    if sys.argv[1:2] == ["read"]:
        from reshard import read as read_in_module  # its DoFns must not be those of __main__

        read_in_module(Path(sys.argv[2]), int(sys.argv[3]))
    else:
        parser = argparse.ArgumentParser(description=__doc__)
        parser.add_argument("--seconds", type=float, default=600.0)
        parser.add_argument("--seed", type=int, default=1)
        options = parser.parse_args()
        sys.exit(main(options.seconds, options.seed))
