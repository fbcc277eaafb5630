"""Connections that are kept: used again while they are young, and watched for whether they answer."""

from __future__ import annotations

import asyncio
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, cast

import aiohttp

if TYPE_CHECKING:
    from aiohttp.connector import Connection
    from aiohttp.tracing import Trace


class Line(asyncio.Protocol):
    """Stands before aiohttp's protocol of a connection: only here is seen whether any byte came back."""

    def __init__(self, inner: asyncio.Protocol, opened_at: float) -> None:
        self._inner = inner
        self.opened_at = opened_at
        self.is_reused = False
        #: Whether a byte came since the last request began.
        self.has_heard = False

    def data_received(self, data: bytes) -> None:
        self.has_heard = True
        self._inner.data_received(data)

    def eof_received(self) -> bool | None:
        return self._inner.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        self._inner.connection_lost(exc)

    def pause_writing(self) -> None:
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        self._inner.resume_writing()


class Exchange:
    """One request on its way, and the connection it got."""

    def __init__(self) -> None:
        self.line: Line | None = None
        self.wants_fresh = False

    @property
    def was_stale(self) -> bool:
        """Whether a kept connection ended without a byte: the receiver had closed it before it saw the request."""
        return self.line is not None and self.line.is_reused and not self.line.has_heard


_exchange: ContextVar[Exchange] = ContextVar("exchange")


def begin_exchange() -> Exchange:
    """Follow the requests that this task makes from here on."""
    begun = Exchange()
    _exchange.set(begun)
    return begun


class Pool(aiohttp.TCPConnector):
    """Keeps connections, none of them beyond `max_age` seconds; used by requests that an exchange follows."""

    def __init__(self, *, max_age: float, **options: Any) -> None:
        super().__init__(**options)
        self._max_age = max_age

    async def connect(
        self, req: aiohttp.ClientRequest, traces: list[Trace], timeout: aiohttp.ClientTimeout
    ) -> Connection:
        now_on = _exchange.get()
        while True:
            connection = await super().connect(req, traces, timeout)
            line = self._line(connection)
            if not line.is_reused or not (now_on.wants_fresh or self._loop.time() - line.opened_at > self._max_age):
                break
            connection.close()
        line.has_heard = False
        now_on.line = line
        return connection

    def _line(self, connection: Connection) -> Line:
        transport = cast("asyncio.Transport", connection.transport)
        protocol = cast("asyncio.Protocol", transport.get_protocol())
        if isinstance(protocol, Line):
            protocol.is_reused = True
            return protocol
        line = Line(protocol, self._loop.time())
        transport.set_protocol(line)
        return line
