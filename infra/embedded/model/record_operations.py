"""Operations on records: putting (B1 to B3, B6) and reading (B7 to B10). These are the ones that must be quick."""

import binascii
import re
from typing import Final

import orjson

from infra.embedded.model.errors import KinesisError, garbled, invalid, malformed, throttled
from infra.embedded.model.faults import Faults
from infra.embedded.model.registry import Answer, Json, Operations, Registry
from infra.embedded.model.shard import MAX_HASH_KEY, Shard, shard_id
from infra.embedded.model.start import Start
from infra.embedded.model.stream import Stream, hash_key
from infra.embedded.model.tokens import seal, unseal
from pipelines.runtime.clock import Clock

ITERATOR_LIFE_MS: Final = 5 * 60 * 1000
MAX_ENTRIES: Final = 500
MAX_REQUEST_BYTES: Final = 10 * 1024 * 1024
_HASH_KEY: Final = re.compile(r"0|[1-9]\d{0,38}")
_ITERATOR: Final = "ShardIterator"


class RecordOperations:
    """Args are those of `Kinesis`."""

    def __init__(self, streams: Registry, clock: Clock, faults: Faults) -> None:
        self._streams = streams
        self._clock = clock
        self._faults = faults

    def operations(self) -> Operations:
        """Handlers by AWS's name."""
        return {
            "PutRecord": self._put_record,
            "PutRecords": self._put_records,
            "GetShardIterator": self._get_shard_iterator,
            "GetRecords": self._get_records,
        }

    def _put_record(self, request: Json) -> Answer:
        # SequenceNumberForOrdering asks for what is always so here: numbers grow in the order of arrival (B5).
        now = self._clock.now_ms()
        stream = self._streams.usable(request, now)
        size = _checked_size(request, stream)
        _end_dry_run(request)
        with stream.lock:
            shard, number = _put(stream, request, size, now)
        encrypted = {} if stream.kms_key is None else {"EncryptionType": "KMS"}
        return {"ShardId": shard.id, "SequenceNumber": str(number), **encrypted}

    def _put_records(self, request: Json) -> Answer:
        now = self._clock.now_ms()
        stream = self._streams.usable(request, now)
        entries = request.get("Records")
        if not isinstance(entries, list) or not 1 <= len(entries) <= MAX_ENTRIES:
            count = len(entries) if isinstance(entries, list) else "no"
            raise malformed(
                f"1 validation error detected: Value at 'records' with {count} entries failed to satisfy constraint: "
                f"Member must have length less than or equal to {MAX_ENTRIES} and greater than or equal to 1"
            )
        sizes = [_checked_size(entry, stream) for entry in entries]
        if sum(sizes) > MAX_REQUEST_BYTES:
            raise invalid(f"Records size exceeds {MAX_REQUEST_BYTES} bytes.")
        _end_dry_run(request)
        refused = self._faults.refused(len(entries))
        parts, failed = [], 0
        with stream.lock:
            for index, (entry, size) in enumerate(zip(entries, sizes, strict=True)):
                try:
                    if index in refused:
                        message = f"Rate exceeded for stream {stream.name} under account {stream.account}."
                        raise KinesisError(self._faults.refusal, message)
                    shard, number = _put(stream, entry, size, now)
                except KinesisError as error:
                    failed += 1
                    parts.append(orjson.dumps({"ErrorCode": error.code, "ErrorMessage": error.message}))
                else:
                    parts.append(b'{"SequenceNumber":"%d","ShardId":"%s"}' % (number, shard.id.encode()))
        encrypted = b"" if stream.kms_key is None else b',"EncryptionType":"KMS"'
        return b'{"FailedRecordCount":%d,"Records":[%s]%s}' % (failed, b",".join(parts), encrypted)

    def _get_shard_iterator(self, request: Json) -> Answer:
        now = self._clock.now_ms()
        stream = self._streams.usable(request, now)
        with stream.lock:
            shard = stream.shard(request["ShardId"], now)
            limits = stream.limits.get(shard.id)
            if limits is not None and not limits.may_iterate(now):
                raise throttled(_rate_exceeded(stream, shard))
            shard.trim(stream.horizon_ms(now))
            asked = (request.get("StartingSequenceNumber"), request.get("Timestamp"))
            position = Start(request["ShardIteratorType"], *asked, "GetShardIterator").position(stream, shard, now)
        _end_dry_run(request)
        return {_ITERATOR: seal([stream.name, stream.created_ms, shard.index, position, now], _ITERATOR)}

    def _get_records(self, request: Json) -> Answer:
        now = self._clock.now_ms()
        name, created_ms, index, position, issued_ms = unseal(request[_ITERATOR], _ITERATOR)
        stream = self._streams.named(name)
        if stream.created_ms != created_ms:
            raise invalid(f"{_ITERATOR} belongs to a stream that was deleted.")
        if now - issued_ms > ITERATOR_LIFE_MS:
            raise KinesisError(
                "ExpiredIteratorException",
                f"Iterator expired. The iterator was created at time {issued_ms} while right now it is {now} which is "
                f"further in the future than the tolerated delay of {ITERATOR_LIFE_MS} milliseconds.",
            )
        with stream.lock:
            shard = stream.shards[index]
            limits = stream.limits.get(shard.id)
            if limits is not None and not limits.may_read(now):
                raise throttled(_rate_exceeded(stream, shard))
            _end_dry_run(request)
            shard.trim(stream.horizon_ms(now))
            records, position, size = shard.read(position, request.get("Limit", 10_000))
            if limits is not None:
                limits.has_read(size, len(records))
            waiting = shard.waiting_at(position)
            # Zero says caught up (B9), so a record that waits for no millisecond yet is one behind.
            behind = 0 if waiting is None else max(1, now - waiting.arrival_ms)
            if waiting is None and not shard.is_open:
                tail = b'"ChildShards":' + orjson.dumps([child.describe_as_child() for child in stream.children(shard)])
            else:
                following = seal([name, created_ms, index, position, now], _ITERATOR)
                tail = b'"NextShardIterator":"%s"' % following.encode()
        return b'{"Records":[%s],%s,"MillisBehindLatest":%d}' % (b",".join(records), tail, behind)


