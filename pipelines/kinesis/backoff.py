"""How long a reader of a shard waits after calls that failed, and when it gives up."""

import random
from typing import Final

from pipelines.runtime.clock import Clock
from pipelines.runtime.errors import EndpointDownError, ThrottledError, TransientError

FAILURE_BUDGET_S: Final = 30.0
"""Calls that do nothing but fail for this long end the pipeline; throttling does not."""
FAILURE_TRIES: Final = 5
"""So many of them there must have been: a reader that was not run for a while has not tried."""
_BACKOFF_S: Final = 0.1
_MAX_BACKOFF_S: Final = 5.0


class Backoff:
    """The failures of one shard's calls since the last that succeeded.

    Args:
        what: that failed, as the message of the last error has it: "All reads of shardId-000000000000".
        clock: for how long.
    """

    def __init__(self, what: str, clock: Clock) -> None:
        self.failures = 0
        """In a row; a throttled call is one, too."""
        self.until_s = 0.0
        """Nothing is tried before this `monotonic_s`."""
        self._what = what
        self._clock = clock
        self._counted = 0
        self._since_s: float | None = None

    def succeeded(self) -> None:
        """A call succeeded."""
        self.failures = self._counted = 0
        self.until_s, self._since_s = 0.0, None

    def failed(self, error: TransientError) -> None:
        """A call failed with `error`: `until_s` is moved on.

        Raises:
            EndpointDownError: so did all others for `FAILURE_BUDGET_S`, and there were `FAILURE_TRIES`.
        """
        now_s = self._clock.monotonic_s()
        self.failures += 1
        if isinstance(error, ThrottledError):  # who is throttled has been answered
            self._counted, self._since_s = 0, None
        else:
            self._counted += 1
            self._since_s = now_s if self._since_s is None else self._since_s
            if now_s - self._since_s > FAILURE_BUDGET_S and self._counted >= FAILURE_TRIES:
                message = f"{self._what} failed for {FAILURE_BUDGET_S:.0f} s. {error.message}"
                raise EndpointDownError(message, fix=error.fix) from error
        # Full jitter, so that shards that failed together do not come back together.
        limit_s = min(_MAX_BACKOFF_S, _BACKOFF_S * 2 ** min(self.failures, 10))
        self.until_s = now_s + random.uniform(0, limit_s)
