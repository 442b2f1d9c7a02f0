"""The calls that reading a stream takes: ListShards, GetShardIterator, GetRecords."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final, TypeVar

from pipelines.kinesis.decode import Answer, decode_answer, keep_body
from pipelines.kinesis.lineage import ShardInfo
from pipelines.kinesis.positions import ShardPosition
from pipelines.runtime import aws
from pipelines.runtime.aws import aws_errors
from pipelines.runtime.clock import Clock, SystemClock
from pipelines.runtime.errors import ConfigurationError, CredentialsError, ExpiredNextTokenError, NotFoundError

ClientFactory = Callable[[], Any]
"""Makes a boto3 Kinesis client; a function of a module, so that a DoFn that holds it can be pickled."""

_EVENT: Final = "before-parse.kinesis.GetRecords"
_LISTING_S: Final = 1.0
"""So long a list of shards serves those who look for children: shards that end together ask once (B15)."""
_RENEWAL_S: Final = 10.0
"""New credentials are looked for at most this often."""
_LISTINGS: Final = 5
"""How often a list is begun anew whose NextToken has expired."""

_T = TypeVar("_T")


def one_attempt_client() -> Any:
    """A Kinesis client that does not retry by itself: the reader backs off without holding a thread."""
    return aws.client("kinesis", max_attempts=1)


def check_stream(stream: object) -> str:
    """`stream`, if it can be a stream's name or ARN.

    Raises:
        ConfigurationError: it cannot.
    """
    if isinstance(stream, str) and stream:
        return stream
    message = f"{stream!r} is no Kinesis stream."
    raise ConfigurationError(message, fix="give its name or its ARN")


class StreamService:
    """Calls for one stream, their answers as values and their errors as ours. Thread-safe.

    Credentials that expire are renewed by the SDK where their source tells when they do (roles, SSO, a process).
    Where it does not, as with a credentials file that something else rewrites, AWS refuses the old ones, and a new
    client is made, which reads them again.

    Args:
        stream: name or ARN.
        kinesis: a boto3 Kinesis client.
        renew: makes another client when AWS refuses the credentials of the one at hand; None for never.
        clock: for how often.
    """

    def __init__(
        self, stream: str, kinesis: Any, *, renew: ClientFactory | None = None, clock: Clock | None = None
    ) -> None:
        self.stream: Final = stream
        self._what = f"Kinesis stream {stream}"
        self._named = {"StreamARN" if stream.startswith("arn:") else "StreamName": stream}
        self._renew = renew
        self._clock = clock or SystemClock()
        self._lock = threading.Lock()
        self._listed: tuple[float, Sequence[ShardInfo]] | None = None
        self._renewed_s = -_RENEWAL_S
        self.told_ms: int | None = None
        """What the service's clock said at the last ListShards, to the second; None when it did not say."""
        self._use(kinesis)

    @property
    def is_on_aws(self) -> bool:
        """The endpoint is AWS's own, with AWS's limits."""
        return aws.is_on_aws(self._kinesis)

    def shards(self) -> Sequence[ShardInfo]:
        """All shards of the stream within retention, closed ones too, page after page of ListShards (B15).

        Raises:
            NotFoundError: there is no such stream.
            HydrantError: any other error of AWS.
        """
        for _ in range(_LISTINGS - 1):
            try:
                return self._call(self._list)
            except ExpiredNextTokenError:  # it took longer than 5 minutes: begin anew
                continue
        return self._call(self._list)

    def iterator(self, shard_id: str, position: ShardPosition, *, behind: bool = False) -> str:
        """A shard iterator at `position` (B7); for AFTER_SEQUENCE_NUMBER as for AT_: at the record itself.

        So the first record that comes tells whether the one before it is still in the stream.

        Args:
            shard_id: the shard.
            position: where the iterator is to stand.
            behind: for AFTER_SEQUENCE_NUMBER it stands behind the record.
        """
        arguments: dict[str, Any] = {"ShardId": shard_id, "ShardIteratorType": position.type}
        if position.sequence_number:
            kind = position.type if behind else "AT_SEQUENCE_NUMBER"
            arguments |= {"ShardIteratorType": kind, "StartingSequenceNumber": position.sequence_number}
        if position.type == "AT_TIMESTAMP":
            arguments["Timestamp"] = datetime.fromtimestamp(position.timestamp_ms / 1000, UTC)

        def ask() -> str:
            with aws_errors(f"shard {shard_id} of {self._what}"):  # what is missing may be the shard alone
                return str(self._kinesis.get_shard_iterator(**self._named, **arguments)["ShardIterator"])

        return self._call(ask)

    def get(self, shard_id: str, iterator: str, limit: int | None = None) -> Answer:
        """One GetRecords call (B8), for at most `limit` records."""
        arguments: dict[str, Any] = {"ShardIterator": iterator} | ({"Limit": limit} if limit else {})
        return self._call(lambda: decode_answer(self._kinesis.get_records(**arguments), shard_id))

    def children(self, shard_id: str) -> tuple[ShardInfo, ...]:
        """The shards that a split or merge of `shard_id` made, where GetRecords did not name them."""
        found = self._children_in(self._recently_listed(), shard_id)
        # Whoever has children had them before it was read to its end; a list from before may lack them.
        return found or self._children_in(self._relisted(), shard_id)

    def is_open(self, shard_id: str) -> bool:
        """Whether records can still be put into the shard; no for one that is listed no more."""
        if any(shard.shard_id == shard_id and shard.closed for shard in self._recently_listed()):
            return False  # what is closed stays so; a list from before may not have it yet
        return any(shard.shard_id == shard_id and not shard.closed for shard in self._relisted())

    def _recently_listed(self) -> Sequence[ShardInfo]:
        with self._lock:
            if self._listed is not None and self._clock.monotonic_s() - self._listed[0] < _LISTING_S:
                return self._listed[1]
        return self._relisted()

    def _relisted(self) -> Sequence[ShardInfo]:
        shards = self.shards()
        with self._lock:
            self._listed = (self._clock.monotonic_s(), shards)
        return shards

    @staticmethod
    def _children_in(shards: Sequence[ShardInfo], shard_id: str) -> tuple[ShardInfo, ...]:
        return tuple(shard for shard in shards if shard_id in shard.parents)

    def _list(self) -> Sequence[ShardInfo]:
        found: list[ShardInfo] = []
        arguments: dict[str, Any] = dict(self._named)
        while True:
            answer = self._kinesis.list_shards(**arguments)
            self.told_ms = _date_ms(answer)
            found.extend(map(_shard_info, answer["Shards"]))
            if not answer.get("NextToken"):
                return found
            arguments = {"NextToken": answer["NextToken"]}  # AWS refuses the stream's name beside it

    def _call(self, call: Callable[[], _T]) -> _T:
        try:
            with self._errors():
                return call()
        except CredentialsError:
            if not self._has_renewed():
                raise
            with self._errors():
                return call()

    def _has_renewed(self) -> bool:
        """Whether the client at hand has been made within the last seconds, be it now."""
        if self._renew is None:
            return False
        with self._lock:
            now_s = self._clock.monotonic_s()
            if now_s - self._renewed_s >= _RENEWAL_S:
                self._renewed_s = now_s
                aws.forget_credentials()
                self._use(self._renew())
        return True

    def _use(self, kinesis: Any) -> None:
        if hasattr(kinesis, "meta"):
            kinesis.meta.events.register(_EVENT, keep_body, unique_id="hydrant-keep-body")
        self._kinesis = kinesis

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
    keys = shard.get("HashKeyRange")
    hash_range = (int(keys["StartingHashKey"]), int(keys["EndingHashKey"])) if keys else None
    return ShardInfo(shard["ShardId"], tuple(parent for parent in parents if parent), closed, hash_range)
