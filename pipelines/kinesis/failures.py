"""What the source could not read: a value that goes to its failure output, in place of records."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class ReadFailure:
    """A part of a shard that is in no page.

    Attributes:
        kind: UNDECODABLE: an answer of the service that is not what it should be, `body` is the whole of it. TRIMMED:
            records may have left the stream by retention before they were read (B13). EXPIRED: the shard itself
            has (B12).
        stream: name or ARN, as it was given to the source.
        shard_id: the shard.
        after: sequence number of the last record before it; empty when nothing was read before.
        up_to: sequence number of the last record in it (UNDECODABLE) or of the first one behind it (TRIMMED); empty
            when not known.
        message: what happened, in a sentence.
        body: the answer as it came, for UNDECODABLE.
    """

    kind: Literal["UNDECODABLE", "TRIMMED", "EXPIRED"]
    stream: str
    shard_id: str
    after: str
    up_to: str
    message: str
    body: bytes = b""

    @property
    def is_gap(self) -> bool:
        """The records are lost: they are in the stream no more."""
        return self.kind != "UNDECODABLE"
