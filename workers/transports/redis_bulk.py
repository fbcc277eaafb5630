"""A Redis transport that takes many messages in one round trip.

kombu waits with `BRPOP` and takes one message at a time. Each costs a round of the event loop, two system calls and a
registration with the poller. This transport waits with the same `BRPOP`, then takes what else is in that queue by one
`RPOP key count`, up to the prefetch limit. A batch of published messages is one `LPUSH` per queue. Otherwise it is like
kombu's, and any Celery application can use it:

    broker_transport = "workers.transports.redis_bulk:RedisTransport"

With Redis older than 6.2, and for consumers that do not acknowledge, it takes one message at a time too.

Messages that were popped and cannot be delivered, because one before them failed or the consumer was cancelled, return
to their place. With `ack_emulation` off, a message that was popped and not acknowledged is lost if its consumer dies.
With it on, that can happen only until the message is written to Redis again. kombu behaves the same in both cases.
"""

from __future__ import annotations

from collections import deque
from contextlib import suppress
from itertools import count
from queue import Empty
from typing import Any

import orjson
from kombu.log import get_logger
from kombu.transport import redis
from kombu.utils.encoding import bytes_to_str
from kombu.utils.json import dumps, loads
from kombu.utils.uuid import uuid

#: kombu's logger, and sentences instead of events, because any application may use this transport.
_logger = get_logger(__name__)
_critical, _warning = _logger.critical, _logger.warning

#: Messages taken in one round trip, at most. The event loop does nothing else while they are handled.
BULK = 256
_MARK = b'"__type__"'
_PLAIN = frozenset({str, int, bool, type(None)})


class RedisChannel(redis.Channel):
    """A channel that takes many messages of a queue once it knows that the queue is not empty."""

    #: The connection on which `BRPOP` waits; kombu's poller reads this.
    _in_poll: Any

    def __init__(self, *arguments: Any, **options: Any) -> None:
        # Queues whose consumer acknowledges. What it does not handle is restored when the channel closes.
        self._acknowledging: set[str] = set()
        self._is_bulk_refused = False
        self._tags = (f"{prefix}-{number}" for prefix in [uuid()] for number in count())
        super().__init__(*arguments, **options)

    def basic_consume(self, queue: str, no_ack: bool, *arguments: Any, **options: Any) -> Any:
        (self._acknowledging.discard if no_ack else self._acknowledging.add)(queue)
        return super().basic_consume(queue, no_ack, *arguments, **options)

    def _next_delivery_tag(self) -> str:
        # As unique as a random tag per message, without a system call per message.
        return next(self._tags)

    def create_publish_batch(self, max_size: int) -> RedisPublishBatch:
        return RedisPublishBatch(self, max_size)

    def _brpop_read(self, **options: Any) -> bool:
        found, first = self._pop_first(**options)
        key = bytes_to_str(found)
        queue = key.rsplit(self.sep, 1)[0]
        self._queue_cycle.rotate(queue)
        with self.conn_or_acquire() as client:
            self._deliver_all(client, key, [first], queue)
            number = self._credit(queue)
            if number > 0:
                self._deliver_all(client, key, self._pop_more(client, key, number), queue)
        return True

    def _pop_first(self, **options: Any) -> tuple[bytes, bytes]:
        """Return the key and the message that `BRPOP` replied with.

        Raises:
            Empty: it timed out.
        """
        client = self.client
        try:
            answer = client.parse_response(client.connection, "BRPOP", **options)
        except self.connection_errors:
            # The next round of the event loop reconnects.
            client.connection.disconnect()
            raise
        finally:
            self._in_poll = None
            self._flush_brpop_reauth()
        if not answer:
            raise Empty
        key, message = answer
        return key, message

    def _pop_more(self, client: Any, key: str, number: int) -> list[bytes]:
        try:
            return client.rpop(key, number) or []
        except self.ResponseError as error:
            # The server is too old, or the user lacks the permission. Reconnecting would not help.
            _warning("Redis hands out one message at a time: %s", error)
            self._is_bulk_refused = True
            return []

    def _credit(self, queue: str) -> int:
        """Return how many more messages may be delivered to a queue's consumer now."""
        if self._is_bulk_refused or not self._is_consumed(queue) or queue not in self._acknowledging:
            return 0
        credit = self.qos.can_consume_max_estimate()
        return BULK if credit is None else min(credit, BULK)

    def _is_consumed(self, queue: str) -> bool:
        return not self._closing and queue in self._active_queues

    def _deliver_all(self, client: Any, key: str, messages: list[bytes], queue: str) -> None:
        """Deliver messages until one fails or the consumer is cancelled; put the rest back in their place."""
        left = deque(messages)
        try:
            while left and self._is_consumed(queue):
                self._deliver(left.popleft(), queue)
        finally:
            if left:
                self._put_back(client, key, left)

    def _put_back(self, client: Any, key: str, messages: deque[bytes]) -> None:
        try:
            client.rpush(key, *reversed(messages))
        except (*self.connection_errors, self.ResponseError):
            # Not raised, because it would hide the error that ended the delivery.
            _critical("%d messages of %r could not be put back, and are lost", len(messages), key, exc_info=True)

    def _deliver(self, message: bytes, queue: str) -> None:
        self.connection._deliver(_decode(message), queue)


