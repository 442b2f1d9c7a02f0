"""One read of one shard, with all that can turn out on the way: gaps, what expired, what is aggregated, what is poison.

Runs on any thread: nothing here is shared but the service.
"""

import dataclasses
import math
from dataclasses import dataclass
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.kinesis.aggregation import deaggregate
from pipelines.kinesis.decode import Answer, Spoiled
from pipelines.kinesis.failures import ReadFailure
from pipelines.kinesis.lineage import HashRange, heirs
from pipelines.kinesis.positions import ShardPosition
from pipelines.kinesis.service import StreamService
from pipelines.runtime.errors import ExpiredIteratorError, NotFoundError


@dataclass(frozen=True, slots=True)
class Unpacking:
    """What becomes of the records of a page.

    Attributes:
        deaggregate: KPL aggregates give their user records (B16, B17); else they stay as they are.
        dedup_keys: pages have the column `dedup_key`.
    """

    deaggregate: bool = True
    dedup_keys: bool = False


@dataclass(frozen=True, slots=True)
class Fetched:
    """What one read gave.

    Attributes:
        answer: its page begins behind the position that was asked for.
        expected: the record that the next page must begin with, as nothing has come yet; None when it has.
        retries: calls that were made again.
        sent_bytes: of data that GetRecords sent, which the shard's limit counts (B6): before aggregates were taken
            apart and what was known was left out.
    """

    answer: Answer
    expected: ShardPosition | None = None
    retries: int = 0
    sent_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Shard:
    """A shard to read from: its name, and what is to be known of it.

    Attributes:
        shard_id: its id.
        hash_range: the hash keys it takes; None when not known.
    """

    shard_id: str
    hash_range: HashRange | None = None


EVERYTHING: Final = Unpacking()
_READS_TO_THE_END: Final = 10
"""So many empty answers may come before the one that says that a shard has ended."""


