"""The three calls that reading a stream takes: ListShards, GetShardIterator, GetRecords."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final

from pipelines.kinesis.decode import Answer, decode_answer, keep_body
from pipelines.kinesis.positions import ShardPosition
from pipelines.kinesis.restriction import ShardInfo
from pipelines.runtime.aws import aws_errors, client
from pipelines.runtime.errors import NotFoundError

ClientFactory = Callable[[], Any]
"""Makes a boto3 Kinesis client; a function of a module, so that a DoFn that holds it can be pickled."""

_EVENT: Final = "before-parse.kinesis.GetRecords"


def one_attempt_client() -> Any:
    """A Kinesis client that does not retry by itself: the reader backs off without holding a thread."""
    return client("kinesis", max_attempts=1)


class StreamService:
    """Calls for one stream, their answers as values and their errors as ours. Thread-safe.

    Args:
        stream: name or ARN.
        kinesis: a boto3 Kinesis client.
    """

    def __init__(self, stream: str, kinesis: Any) -> None:
        self._what = f"Kinesis stream {stream}"
        self._named = {"StreamARN" if stream.startswith("arn:") else "StreamName": stream}
        self._kinesis = kinesis
        self.told_ms: int | None = None
        """What the service's clock said at the last ListShards, to the second; None when it did not say."""
        if hasattr(kinesis, "meta"):
            kinesis.meta.events.register(_EVENT, keep_body, unique_id="hydrant-keep-body")

    def shards(self) -> Sequence[ShardInfo]:
        """All shards of the stream within retention, closed ones too, page after page of ListShards.

        Raises:
            NotFoundError: there is no such stream.
            HydrantError: any other error of AWS.
        """
        found: list[ShardInfo] = []
        arguments: dict[str, Any] = dict(self._named)
        with self._errors():
            while True:
                answer = self._kinesis.list_shards(**arguments)
                self.told_ms = _date_ms(answer)
                found.extend(map(_shard_info, answer["Shards"]))
                if not answer.get("NextToken"):
                    return found
                arguments = {"NextToken": answer["NextToken"]}  # AWS refuses the stream's name beside it

    def iterator(self, shard_id: str, position: ShardPosition) -> str:
        """A shard iterator at `position` (B7)."""
        arguments: dict[str, Any] = {"ShardId": shard_id, "ShardIteratorType": position.type}
        if position.sequence_number:
            arguments["StartingSequenceNumber"] = position.sequence_number
        if position.type == "AT_TIMESTAMP":
            arguments["Timestamp"] = datetime.fromtimestamp(position.timestamp_ms / 1000, UTC)
        with self._errors():
            return str(self._kinesis.get_shard_iterator(**self._named, **arguments)["ShardIterator"])

    def get(self, shard_id: str, iterator: str) -> Answer:
        """One GetRecords call (B8)."""
        with self._errors():
            return decode_answer(self._kinesis.get_records(ShardIterator=iterator), shard_id)

    def children(self, shard_id: str) -> tuple[ShardInfo, ...]:
        """The shards that a split or merge of `shard_id` made, where GetRecords did not name them."""
        return tuple(shard for shard in self.shards() if shard_id in shard.parents)

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            with aws_errors(self._what):
                yield
        except NotFoundError as error:
            fix = "`aws kinesis list-streams` shows the streams there are; check the region and AWS_ENDPOINT_URL too"
            raise NotFoundError(error.message, fix=fix) from error


def _date_ms(answer: dict[str, Any]) -> int | None:
    date = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date")
    try:
        return round(parsedate_to_datetime(date).timestamp() * 1000) if date else None
    except ValueError:
        return None


def _shard_info(shard: dict[str, Any]) -> ShardInfo:
    parents = (shard.get("ParentShardId"), shard.get("AdjacentParentShardId"))
    closed = "EndingSequenceNumber" in shard.get("SequenceNumberRange", {})
    return ShardInfo(shard["ShardId"], tuple(parent for parent in parents if parent), closed)
