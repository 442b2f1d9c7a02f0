"""The calls of the sink: carries out what a `Producer` says, several requests at once (B2)."""

import random
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from contextlib import suppress
from typing import Any, Final

from pipelines.kinesis.outcome import NO_ANSWER
from pipelines.kinesis.producer import Producer, Request
from pipelines.kinesis.put import MAX_ENTRIES, Placed, Record, Refusal
from pipelines.kinesis.put_call import PutRecordsCall
from pipelines.kinesis.service import ClientFactory, StreamService
from pipelines.kinesis.shard_map import ShardMap
from pipelines.runtime.aws import aws_errors, error_code, forget_credentials
from pipelines.runtime.clock import Clock
from pipelines.runtime.errors import CredentialsError, EndpointDownError, NotFoundError, TransientError

MAX_REQUESTS: Final = 8
"""So many calls are under way at once."""
MAX_HELD_BYTES: Final = 32 * 1024 * 1024
"""`add` waits while records of so many bytes are neither written nor given up."""
_RENEWAL_S: Final = 10.0
"""New credentials are looked for at most this often."""
_LIST_BACKOFF_S: Final = 0.2
_LEAST_PAUSE_S: Final = 0.001
"""Clocks are no finer."""
_DEFAULT_MAX_RECORD_KIB: Final = 1024