class Fetcher:
    """Reads shards of one stream. Thread-safe.

    Args:
        service: calls for the stream.
        unpacking: what becomes of the records.
    """

    def __init__(self, service: StreamService, unpacking: Unpacking = EVERYTHING) -> None:
        self.service: Final = service
        self._unpacking = unpacking

    def fetch(
        self, shard: Shard, iterator: str | None, position: ShardPosition, expected: ShardPosition | None
    ) -> Fetched:
        """One read of `shard` at `iterator`, or by a new iterator at `position`.

        A new iterator at a known record begins with that record, and it is left out: if another one comes first, the
        known one has been trimmed, and what followed it may have been, too (B13).

        Args:
            shard: to read from.
            iterator: of the answer before; None for a new one.
            position: behind what was read last.
            expected: what `Fetched` had when nothing came at `iterator` before.

        Raises:
            HydrantError: a call failed.
        """
        retries = 0
        try:
            if iterator is not None:
                try:
                    return self._read(iterator, shard, position, expected)
                except ExpiredIteratorError:
                    retries = 1
            iterator = self.service.iterator(shard.shard_id, position)
            known = position if position.sequence_number else None
            return self._read(iterator, shard, position, known, retries)
        except NotFoundError:
            return Fetched(self._expired(shard, position), None, retries)

    def unpack(self, answer: Answer, shard: Shard) -> Answer:
        """`answer` with its aggregates taken apart."""
        if answer.page is None or not self._unpacking.deaggregate:
            return answer
        page = deaggregate(answer.page, shard.hash_range, dedup_keys=self._unpacking.dedup_keys)
        return answer if page is answer.page else with_page(answer, page)

    def judge(
        self, answer: Answer, shard: Shard, position: ShardPosition, expected: ShardPosition | None, retries: int = 0
    ) -> Fetched:
        """What `answer` is to whoever reads on at `position`: unpacked, without the known record, with what is missing.

        Args:
            answer: as the service gave it.
            shard: that it is of.
            position: behind what was read last.
            expected: the record that it must begin with; None where any will do.
            retries: see `Fetched`.
        """
        if answer.page is None:
            if expected is not None and answer.next_iterator is None and answer.spoiled is None:
                gap = self.trimmed(shard, position)
                return Fetched(dataclasses.replace(answer, failures=(gap,)), None, retries)
            return Fetched(answer, expected, retries)
        first = answer.page.column("sequence_number")[0].as_py()
        if expected is None:
            return Fetched(self.unpack(answer, shard), None, retries)
        if first == expected.sequence_number:
            return Fetched(_behind(answer, position, self, shard), None, retries)
        gap = self.trimmed(shard, position, first)
        return Fetched(dataclasses.replace(self.unpack(answer, shard), failures=(gap,)), None, retries)

    def _read(
        self, iterator: str, shard: Shard, position: ShardPosition, expected: ShardPosition | None, retries: int = 0
    ) -> Fetched:
        answer = self.service.get(shard.shard_id, iterator)
        if answer.spoiled is not None and expected is not None and _holds(answer.spoiled, position):
            # Its known record is there, and may be what spoils it: what follows that is another answer.
            behind = self.service.iterator(shard.shard_id, position, behind=True)
            return self._read(behind, shard, position, None, retries + 1)
        if answer.next_iterator is None and answer.spoiled is None and not answer.children:
            answer = self._end_made_sure(answer, shard, position)
        fetched = self.judge(answer, shard, position, expected, retries)
        return dataclasses.replace(fetched, sent_bytes=answer.data_bytes)

    def _end_made_sure(self, answer: Answer, shard: Shard, position: ShardPosition) -> Answer:
        """An answer with neither an iterator nor children (B10): the shard's last one, or one that lost its iterator.

        Returns:
            The answer; with "" for its iterator, so that a new one is made, where the shard goes on.
        """
        going_on = dataclasses.replace(answer, next_iterator="")
        if self.service.is_open(shard.shard_id):
            return going_on
        place = answer.end if answer.reached else position
        try:
            iterator: str | None = self.service.iterator(shard.shard_id, place, behind=True)
            for _ in range(_READS_TO_THE_END):
                assert iterator is not None
                following = self.service.get(shard.shard_id, iterator)
                if following.spoiled is not None or following.page is not None:
                    return going_on
                iterator = following.next_iterator
                if iterator is None:
                    return dataclasses.replace(answer, children=following.children)
        except NotFoundError:  # it has expired since
            return answer
        return going_on

    def trimmed(self, shard: Shard, position: ShardPosition, up_to: str = "") -> ReadFailure:
        """The gap behind a record that is past retention (B13).

        Args:
            shard: that it is in.
            position: behind the record.
            up_to: sequence number of the first record behind the gap; empty when there is none.
        """
        number, shard_id = position.sequence_number, shard.shard_id
        lost = f"what was put between it and {up_to}" if up_to else "what followed it"
        message = f"The record {number} of {shard_id} is past retention: {lost} was not read."
        return ReadFailure("TRIMMED", self.service.stream, shard_id, number, up_to, message)

    def _expired(self, shard: Shard, position: ShardPosition) -> Answer:
        """The end of a shard that the stream has no more.

        Raises:
            NotFoundError: it is the stream that is not there, or the shard still is.
        """
        listed = self.service.shards()
        if any(other.shard_id == shard.shard_id for other in listed):
            message = f"{shard.shard_id} of {self.service.stream} is listed and cannot be read"
            raise NotFoundError(message, fix="try again")
        lost = ReadFailure(
            "EXPIRED",
            self.service.stream,
            shard.shard_id,
            position.sequence_number,
            "",
            f"{shard.shard_id} has expired: what it held behind {position.sequence_number or position.type} was not "
            "read.",
        )
        children = heirs(shard.shard_id, shard.hash_range, listed)
        near = [other for other in listed if shard.hash_range is None or other.shares(shard.hash_range)]
        gone = {parent for other in near for parent in other.parents} - {other.shard_id for other in listed}
        return Answer(None, 0, 0, None, children, failures=(lost,), gone=tuple(sorted(gone)))


def with_page(answer: Answer, page: pa.RecordBatch) -> Answer:
    """`answer` with another page of the same records, or of fewer."""
    if page.num_rows == 0:
        return dataclasses.replace(answer, page=None, data_bytes=0)
    return dataclasses.replace(answer, page=page, data_bytes=pc.sum(pc.binary_length(page.column("data"))).as_py())


def _holds(spoiled: Spoiled, position: ShardPosition) -> bool:
    """`spoiled` has the record that all of lies before `position`."""
    return position.passed == math.inf and f'"{position.sequence_number}"'.encode() in spoiled.body


def _behind(answer: Answer, position: ShardPosition, fetcher: Fetcher, shard: Shard) -> Answer:
    """`answer`, whose first record is that of `position`, without what lies before `position`."""
    assert answer.page is not None
    if position.type == "AFTER_SEQUENCE_NUMBER" and position.sub_sequence_number is None:
        rest = with_page(answer, answer.page.slice(1))
        if rest.page is None:  # nothing new: the position is where it was
            return dataclasses.replace(rest, reached="")
        return fetcher.unpack(rest, shard)
    unpacked = fetcher.unpack(answer, shard)
    if unpacked.page is None or position.passed == 0:
        return unpacked
    first = pc.equal(unpacked.page.column("sequence_number"), position.sequence_number)
    before = pc.and_(first, pc.less(unpacked.page.column("sub_sequence_number"), position.passed))
    return with_page(unpacked, unpacked.page.filter(pc.invert(before)))
