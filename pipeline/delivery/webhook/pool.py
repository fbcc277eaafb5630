"""Connections that wait for their next request: by endpoint, for a while, and none beyond its age."""

from __future__ import annotations

import asyncio
from collections import deque

from pipeline.delivery.webhook.connection import Connection

# Looks for idle connections at the most, in the time that one may be idle.
_SWEEPS = 16


class ConnectionPool:
    """Used on one event loop.

    Args:
        idle_seconds: how long an unused connection is kept.
        max_age: seconds; an older connection is not used again.
    """

    def __init__(self, idle_seconds: float, max_age: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._idle = idle_seconds
        self._max_age = max_age
        # The one that was used last stands last.
        self._lines: dict[str, deque[Connection]] = {}
        self._sweep: asyncio.TimerHandle | None = None

    def take(self, origin: str) -> Connection | None:
        """Return a connection that can be used; None where there is none."""
        lines = self._lines.get(origin)
        while lines:
            line = lines.pop()
            if line.is_open and self._loop.time() - line.opened_at <= self._max_age:
                return line
            line.abort()
        return None

    def put(self, origin: str, line: Connection) -> None:
        """Keep a connection that is not in use; one that is closed is forgotten."""
        if not line.is_open:
            return
        line.idle_since = self._loop.time()
        self._lines.setdefault(origin, deque()).append(line)
        if self._sweep is None:
            self._sweep = self._loop.call_later(self._idle, self._close_idle)

    def drop(self, origin: str) -> None:
        """Close what is kept for an endpoint."""
        for line in self._lines.pop(origin, ()):
            line.abort()

    def close(self) -> None:
        """Close all. They are gone after the loop's next round."""
        if self._sweep is not None:
            self._sweep.cancel()
        for origin in tuple(self._lines):
            self.drop(origin)

    def _close_idle(self) -> None:
        """Close what has been idle for long enough, and come back when the next has."""
        until = self._loop.time() - self._idle
        for lines in self._lines.values():
            while lines and lines[0].idle_since <= until:
                lines.popleft().abort()
        self._lines = {origin: lines for origin, lines in self._lines.items() if lines}
        first = min((lines[0].idle_since for lines in self._lines.values()), default=None)
        if first is None:
            self._sweep = None
        else:
            # Not for each by itself: of many endpoints, some connection is always the next.
            soonest = self._loop.time() + self._idle / _SWEEPS
            self._sweep = self._loop.call_at(max(first + self._idle, soonest), self._close_idle)
