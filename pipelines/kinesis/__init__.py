"""Kinesis Data Streams in Beam: a library of its own, which takes nothing of this project but `pipelines.runtime`."""

from pipelines.kinesis.export import ExportPositions
from pipelines.kinesis.failures import ReadFailure
from pipelines.kinesis.position_file import Positions, read_positions
from pipelines.kinesis.positions import ShardPosition, StartingPosition
from pipelines.kinesis.put import Record
from pipelines.kinesis.read import ReadFromKinesis
from pipelines.kinesis.until import StopFile
from pipelines.kinesis.watermark import EventTime

__all__ = [
    "EventTime",
    "ExportPositions",
    "Positions",
    "ReadFailure",
    "ReadFromKinesis",
    "Record",
    "ShardPosition",
    "StartingPosition",
    "StopFile",
    "read_positions",
]