def shard_of(request: Json) -> str | None:
    """The shard that a valid `request` is about, where it is about one."""
    if _ITERATOR in request:
        return shard_id(unseal(request[_ITERATOR], _ITERATOR)[2])
    return request.get("ShardId")


def _put(stream: Stream, entry: Json, size: int, now_ms: int) -> tuple[Shard, int]:
    """Appends `entry` to its shard (B3); the caller holds the stream's lock and has checked it."""
    key, explicit = entry.get("PartitionKey"), entry.get("ExplicitHashKey")
    if stream.is_distributed or key is None:
        shard = stream.any_shard()
    else:
        shard = stream.shard_for(int(explicit) if explicit is not None else hash_key(key))
    limits = stream.limits.get(shard.id) if stream.limited else None
    if limits is not None and not limits.may_put(size, now_ms):
        raise throttled(_rate_exceeded(stream, shard))
    number, arrival_ms = stream.next_number(shard.index, now_ms)
    shard.append(number, arrival_ms, entry["Data"], size, key, is_encrypted=stream.kms_key is not None)
    return shard, number


def _end_dry_run(request: Json) -> None:
    """Ends a request that was to be checked only.

    Raises:
        KinesisError: DryRunOperationException.
    """
    if request.get("DryRun"):
        raise KinesisError("DryRunOperationException", "The request would have succeeded, but DryRun was set.")


def _checked_size(entry: Json, stream: Stream) -> int:
    """Bytes of the entry's data and key together (B1).

    Raises:
        KinesisError: it is not an entry that AWS would take.
    """
    key, data, explicit = entry.get("PartitionKey"), entry.get("Data"), entry.get("ExplicitHashKey")
    if key is None and stream.is_distributed:
        key = ""
    elif not isinstance(key, str) or not 1 <= len(key) <= 256:
        raise malformed(
            f"1 validation error detected: Value {key!r} at 'partitionKey' failed to satisfy constraint: "
            "Member must have length less than or equal to 256 and greater than or equal to 1"
        )
    if data is None:
        raise malformed(
            "1 validation error detected: Value null at 'data' failed to satisfy constraint: Member must not be null"
        )
    try:
        decoded = binascii.a2b_base64(data, strict_mode=True)
    except (ValueError, TypeError) as error:
        raise garbled("Data is not base64.") from error
    if explicit is not None and (not _HASH_KEY.fullmatch(explicit) or int(explicit) > MAX_HASH_KEY):
        raise invalid(
            "Invalid ExplicitHashKey. ExplicitHashKey must be in the range: [0, 2^128-1]. "
            f"Specified value was {explicit}"
        )
    size = len(decoded) + len(key.encode())
    if size > stream.max_record_kib * 1024:
        raise malformed(
            f"A record's data and partition key are {size} bytes together: stream {stream.name} takes "
            f"{stream.max_record_kib} KiB at most."
        )
    return size


def _rate_exceeded(stream: Stream, shard: Shard) -> str:
    return f"Rate exceeded for shard {shard.id} in stream {stream.name} under account {stream.account}."
