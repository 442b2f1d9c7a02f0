"""The account's commitment to a minimum throughput, which allows more consumers and warm throughput."""

from dataclasses import dataclass
from typing import Any, Final

COMMITMENT_MS: Final = 24 * 3_600_000
"""How long a commitment lasts at least."""


@dataclass
class Account:
    """The account's commitment to a minimum throughput.

    Attributes:
        started_ms: when it began; None where there never was one.
        ends_ms: when it ends or ended; None while it goes on.
    """

    started_ms: int | None = None
    ends_ms: int | None = None

    def has_commitment(self, now_ms: int) -> bool:
        """Whether it is in force."""
        return self.started_ms is not None and (self.ends_ms is None or now_ms < self.ends_ms)

    def commit(self, now_ms: int) -> None:
        """Begins a commitment, or goes on with the one in force."""
        if not self.has_commitment(now_ms):
            self.started_ms = now_ms
        self.ends_ms = None

    def end(self, now_ms: int) -> None:
        """Ends the commitment in force, as early as it may end."""
        if self.started_ms is not None and self.has_commitment(now_ms):
            self.ends_ms = max(now_ms, self.started_ms + COMMITMENT_MS)

    def describe(self, now_ms: int) -> dict[str, Any]:
        """The shape MinimumThroughputBillingCommitmentOutput of the API."""
        if self.started_ms is None:
            return {"Status": "DISABLED"}
        times = {"StartedAt": self.started_ms, "EarliestAllowedEndAt": self.started_ms + COMMITMENT_MS}
        if not self.has_commitment(now_ms):
            status = "DISABLED"
        else:
            status = "ENABLED" if self.ends_ms is None else "ENABLED_UNTIL_EARLIEST_ALLOWED_END"
        if self.ends_ms is not None and status == "DISABLED":
            times["EndedAt"] = self.ends_ms
        return {"Status": status} | {name: ms / 1000 for name, ms in times.items()}
