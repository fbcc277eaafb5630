"""A bounded queue with a thread: what does not fit is dropped and counted, and nobody waits for it."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

T = TypeVar("T")

#: Entries that are handled at once.
GROUP = 512
#: Seconds between two reports of what was dropped.
REPORT_SECONDS = 60.0


class DroppingQueue(Generic[T]):
    """Hands entries to a function on its own thread. Make it after any fork.

    Args:
        name: of the thread.
        most: entries that wait at most.
        handle: gets up to `GROUP` entries; may block. What it raises drops them.
        report: called on the thread with the number of entries dropped since the last call, at most once a minute.
    """

    def __init__(
        self, name: str, most: int, handle: Callable[[Sequence[T]], None], report: Callable[[int], None]
    ) -> None:
        self._most = most
        self._handle = handle
        self._report = report
        self._entries: deque[T] = deque()
        self._changed = threading.Condition()
        self._is_closed = False
        #: Entries dropped so far.
        self.dropped = 0
        self._reported = 0
        self._report_at = 0.0
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def put(self, entries: Sequence[T]) -> None:
        """Hand over entries as far as there is room for them. Never waits."""
        with self._changed:
            room = 0 if self._is_closed else self._most - len(self._entries)
            self._entries.extend(entries[:room])
            self.dropped += max(len(entries) - room, 0)
            self._changed.notify()

    def close(self, timeout: float) -> None:
        """Take no more entries; wait up to `timeout` seconds for those that are there, and drop the others."""
        with self._changed:
            self._is_closed = True
            self._changed.notify()
        self._thread.join(timeout)
        with self._changed:
            self.dropped += len(self._entries)
            self._entries.clear()

    def _run(self) -> None:
        while group := self._next_group():
            try:
                self._handle(group)
            except Exception:
                with self._changed:
                    self.dropped += len(group)
            self._report_dropped()

    def _next_group(self) -> list[T]:
        with self._changed:
            self._changed.wait_for(lambda: self._entries or self._is_closed)
            return [self._entries.popleft() for _ in range(min(GROUP, len(self._entries)))]

    def _report_dropped(self) -> None:
        now, dropped = time.monotonic(), self.dropped
        if dropped > self._reported and now >= self._report_at:
            self._report_at = now + REPORT_SECONDS
            self._report(dropped - self._reported)
            self._reported = dropped
