"""What becomes of a record in the sink: written or failed."""

from dataclasses import dataclass, field
from typing import Final

from pipelines.kinesis.put import Placed, Record

NO_ANSWER: Final = "NoAnswer"
"""error_code of a record whose last call got no answer, so that it may be in the stream."""
MISPLACED: Final = "Misplaced"
"""error_code of a record that time and again landed in a shard it does not belong to, in an aggregate."""


@dataclass(frozen=True, slots=True)
class FailedRecord:
    """A record that is given up.

    Attributes:
        record: as it was given to the sink.
        error_code: AWS's ErrorCode of the last attempt, or what AWS would say without one; NO_ANSWER or MISPLACED.
        error_message: AWS's ErrorMessage with it.
        attempts: calls of PutRecords that it was part of; 0 for a record that AWS would refuse, and for one that waited
            behind others while its shard took nothing.
    """

    record: Record
    error_code: str
    error_message: str
    attempts: int


@dataclass(slots=True)
class Written:
    """Records that are in the stream, column by column; all lists have one length.

    Attributes:
        partition_key: of the records, not of the aggregates that carry them.
        sequence_number: where they are.
        sub_sequence_number: place in the aggregate (B17); 0 for a record that was put as it is.
        shard_id: where they are.
    """

    partition_key: list[str] = field(default_factory=list)
    sequence_number: list[str] = field(default_factory=list)
    sub_sequence_number: list[int] = field(default_factory=list)
    shard_id: list[str] = field(default_factory=list)

    def add(self, record: Record, placed: Placed, sub_sequence_number: int) -> None:
        """One more record."""
        self.partition_key.append(record.partition_key)
        self.sequence_number.append(placed.sequence_number)
        self.sub_sequence_number.append(sub_sequence_number)
        self.shard_id.append(placed.shard_id)
