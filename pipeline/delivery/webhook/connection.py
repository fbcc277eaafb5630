"""One connection to a receiver: sends a request, receives its response, then takes the next request."""

from __future__ import annotations

import asyncio
from typing import cast

from pipeline.delivery.webhook.errors import ConnectionLost, MalformedResponse
from pipeline.delivery.webhook.response import Response

# Larger bodies are written piece by piece: otherwise a receiver that does not read would have the whole body copied
# into the transport's buffer.
_ONE_PIECE = 2**16
_NOTHING = memoryview(b"")


class Connection(asyncio.Protocol):
    """A connection, from when it opens until it is lost."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._response: Response | None = None
        self._unsent = _NOTHING
        self._may_write = True
        self._early = b""
        self._lost: ConnectionLost | None = None
        self.opened_at = self._loop.time()
        #: When it last became idle, in the loop's time.
        self.idle_since = 0.0
        #: Whether it has finished an exchange.
        self.is_used = False

    @property
    def is_open(self) -> bool:
        return self._transport is not None and self._lost is None and not self._transport.is_closing()

    async def exchange(self, head: bytes, body: bytes, response: Response, deadline: float) -> None:
        """Send a request, and feed `response` until it is complete.

        The connection stays open only if the response ended cleanly and the request was sent in full.

        Args:
            deadline: in the loop's time; once there is a status, a body that is incomplete by then is left incomplete.

        Raises:
            ConnectionLost: the connection ended before there was a status.
            MalformedResponse: the received bytes are not a response.
            TimeoutError: the deadline passed before there was a status.
        """
        waiter = self._waiter = self._loop.create_future()
        self._response = response
        timer = self._loop.call_at(deadline, self._expire)
        is_reusable = False
        try:
            self._send(head, body)
            await waiter
            is_reusable = response.is_reusable and self._is_sent()
        finally:
            timer.cancel()
            self._waiter = self._response = None
            self.is_used = True
            if not is_reusable:
                self.abort()

    def abort(self) -> None:
        """Close at once: sending the rest first could take forever if the receiver does not read."""
        self._unsent = _NOTHING
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        response = self._response
        if response is None:
            self._keep_early(data)
            return
        try:
            response.feed(data)
        except MalformedResponse as error:
            self._finish(error)
        else:
            if response.is_over:
                self._finish()

    def eof_received(self) -> None:
        # No response can follow, even if there is still something to send.
        if self._response is not None:
            self._response.close()
        self._lose(ConnectionLost())

    def connection_lost(self, exc: Exception | None) -> None:
        if self._response is not None:
            if exc is None:
                self._response.close()
            else:
                self._response.stop()
        self._lose(ConnectionLost(exc))

    def pause_writing(self) -> None:
        self._may_write = False

    def resume_writing(self) -> None:
        self._may_write = True
        self._send_rest()

    def _send(self, head: bytes, body: bytes) -> None:
        if self._transport is None or self._lost is not None:
            raise self._lost or ConnectionLost()
        if len(body) <= _ONE_PIECE:
            self._transport.write(head + body)
        else:
            self._transport.write(head)
            self._unsent = memoryview(body)
            self._send_rest()
        if self._early:
            early, self._early = self._early, b""
            self._transport.resume_reading()
            self.data_received(early)

    def _send_rest(self) -> None:
        while self._unsent and self._may_write and self._transport is not None:
            piece, self._unsent = self._unsent[:_ONE_PIECE], self._unsent[_ONE_PIECE:]
            self._transport.write(piece)

    def _is_sent(self) -> bool:
        return not self._unsent and self._transport is not None and not self._transport.get_write_buffer_size()

    def _keep_early(self, data: bytes) -> None:
        """Keep what a receiver sends on a new connection before the request: it can only be the response to that one.

        On a connection that has been used, it can be a response to nothing, and closes the connection.
        """
        if self.is_used or self._transport is None:
            self.abort()
            return
        self._early += data
        self._transport.pause_reading()

    def _expire(self) -> None:
        self._finish(TimeoutError())

    def _lose(self, lost: ConnectionLost) -> None:
        if self._lost is None:
            self._lost = lost
            self._finish(lost)

    def _finish(self, error: Exception | None = None) -> None:
        """End the exchange: normally if there is a status, with the error otherwise."""
        if self._waiter is None or self._waiter.done():
            return
        if error is None or (self._response is not None and self._response.status is not None):
            self._waiter.set_result(None)
        else:
            self._waiter.set_exception(error)
