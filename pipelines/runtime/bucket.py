"""A token bucket: so much a second, and at most a bucketful at once."""

from dataclasses import dataclass


@dataclass
class TokenBucket:
    """Grants `rate` tokens a second, and at most `size` at once. Not thread-safe.

    Attributes:
        rate: tokens a second.
        size: what the bucket holds.
        tokens: what was left at `at_s`; negative after something larger than the bucket.
        at_s: seconds of a clock that never goes back.
    """

    rate: float
    size: float
    tokens: float
    at_s: float

    @classmethod
    def full(cls, rate: float, size: float, now_s: float) -> "TokenBucket":
        """A full bucket."""
        return cls(rate, size, size, now_s)

    def wait_s(self, amount: float, now_s: float) -> float:
        """Seconds until `amount` is there; a full bucket is enough for more than it holds."""
        self.tokens = min(self.size, self.tokens + max(0.0, now_s - self.at_s) * self.rate)
        self.at_s = now_s
        return max(0.0, (min(amount, self.size) - self.tokens) / self.rate)

    def take(self, amount: float) -> None:
        """Takes `amount`, whether it is there or not."""
        self.tokens -= amount
