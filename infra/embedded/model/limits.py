"""What a shard takes and gives in a second (B6 to B8)."""

import math
from dataclasses import dataclass
from typing import Final

_MIB: Final = 1 << 20


@dataclass
class TokenBucket:
    """Grants `rate` tokens a second, and at most a second's worth at once.

    Attributes:
        rate: tokens a second.
        tokens: what is left now; negative after a grant that was larger than the bucket.
        at_ms: when `tokens` was true.
    """

    rate: float
    tokens: float
    at_ms: int

    def take(self, amount: float, now_ms: int) -> bool:
        """Takes `amount` if it is there; more than a bucket holds is granted by a full one."""
        self.tokens = min(self.rate, self.tokens + max(0, now_ms - self.at_ms) * self.rate / 1000)
        self.at_ms = now_ms
        if self.tokens < min(amount, self.rate):
            return False
        self.tokens -= amount
        return True

    def wait_ms(self, amount: float) -> int:
        """How long after a refusal `amount` will be granted."""
        return math.ceil((min(amount, self.rate) - self.tokens) * 1000 / self.rate)


class ShardLimits:
    """1 MiB/s and 1,000 records/s in; 2 MiB/s, 2,000 records/s and 5 calls/s out; 5 iterators/s."""

    def __init__(self, now_ms: int) -> None:
        self._bytes_in = TokenBucket(_MIB, _MIB, now_ms)
        self._records_in = TokenBucket(1_000, 1_000, now_ms)
        self._bytes_out = TokenBucket(2 * _MIB, 2 * _MIB, now_ms)
        self._records_out = TokenBucket(2_000, 2_000, now_ms)
        self._calls_out = TokenBucket(5, 5, now_ms)
        self._iterators = TokenBucket(5, 5, now_ms)

    def may_put(self, size: int, now_ms: int) -> bool:
        """Whether a record of `size` bytes may come in now."""
        if not self._records_in.take(1, now_ms):
            return False
        if self._bytes_in.take(size, now_ms):
            return True
        self._records_in.tokens += 1
        return False

    def may_read(self, now_ms: int) -> bool:
        """Whether a GetRecords may be answered now; after a large answer not before it is paid off (B8)."""
        is_paid = all([self._bytes_out.take(0, now_ms), self._records_out.take(0, now_ms)])
        return is_paid and self._calls_out.take(1, now_ms)

    def has_read(self, size: int, records: int) -> None:
        """Books an answer of `size` bytes: 10 MiB cost 5 s of exceptions (B8), and so do 10,000 records (B6)."""
        for bucket, amount in ((self._bytes_out, size), (self._records_out, records)):
            kept = bucket.tokens if amount <= bucket.rate else 0
            bucket.tokens = kept - amount

    def may_iterate(self, now_ms: int) -> bool:
        """Whether a GetShardIterator may be answered now (B7)."""
        return self._iterators.take(1, now_ms)
