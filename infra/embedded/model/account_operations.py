"""Operations on the account."""

from infra.embedded.model.account import Account
from infra.embedded.model.registry import Answer, Json, Operations, Registry
from pipelines.runtime.clock import Clock


class AccountOperations:
    """Args are those of `Kinesis`."""

    def __init__(self, streams: Registry, clock: Clock, account: Account) -> None:
        self._streams = streams
        self._clock = clock
        self._account = account

    def operations(self) -> Operations:
        """Handlers by AWS's name."""
        return {
            "DescribeLimits": self._limits,
            "DescribeAccountSettings": self._describe,
            "UpdateAccountSettings": self._update,
        }

    def _limits(self, _: Json) -> Answer:
        streams = self._streams.all()
        return {
            "ShardLimit": 500,
            "OpenShardCount": sum(len(stream.open_shards) for stream in streams if stream.mode == "PROVISIONED"),
            "OnDemandStreamCount": sum(stream.mode == "ON_DEMAND" for stream in streams),
            "OnDemandStreamCountLimit": 50,
        }

    def _describe(self, _: Json) -> Answer:
        return {"MinimumThroughputBillingCommitment": self._account.describe(self._clock.now_ms())}

    def _update(self, request: Json) -> Answer:
        now = self._clock.now_ms()
        if request["MinimumThroughputBillingCommitment"]["Status"] == "ENABLED":
            self._account.commit(now)
        else:
            self._account.end(now)
        return self._describe(request)
