"""A Redis transport that takes many messages in one round trip.

kombu waits with `BRPOP` and takes one message at a time: a round of the event loop, two system calls and a registration
with the poller for each. Here the same `BRPOP` waits, and what else is in that queue follows at once with one `RPOP key
count`, up to the prefetch limit. What a producer publishes as a batch is one `LPUSH` for each queue. Nothing else
differs, and any Celery application may choose it:

    broker_transport = "workers.transports.redis_bulk:RedisTransport"

Where Redis is older than 6.2, and for consumers that acknowledge nothing, it is one message at a time all the same.
What was popped and is not delivered, since a message before it failed or nobody consumes any more, goes back to its
place. A message that was popped and not acknowledged is lost with its consumer when `ack_emulation` is off, and for the
moment until it is written down again when it is on, as in kombu.
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

#: kombu's own, since any application may choose this transport: sentences, not events.
_logger = get_logger(__name__)
_critical, _warning = _logger.critical, _logger.warning

#: Messages in one round trip at the most: while they are handled, the event loop does nothing else.
BULK = 256
_MARK = b'"__type__"'
_PLAIN = frozenset({str, int, bool, type(None)})


class RedisChannel(redis.Channel):
    """A channel that empties a queue in bulk once it knows that there is something in it."""

    #: The connection on which `BRPOP` waits, for kombu's poller.
    _in_poll: Any

    def __init__(self, *arguments: Any, **options: Any) -> None:
        # Queues of consumers that acknowledge: what these are brought and do not handle goes back with the channel.
        self._acknowledged: set[str] = set()
        self._is_refused = False
        self._tags = (f"{prefix}-{number}" for prefix in [uuid()] for number in count())
        super().__init__(*arguments, **options)

    def basic_consume(self, queue: str, no_ack: bool, *arguments: Any, **options: Any) -> Any:
        (self._acknowledged.discard if no_ack else self._acknowledged.add)(queue)
        return super().basic_consume(queue, no_ack, *arguments, **options)

    def _next_delivery_tag(self) -> str:
        # As unique as a random one each, without asking the system for each.
        return next(self._tags)

    def create_publish_batch(self, max_size: int) -> RedisPublishBatch:
        return RedisPublishBatch(self, max_size)

    def _brpop_read(self, **options: Any) -> bool:
        found, first = self._popped(**options)
        key = bytes_to_str(found)
        queue = key.rsplit(self.sep, 1)[0]
        self._queue_cycle.rotate(queue)
        with self.conn_or_acquire() as client:
            self._deliver_all(client, key, [first], queue)
            number = self._credit(queue)
            if number > 0:
                self._deliver_all(client, key, self._more(client, key, number), queue)
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

    def _more(self, client: Any, key: str, number: int) -> list[bytes]:
        try:
            return client.rpop(key, number) or []
        except self.ResponseError as error:
            # A server that is too old, or a user who may not. To connect again would not help.
            _warning("Redis hands out one message at a time: %s", error)
            self._is_refused = True
            return []

    def _credit(self, queue: str) -> int:
        """Return how many messages more a queue's consumer may be brought now."""
        if self._is_refused or not self._is_consumed(queue) or queue not in self._acknowledged:
            return 0
        credit = self.qos.can_consume_max_estimate()
        return BULK if credit is None else min(credit, BULK)

    def _is_consumed(self, queue: str) -> bool:
        return not self._closing and queue in self._active_queues

    def _deliver_all(self, client: Any, key: str, messages: list[bytes], queue: str) -> None:
        """Deliver messages until one fails, or nobody consumes them any more; the rest goes back to where it was."""
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
            # Whatever ended the delivery is to be heard of, too.
            _critical("%d messages of %r could not be put back, and are lost", len(messages), key, exc_info=True)

    def _deliver(self, message: bytes, queue: str) -> None:
        self.connection._deliver(_read(message), queue)


def _read(message: bytes) -> Any:
    # kombu marks values that JSON does not have. Its own reader looks for them everywhere, and is slow.
    if _MARK not in message:
        # What only Python's JSON knows: infinity, halves of characters.
        with suppress(orjson.JSONDecodeError):
            return orjson.loads(message)
    return loads(message)


def _written(message: dict[str, Any]) -> bytes | str:
    # kombu marks identifiers and instants, and its JSON has numbers that others lack: it writes what has such values.
    properties = message["properties"]
    parts = (message["headers"], properties["delivery_info"], {**properties, "delivery_info": None})
    if all(_PLAIN.issuperset(map(type, part.values())) for part in parts):
        with suppress(orjson.JSONEncodeError):
            return orjson.dumps(message)
    return dumps(message)


class RedisPublishBatch(redis.PublishBatch):
    """Messages that are published together: one `LPUSH` for all those of a queue, not one for each."""

    def __init__(self, channel: RedisChannel, max_size: int) -> None:
        super().__init__(channel, max_size)
        self._of_key: dict[str, list[bytes | str]] = {}
        self._expiry_of_key: dict[str, int] = {}
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
        """Do what kombu does to a message for one queue, without collecting commands for it."""
        self._check_usable()
        channel = self.channel
        channel._inplace_augment_message(message, "", queue)
        key = channel._q_for_pri(queue, channel._get_message_priority(message, reverse=False))
        self._of_key.setdefault(key, []).append(_written(message))
        self._number += 1

    def add(self, name: str, *arguments: Any) -> None:
        if name == "lpush":
            key, message = arguments
            self._of_key.setdefault(key, []).append(message)
            self._number += 1
        elif name == "pexpire":
            # After what it is about: a key that is not there expires in vain.
            key, milliseconds = arguments
            self._expiry_of_key[key] = milliseconds
        else:
            super().add(name, *arguments)

    def flush(self) -> None:
        for key, messages in self._of_key.items():
            self.pipeline.lpush(key, *messages)
            self._buffered += 1
        for key, milliseconds in self._expiry_of_key.items():
            self.pipeline.pexpire(key, milliseconds)
        self._forget()
        super().flush()

    def discard(self) -> None:
        self._forget()
        super().discard()

    def _forget(self) -> None:
        self._of_key.clear()
        self._expiry_of_key.clear()
        self._number = 0


class RedisTransport(redis.Transport):
    """kombu's Redis transport with that channel."""

    Channel = RedisChannel
