"""Connections that are kept: used again while they are young, and watched for whether they answer."""

from __future__ import annotations

import asyncio
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, cast

import aiohttp
from aiohttp.http_exceptions import BadHttpMessage

from pipeline.delivery.reply import MAX_HEADER_BYTES

if TYPE_CHECKING:
    from aiohttp.client_proto import ResponseHandler
    from aiohttp.connector import Connection
    from aiohttp.tracing import Trace


class Line(asyncio.Protocol):
    """Stands before aiohttp's protocol of a connection: only here is seen how many bytes came back."""

    def __init__(self, inner: ResponseHandler, transport: asyncio.Transport, opened_at: float) -> None:
        self._inner = inner
        self.transport = transport
        self.opened_at = opened_at
        self.is_reused = False
        #: Bytes that came since the last request began, and whether they were all of an answer's headers.
        self.heard = 0
        self.is_answered = False

    def begin(self) -> None:
        """Expect the answer to another request."""
        self.heard, self.is_answered = 0, False

    def data_received(self, data: bytes) -> None:
        if self.heard > MAX_HEADER_BYTES and not self.is_answered:
            # aiohttp bounds each line and their number, hence their sum only at a megabyte for each request.
            self._inner.abort()
            self._inner.set_exception(BadHttpMessage("headers are too large"))
            return
        self.heard += len(data)
        self._inner.data_received(data)

    def eof_received(self) -> None:
        self._inner.eof_received()

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
        return self.line is not None and self.line.is_reused and not self.line.heard

    def is_answered(self) -> None:
        """Note that the headers of an answer have come."""
        if self.line is not None:
            self.line.is_answered = True

    def end(self) -> None:
        """Give up what is still unsent: only closed, a connection waits until its receiver reads, maybe for ever."""
        if self.line is not None and self.line.transport.get_write_buffer_size():
            self.line.transport.abort()


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
        line.begin()
        now_on.line = line
        return connection

    def _line(self, connection: Connection) -> Line:
        transport = cast("asyncio.Transport", connection.transport)
        protocol = transport.get_protocol()
        if isinstance(protocol, Line):
            protocol.is_reused = True
            return protocol
        line = Line(cast("ResponseHandler", protocol), transport, self._loop.time())
        transport.set_protocol(line)
        return line
