"""The cursors of one process, so that the next `process()` call goes on without a new iterator."""

import threading
from collections.abc import Callable

from pipelines.kinesis.ahead import Ahead
from pipelines.kinesis.cursor import ShardCursor
from pipelines.kinesis.fetch import Shard
from pipelines.kinesis.positions import ShardPosition
from pipelines.kinesis.restriction import ShardRange
from pipelines.kinesis.until import EndNumbers

MakeCursor = Callable[[Shard, ShardPosition], ShardCursor]


class CursorCache:
    """Keeps cursors from one `Reader` to the next. Thread-safe.

    Args:
        make: makes a cursor that was not kept.
        ahead: what the cursors hold together; None when nobody limits it.
    """

    def __init__(self, make: MakeCursor, ahead: Ahead | None = None) -> None:
        self.ahead = ahead or Ahead()
        self.last_shard = ""
        """The shard that gave a page last: the one behind it is next, whoever reads."""
        self._make = make
        self._cursors: dict[str, ShardCursor] = {}
        self._lock = threading.Lock()
        self._end_known: tuple[EndNumbers | None, float] = (None, 0.0)

    def take(self, shard: ShardRange) -> ShardCursor:
        """A cursor at the start of `shard` for the caller alone."""
        with self._lock:
            cursor = self._cursors.pop(shard.shard_id, None)
        if cursor is None:
            return self._make(Shard(shard.shard_id, shard.hash_range), shard.start)
        cursor.move_to(shard.start)
        return cursor

    def end_known_s(self, numbers: EndNumbers | None, now_s: float) -> float:
        """Since when, by `now_s`, reading ends at `numbers`: a process finds out once, however many readers it has."""
        with self._lock:
            if numbers != self._end_known[0]:
                self._end_known = (numbers, now_s)
            return self._end_known[1]

    def give(self, shard_id: str, cursor: ShardCursor) -> None:
        """Keeps `cursor` for the next `take` of `shard_id`."""
        with self._lock:
            before, self._cursors[shard_id] = self._cursors.get(shard_id), cursor
        if before is not None:
            before.close()