def _decode(message: bytes) -> Any:
    # kombu marks values that JSON lacks. Its decoder looks for them everywhere, which is slow.
    if _MARK not in message:
        # Falls through for what only Python's decoder accepts, such as infinity and lone surrogates.
        with suppress(orjson.JSONDecodeError):
            return orjson.loads(message)
    return loads(message)


def _encode(message: dict[str, Any]) -> bytes | str:
    # kombu marks UUIDs and datetimes, and its encoder writes numbers that others refuse: it gets messages with those.
    properties = message["properties"]
    parts = (message["headers"], properties["delivery_info"], {**properties, "delivery_info": None})
    if all(_PLAIN.issuperset(map(type, part.values())) for part in parts):
        with suppress(orjson.JSONEncodeError):
            return orjson.dumps(message)
    return dumps(message)


class RedisPublishBatch(redis.PublishBatch):
    """A batch of published messages: one `LPUSH` per queue, not one per message."""

    def __init__(self, channel: RedisChannel, max_size: int) -> None:
        super().__init__(channel, max_size)
        self._messages_of: dict[str, list[bytes | str]] = {}
        self._expiry_of: dict[str, int] = {}
        self._number = 0

    def publish(self, message: dict[str, Any], **options: Any) -> None:
        queue = options["routing_key"]
        if options["exchange"] or queue in self.channel._expires:
            super().publish(message, **options)
        else:
            self._publish_to_queue(message, queue)
        if self._number >= self.max_size:
            self.flush()

    def _publish_to_queue(self, message: dict[str, Any], queue: str) -> None:
        """Publish to one queue as kombu does, without a Redis command per message."""
        self._check_usable()
        channel = self.channel
        channel._inplace_augment_message(message, "", queue)
        key = channel._q_for_pri(queue, channel._get_message_priority(message, reverse=False))
        self._messages_of.setdefault(key, []).append(_encode(message))
        self._number += 1

    def add(self, name: str, *arguments: Any) -> None:
        if name == "lpush":
            key, message = arguments
            self._messages_of.setdefault(key, []).append(message)
            self._number += 1
        elif name == "pexpire":
            # Sent after the `LPUSH`: a key must exist to be given an expiry.
            key, milliseconds = arguments
            self._expiry_of[key] = milliseconds
        else:
            super().add(name, *arguments)

    def flush(self) -> None:
        for key, messages in self._messages_of.items():
            self.pipeline.lpush(key, *messages)
            self._buffered += 1
        for key, milliseconds in self._expiry_of.items():
            self.pipeline.pexpire(key, milliseconds)
        self._clear()
        super().flush()

    def discard(self) -> None:
        self._clear()
        super().discard()

    def _clear(self) -> None:
        self._messages_of.clear()
        self._expiry_of.clear()
        self._number = 0


class RedisTransport(redis.Transport):
    """kombu's Redis transport with `RedisChannel`."""

    Channel = RedisChannel
