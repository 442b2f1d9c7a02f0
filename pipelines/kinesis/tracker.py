"""The restriction tracker: which claims of a restriction were granted, and where it is split."""

from apache_beam.io.iobase import RestrictionProgress, RestrictionTracker

from pipelines.kinesis.restriction import Claim, Restriction


class StreamRestrictionTracker(RestrictionTracker):
    """Grants claims until one fails or a checkpoint is made.

    A split at 0 is a checkpoint: the primary is what was claimed, children that joined included, the residual all that
    is left. A split at a larger fraction hands whole groups of shards to the residual, none of which was claimed from
    since this tracker was made: a runner may begin with a residual before the primary's output is committed, and no
    shard may be read by two at once. Primary and residual together are always the original restriction.

    Args:
        restriction: what is to be read.
        splittable: whether groups may be handed over; without it only checkpoints are made.
    """

    def __init__(self, restriction: Restriction, *, splittable: bool = True) -> None:
        self._whole = restriction
        self._left = restriction
        self._splittable = splittable
        self._touched: set[str] = set()
        self._checkpointed = False
        self._refused = False
        self._claimed_bytes = 0

    def current_restriction(self) -> Restriction:
        return self._whole

    def try_claim(self, position: Claim) -> bool:
        """Whether the page or shard's end of `position` is this call's to deliver; after a refusal nothing is.

        Raises:
            ValueError: it does not follow what was claimed before.
        """
        if self._checkpointed or self._refused or self._whole.find(position.shard_id) is None:
            self._refused = True
            return False
        # A child follows what was claimed of its parent: repeated, the primary would find it at the parent's end again.
        self._touched.update(s.shard_id for s in self._left.shards if position.shard_id in s.waits_for)
        self._left = self._left.after(position)
        joined = self._whole.with_joined(self._left, position)
        self._touched.update({position.shard_id}, (s.shard_id for s in joined.shards[len(self._whole.shards) :]))
        self._whole = joined
        self._claimed_bytes += position.data_bytes
        return True

    def try_split(self, fraction_of_remainder: float) -> tuple[Restriction, Restriction] | None:
        if self._checkpointed or self._left.done:
            return None
        if fraction_of_remainder > 0:
            return self._hand_over(fraction_of_remainder)
        self._checkpointed = True
        self._whole = self._whole.up_to(self._left)
        return self._whole, self._left

    def _hand_over(self, fraction: float) -> tuple[Restriction, Restriction] | None:
        """Keeps groups until `fraction` of the remaining bytes is kept, those claimed from first."""
        if not self._splittable or self._refused:
            return None
        groups = [group for group in self._left.groups() if not group.done]
        free = [group for group in groups if self._touched.isdisjoint(shard.shard_id for shard in group.shards)]
        kept = sum(group.backlog_bytes() for group in groups if group not in free)
        if free and len(free) == len(groups):  # the primary goes on with something
            kept = free.pop(0).backlog_bytes()
        wanted = fraction * self._left.backlog_bytes()
        while free and kept + free[0].backlog_bytes() <= wanted:
            kept += free.pop(0).backlog_bytes()
        if not free:
            return None
        moved = {shard.shard_id for group in free for shard in group.shards}
        residual = self._left.only(moved)
        self._left, self._whole = self._left.without(moved), self._whole.without(moved)
        return self._whole, residual

    def check_done(self) -> bool:
        if self._checkpointed or self._left.done:
            return True
        message = f"Left unread: {self._left}"
        raise ValueError(message)

    def current_progress(self) -> RestrictionProgress:
        """In bytes: those claimed, and an estimate of those left (B9)."""
        remaining = 0 if self._checkpointed else self._left.backlog_bytes()
        return RestrictionProgress(completed=self._claimed_bytes, remaining=remaining)

    def is_bounded(self) -> bool:
        return self._whole.bounded
