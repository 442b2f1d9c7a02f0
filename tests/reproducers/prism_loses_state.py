"""`python tests/reproducers/prism_loses_state.py PRISM`: what docs/decisions/0004 is about, with nothing but Beam.

400 elements of one key go through a stateful DoFn that batches them by 37 and is slow. Without the experiment
prism_disable_sdf_split Prism 2.77 loses some (16 of 400 in each of three runs); with it none. Exits with 1 when none
is lost without it: then Beam has mended it, and the decision can be looked at again.
"""

import json
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import apache_beam as beam
from apache_beam.coders import VarIntCoder
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.transforms.timeutil import TimeDomain
from apache_beam.transforms.userstate import BagStateSpec, ReadModifyWriteStateSpec, TimerSpec, on_timer
from apache_beam.transforms.window import GlobalWindow

ELEMENTS = 400


class Batch(beam.DoFn):
    HELD = BagStateSpec("held", VarIntCoder())
    COUNT = ReadModifyWriteStateSpec("count", VarIntCoder())
    END = TimerSpec("end", TimeDomain.WATERMARK)

    def process(
        self,
        element: tuple[str, int],
        held: Any = beam.DoFn.StateParam(HELD),
        count: Any = beam.DoFn.StateParam(COUNT),
        end: Any = beam.DoFn.TimerParam(END),
    ) -> Iterator[list[int]]:
        held.add(element[1])
        number = (count.read() or 0) + 1
        count.write(number)
        end.set(GlobalWindow().max_timestamp())
        if number >= 37:
            batch = list(held.read())
            held.clear()
            count.clear()
            time.sleep(0.7)
            yield batch

    @on_timer(END)
    def on_end(self, held: Any = beam.DoFn.StateParam(HELD)) -> Iterator[list[int]]:
        yield list(held.read())
        held.clear()


class Write(beam.DoFn):
    def __init__(self, path: str) -> None:
        self._path = path

    def process(self, batch: list[int]) -> None:
        with Path(self._path).open("a") as file:
            file.write(json.dumps(batch) + "\n")


def found(prism: str, *more: str) -> int:
    """How many of the elements come out."""
    options = ["--runner=PrismRunner", f"--prism_location={prism}", "--environment_type=LOOPBACK", *more]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "batches.jsonl"
        with beam.Pipeline(options=PipelineOptions(options)) as pipeline:
            elements = pipeline | beam.Create(range(ELEMENTS)) | beam.Map(lambda number: ("key", number))
            elements | beam.Reshuffle() | beam.ParDo(Batch()) | beam.ParDo(Write(str(path)))
        return len({number for line in path.read_text().splitlines() for number in json.loads(line)})


if __name__ == "__main__":
    with_option = found(sys.argv[1], "--experiments=prism_disable_sdf_split")
    without = found(sys.argv[1])
    print(f"with prism_disable_sdf_split: {with_option} of {ELEMENTS}; without: {without} of {ELEMENTS}")
    sys.exit(0 if without < ELEMENTS == with_option else 1)
