"""Operations on streams as a whole: their life, retention (B13), tags and settings."""

from typing import Any

from infra.embedded.model.errors import in_use, invalid, malformed
from infra.embedded.model.registry import Answer, Json, Operations, Registry
from infra.embedded.model.stream import Stream
from pipelines.runtime.clock import Clock

_METRICS = frozenset({
    "IncomingBytes", "IncomingRecords", "OutgoingBytes", "OutgoingRecords", "WriteProvisionedThroughputExceeded",
    "ReadProvisionedThroughputExceeded", "IteratorAgeMilliseconds",
})  # fmt: skip


class StreamOperations:
    """Args are those of `Kinesis`."""

    def __init__(self, streams: Registry, clock: Clock, *, limited: bool, settle_ms: int) -> None:
        self._streams = streams
        self._clock = clock
        self._limited = limited
        self._settle_ms = settle_ms

    def operations(self) -> Operations:
        """Handlers by AWS's name."""
        return {
            "CreateStream": self._create,
            "DeleteStream": self._delete,
            "ListStreams": self._list,
            "DescribeStream": self._describe,
            "DescribeStreamSummary": self._summarize,
            "DescribeLimits": self._limits,
            "IncreaseStreamRetentionPeriod": lambda request: self._retain(request, longer=True),
            "DecreaseStreamRetentionPeriod": lambda request: self._retain(request, longer=False),
            "UpdateMaxRecordSize": self._update_max_record_size,
            "AddTagsToStream": self._add_tags,
            "RemoveTagsFromStream": self._remove_tags,
            "ListTagsForStream": self._list_tags,
            "EnableEnhancedMonitoring": lambda request: self._monitor(request, enable=True),
            "DisableEnhancedMonitoring": lambda request: self._monitor(request, enable=False),
        }

    def _create(self, request: Json) -> Answer:
        mode = (request.get("StreamModeDetails") or {}).get("StreamMode", "PROVISIONED")
        count = request.get("ShardCount")
        if mode == "ON_DEMAND":
            if count is not None:
                raise malformed("ShardCount must not be given for a stream in ON_DEMAND mode.")
            count = 4
        elif count is None:
            raise malformed("ShardCount must be at least 1 for a stream in PROVISIONED mode.")
        name, now = request["StreamName"], self._clock.now_ms()
        stream = Stream(name, self._streams.arn(name), count, now, now + self._settle_ms, limited=self._limited)
        stream.mode = mode
        stream.max_record_kib = request.get("MaxRecordSizeInKiB", stream.max_record_kib)
        stream.tags.update(request.get("Tags") or {})
        self._streams.add(stream)
        return {}

    def _delete(self, request: Json) -> Answer:
        stream = self._streams.find(request)
        if stream.consumers and not request.get("EnforceConsumerDeletion"):
            raise in_use(f"Stream {stream.name} has consumers: set EnforceConsumerDeletion to delete them with it.")
        self._streams.remove(stream)
        return {}

    def _list(self, request: Json) -> Answer:
        after = request.get("ExclusiveStartStreamName") or request.get("NextToken") or ""
        found = [stream for stream in self._streams.all() if stream.name > after]
        most, now = request.get("Limit", 100), self._clock.now_ms()
        page = found[:most]
        answer: dict[str, Any] = {
            "StreamNames": [stream.name for stream in page],
            "HasMoreStreams": len(found) > most,
            "StreamSummaries": [
                {
                    "StreamName": stream.name,
                    "StreamARN": stream.arn,
                    "StreamStatus": stream.status(now),
                    "StreamModeDetails": {"StreamMode": stream.mode},
                    "StreamCreationTimestamp": stream.created_ms / 1000,
                }
                for stream in page
            ],
        }
        if len(found) > most:
            answer["NextToken"] = page[-1].name
        return answer

    def _summarize(self, request: Json) -> Answer:
        stream = self._streams.find(request)
        counts = {"OpenShardCount": len(stream.open_shards), "ConsumerCount": len(stream.consumers)}
        size = {"MaxRecordSizeInKiB": stream.max_record_kib}
        return {"StreamDescriptionSummary": self._described(stream) | counts | size}

    def _describe(self, request: Json) -> Answer:
        stream = self._streams.find(request)
        after, most = request.get("ExclusiveStartShardId", ""), request.get("Limit", 100)
        with stream.lock:
            shards = [shard.describe() for shard in stream.visible(self._clock.now_ms()) if shard.id > after]
        pages = {"Shards": shards[:most], "HasMoreShards": len(shards) > most}
        return {"StreamDescription": self._described(stream) | pages}

    def _limits(self, _: Json) -> Answer:
        streams = self._streams.all()
        return {
            "ShardLimit": 500,
            "OpenShardCount": sum(len(stream.open_shards) for stream in streams if stream.mode == "PROVISIONED"),
            "OnDemandStreamCount": sum(stream.mode == "ON_DEMAND" for stream in streams),
            "OnDemandStreamCountLimit": 50,
        }

    def _retain(self, request: Json, *, longer: bool) -> Answer:
        now = self._clock.now_ms()
        stream, hours = self._streams.settled(request, now), request["RetentionPeriodHours"]
        which = "longer" if longer else "shorter"
        if not 24 <= hours <= 8760:
            raise invalid("RetentionPeriodHours must be 24 to 8760.")
        with stream.lock:
            current = stream.retention_h
            if hours != current and (hours > current) != longer:
                raise invalid(f"RetentionPeriodHours {hours} is not {which} than the {current} of {stream.name}.")
            stream.trim(now)  # by the old period: raising it does not bring expired records back (B13)
            stream.retention_h = hours
        return {}

    def _update_max_record_size(self, request: Json) -> Answer:
        self._streams.settled(request, self._clock.now_ms()).max_record_kib = request["MaxRecordSizeInKiB"]
        return {}

    def _add_tags(self, request: Json) -> Answer:
        stream = self._streams.find(request)
        with stream.lock:
            if len(stream.tags | request["Tags"]) > 50:
                raise invalid(f"Stream {stream.name} would have more than 50 tags.")
            stream.tags.update(request["Tags"])
        return {}

    def _remove_tags(self, request: Json) -> Answer:
        stream = self._streams.find(request)
        with stream.lock:
            for key in request["TagKeys"]:
                stream.tags.pop(key, None)
        return {}

    def _list_tags(self, request: Json) -> Answer:
        after, most = request.get("ExclusiveStartTagKey", ""), request.get("Limit", 50)
        stream = self._streams.find(request)
        with stream.lock:
            tags = [{"Key": key, "Value": value} for key, value in sorted(stream.tags.items()) if key > after]
        return {"Tags": tags[:most], "HasMoreTags": len(tags) > most}

    def _monitor(self, request: Json, *, enable: bool) -> Answer:
        stream, wanted = self._streams.find(request), set(request["ShardLevelMetrics"])
        if "ALL" in wanted:
            wanted = set(_METRICS)
        with stream.lock:
            before = stream.shard_level_metrics
            after = before | wanted if enable else before - wanted
            stream.shard_level_metrics = after
        return {
            "StreamName": stream.name,
            "StreamARN": stream.arn,
            "CurrentShardLevelMetrics": sorted(before),
            "DesiredShardLevelMetrics": sorted(after),
        }

    def _described(self, stream: Stream) -> dict[str, Any]:
        return {
            "StreamName": stream.name,
            "StreamARN": stream.arn,
            "StreamStatus": stream.status(self._clock.now_ms()),
            "StreamModeDetails": {"StreamMode": stream.mode},
            "RetentionPeriodHours": stream.retention_h,
            "StreamCreationTimestamp": stream.created_ms / 1000,
            "EnhancedMonitoring": [{"ShardLevelMetrics": sorted(stream.shard_level_metrics)}],
            "EncryptionType": "NONE",
        }
