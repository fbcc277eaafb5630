"""Kept HTTP connections, of one event loop each; imported only where the extra `http` is installed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx2

#: Seconds an idle connection is kept: less than what servers and balancers commonly wait before they close it.
KEEPALIVE_SECONDS = 15.0

# A pool of httpx2 asks the system about each of its idle connections at each request: 64 of them halve its speed. So
# each connection is a pool of its own, and the one used last is used next.
_ONE = httpx2.Limits(max_connections=1, max_keepalive_connections=1, keepalive_expiry=KEEPALIVE_SECONDS)


class Connections:
    """Sends requests; as many connections are opened as requests were under way at once.

    Transports instead of `httpx2.AsyncClient`: the client logs every URL, which holds what is in a payload, keeps
    cookies, and reads proxies and passwords from the environment.
    """

    def __init__(self) -> None:
        self._idle: dict[asyncio.AbstractEventLoop, list[httpx2.AsyncHTTPTransport]] = {}
        # Reading the system's certificates takes 20 ms, so it is done once.
        self._tls = httpx2.create_ssl_context(trust_env=False)

    @asynccontextmanager
    async def sent(self, request: httpx2.Request) -> AsyncIterator[httpx2.Response]:
        """Send `request` and give its response, to be read within the block.

        Raises:
            httpx2.TransportError: no connection, or it broke.
        """
        idle = self._of_running_loop()
        transport = idle.pop() if idle else httpx2.AsyncHTTPTransport(self._tls, trust_env=False, limits=_ONE)
        try:
            found = await transport.handle_async_request(request)
            try:
                yield found
            finally:
                await found.aclose()
        finally:
            idle.append(transport)

    async def aclose(self) -> None:
        """End the connections of the running loop."""
        for transport in self._idle.pop(asyncio.get_running_loop(), ()):
            await transport.aclose()

    def _of_running_loop(self) -> list[httpx2.AsyncHTTPTransport]:
        # Connections belong to the loop that opened them; of a closed loop nothing can be ended any more.
        for other in [known for known in self._idle if known.is_closed()]:
            self._idle.pop(other, None)
        return self._idle.setdefault(asyncio.get_running_loop(), [])
