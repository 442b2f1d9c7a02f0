"""Where reading a shard begins (B7)."""

from dataclasses import dataclass

from infra.embedded.model.errors import invalid
from infra.embedded.model.shard import Shard
from infra.embedded.model.stream import Stream


@dataclass(frozen=True, slots=True)
class Start:
    """What a request says of where to begin.

    Attributes:
        kind: AT_SEQUENCE_NUMBER, AFTER_SEQUENCE_NUMBER, TRIM_HORIZON, LATEST or AT_TIMESTAMP.
        sequence_number: for the first two.
        timestamp_s: for the last.
        operation: for messages, e.g. "GetShardIterator".
    """

    kind: str
    sequence_number: str | None
    timestamp_s: float | None
    operation: str

    def position(self, stream: Stream, shard: Shard, now_ms: int) -> int:
        """The position in `shard`, which is trimmed; the caller holds the stream's lock.

        Raises:
            KinesisError: InvalidArgumentException; a number that the shard did not give out, a time in the future.
        """
        if self.kind == "TRIM_HORIZON":
            return shard.first
        if self.kind == "LATEST":
            return shard.next_position
        if self.kind == "AT_TIMESTAMP":
            if self.timestamp_s is None:
                raise invalid("Must specify timestampInMillis parameter for iterator of type AT_TIMESTAMP.")
            ms = round(self.timestamp_s * 1000)
            if ms > now_ms + 1:  # rounding a client's microseconds can go one ahead
                raise invalid(
                    "The timestampInMillis parameter cannot be greater than the currentTimestampInMillis. "
                    f"timestampInMillis: {ms}, currentTimestampInMillis: {now_ms}"
                )
            return shard.position_at_time(ms)
        if self.sequence_number is None:
            raise invalid(f"Must specify startingSequenceNumber parameter for iterator of type {self.kind}.")
        number = int(self.sequence_number)
        if not shard.issued(number):
            raise invalid(
                f"StartingSequenceNumber {number} used in {self.operation} on shard {shard.id} in stream {stream.name} "
                f"under account {stream.account} is invalid because it did not come from this stream."
            )
        return shard.position_at_number(number, after=self.kind == "AFTER_SEQUENCE_NUMBER")
