"""A subscription's events on a connection, for as long as there is somebody who listens (B14)."""

import selectors
import socket

import orjson

from infra.embedded import event_stream
from infra.embedded.bell import Bell
from infra.embedded.model.errors import KinesisError
from infra.embedded.model.service import EVENT, Kinesis
from infra.embedded.model.subscription import LIFE_MS, Subscription


def push(connection: socket.socket, kinesis: Kinesis, subscription: Subscription) -> bool:
    """Sends the body of SubscribeToShard's answer, in HTTP's chunks, until the subscription is over.

    Events are sent as soon as there is something to send. Nothing is polled for: the shard rings.

    Returns:
        Whether the connection is good for another request. It is not when the client went away.

    Raises:
        OSError: the client went away, or reads nothing for as long as a subscription lasts.
        DropConnectionError: ordered by the faults of `kinesis`.
    """
    connection.settimeout(LIFE_MS / 1000)
    bell = Bell()
    try:
        with selectors.DefaultSelector() as selector, subscription.watched(bell.ring):
            selector.register(connection, selectors.EVENT_READ)
            selector.register(bell, selectors.EVENT_READ)
            _send(connection, event_stream.event("initial-response", b"{}"))
            while True:
                try:
                    said = kinesis.next_event(subscription)
                except KinesisError as error:
                    payload = orjson.dumps({"message": error.message})
                    _send(connection, event_stream.exception(error.code, payload))
                    break
                if said is None:
                    break
                if isinstance(said, bytes):
                    _send(connection, event_stream.event(EVENT, said))
                    continue
                silent_ms = max(0, said.until_ms - kinesis.clock.now_ms())
                ready = [key.fileobj for key, _ in selector.select(silent_ms / 1000)]
                if connection in ready:
                    return False  # a client that waits for an answer says nothing, unless that it is gone
                if ready:
                    bell.hush()
        connection.sendall(b"0\r\n\r\n")
        connection.settimeout(None)
        return True
    finally:
        bell.close()


def _send(connection: socket.socket, message: bytes) -> None:
    connection.sendall(b"%x\r\n%s\r\n" % (len(message), message))
