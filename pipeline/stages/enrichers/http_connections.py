"""Persistent HTTP connections for each event loop; needs the extra `http`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx2

#: How long an idle connection is kept, in seconds: less than servers and load balancers commonly keep it open.
KEEPALIVE_SECONDS = 15.0

# For every request, an httpx2 pool polls each of its idle connections; with 64 of them it is half as fast. Therefore
# each connection gets its own pool, and the most recently used one is reused first.
_ONE_CONNECTION = httpx2.Limits(max_connections=1, max_keepalive_connections=1, keepalive_expiry=KEEPALIVE_SECONDS)


class HttpConnections:
    """Sends requests over persistent connections, as many as there have been concurrent requests.

    Uses transports instead of `httpx2.AsyncClient`, because the client logs every URL (which contains payload data),
    keeps cookies, and reads proxies and passwords from the environment.
    """

    def __init__(self) -> None:
        self._idle: dict[asyncio.AbstractEventLoop, list[httpx2.AsyncHTTPTransport]] = {}
        # Created once, because reading the system's certificates takes 20 ms.
        self._tls = httpx2.create_ssl_context(trust_env=False)

    @asynccontextmanager
    async def send(self, request: httpx2.Request) -> AsyncIterator[httpx2.Response]:
        """Send `request` and yield its response, which must be read within the block.

        Raises:
            httpx2.TransportError: the connection cannot be opened, or it broke.
        """
        idle = self._idle_in_running_loop()
        transport = (
            idle.pop() if idle else httpx2.AsyncHTTPTransport(self._tls, trust_env=False, limits=_ONE_CONNECTION)
        )
        try:
            response = await transport.handle_async_request(request)
            try:
                yield response
            finally:
                await response.aclose()
        finally:
            idle.append(transport)

    async def aclose(self) -> None:
        """Close the connections of the running loop."""
        for transport in self._idle.pop(asyncio.get_running_loop(), ()):
            await transport.aclose()

    def _idle_in_running_loop(self) -> list[httpx2.AsyncHTTPTransport]:
        # Connections belong to the loop that opened them, and cannot be closed once that loop is closed.
        for other in [known for known in self._idle if known.is_closed()]:
            self._idle.pop(other, None)
        return self._idle.setdefault(asyncio.get_running_loop(), [])
