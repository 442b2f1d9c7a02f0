"""What a scenario's application put out, kept in the run's folder, and read back while it runs and behind it."""

import os
import uuid
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import apache_beam as beam
import orjson
import pyarrow as pa

_SUFFIX: Final = ".jsonl"


def keep(outputs: Mapping[str, Any], names: Iterable[str], folder: Path) -> None:
    """Keeps the outputs of these names, each a PCollection of what `Keep` takes."""
    for name in names:
        outputs[name] | f"Keep{name.title()}" >> beam.ParDo(Keep(folder, name))


class Keep(beam.DoFn):
    """pa.RecordBatch or int -> nothing: appends rows or number to a file of the worker's own, a JSON value a line.

    Args:
        folder: of the run.
        output: which output it is; names the file.
    """

    def __init__(self, folder: Path, output: str) -> None:
        self._folder = str(folder)
        self._output = output

    def setup(self) -> None:
        self._file = os.open(_path(Path(self._folder), self._output), os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def process(self, batch: pa.RecordBatch | int) -> Iterator[Any]:
        if isinstance(batch, int):
            values: list[Any] = [batch]
        else:
            values = (batch.drop_columns("data") if "data" in batch.schema.names else batch).to_pylist()
        os.write(self._file, _lines(values))
        yield from ()

    def teardown(self) -> None:
        os.close(self._file)


def keep_rows(rows: Iterable[Any], folder: Path, output: str) -> None:
    """Keeps rows of an output in a file of their own, as `Keep` does; from any thread."""
    _path(folder, output).write_bytes(_lines(rows))


def kept(folder: Path, output: str) -> list[Any]:
    """The rows of an output so far, in the order in which each worker had them."""
    found = []
    for path in sorted(folder.glob(f"{output}-*{_SUFFIX}")):
        whole, _, _ = path.read_bytes().rpartition(b"\n")  # a line may be on its way
        found += [orjson.loads(line) for line in whole.splitlines()]
    return found


def _path(folder: Path, output: str) -> Path:
    return folder / f"{output}-{uuid.uuid4()}{_SUFFIX}"


def _lines(values: Iterable[Any]) -> bytes:
    return b"".join(orjson.dumps(value) + b"\n" for value in values)
