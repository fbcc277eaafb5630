"""A Redis transport that takes many messages in one round trip.

kombu waits with `BRPOP` and takes one message at a time: a round of the event loop, two system calls and a registration
with the poller for each. Here the same `BRPOP` waits, and what else is in that queue follows at once with one `RPOP key
count`, up to the prefetch limit. What a producer publishes as a batch is one `LPUSH` for each queue. Nothing else
differs, and any Celery application may choose it:

    broker_transport = "workers.bulk:Transport"

Needs Redis 6.2 or newer. A message that was popped and not acknowledged is lost with its consumer when
`ack_emulation` is off, and for the moment until it is written down again when it is on, as in kombu.
"""

from __future__ import annotations

from queue import Empty
from typing import Any

import orjson
from kombu.transport import redis
from kombu.utils.encoding import bytes_to_str
from kombu.utils.json import loads

#: Messages in one round trip at the most: while they are handled, the event loop does nothing else.
BULK = 256
_MARK = b'"__type__"'


class Channel(redis.Channel):
    """A channel that empties a queue in bulk once it knows that there is something in it."""

    #: The connection on which `BRPOP` waits, for kombu's poller.
    _in_poll: Any

    def create_publish_batch(self, max_size: int) -> PublishBatch:
        return PublishBatch(self, max_size)

    def _brpop_read(self, **options: Any) -> bool:
        key, first = self._popped(**options)
        queue = bytes_to_str(key).rsplit(self.sep, 1)[0]
        self._queue_cycle.rotate(queue)
        self._deliver(first, queue)
        for message in self._more(key):
            self._deliver(message, queue)
        return True

    def _popped(self, **options: Any) -> tuple[bytes, bytes]:
        """Return the answer to `BRPOP`: the key and the message.

        Raises:
            Empty: its time was over before there was a message.
        """
        client = self.client
        try:
            answer = client.parse_response(client.connection, "BRPOP", **options)
        except self.connection_errors:
            # The next round of the event loop connects again.
            client.connection.disconnect()
            raise
        finally:
            self._in_poll = None
            self._flush_brpop_reauth()
        if not answer:
            raise Empty
        key, message = answer
        return key, message

    def _more(self, key: bytes) -> list[bytes]:
        credit = self.qos.can_consume_max_estimate()
        number = BULK if credit is None else min(credit, BULK)
        if number <= 0:
            return []
        with self.conn_or_acquire() as client:
            # With a global prefix, the client puts it before the key, which has it already.
            found = client.rpop(bytes_to_str(key).removeprefix(self.global_keyprefix), number)
        return found or []

    def _deliver(self, message: bytes, queue: str) -> None:
        # kombu marks values that JSON does not have. Its own reader looks for them everywhere, and is slow.
        read = loads if _MARK in message else orjson.loads
        self.connection._deliver(read(message), queue)


class PublishBatch(redis.PublishBatch):
    """Messages that are published together: one `LPUSH` for all those of a queue, not one for each."""

    def __init__(self, channel: Channel, max_size: int) -> None:
        super().__init__(channel, max_size)
        self._of_key: dict[str, list[str]] = {}
        self._number = 0

    def publish(self, message: dict[str, Any], **options: Any) -> Any:
        answer = super().publish(message, **options)
        if self._number >= self.max_size:
            self.flush()
        return answer

    def add(self, name: str, *arguments: Any) -> None:
        if name != "lpush":
            super().add(name, *arguments)
            return
        key, message = arguments
        self._of_key.setdefault(key, []).append(message)
        self._number += 1

    def flush(self) -> None:
        for key, messages in self._of_key.items():
            self.pipeline.lpush(key, *messages)
            self._buffered += 1
        self._forget()
        super().flush()

    def discard(self) -> None:
        self._forget()
        super().discard()

    def _forget(self) -> None:
        self._of_key.clear()
        self._number = 0


class Transport(redis.Transport):
    """kombu's Redis transport with that channel."""

    Channel = Channel
