"""`ReadFromKinesis` on Prism, as `hydrant bench source` runs it. A module by itself, so that Beam imports its DoFns."""

import threading
from collections.abc import Iterator, Mapping
from typing import Final

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.cli.benchmarks.source_account import Account, ShardTally
from pipelines.kinesis import ReadFromKinesis, StopFile
from pipelines.runtime.clock import SystemClock
from pipelines.runtime.launch import run_pipeline
from pipelines.runtime.options import HydrantOptions

PUT_MS: Final = b'{"put_ms":%d,'
"""How the data of a record begins whose lag is measured."""
_PUT_MS_AT: Final = slice(len(b'{"put_ms":'), len(b'{"put_ms":') + 13)

_clock: Final = SystemClock()
_one_at_a_time: Final = threading.Lock()
_tallies: Final[dict[str, ShardTally]] = {}
_last_s: Final = [0.0]
_lags: Final[dict[str, list[tuple[int, int]]]] = {}


class CountFn(beam.DoFn):
    """pa.RecordBatch -> nothing; counts each page, all of its columns, in this process, where the DoFns run."""

    def process(self, page: pa.RecordBatch) -> Iterator[None]:
        shard_ids = pc.unique(page.column("shard_id")).to_pylist()
        assert len(shard_ids) == 1
        data, keys, numbers = (text(page.column(name)) for name in ("data", "partition_key", "sequence_number"))
        latest_ms = pc.max(page.column("arrival_ms")).as_py()
        with _one_at_a_time:
            _tallies.setdefault(shard_ids[0], ShardTally()).add(page.num_rows, data, keys, numbers, latest_ms)
            _last_s[0] = _clock.monotonic_s()
        yield from ()


class LagFn(beam.DoFn):
    """pa.RecordBatch -> nothing; notes when each record was put and how long ago that is.

    Args:
        place: where in the pipeline this is.
    """

    def __init__(self, place: str) -> None:
        self._place = place

    def process(self, page: pa.RecordBatch) -> Iterator[None]:
        now_ms = _clock.now_ms()
        put_ms = [int(data[_PUT_MS_AT]) for data in page.column("data").to_pylist()]
        with _one_at_a_time:
            _lags.setdefault(self._place, []).extend((put, now_ms - put) for put in put_ms)
        yield from ()


def text(column: pa.Array) -> memoryview:
    """The values of a binary or string column, one behind the other, without a copy."""
    _, offsets, values = column.buffers()
    ends = np.frombuffer(offsets, np.int32)
    return memoryview(values)[ends[column.offset] : ends[column.offset + len(column)]]


def read_all(stream: str, ends: Mapping[str, str]) -> tuple[Account, float]:
    """Reads `stream` up to the sequence numbers of `ends`: what reached the DoFn behind the source, and when last."""

    def build(pipeline: beam.Pipeline) -> None:
        pipeline | ReadFromKinesis(stream, until=dict(ends)) | "Count" >> beam.ParDo(CountFn())

    run_pipeline(build, HydrantOptions.for_runner("prism"))
    return Account.of(_tallies), _last_s[0]


def watch(stream: str, stop: str) -> dict[str, list[tuple[int, int]]]:
    """Reads `stream` until the file `stop` is there; when each record was put and its lag, both in milliseconds.

    Returns:
        By the place where it was seen: "fused", the DoFn behind the source, and "reshuffled", behind a Reshuffle.
    """

    def build(pipeline: beam.Pipeline) -> None:
        pages = pipeline | ReadFromKinesis(stream, until=StopFile(stop))
        pages | "Fused" >> beam.ParDo(LagFn("fused"))
        pages | beam.Reshuffle() | "Reshuffled" >> beam.ParDo(LagFn("reshuffled"))

    run_pipeline(build, HydrantOptions.for_runner("prism"))
    return _lags
