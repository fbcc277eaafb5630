"""The HTTP/1.1 client: few steps for each request, bounded memory, and a check of every address that it connects to."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from functools import lru_cache

from pipeline.delivery.rules.delivery import INTERNAL, Answer
from pipeline.delivery.webhook.connect import Connector, make_tls_context
from pipeline.delivery.webhook.errors import ConnectionLost, code_of
from pipeline.delivery.webhook.options import ClientOptions
from pipeline.delivery.webhook.pool import ConnectionPool
from pipeline.delivery.webhook.request import request_head, request_start
from pipeline.delivery.webhook.response import Response
from pipeline.delivery.webhook.ssrf_guard import Resolver, SsrfGuard, SystemResolver
from pipeline.domain.callback_url import Callback
from pipeline.domain.ip_ranges import Network

#: URLs whose first lines are kept, so that they are not rebuilt for each request.
_KNOWN_URLS = 4_096


class Http11Client:
    """Implements `HttpClient` on asyncio. Uses https to public and allowed addresses, plain http to allowed ones only.

    Args:
        allow: CIDRs that callbacks may reach although they are private.
        resolver: looks up names; None: the operating system does.
    """

    def __init__(self, allow: tuple[Network, ...], options: ClientOptions, resolver: Resolver | None = None) -> None:
        self._options = options
        self._loop = asyncio.get_running_loop()
        inner = resolver or SystemResolver()
        self._connectors = {
            "https": Connector(SsrfGuard(allow, public=True), inner, options.connect_seconds, make_tls_context()),
            "http": Connector(SsrfGuard(allow, public=False), inner, options.connect_seconds, None),
        }
        self._pool = ConnectionPool(options.idle_seconds, options.connection_seconds)
        self._start = lru_cache(_KNOWN_URLS)(request_start)

    async def post(self, callback: Callback, headers: Mapping[str, str], body: bytes) -> Answer:
        """Send one request; see `HttpClient.post`."""
        head = request_head(self._start(callback), headers, len(body))
        try:
            response = await self._exchange(callback, head, body)
        except Exception as error:
            code = code_of(error)
            if code == INTERNAL:
                raise
            return Answer(error=code)
        return response.answer()

    async def close(self) -> None:
        """Close all connections."""
        self._pool.close()
        for connector in self._connectors.values():
            await connector.close()
        # Sockets are closed in the loop's next round.
        await asyncio.sleep(0)

    async def _exchange(self, callback: Callback, head: bytes, body: bytes) -> Response:
        """Send on an idle connection, and on a new one if there is none or the idle one turns out to be closed."""
        deadline = self._loop.time() + self._options.deadline_seconds
        connection = self._pool.take(callback.origin)
        if connection is not None:
            response = Response(self._options.answer_bytes)
            try:
                await connection.exchange(head, body, response, deadline)
            except ConnectionLost:
                if response.received:
                    raise
                # The receiver closed it before it saw the request. The other idle connections are no better.
                self._pool.drop(callback.origin)
            else:
                self._pool.put(callback.origin, connection)
                return response
        connection = await self._connectors[callback.scheme].connect(callback, deadline)
        response = Response(self._options.answer_bytes)
        await connection.exchange(head, body, response, deadline)
        self._pool.put(callback.origin, connection)
        return response
