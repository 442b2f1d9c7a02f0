"""Kinesis Data Streams in Beam: a library of its own, which takes nothing of this project but `pipelines.runtime`."""

from pipelines.kinesis.dedup import RemoveDuplicates
from pipelines.kinesis.export import ExportPositions
from pipelines.kinesis.failures import ReadFailure
from pipelines.kinesis.outcome import FailedRecord
from pipelines.kinesis.position_file import Positions, read_positions
from pipelines.kinesis.positions import ShardPosition, StartingPosition
from pipelines.kinesis.put import Record
from pipelines.kinesis.read import ReadFromKinesis
from pipelines.kinesis.reader import latest
from pipelines.kinesis.records import KinesisRecord, records, timestamped_records
from pipelines.kinesis.until import StopFile
from pipelines.kinesis.watermark import EventTime
from pipelines.kinesis.write import BY_POSITION, WriteToKinesis, WrittenToKinesis

__all__ = [
    "BY_POSITION",
    "EventTime",
    "ExportPositions",
    "FailedRecord",
    "KinesisRecord",
    "Positions",
    "ReadFailure",
    "ReadFromKinesis",
    "Record",
    "RemoveDuplicates",
    "ShardPosition",
    "StartingPosition",
    "StopFile",
    "WriteToKinesis",
    "WrittenToKinesis",
    "latest",
    "read_positions",
    "records",
    "timestamped_records",
]
