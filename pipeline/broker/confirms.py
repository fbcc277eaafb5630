"""Publisher confirms of RabbitMQ for many messages at a time: publish a group, then wait until all of it is stored.

kombu's `confirm_publish` waits for each message, which costs a round trip and a write to disk each time. It also waits
for events, which nobody needs to have confirmed. See https://www.rabbitmq.com/docs/confirms, "batch publishing".
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any
from weakref import WeakKeyDictionary


class NotConfirmed(ConnectionError):
    """RabbitMQ refused messages, or did not confirm them in time."""


class _Confirms:
    """A channel's messages that have been published but not yet confirmed. RabbitMQ numbers messages from 1."""

    def __init__(self, channel: Any) -> None:
        self._last = 0
        self._waiting: set[int] = set()
        self._refused = 0
        channel.confirm_select()
        channel.events["basic_ack"].add(self._acked)
        channel.events["basic_nack"].add(self._nacked)

    def expect(self, number: int) -> None:
        """Expect confirms for the next `number` messages."""
        self._waiting.update(range(self._last + 1, self._last + number + 1))
        self._last += number

    def wait(self, connection: Any, seconds: float) -> None:
        """Wait until every expected message is confirmed.

        Raises:
            NotConfirmed: some were refused, or not confirmed within `seconds`.
        """
        end = time.monotonic() + seconds
        while self._waiting:
            left = end - time.monotonic()
            if left <= 0:
                raise NotConfirmed(f"RabbitMQ did not confirm {len(self._waiting)} messages in {seconds:g} s")
            with suppress(TimeoutError):
                connection.drain_events(timeout=left)
        refused, self._refused = self._refused, 0
        if refused:
            raise NotConfirmed(f"RabbitMQ refused {refused} messages")

    def _acked(self, tag: int, multiple: bool) -> None:
        self._settle(tag, multiple)

    def _nacked(self, tag: int, multiple: bool) -> None:
        self._refused += self._settle(tag, multiple)

    def _settle(self, tag: int, multiple: bool) -> int:
        before = len(self._waiting)
        if multiple:
            self._waiting = {each for each in self._waiting if each > tag}
        else:
            self._waiting.discard(tag)
        return before - len(self._waiting)


_of_channel: WeakKeyDictionary[Any, _Confirms] = WeakKeyDictionary()


@contextmanager
def confirmed(producer: Any, number: int, seconds: float) -> Iterator[None]:
    """Publish `number` messages in this context, and leave it when RabbitMQ has stored them all.

    Other brokers do not confirm messages; there the context does nothing.

    Args:
        seconds: how long to wait.

    Raises:
        NotConfirmed: any part of the messages may have been stored.
    """
    channel = producer.channel
    if not hasattr(channel, "confirm_select"):
        yield
        return
    confirms = _of_channel.get(channel)
    if confirms is None:
        confirms = _of_channel[channel] = _Confirms(channel)
    confirms.expect(number)
    try:
        yield
        confirms.wait(channel.connection, seconds)
    except BaseException:
        # From here on, RabbitMQ's numbers and ours may differ.
        _of_channel.pop(channel, None)
        producer.connection.collect()
        raise
