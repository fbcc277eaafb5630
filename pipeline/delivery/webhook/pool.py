"""Idle connections by endpoint, for a limited time and up to a limited age."""

from __future__ import annotations

import asyncio
from collections import deque

from pipeline.delivery.webhook.connection import Connection

# The maximum number of sweeps over idle connections while one of them reaches `idle_seconds`.
_SWEEPS = 16


class ConnectionPool:
    """Keeps connections open between requests. Used on one event loop.

    Args:
        idle_seconds: how long an unused connection is kept.
        max_age: seconds; an older connection is not used again.
    """

    def __init__(self, idle_seconds: float, max_age: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._idle = idle_seconds
        self._max_age = max_age
        # The one that was used last is at the end.
        self._connections: dict[str, deque[Connection]] = {}
        self._sweep: asyncio.TimerHandle | None = None

    def take(self, origin: str) -> Connection | None:
        """Return a connection that can be used, or None."""
        connections = self._connections.get(origin)
        while connections:
            connection = connections.pop()
            if connection.is_open and self._loop.time() - connection.opened_at <= self._max_age:
                return connection
            connection.abort()
        return None

    def put(self, origin: str, connection: Connection) -> None:
        """Keep a connection that is no longer in use, unless it is closed."""
        if not connection.is_open:
            return
        connection.idle_since = self._loop.time()
        self._connections.setdefault(origin, deque()).append(connection)
        if self._sweep is None:
            self._sweep = self._loop.call_later(self._idle, self._close_idle)

    def drop(self, origin: str) -> None:
        """Close the idle connections to an endpoint."""
        for connection in self._connections.pop(origin, ()):
            connection.abort()

    def close(self) -> None:
        """Close all idle connections. Their sockets are closed in the loop's next round."""
        if self._sweep is not None:
            self._sweep.cancel()
        for origin in tuple(self._connections):
            self.drop(origin)

    def _close_idle(self) -> None:
        """Close connections that have been idle for long enough, and schedule the next sweep."""
        until = self._loop.time() - self._idle
        for connections in self._connections.values():
            while connections and connections[0].idle_since <= until:
                connections.popleft().abort()
        self._connections = {origin: connections for origin, connections in self._connections.items() if connections}
        first = min((connections[0].idle_since for connections in self._connections.values()), default=None)
        if first is None:
            self._sweep = None
        else:
            # With many endpoints, some connection is always about to expire: sweep for several of them at a time.
            soonest = self._loop.time() + self._idle / _SWEEPS
            self._sweep = self._loop.call_at(max(first + self._idle, soonest), self._close_idle)
