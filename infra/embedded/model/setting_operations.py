"""Operations on the settings of a stream: retention (B13), capacity mode (B11), encryption, monitoring and others."""

from typing import Final

from infra.embedded.model.account import Account
from infra.embedded.model.errors import invalid, malformed
from infra.embedded.model.registry import Answer, Json, Operations, Registry
from infra.embedded.model.stream import Stream
from pipelines.runtime.clock import Clock

MODE_CHANGES_A_DAY: Final = 2
KEY_CHANGES_A_DAY: Final = 25
_METRICS: Final = frozenset({
    "IncomingBytes", "IncomingRecords", "OutgoingBytes", "OutgoingRecords", "WriteProvisionedThroughputExceeded",
    "ReadProvisionedThroughputExceeded", "IteratorAgeMilliseconds",
})  # fmt: skip


class SettingOperations:
    """Args are those of `Kinesis`; `account` says what a stream may be set to."""

    def __init__(self, streams: Registry, clock: Clock, account: Account, *, settle_ms: int) -> None:
        self._streams = streams
        self._clock = clock
        self._account = account
        self._settle_ms = settle_ms

    def operations(self) -> Operations:
        """Handlers by AWS's name."""
        return {
            "IncreaseStreamRetentionPeriod": lambda request: self._retain(request, longer=True),
            "DecreaseStreamRetentionPeriod": lambda request: self._retain(request, longer=False),
            "UpdateMaxRecordSize": self._update_max_record_size,
            "EnableEnhancedMonitoring": lambda request: self._monitor(request, enable=True),
            "DisableEnhancedMonitoring": lambda request: self._monitor(request, enable=False),
            "StartStreamEncryption": lambda request: self._encrypt(request, request["KeyId"]),
            "StopStreamEncryption": lambda request: self._encrypt(request, None),
            "UpdateStreamMode": self._update_mode,
            "UpdateStreamWarmThroughput": self._update_warm_throughput,
            "UpdateStreamRecordDistributionStrategy": self._update_distribution,
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

    def _encrypt(self, request: Json, key: str | None) -> Answer:
        now = self._clock.now_ms()
        stream = self._streams.settled(request, now)
        if request["EncryptionType"] != "KMS":
            raise invalid("The only valid EncryptionType is KMS.")
        with stream.lock:
            what = "StartStreamEncryption" if key is not None else "StopStreamEncryption"
            stream.check_changes(what, KEY_CHANGES_A_DAY, now)
            stream.count_change(what, now)
            stream.kms_key = key
            stream.update_until(now + self._settle_ms)
        return {}

    def _update_mode(self, request: Json) -> Answer:
        now, mode = self._clock.now_ms(), request["StreamModeDetails"]["StreamMode"]
        stream, target = self._streams.settled(request, now), request.get("WarmThroughputMiBps")
        with stream.lock:
            if mode == "PROVISIONED" and target is not None:
                raise invalid("WarmThroughputMiBps is for streams in ON_DEMAND mode.")
            if mode == "PROVISIONED" and stream.is_distributed:
                raise invalid("A stream in PROVISIONED mode cannot have the record distribution strategy AUTO.")
            if target is not None and not self._account.has_commitment(now):
                raise _no_commitment()
            stream.check_changes("UpdateStreamMode", MODE_CHANGES_A_DAY, now)
            stream.count_change("UpdateStreamMode", now)
            stream.mode, stream.warm_mibps = mode, target
            stream.update_until(now + self._settle_ms)
        return {}

    def _update_warm_throughput(self, request: Json) -> Answer:
        now = self._clock.now_ms()
        stream = self._streams.settled(request, now)
        with stream.lock:
            warm(stream, request["WarmThroughputMiBps"], self._account, now)
            stream.update_until(now + self._settle_ms)
            described = {"TargetMiBps": stream.warm_mibps, "CurrentMiBps": stream.warm_mibps}
        return {"StreamName": stream.name, "StreamARN": stream.arn, "WarmThroughput": described}

    def _update_distribution(self, request: Json) -> Answer:
        stream = self._streams.settled(request, self._clock.now_ms())
        with stream.lock:
            distribute(stream, request["RecordDistributionStrategy"])
        return {}


def warm(stream: Stream, target_mibps: int, account: Account, now_ms: int) -> None:
    """Sets the warm throughput of `stream`. It is kept and shown; no shard comes of it.

    Raises:
        KinesisError: ValidationException, for a stream in PROVISIONED mode or an account without a commitment.
    """
    if stream.mode != "ON_DEMAND":
        raise malformed("Warm throughput needs a stream in ON_DEMAND mode.")
    if not account.has_commitment(now_ms):
        raise _no_commitment()
    stream.warm_mibps = target_mibps


def distribute(stream: Stream, strategy: str) -> None:
    """Sets how records come to shards of `stream`: "AUTO" or "USER_PARTITION_KEY".

    Raises:
        KinesisError: InvalidArgumentException, for AUTO and a stream in PROVISIONED mode.
    """
    if strategy == "AUTO" and stream.mode != "ON_DEMAND":
        raise invalid("The record distribution strategy AUTO needs a stream in ON_DEMAND mode.")
    stream.is_distributed = strategy == "AUTO"


def _no_commitment() -> Exception:
    return malformed("Warm throughput needs an account with MinimumThroughputBillingCommitment.")
