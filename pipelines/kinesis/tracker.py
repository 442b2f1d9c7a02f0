"""The restriction tracker: which claims of a restriction were granted, and the split at any of them."""

from apache_beam.io.iobase import RestrictionProgress, RestrictionTracker

from pipelines.kinesis.restriction import Claim, Restriction


class StreamRestrictionTracker(RestrictionTracker):
    """Grants claims until it is split; whatever was not granted then is the residual.

    A split at any fraction is a checkpoint: an endless rest has no middle. The primary keeps what was claimed, children
    that joined included, so that primary and residual together are the original restriction.

    Args:
        restriction: what is to be read.
    """

    def __init__(self, restriction: Restriction) -> None:
        self._whole = restriction
        self._left = restriction
        self._split = False
        self._first_backlog_ms = restriction.backlog_ms()

    def current_restriction(self) -> Restriction:
        return self._whole

    def try_claim(self, position: Claim) -> bool:
        """Whether the page or shard's end of `position` is this call's to deliver.

        Raises:
            ValueError: it does not follow what was claimed before.
        """
        if self._split:
            return False
        self._left = self._left.after(position)
        self._whole = self._whole.with_joined(self._left)
        return True

    def try_split(self, fraction_of_remainder: float) -> tuple[Restriction, Restriction] | None:
        if self._split or self._left.done:
            return None
        self._split = True
        self._whole = self._whole.up_to(self._left)
        return self._whole, self._left

    def check_done(self) -> bool:
        if self._split or self._left.done:
            return True
        message = f"Left unread: {self._left}"
        raise ValueError(message)

    def current_progress(self) -> RestrictionProgress:
        """In milliseconds of the streams' time."""
        remaining = 0 if self._split else self._left.backlog_ms()
        return RestrictionProgress(completed=max(0, self._first_backlog_ms - remaining), remaining=remaining)

    def is_bounded(self) -> bool:
        return False
