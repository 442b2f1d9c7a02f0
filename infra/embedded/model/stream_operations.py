"""Operations on streams as a whole: their life, what there is of them, their tags."""

from typing import Any, Final

from infra.embedded.model.account import Account
from infra.embedded.model.errors import in_use, malformed
from infra.embedded.model.registry import Answer, Json, Operations, Registry
from infra.embedded.model.setting_operations import distribute, warm
from infra.embedded.model.stream import Stream
from infra.embedded.model.tags import add_tags, listed
from pipelines.runtime.clock import Clock

_PAGE: Final = 100
"""What ListStreams and DescribeStream answer at most, whatever the limit in the request."""


class StreamOperations:
    """Args are those of `Kinesis`; `account` says what a stream may be created with."""

    def __init__(self, streams: Registry, clock: Clock, account: Account, *, limited: bool, settle_ms: int) -> None:
        self._streams = streams
        self._clock = clock
        self._account = account
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
            "AddTagsToStream": self._add_tags,
            "RemoveTagsFromStream": self._remove_tags,
            "ListTagsForStream": self._list_tags,
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
        add_tags(stream.tags, request.get("Tags") or {})
        if request.get("WarmThroughputMiBps") is not None:
            warm(stream, request["WarmThroughputMiBps"], self._account, now)
        if request.get("RecordDistributionStrategy") is not None:
            distribute(stream, request["RecordDistributionStrategy"])
        self._streams.add(stream)
        return {}

    def _delete(self, request: Json) -> Answer:
        stream = self._streams.find(request)
        if stream.consumers and not request.get("EnforceConsumerDeletion"):
            raise in_use(f"Stream {stream.name} has consumers: set EnforceConsumerDeletion to delete them with it.")
        self._streams.remove(stream)
        with stream.lock:
            stream.is_deleted = True
            stream.wake()
        return {}

    def _list(self, request: Json) -> Answer:
        after = request.get("ExclusiveStartStreamName") or request.get("NextToken") or ""
        found = [stream for stream in self._streams.all() if stream.name > after]
        most, now = min(request.get("Limit", _PAGE), _PAGE), self._clock.now_ms()
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
        summary = self._described(stream) | {
            "OpenShardCount": len(stream.open_shards),
            "ConsumerCount": len(stream.consumers),
            "MaxRecordSizeInKiB": stream.max_record_kib,
        }
        if stream.warm_mibps is not None:
            summary["WarmThroughput"] = {"TargetMiBps": stream.warm_mibps, "CurrentMiBps": stream.warm_mibps}
        if stream.mode == "ON_DEMAND":
            summary["RecordDistributionStrategy"] = "AUTO" if stream.is_distributed else "USER_PARTITION_KEY"
        return {"StreamDescriptionSummary": summary}

    def _describe(self, request: Json) -> Answer:
        stream = self._streams.find(request)
        after, most = request.get("ExclusiveStartShardId", ""), min(request.get("Limit", _PAGE), _PAGE)
        with stream.lock:
            shards = [shard.describe() for shard in stream.visible(self._clock.now_ms()) if shard.id > after]
        pages = {"Shards": shards[:most], "HasMoreShards": len(shards) > most}
        return {"StreamDescription": self._described(stream) | pages}

    def _add_tags(self, request: Json) -> Answer:
        stream = self._streams.find(request)
        with stream.lock:
            add_tags(stream.tags, request["Tags"])
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
            tags = listed(stream.tags, after)
        return {"Tags": tags[:most], "HasMoreTags": len(tags) > most}

    def _described(self, stream: Stream) -> dict[str, Any]:
        described: dict[str, Any] = {
            "StreamName": stream.name,
            "StreamARN": stream.arn,
            "StreamStatus": stream.status(self._clock.now_ms()),
            "StreamModeDetails": {"StreamMode": stream.mode},
            "RetentionPeriodHours": stream.retention_h,
            "StreamCreationTimestamp": stream.created_ms / 1000,
            "EnhancedMonitoring": [{"ShardLevelMetrics": sorted(stream.shard_level_metrics)}],
            "EncryptionType": "NONE" if stream.kms_key is None else "KMS",
        }
        if stream.kms_key is not None:
            described["KeyId"] = stream.kms_key
        return described
