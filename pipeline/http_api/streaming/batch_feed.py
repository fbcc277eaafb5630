"""The newest events of one batch, read once from the database for everybody who follows it.

A feed belongs to the event loop. Readers have no queues: each has a position, and takes what follows it from here, or
from the database if it is too far behind. So a slow reader costs no memory, however fast the batch is.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections import deque
from collections.abc import Sequence
from operator import attrgetter

from pipeline.batches.event_log import BatchVersion, News, StoredEvent
from pipeline.http_api.streaming.formats import Renderer

#: What a feed keeps for readers that are slightly behind.
MAX_EVENTS, MAX_BYTES = 1_000, 4 * 1024 * 1024

_seq = attrgetter("seq")


class LogSlice:
    """Consecutive events. What they look like to a kind of reader is made once for all of that kind.

    Args:
        events: in the order of their `seq`, without a gap; at least one.
    """

    __slots__ = ("_rendered", "events", "size")

    def __init__(self, events: Sequence[StoredEvent]) -> None:
        self.events = events
        self.size = sum(len(event.body) for event in events)
        self._rendered: dict[tuple[Renderer, frozenset[str] | None], bytes] = {}

    @property
    def first_seq(self) -> int:
        return self.events[0].seq

    @property
    def last_seq(self) -> int:
        return self.events[-1].seq

    def after(self, seq: int) -> LogSlice:
        """Return the events that follow a position: this object if they are all."""
        return self if self.first_seq > seq else LogSlice(self.events[bisect_right(self.events, seq, key=_seq) :])

    def chosen(self, types: frozenset[str] | None) -> list[StoredEvent]:
        """Return the events of these types; None: all."""
        return [event for event in self.events if types is None or event.type in types]

    def rendered(self, renderer: Renderer, types: frozenset[str] | None = None) -> bytes:
        """Return the events of these types as a kind of reader gets them; empty: there are none."""
        found = self._rendered.get((renderer, types))
        if found is None:
            found = self._rendered[renderer, types] = renderer(self.chosen(types))
        return found


class BatchFeed:
    """What the last polls found out about a batch, and who waits for it."""

    def __init__(self) -> None:
        self.version: BatchVersion | None = None
        self.is_gone = False
        self._slices: deque[LogSlice] = deque()
        self._events = self._bytes = 0
        self._waiting: set[asyncio.Event] = set()

    @property
    def readers(self) -> int:
        """The number of those who wait."""
        return len(self._waiting)

    def join(self, wake: asyncio.Event) -> None:
        """Set an event whenever something is published."""
        self._waiting.add(wake)

    def leave(self, wake: asyncio.Event) -> None:
        """Set it no longer."""
        self._waiting.discard(wake)

    def publish(self, news: News) -> None:
        """Take over what a poll found, and wake everybody."""
        self.version, self.is_gone = news.version or self.version, news.version is None
        if news.events:
            self._keep(LogSlice(news.events))
        self.wake()

    def wake(self) -> None:
        """Wake everybody who waits."""
        for event in self._waiting:
            event.set()

    def after(self, seq: int) -> LogSlice | None:
        """Return events that follow a position; None if they are to be read from the database."""
        for each in self._slices:
            if each.last_seq > seq:
                return each.after(seq) if each.first_seq <= seq + 1 else None
        return None

    def _keep(self, added: LogSlice) -> None:
        if self._slices and self._slices[-1].last_seq + 1 != added.first_seq:
            # Nobody wanted events for a while.
            self._slices.clear()
            self._events = self._bytes = 0
        self._slices.append(added)
        self._events += len(added.events)
        self._bytes += added.size
        while len(self._slices) > 1 and (self._events > MAX_EVENTS or self._bytes > MAX_BYTES):
            oldest = self._slices.popleft()
            self._events -= len(oldest.events)
            self._bytes -= oldest.size
