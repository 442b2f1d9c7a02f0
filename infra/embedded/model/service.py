"""The operations of Kinesis Data Streams: AWS's JSON in, AWS's JSON out (spec section B)."""

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

import orjson

from infra.embedded.model.errors import KinesisError, in_use, invalid, malformed, not_found, throttled
from infra.embedded.model.faults import Faults
from infra.embedded.model.shard import MAX_HASH_KEY, Shard
from infra.embedded.model.stream import HOUR_MS, Stream, hash_key
from infra.embedded.model.tokens import seal, unseal
from pipelines.runtime.clock import Clock

Json = Mapping[str, Any]
Answer = dict[str, Any] | bytes
"""A JSON object, or its text where building the object would cost too much."""

ITERATOR_LIFE_MS: Final = 5 * 60 * 1000
MAX_ENTRIES: Final = 500
MAX_REQUEST_BYTES: Final = 10 * 1024 * 1024
MAX_RECORD_BYTES: Final = 1024 * 1024
_NAME: Final = re.compile(r"[a-zA-Z0-9_.-]{1,128}")
_HASH_KEY: Final = re.compile(r"0|[1-9]\d{0,38}")


class Kinesis:
    """The service. Thread-safe: one lock a stream.

    Args:
        clock: where all times come from.
        region: in ARNs.
        account: in ARNs and messages.
        limited: whether shards have AWS's throughput limits (B6, B8).
        settle_ms: how long a stream is CREATING or UPDATING.
    """

    def __init__(self, clock: Clock, region: str, account: str, *, limited: bool = False, settle_ms: int = 0) -> None:
        self.faults = Faults()
        self._clock = clock
        self._region = region
        self._account = account
        self._limited = limited
        self._settle_ms = settle_ms
        self._streams: dict[str, Stream] = {}
        self._operations: dict[str, Callable[[Json], Answer]] = {
            re.sub(r"(?:^|_)(\w)", lambda match: match.group(1).upper(), name): getattr(self, name)
            for name in dir(self)
            if not name.startswith("_") and callable(getattr(self, name)) and name != "call"
        }

    def call(self, operation: str, request: Json) -> Answer:
        """Answers one call.

        Raises:
            KinesisError: AWS's error for it.
        """
        handler = self._operations.get(operation)
        if handler is None:
            message = f"{operation} is not part of this model of Kinesis"
            raise KinesisError("UnknownOperationException", message)
        self.faults.before(operation)
        return handler(request)

    # Streams

    def create_stream(self, request: Json) -> Answer:
        name = request.get("StreamName", "")
        if not _NAME.fullmatch(name):
            raise malformed(f"Value {name!r} at 'streamName' failed to satisfy constraint: [a-zA-Z0-9_.-]+, 1 to 128")
        if name in self._streams:
            raise in_use(f"Stream {name} under account {self._account} already exists.")
        mode = (request.get("StreamModeDetails") or {}).get("StreamMode", "PROVISIONED")
        count = request.get("ShardCount") or (4 if mode == "ON_DEMAND" else 0)
        if count < 1:
            raise malformed("ShardCount must be at least 1 for a stream in PROVISIONED mode.")
        now = self._clock.now_ms()
        arn = f"arn:aws:kinesis:{self._region}:{self._account}:stream/{name}"
        stream = Stream(name, arn, count, now, now + self._settle_ms, limited=self._limited)
        stream.mode = mode
        stream.tags.update(request.get("Tags") or {})
        self._streams[name] = stream
        return {}

    def delete_stream(self, request: Json) -> Answer:
        del self._streams[self._stream(request).name]
        return {}

    def list_streams(self, request: Json) -> Answer:
        after = request.get("ExclusiveStartStreamName") or request.get("NextToken") or ""
        names = [name for name in sorted(self._streams) if name > after]
        most = request.get("Limit", 100)
        page = names[:most]
        now = self._clock.now_ms()
        summaries = [
            {
                "StreamName": name,
                "StreamARN": self._streams[name].arn,
                "StreamStatus": self._streams[name].status(now),
                "StreamModeDetails": {"StreamMode": self._streams[name].mode},
                "StreamCreationTimestamp": self._streams[name].created_ms / 1000,
            }
            for name in page
        ]
        more = len(names) > most
        return {"StreamNames": page, "HasMoreStreams": more, "StreamSummaries": summaries} | (
            {"NextToken": page[-1]} if more else {}
        )

    def describe_stream_summary(self, request: Json) -> Answer:
        stream = self._stream(request)
        summary = self._described(stream) | {
            "OpenShardCount": len(stream.open_shards),
            "ConsumerCount": len(stream.consumers),
        }
        return {"StreamDescriptionSummary": summary}

    def describe_stream(self, request: Json) -> Answer:
        stream = self._stream(request)
        after = request.get("ExclusiveStartShardId", "")
        shards = [shard for shard in stream.visible(self._clock.now_ms()) if shard.id > after]
        most = request.get("Limit", 100)
        return {
            "StreamDescription": self._described(stream)
            | {"Shards": [shard.describe() for shard in shards[:most]], "HasMoreShards": len(shards) > most}
        }

    def describe_limits(self, request: Json) -> Answer:
        open_shards = sum(len(stream.open_shards) for stream in self._streams.values())
        return {
            "ShardLimit": 500,
            "OpenShardCount": open_shards,
            "OnDemandStreamCount": 0,
            "OnDemandStreamCountLimit": 50,
        }

    def increase_stream_retention_period(self, request: Json) -> Answer:
        return self._retain(request, longer=True)

    def decrease_stream_retention_period(self, request: Json) -> Answer:
        return self._retain(request, longer=False)

    def add_tags_to_stream(self, request: Json) -> Answer:
        self._stream(request).tags.update(request["Tags"])
        return {}

    def remove_tags_from_stream(self, request: Json) -> Answer:
        stream = self._stream(request)
        for key in request["TagKeys"]:
            stream.tags.pop(key, None)
        return {}

    def list_tags_for_stream(self, request: Json) -> Answer:
        tags = sorted(self._stream(request).tags.items())
        return {"Tags": [{"Key": key, "Value": value} for key, value in tags], "HasMoreTags": False}

    def enable_enhanced_monitoring(self, request: Json) -> Answer:
        stream = self._stream(request)
        return {"StreamName": stream.name, "CurrentShardLevelMetrics": [], "DesiredShardLevelMetrics": []}

    disable_enhanced_monitoring = enable_enhanced_monitoring

    # Shards

    def list_shards(self, request: Json) -> Answer:
        token = request.get("NextToken")
        if token and request.get("StreamName"):
            raise invalid("NextToken and StreamName cannot be provided together.")
        if token:
            name, after, issued_ms = unseal(token, "NextToken")
            if self._clock.now_ms() - issued_ms > 300_000:
                raise KinesisError("ExpiredNextTokenException", "NextToken has expired.")
            stream = self._stream({"StreamName": name})
        else:
            stream, after = self._stream(request), request.get("ExclusiveStartShardId", "")
        with stream.lock:
            found = self._filtered(stream, request.get("ShardFilter") or {})
        shards = [shard for shard in found if shard.id > after]
        most = request.get("MaxResults", 1000)
        answer: dict[str, Any] = {"Shards": [shard.describe() for shard in shards[:most]]}
        if len(shards) > most:
            answer["NextToken"] = seal([stream.name, shards[most - 1].id, self._clock.now_ms()])
        return answer

    def split_shard(self, request: Json) -> Answer:
        stream = self._resharding(request)
        with stream.lock:
            shard = stream.shard(request["ShardToSplit"])
            key = request["NewStartingHashKey"]
            if not _HASH_KEY.fullmatch(key):
                raise malformed(
                    f"Value {key!r} at 'newStartingHashKey' failed to satisfy constraint: 0|([1-9]\\d{{0,38}})"
                )
            stream.split(shard, int(key), self._clock.now_ms())
            self._settle(stream)
        return {}

    def merge_shards(self, request: Json) -> Answer:
        stream = self._resharding(request)
        with stream.lock:
            one, other = stream.shard(request["ShardToMerge"]), stream.shard(request["AdjacentShardToMerge"])
            stream.merge(one, other, self._clock.now_ms())
            self._settle(stream)
        return {}

    def update_shard_count(self, request: Json) -> Answer:
        stream = self._resharding(request)
        if request.get("ScalingType") != "UNIFORM_SCALING":
            raise malformed("ScalingType must be UNIFORM_SCALING.")
        with stream.lock:
            current = len(stream.open_shards)
            stream.scale(request["TargetShardCount"], self._clock.now_ms())
            self._settle(stream)
        return {
            "StreamName": stream.name,
            "StreamARN": stream.arn,
            "CurrentShardCount": current,
            "TargetShardCount": request["TargetShardCount"],
        }

    # Records

    def put_record(self, request: Json) -> Answer:
        stream = self._stream(request)
        with stream.lock:
            placed = self._put(stream, request, self._clock.now_ms())
        if isinstance(placed, KinesisError):
            raise placed
        shard, number = placed
        return {"ShardId": shard.id, "SequenceNumber": str(number)}

    def put_records(self, request: Json) -> Answer:
        stream = self._stream(request)
        entries = request.get("Records") or []
        if not 1 <= len(entries) <= MAX_ENTRIES:
            raise malformed(f"Records has {len(entries)} entries: it must have 1 to {MAX_ENTRIES}.")
        if sum(_size(entry) for entry in entries) > MAX_REQUEST_BYTES:
            raise invalid(f"Records size exceeds {MAX_REQUEST_BYTES} bytes.")
        for entry in entries:
            _check_entry(entry)
        refused = self.faults.refused(len(entries))
        parts, failed = [], 0
        now = self._clock.now_ms()
        with stream.lock:
            for index, entry in enumerate(entries):
                placed = _throttle(stream) if index in refused else self._put(stream, entry, now, checked=True)
                if isinstance(placed, KinesisError):
                    failed += 1
                    parts.append(orjson.dumps({"ErrorCode": placed.code, "ErrorMessage": placed.message}))
                else:
                    parts.append(b'{"SequenceNumber":"%d","ShardId":"%s"}' % (placed[1], placed[0].id.encode()))
        return b'{"FailedRecordCount":%d,"Records":[%s]}' % (failed, b",".join(parts))

    def get_shard_iterator(self, request: Json) -> Answer:
        stream = self._stream(request)
        now = self._clock.now_ms()
        with stream.lock:
            stream.trim(now)
            shard = stream.shard(request["ShardId"])
            position = _position(shard, request)
        return {"ShardIterator": seal([stream.name, stream.created_ms, shard.index, position, now])}

    def get_records(self, request: Json) -> Answer:
        name, created_ms, index, position, issued_ms = unseal(request.get("ShardIterator", ""), "ShardIterator")
        most = request.get("Limit", 10_000)
        if not 1 <= most <= 10_000:
            raise malformed(f"Value {most} at 'limit' failed to satisfy constraint: 1 to 10000")
        now = self._clock.now_ms()
        stream = self._stream({"StreamName": name})
        if stream.created_ms != created_ms:
            raise invalid("ShardIterator belongs to a stream that was deleted.")
        if now - issued_ms > ITERATOR_LIFE_MS:
            message = f"Iterator expired. The iterator was created at {issued_ms} while right now it is {now}, which is further in the future than the tolerated delay of {ITERATOR_LIFE_MS} milliseconds."
            raise KinesisError("ExpiredIteratorException", message)
        with stream.lock:
            shard = stream.shards[index]
            limits = stream.limits.get(shard.id)
            if limits is not None and not limits.may_read(now):
                raise throttled(f"Rate exceeded for shard {shard.id} in stream {name} under account {self._account}.")
            shard.trim(now - stream.retention_h * HOUR_MS)
            records, position, size = shard.read(position, most)
            if limits is not None:
                limits.has_read(size)
            waiting_since = shard.waiting_since_ms(position)
            behind = 0 if waiting_since is None else max(0, now - waiting_since)
            if waiting_since is None and not shard.is_open:
                children = [child.describe_as_child() for child in stream.children(shard)]
                tail = b'"ChildShards":' + orjson.dumps(children)
            else:
                following = seal([name, created_ms, index, position, now])
                tail = b'"NextShardIterator":"%s"' % following.encode()
        return b'{"Records":[%s],%s,"MillisBehindLatest":%d}' % (b",".join(records), tail, behind)

    # Consumers (B14)

    def register_stream_consumer(self, request: Json) -> Answer:
        stream = self._stream(request)
        name = request["ConsumerName"]
        if name in stream.consumers:
            raise in_use(f"Consumer {name} of stream {stream.name} already exists.")
        if len(stream.consumers) >= 20:
            raise KinesisError("LimitExceededException", "A stream has at most 20 consumers.")
        now = self._clock.now_ms()
        consumer = {
            "ConsumerName": name,
            "ConsumerARN": f"{stream.arn}/consumer/{name}:{now // 1000}",
            "ConsumerStatus": "ACTIVE",
            "ConsumerCreationTimestamp": now / 1000,
        }
        stream.consumers[name] = consumer
        return {"Consumer": consumer}

    def list_stream_consumers(self, request: Json) -> Answer:
        return {"Consumers": list(self._stream(request).consumers.values())}

    def describe_stream_consumer(self, request: Json) -> Answer:
        stream, name = self._consumer(request)
        return {"ConsumerDescription": stream.consumers[name] | {"StreamARN": stream.arn}}

    def deregister_stream_consumer(self, request: Json) -> Answer:
        stream, name = self._consumer(request)
        del stream.consumers[name]
        return {}

    # What the operations share

    def _stream(self, request: Json) -> Stream:
        name = request.get("StreamName") or str(request.get("StreamARN", "")).rpartition("/")[2]
        stream = self._streams.get(name)
        if stream is None:
            raise not_found(f"Stream {name} under account {self._account} not found.")
        return stream

    def _consumer(self, request: Json) -> tuple[Stream, str]:
        arn = str(request.get("ConsumerARN", ""))
        stream = self._stream({"StreamARN": request.get("StreamARN") or arn.partition("/consumer/")[0]})
        name = request.get("ConsumerName") or arn.partition("/consumer/")[2].partition(":")[0]
        if name not in stream.consumers:
            raise not_found(f"Consumer {name} of stream {stream.name} not found.")
        return stream, name

    def _described(self, stream: Stream) -> dict[str, Any]:
        return {
            "StreamName": stream.name,
            "StreamARN": stream.arn,
            "StreamStatus": stream.status(self._clock.now_ms()),
            "StreamModeDetails": {"StreamMode": stream.mode},
            "RetentionPeriodHours": stream.retention_h,
            "StreamCreationTimestamp": stream.created_ms / 1000,
            "EnhancedMonitoring": [{"ShardLevelMetrics": []}],
            "EncryptionType": "NONE",
        }

    def _retain(self, request: Json, *, longer: bool) -> Answer:
        stream, hours = self._stream(request), request["RetentionPeriodHours"]
        if not 24 <= hours <= 8760:
            raise invalid("RetentionPeriodHours must be 24 to 8760.")
        if hours != stream.retention_h and (hours > stream.retention_h) != longer:
            which = "longer" if longer else "shorter"
            raise invalid(
                f"RetentionPeriodHours {hours} is not {which} than the {stream.retention_h} of {stream.name}."
            )
        with stream.lock:
            stream.trim(self._clock.now_ms())
            stream.retention_h = hours
        return {}

    def _resharding(self, request: Json) -> Stream:
        stream = self._stream(request)
        status = stream.status(self._clock.now_ms())
        if status != "ACTIVE":
            raise in_use(f"Stream {stream.name} under account {self._account} not ACTIVE, instead in state {status}")
        return stream

    def _settle(self, stream: Stream) -> None:
        stream.active_ms = self._clock.now_ms() + self._settle_ms

    def _filtered(self, stream: Stream, wanted: Json) -> list[Shard]:
        """ShardFilter (B15)."""
        now = self._clock.now_ms()
        kind = wanted.get("Type", "AT_TRIM_HORIZON" if wanted else "ALL")
        horizon = max(stream.created_ms, now - stream.retention_h * HOUR_MS)
        at = max(horizon, round(wanted.get("Timestamp", 0) * 1000)) if "TIMESTAMP" in kind else horizon
        shards = stream.visible(now)
        if kind == "AT_LATEST":
            return [shard for shard in shards if shard.is_open]
        if kind == "AFTER_SHARD_ID":
            return [shard for shard in shards if shard.id > wanted["ShardId"]]
        if kind in ("FROM_TRIM_HORIZON", "FROM_TIMESTAMP"):
            return [shard for shard in shards if shard.closed_ms is None or shard.closed_ms >= at]
        if kind in ("AT_TRIM_HORIZON", "AT_TIMESTAMP"):
            return [
                shard
                for shard in shards
                if shard.created_ms <= at and (shard.closed_ms is None or shard.closed_ms > at)
            ]
        return shards

    def _put(
        self, stream: Stream, entry: Json, now_ms: int, *, checked: bool = False
    ) -> tuple[Shard, int] | KinesisError:
        if not checked:
            _check_entry(entry)
        key = entry["PartitionKey"]
        explicit = entry.get("ExplicitHashKey")
        shard = stream.shard_for(int(explicit) if explicit is not None else hash_key(key))
        size = _size(entry)
        limits = stream.limits.get(shard.id)
        if limits is not None and not limits.may_put(size, now_ms):
            return throttled(
                f"Rate exceeded for shard {shard.id} in stream {stream.name} under account {self._account}."
            )
        number, arrival_ms = stream.next_number(shard.index, now_ms)
        shard.append(number, arrival_ms, entry["Data"], size, key)
        return shard, number


