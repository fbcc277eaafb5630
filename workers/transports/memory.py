"""kombu's transport in the memory of a process, which brings a consumer at once what its queue holds.

kombu looks at all queues anew for each message; looking costs as much as bringing it.
"""

from __future__ import annotations

from collections.abc import Callable
from queue import Empty
from typing import Any

from kombu.transport import memory

#: Messages at a time, at the most: while they are handled, other queues wait.
BULK = 256


class MemoryChannel(memory.Channel):
    """A channel that goes on with a queue in which it has found something, up to the prefetch limit."""

    def _get_and_deliver(self, queue: str, callback: Callable[[Any, str], None]) -> None:
        # The first one's absence is kombu's to hear of.
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
    """kombu's transport in memory with that channel."""

    Channel = MemoryChannel
