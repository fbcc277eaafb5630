"""An in-memory transport that delivers many messages of a queue at a time.

kombu's own transport looks at all queues again for each message, which costs as much as delivering it.
"""

from __future__ import annotations

from collections.abc import Callable
from queue import Empty
from typing import Any

from kombu.transport import memory

#: Maximum number of messages delivered at a time; other queues wait in the meantime.
BULK = 256


class MemoryChannel(memory.Channel):
    """A channel that stays with a queue that has messages, up to the prefetch limit."""

    def _get_and_deliver(self, queue: str, callback: Callable[[Any, str], None]) -> None:
        # If the queue is empty, this raises `Empty`, which kombu expects.
        callback(self._get(queue), queue)
        for _ in range(min(BULK - 1, self._size(queue))):
            if queue not in self._active_queues or not self.qos.can_consume():
                return
            try:
                message = self._get(queue)
            except Empty:
                return
            callback(message, queue)


class MemoryTransport(memory.Transport):
    """kombu's in-memory transport with `MemoryChannel`."""

    Channel = MemoryChannel
