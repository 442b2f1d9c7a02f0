"""The positions a pipeline has reached, exported, so that another one can go on from there without a checkpoint."""

import uuid
from pathlib import Path
from typing import Any

import apache_beam as beam
import pyarrow as pa

from pipelines.kinesis.position_file import SUFFIX, Positions, furthest
from pipelines.kinesis.positions import ShardPosition
from pipelines.runtime.errors import ConfigurationError


class ExportPositions(beam.PTransform):
    """PCollection[page] -> nothing: keeps what was reached in each shard in files under `folder`.

    Apply it behind the step that must have happened: what is exported is the position of the page that came through
    last, written before the next page comes. `read_positions(folder)` reads the files, at any time, also while the
    pipeline runs, and after it was killed: what came through since the file was written is read again, one page a shard
    at most where the runner has fused this step to the source.

    It takes a shard's pages in order (see `ReadFromKinesis`). Behind a step that gives them in another order the files
    are right when the pipeline has ended by itself, drained or done, and must not be used after a crash.

    Args:
        folder: an existing local folder that the workers share.
        otherwise_ms: where the pipeline began at a time, that time in milliseconds since the epoch: shards of which
            nothing was read are to be read from there. For LATEST it is `latest(stream).timestamp_ms`.

    Raises:
        ConfigurationError: when running: there is no such folder.
    """

    def __init__(self, folder: Path, otherwise_ms: int = 0) -> None:
        super().__init__()
        self._fn = _ExportFn(str(folder), otherwise_ms)

    def expand(self, pages: Any) -> Any:
        return pages | beam.ParDo(self._fn)


class _ExportFn(beam.DoFn):
    def __init__(self, folder: str, otherwise_ms: int = 0) -> None:
        self._folder = Path(folder)
        self._reached = Positions({}, otherwise_ms)

    def setup(self) -> None:
        if not self._folder.is_dir():
            message = f"The folder of ExportPositions, {self._folder}, is not there on this worker."
            raise ConfigurationError(message, fix=f"mkdir -p {self._folder}")
        self._path = self._folder / f"{uuid.uuid4()}{SUFFIX}"

    def process(self, page: pa.RecordBatch) -> None:
        last = {name: page.column(name)[-1].as_py() for name in ("shard_id", "sequence_number", "sub_sequence_number")}
        at = ShardPosition.after(last["sequence_number"], last["sub_sequence_number"])
        self._reached = furthest((self._reached, Positions({last["shard_id"]: at})))
        self._reached.write(self._path)