class Sender:
    """Puts records into one stream. Used by one thread; the calls are made on those of `executor`.

    `add` takes records, `flush` returns when all are written or given up; the producer says which. What a caller
    abandons with an error may still be put by calls under way.

    Args:
        stream: name or ARN.
        kinesis: a boto3 Kinesis client that does not retry by itself.
        producer: decides; new, and used by nobody else.
        clock: for pauses.
        executor: makes the calls.
        retry_s: as the producer's.
        renew: makes another client when AWS refuses the credentials of the one at hand; None for never.
    """

    def __init__(
        self,
        stream: str,
        kinesis: Any,
        producer: Producer,
        clock: Clock,
        executor: Executor,
        *,
        retry_s: float,
        renew: ClientFactory | None = None,
    ) -> None:
        self._what = f"Kinesis stream {stream}"
        self._named = {"StreamARN" if stream.startswith("arn:") else "StreamName": stream}
        self._stream = stream
        self._renew = renew
        self._use(kinesis)
        self._producer = producer
        self._clock = clock
        self._executor = executor
        self._retry_s = retry_s
        self._under_way: dict[Future[list[Placed | Refusal]], Request] = {}
        self._unanswered_since_s: float | None = None
        self._renewed_s: float | None = None
        self._latencies_ms: list[int] = []
        self._added = 0

    def add(self, record: Record) -> None:
        """Hands `record` to the producer, and sends what is worth it; waits while too much is held.

        Raises:
            NotFoundError: there is no such stream, or it has no open shard.
            CredentialsError: there are none, or AWS refuses them.
            EndpointDownError: no call was answered for `retry_s`.
            HydrantError: any other error that trying again does not mend.
        """
        if self._producer.needs_shards:
            self._route()
        self._producer.add(record)
        self._added += 1
        if self._added >= MAX_ENTRIES or self._producer.held_bytes > MAX_HELD_BYTES:
            self._added = 0
            self._collect([future for future in self._under_way if future.done()])
            self._submit(flush=False)
            while self._producer.held_bytes > MAX_HELD_BYTES:
                self._step()

    def flush(self) -> None:
        """Returns when every record is written or given up.

        Raises:
            HydrantError: as `add` does.
        """
        while not self._producer.is_idle:
            self._step()
        self._unanswered_since_s = None  # what comes next has its own time to be answered in

    def take_latencies_ms(self) -> list[int]:
        """How long each answered call took, since the last time."""
        latencies_ms, self._latencies_ms = self._latencies_ms, []
        return latencies_ms

    def _step(self) -> None:
        """Sends what there is, and waits until something has happened."""
        self._submit(flush=True)
        pause_s = self._producer.pause_s(self._clock.monotonic_s())
        if self._under_way:
            room = len(self._under_way) < MAX_REQUESTS
            done, _ = wait(self._under_way, pause_s if room else None, FIRST_COMPLETED)
            self._collect(list(done))
        elif self._producer.needs_shards:
            self._route()
        elif pause_s is not None:
            self._clock.sleep(max(pause_s, _LEAST_PAUSE_S))
        else:
            message = "the sender has failed before, and what it had under way is lost"
            raise RuntimeError(message)

    def _submit(self, *, flush: bool) -> None:
        while len(self._under_way) < MAX_REQUESTS:
            request = self._producer.next_request(self._clock.monotonic_s(), flush=flush)
            if request is None:
                return
            self._under_way[self._executor.submit(self._put, request)] = request

    def _put(self, request: Request) -> list[Placed | Refusal]:
        begin_s = self._clock.monotonic_s()
        with aws_errors(self._what):
            results = self._call([entry.put for entry in request.entries])
        self._latencies_ms.append(round(1000 * (self._clock.monotonic_s() - begin_s)))
        return results

    def _collect(self, done: list[Future[list[Placed | Refusal]]]) -> None:
        for future in done:
            request = self._under_way.pop(future)
            try:
                results = future.result()
            except EndpointDownError as error:
                self._count_silence(request.sent_s, error)
                results = _all(request, Refusal(NO_ANSWER, error.message))
            except CredentialsError as error:
                if not self._has_renewed(request.sent_s):
                    raise
                results = _all(request, Refusal("ExpiredTokenException", error.message))
            except TransientError as error:
                self._unanswered_since_s = None
                results = _all(request, Refusal(error_code(error.__cause__), error.message))
            else:
                self._unanswered_since_s = None
            self._producer.answered(request, results, self._clock.monotonic_s())

    def _has_renewed(self, sent_s: float) -> bool:
        """Whether there is a newer client than that of a call made at `sent_s`, be it made now."""
        if self._renew is None:
            return False
        now_s = self._clock.monotonic_s()
        if self._renewed_s is None or now_s - self._renewed_s >= _RENEWAL_S:
            self._renewed_s = now_s
            forget_credentials()
            self._use(self._renew())
        return sent_s <= self._renewed_s

    def _use(self, kinesis: Any) -> None:
        self._kinesis = kinesis
        self._call = PutRecordsCall(self._stream, kinesis)
        self._service = StreamService(self._stream, kinesis)

    def _count_silence(self, sent_s: float, error: EndpointDownError) -> None:
        """Raises `error` when nothing was answered for too long: it is not the records that are to blame."""
        if self._unanswered_since_s is None:
            self._unanswered_since_s = sent_s
        if self._clock.monotonic_s() - self._unanswered_since_s >= self._retry_s:
            message = f"No PutRecords was answered for {self._retry_s:.0f} s. {error.message}"
            raise EndpointDownError(message, fix=error.fix) from error

    def _route(self) -> None:
        shards, max_record_bytes = self._retried(self._list), self._retried(self._max_record_bytes)
        if not shards.open_shards:
            message = f"{self._what} has no open shard."
            raise NotFoundError(message, fix="wait until `aws kinesis describe-stream-summary` says that it is ACTIVE")
        self._producer.route(shards, max_record_bytes, self._clock.monotonic_s())

    def _list(self) -> ShardMap:
        return ShardMap(self._service.shards())

    def _max_record_bytes(self) -> int:
        summary = self._kinesis.describe_stream_summary(**self._named)["StreamDescriptionSummary"]
        return 1024 * int(summary.get("MaxRecordSizeInKiB", _DEFAULT_MAX_RECORD_KIB))

    def _retried(self, call: Callable[[], Any]) -> Any:
        """The result of `call`, made again for `retry_s` while it fails."""
        give_up_s = self._clock.monotonic_s() + self._retry_s
        limit_s = _LIST_BACKOFF_S
        while self._clock.monotonic_s() < give_up_s:
            with suppress(TransientError):
                return self._with_credentials(call)
            self._clock.sleep(random.uniform(0, limit_s))
            limit_s *= 2
        return self._with_credentials(call)

    def _with_credentials(self, call: Callable[[], Any]) -> Any:
        """The result of `call`, made again with a newer client where AWS refuses the credentials of the one at hand."""
        asked_s = self._clock.monotonic_s()
        try:
            with aws_errors(self._what):
                return call()
        except CredentialsError:
            if not self._has_renewed(asked_s):
                raise
        with aws_errors(self._what):
            return call()


def _all(request: Request, refusal: Refusal) -> list[Placed | Refusal]:
    return [refusal for _ in request.entries]
