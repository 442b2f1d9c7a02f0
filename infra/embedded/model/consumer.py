"""A registered consumer of a stream (B14)."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from infra.embedded.model.limits import TokenBucket

if TYPE_CHECKING:
    from infra.embedded.model.subscription import Subscription


@dataclass
class Consumer:
    """A consumer. The lock of its stream guards it.

    Attributes:
        name: unique in its stream.
        arn: its ARN.
        created_ms: when it was registered.
        active_ms: when it becomes ACTIVE.
        tags: key to value.
        policy: its resource policy, JSON.
        subscriptions: by shard id, the last one each; it may be over.
        buckets: by shard id, what may still be pushed of it; filled where AWS's limits are on.
        is_registered: until it is deregistered.
    """

    name: str
    arn: str
    created_ms: int
    active_ms: int
    tags: dict[str, str] = field(default_factory=dict)
    policy: str | None = None
    subscriptions: dict[str, "Subscription"] = field(default_factory=dict)
    buckets: dict[str, TokenBucket] = field(default_factory=dict)
    is_registered: bool = True

    def status(self, now_ms: int) -> str:
        """CREATING or ACTIVE."""
        return "CREATING" if now_ms < self.active_ms else "ACTIVE"

    def describe(self, status: str) -> dict[str, Any]:
        """The shape Consumer of the API."""
        return {
            "ConsumerName": self.name,
            "ConsumerARN": self.arn,
            "ConsumerStatus": status,
            "ConsumerCreationTimestamp": self.created_ms / 1000,
        }