def _position(shard: Shard, request: Json) -> int:
    """The position an iterator begins at (B7)."""
    kind = request.get("ShardIteratorType")
    if kind == "TRIM_HORIZON":
        return shard.first
    if kind == "LATEST":
        return shard.next_position
    if kind == "AT_TIMESTAMP":
        if "Timestamp" not in request:
            raise invalid("Must specify timestampInMillis parameter for iterator of type AT_TIMESTAMP.")
        return shard.position_at_time(round(request["Timestamp"] * 1000))
    if kind in ("AT_SEQUENCE_NUMBER", "AFTER_SEQUENCE_NUMBER"):
        number = str(request.get("StartingSequenceNumber", ""))
        if not _HASH_KEY.fullmatch(number) and not number.isdecimal():
            raise invalid(f"StartingSequenceNumber {number!r} used in GetShardIterator is invalid.")
        return shard.position_at_number(int(number), after=kind == "AFTER_SEQUENCE_NUMBER")
    raise malformed(f"Value {kind!r} at 'shardIteratorType' is not a ShardIteratorType.")


def _size(entry: Json) -> int:
    data = entry["Data"]
    return (
        len(data) * 3 // 4
        - (2 if data.endswith("==") else 1 if data.endswith("=") else 0)
        + len(entry["PartitionKey"].encode())
    )


def _check_entry(entry: Json) -> None:
    key, explicit = entry.get("PartitionKey", ""), entry.get("ExplicitHashKey")
    if not 1 <= len(key) <= 256:
        raise malformed("Value at 'partitionKey' failed to satisfy constraint: length 1 to 256")
    if explicit is not None and (not _HASH_KEY.fullmatch(explicit) or int(explicit) > MAX_HASH_KEY):
        raise invalid(
            f"Invalid ExplicitHashKey. ExplicitHashKey must be in the range: [0, 2^128-1]. Specified value was {explicit}"
        )
    if _size(entry) > MAX_RECORD_BYTES:
        raise malformed(f"A record's data and partition key together exceed {MAX_RECORD_BYTES} bytes.")


def _throttle(stream: Stream) -> KinesisError:
    return throttled(f"Rate exceeded for stream {stream.name}.")
