"""`hydrant bench convert`: JSON to Parquet through the conversion stage alone, beside pyarrow and the naive Beam graph.

`python -m pipelines.cli.benchmarks.convert CONTESTANT FOLDER RECORDS` is one contestant, as `measure` runs it.
"""

import io
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import apache_beam as beam
import pyarrow as pa
import pyarrow.json
import pyarrow.parquet as pq

from pipelines.cli.benchmarks.flights import SCHEMA, glue_table
from pipelines.cli.benchmarks.measure import tell
from pipelines.firehose.config import FormatConversion, OpenXJsonSerDe, ParquetSerDe, SchemaConfiguration
from pipelines.firehose.parquet import write_parquet
from pipelines.firehose.schema import TableSchema, table_schema
from pipelines.firehose.stages import ConvertFn
from pipelines.runtime.clock import SystemClock
from pipelines.runtime.launch import run_pipeline
from pipelines.runtime.options import HydrantOptions

PAGE_RECORDS: Final = 5_000
FLUSH_BYTES: Final = 64 * 1024 * 1024
PAGES: Final = "pages.arrow"
LINES: Final = "lines.json"


class ReplayFn(beam.DoFn):
    """(path, first page, last page) -> the pages of an Arrow file: a source that answers at once."""

    def process(self, element: tuple[str, int, int]) -> Iterator[pa.RecordBatch]:
        path, first, last = element
        with pa.memory_map(path) as source:
            reader = pa.ipc.open_file(source)
            for number in range(first, last):
                yield reader.get_batch(number)


class WriteFilesFn(beam.DoFn):
    """(shard, Chunk) -> the number of rows of each Parquet file written into `folder`, 64 MiB of JSON a file."""

    def __init__(self, folder: str, schema: TableSchema) -> None:
        self._folder = Path(folder)
        self._schema = schema

    def start_bundle(self) -> None:
        self._chunks: list[Any] = []
        self._held = 0

    def process(self, element: tuple[str, Any]) -> Iterator[int]:
        self._chunks.append(element[1])
        self._held += element[1].raw_bytes
        if self._held >= FLUSH_BYTES:
            yield self._write()

    def finish_bundle(self) -> None:
        if self._chunks:
            self._write()

    def _write(self) -> int:
        batches = [chunk.rows() for chunk in self._chunks]
        path = self._folder / f"{id(self)}-{self._chunks[0].oldest_arrival_ms}.parquet"
        path.write_bytes(write_parquet(batches, ParquetSerDe(), self._schema))
        self.start_bundle()
        return sum(batch.num_rows for batch in batches)


def ours(folder: Path, records: int) -> int:
    """The conversion stage of the delivery stream, on Prism."""
    out = folder / "ours"
    out.mkdir()
    total = -(-records // PAGE_RECORDS)
    halves = [(str(folder / PAGES), 0, total // 2), (str(folder / PAGES), total // 2, total)]
    names = SchemaConfiguration(role_arn="", database_name="bench", table_name="flights")
    conversion = FormatConversion(OpenXJsonSerDe(), ParquetSerDe(), names)
    schema = table_schema(glue_table())
    function = ConvertFn(schema, conversion, SystemClock())

    def build(pipeline: beam.Pipeline) -> None:
        pages = pipeline | beam.Create(halves) | "Replay" >> beam.ParDo(ReplayFn())
        pages | "Convert" >> beam.ParDo(function) | "Write" >> beam.ParDo(WriteFilesFn(str(out), schema))

    run_pipeline(build, HydrantOptions.for_runner("prism"))
    return rows(out)


def naive_beam(folder: Path, records: int) -> int:
    """What a Beam tutorial would write: a record an element, on Prism."""
    out = folder / "naive"
    out.mkdir()

    def build(pipeline: beam.Pipeline) -> None:
        lines = pipeline | beam.io.ReadFromText(str(folder / LINES))
        # The reader of times is pandas', in effect: WriteToParquet takes what Python objects give.
        typed = lines | beam.Map(json.loads) | beam.Map(_with_time)
        typed | beam.io.WriteToParquet(str(out / "part"), SCHEMA, file_name_suffix=".parquet")

    run_pipeline(build, HydrantOptions.for_runner("prism"))
    return rows(out)


def pyarrow_alone(folder: Path, records: int) -> int:
    """One thread: `read_json` with the schema, then `write_table`."""
    pa.set_cpu_count(1)
    out = folder / "pyarrow"
    out.mkdir()
    read = pa.json.ReadOptions(use_threads=False, block_size=16 * 1024 * 1024)
    table = pa.json.read_json(
        io.BytesIO((folder / LINES).read_bytes()),
        read_options=read,
        parse_options=pa.json.ParseOptions(explicit_schema=SCHEMA),
    )
    pq.write_table(table, out / "part.parquet", compression="snappy")
    return rows(out)


def _with_time(row: dict[str, Any]) -> dict[str, Any]:
    from datetime import datetime

    row["time_hour"] = datetime.fromisoformat(row["time_hour"])
    return row


def rows(folder: Path) -> int:
    """The rows of all Parquet files in `folder`, from their footers."""
    return sum(pq.read_metadata(path).num_rows for path in folder.glob("*.parquet"))


CONTESTANTS: Final = {"ours": ours, "pyarrow": pyarrow_alone, "naive_beam": naive_beam}


def main(contestant: str, folder: str, records: str) -> None:
    """Runs one contestant and prints its rows and seconds as the last line."""
    clock = SystemClock()
    started_s = clock.monotonic_s()
    written = CONTESTANTS[contestant](Path(folder), int(records))
    seconds = clock.monotonic_s() - started_s
    tell(seconds, lambda: written)


if __name__ == "__main__":
    main(*sys.argv[1:])
