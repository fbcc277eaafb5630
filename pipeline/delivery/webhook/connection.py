"""One connection to a receiver: a request goes out, its answer comes in, one after the other."""

from __future__ import annotations

import asyncio
from typing import cast

from pipeline.delivery.webhook.errors import Lost, MalformedAnswer
from pipeline.delivery.webhook.response import Response

# A larger body is written bit by bit: a receiver that does not read would have it copied into a buffer as a whole.
_ONE_PIECE = 2**16
_NOTHING = memoryview(b"")


class Connection(asyncio.Protocol):
    """A connection, from when it opens to when it is lost."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._reply: Response | None = None
        self._unsent = _NOTHING
        self._may_write = True
        self._early = b""
        self._lost: Lost | None = None
        self.opened_at = self._loop.time()
        #: When it was last put aside to be used again.
        self.idle_since = 0.0
        #: Whether it has carried an exchange to its end.
        self.is_used = False

    @property
    def is_open(self) -> bool:
        return self._transport is not None and self._lost is None and not self._transport.is_closing()

    async def exchange(self, head: bytes, body: bytes, reply: Response, deadline: float) -> None:
        """Send a request, and have `reply` take what is answered until it is over.

        Whatever else happens, the connection is closed.

        Args:
            deadline: in the loop's time; what the answer lacks by then is not waited for.

        Raises:
            Lost: the connection ended before there was a status.
            MalformedAnswer: what came is no answer.
            TimeoutError: the deadline passed before there was a status.
        """
        waiter = self._waiter = self._loop.create_future()
        self._reply = reply
        timer = self._loop.call_at(deadline, self._expire)
        is_kept = False
        try:
            self._send(head, body)
            await waiter
            is_kept = reply.is_kept and self._is_sent()
        finally:
            timer.cancel()
            self._waiter = self._reply = None
            self.is_used = True
            if not is_kept:
                self.abort()

    def abort(self) -> None:
        """Close at once: what is unsent would wait until the receiver reads, maybe for ever."""
        self._unsent = _NOTHING
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        reply = self._reply
        if reply is None:
            self._keep_early(data)
            return
        try:
            reply.feed(data)
        except MalformedAnswer as error:
            self._finish(error)
        else:
            if reply.is_over:
                self._finish()

    def eof_received(self) -> None:
        # No answer can follow, even where there is still something to write.
        if self._reply is not None:
            self._reply.close()
        self._lose(Lost())

    def connection_lost(self, exc: Exception | None) -> None:
        if self._reply is not None:
            if exc is None:
                self._reply.close()
            else:
                self._reply.give_up()
        self._lose(Lost(exc))

    def pause_writing(self) -> None:
        self._may_write = False

    def resume_writing(self) -> None:
        self._may_write = True
        self._write_on()

    def _send(self, head: bytes, body: bytes) -> None:
        if self._transport is None or self._lost is not None:
            raise self._lost or Lost()
        if len(body) <= _ONE_PIECE:
            self._transport.write(head + body)
        else:
            self._transport.write(head)
            self._unsent = memoryview(body)
            self._write_on()
        if self._early:
            early, self._early = self._early, b""
            self._transport.resume_reading()
            self.data_received(early)

    def _write_on(self) -> None:
        while self._unsent and self._may_write and self._transport is not None:
            piece, self._unsent = self._unsent[:_ONE_PIECE], self._unsent[_ONE_PIECE:]
            self._transport.write(piece)

    def _is_sent(self) -> bool:
        return not self._unsent and self._transport is not None and not self._transport.get_write_buffer_size()

    def _keep_early(self, data: bytes) -> None:
        """Keep what a receiver says before it is asked, for the one request that it can be the answer to."""
        if self.is_used or self._transport is None:
            self.abort()
            return
        self._early += data
        self._transport.pause_reading()

    def _expire(self) -> None:
        self._finish(TimeoutError())

    def _lose(self, lost: Lost) -> None:
        if self._lost is None:
            self._lost = lost
            self._finish(lost)

    def _finish(self, error: Exception | None = None) -> None:
        """Let the exchange go on: with its answer where there is a status, with the error where there is none."""
        if self._waiter is None or self._waiter.done():
            return
        if error is None or (self._reply is not None and self._reply.status is not None):
            self._waiter.set_result(None)
        else:
            self._waiter.set_exception(error)
