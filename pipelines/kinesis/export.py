"""The positions a pipeline has reached, exported, so that another one can go on from there without a checkpoint."""

import json
import uuid
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import apache_beam as beam
import pyarrow as pa

from pipelines.runtime.errors import InvalidDataError


def furthest(positions: Iterable[Mapping[str, str]]) -> dict[str, str]:
    """For each shard the highest sequence number in any of `positions` (B5)."""
    merged: dict[str, str] = {}
    for some in positions:
        for shard_id, number in some.items():
            merged[shard_id] = max(merged.get(shard_id, "0"), number, key=int)
    return merged


def read_positions(path: Path) -> dict[str, str]:
    """A positions file: `{"<shard id>": "<last sequence number read>"}`.

    Raises:
        InvalidDataError: `path` holds something else.
    """
    try:
        read = json.loads(path.read_text(encoding="utf-8"))
        return {str(shard_id): str(int(number)) for shard_id, number in read.items()}
    except (AttributeError, TypeError, ValueError) as error:
        message = f"{path} is no positions file: {error}."
        fix = 'it holds {"shardId-...": "<sequence number>"}; delete it to start anew'
        raise InvalidDataError(message, fix=fix) from error


class ExportPositions(beam.PTransform):
    """PCollection[page] -> nothing: keeps the last sequence number of each shard in files under `folder`.

    They are the positions *read*. What was read is also delivered once the pipeline has ended by itself, drained or
    done; after a crash it may not be, and the files must not be used.

    Args:
        folder: an existing local folder that the workers share.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._folder = str(folder)

    def expand(self, pages: Any) -> Any:
        return pages | beam.ParDo(_ExportFn(self._folder))

    @staticmethod
    def reached(folder: Path) -> dict[str, str]:
        """What the pipeline has left in `folder`."""
        return furthest(read_positions(path) for path in folder.glob("*.positions.json"))


class _ExportFn(beam.DoFn):
    def __init__(self, folder: str) -> None:
        self._folder = Path(folder)
        self._reached: dict[str, str] = {}

    def setup(self) -> None:
        self._path = self._folder / f"{uuid.uuid4()}.positions.json"

    def process(self, page: pa.RecordBatch) -> None:
        last = page.num_rows - 1
        read = {page.column("shard_id")[last].as_py(): page.column("sequence_number")[last].as_py()}
        self._reached = furthest((self._reached, read))

    def finish_bundle(self) -> None:
        self._path.write_text(json.dumps(self._reached), encoding="utf-8")
