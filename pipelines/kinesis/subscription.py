"""One subscription to a shard (B14), and the thread that reads it."""

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Final

from pipelines.kinesis.subscriber import Events
from pipelines.runtime.clock import Clock

QUEUE_BYTES: Final = 2 * 1024 * 1024
"""So much of a subscription is read ahead of who takes it: what a shard gives in a second (B14)."""
WAITED_S: Final = 0.05
"""An event that took so long to come was not there when the wait for it began."""


@dataclass(frozen=True, slots=True)
class Event:
    """What a subscription sent.

    Attributes:
        payload: the event's JSON text.
        as_of_s: the event was made after this (`monotonic_s`): it had not come yet when somebody began to wait for it.
        as_of_ms: the same by the wall clock.
    """

    payload: bytes
    as_of_s: float
    as_of_ms: int


@dataclass(frozen=True, slots=True)
class End:
    """Nothing follows any more.

    Attributes:
        error: what ended the subscription; None when the service closed it in good order.
        opened_s: when the call succeeded (`monotonic_s`); None when it did not.
        lasted_s: seconds from then on to the end.
    """

    error: Exception | None
    opened_s: float | None
    lasted_s: float


class Subscription:
    """One subscription, read by a thread of its own, which does nothing but read: a slow taker slows it down.

    Args:
        subscribe: makes the call.
        clock: says when events came.
        name: of the thread.
    """

    def __init__(self, subscribe: Callable[[], Events], clock: Clock, name: str) -> None:
        self._subscribe = subscribe
        self._clock = clock
        self._changed = threading.Condition()
        self._events: deque[Event] = deque()
        self._size = 0
        self._stream: Events | None = None
        self._opened_s: float | None = None
        self._end: End | None = None
        self._pending: Future[None] | None = None
        self._closed = False
        # A daemon, so that a process can end while a read waits for the service.
        threading.Thread(target=self._read, name=name, daemon=True).start()

    @property
    def opened_s(self) -> float | None:
        """When the call succeeded (`monotonic_s`); None before, and when it fails."""
        return self._opened_s

    @property
    def size(self) -> int:
        """Bytes that have come and were not taken."""
        return self._size

    def take(self) -> Event | End | None:
        """The next event, the end behind the last one, or None when nothing has come yet. Does not wait."""
        with self._changed:
            if not self._events:
                return self._end
            event = self._events.popleft()
            self._size -= len(event.payload)
            self._changed.notify_all()
            return event

    def pending(self) -> "Future[None]":
        """Done when `take` gives something."""
        with self._changed:
            pending = self._pending or Future()
            if self._events or self._end is not None:
                pending.set_result(None)
            else:
                self._pending = pending
            return pending

    def close(self) -> None:
        """Ends the subscription and with it the thread; what was read is lost. Does not wait."""
        with self._changed:
            self._closed = True
            self._events.clear()
            self._changed.notify_all()
            stream = self._stream
        if stream is not None:
            stream.close()

    def _read(self) -> None:
        error: Exception | None = None
        as_of = waits_since = (self._clock.monotonic_s(), self._clock.now_ms())
        try:
            stream = self._subscribe()
            self._open(stream)
            for payload in stream:
                if self._clock.monotonic_s() - waits_since[0] >= WAITED_S:
                    as_of = waits_since
                if not self._put(Event(payload, *as_of)):
                    return
                waits_since = (self._clock.monotonic_s(), self._clock.now_ms())
        except Exception as caught:  # whatever it is, it is raised where events are taken
            error = caught
        finally:
            if self._stream is not None:
                self._stream.close()
            with self._changed:
                opened_s = self._opened_s
                self._end = End(error, opened_s, self._clock.monotonic_s() - opened_s if opened_s is not None else 0.0)
                self._tell()

    def _open(self, stream: Events) -> None:
        with self._changed:
            self._stream = stream
            self._opened_s = self._clock.monotonic_s()
            closed = self._closed
        if closed:
            stream.close()

    def _put(self, event: Event) -> bool:
        with self._changed:
            while self._events and self._size + len(event.payload) > QUEUE_BYTES and not self._closed:
                self._changed.wait()
            if self._closed:
                return False
            self._events.append(event)
            self._size += len(event.payload)
            self._tell()
            return True

    def _tell(self) -> None:
        """Something can be taken. The lock is held."""
        pending, self._pending = self._pending, None
        if pending is not None:
            pending.set_result(None)
