"""Kinesis Data Streams in Beam."""

from pipelines.kinesis.positions import StartingPosition
from pipelines.kinesis.read import ReadFromKinesis
from pipelines.kinesis.until import StopFile

__all__ = ["ReadFromKinesis", "StartingPosition", "StopFile"]
