"""The HTTP protocol: uvicorn's, with limits for clients that are silent, slow, or send too much.

uvicorn has a timer only between requests. A client that connects and says nothing, stops in the middle of a header or
a body, or does not read its answer would keep its connection for as long as it likes.
"""

from __future__ import annotations

import asyncio
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from pipeline.http_api.problems import Problem
from pipeline.http_api.server.client_pace import BodyPace, DroppedBody, RequestHead, headers_too_large
from pipeline.http_api.server.connection import EXTENSION, UNIX_CLIENT, ClientConnection, ConnectionRegister
from pipeline.http_api.server.raw_answer import raw_answer
from pipeline.log import get_logger

log = get_logger(__name__)


class GatewayProtocol(HttpToolsProtocol):
    """One connection. `check` is called regularly; everything else by the event loop, the parser and uvicorn.

    Args:
        register: counts this connection, and has the limits.
    """

    def __init__(self, *args: Any, register: ConnectionRegister, **options: Any) -> None:
        super().__init__(*args, **options)
        self._register = register
        self._limits = register.limits
        self._now = self.loop.time
        self.connection: ClientConnection
        #: When the wait for a request began; None: one is being answered.
        self._waits_since: float | None = None
        #: The head that is being read; None: it is complete, or nothing of it has come.
        self._head: RequestHead | None = None
        #: What the parser has told of, and the bytes since then: of a header without an end, say.
        self._events = self._silent_bytes = 0
        self._body: BodyPace | None = None
        #: The rest of a body that nobody reads any more.
        self._drop: DroppedBody | None = None
        self._refusal: Problem | None = None
        self._is_refused = False
        self._answering: RequestResponseCycle | None = None

    # The connection

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if self.client is None:
            self.client = (UNIX_CLIENT, 0)
        self.connection = ClientConnection(transport, self._limits)
        self._waits_since = self._now()
        if self._register.enter(self.client[0]):
            return
        if self._register.may_answer(self.client[0]):
            self._refuse(Problem("too_many_connections", "too many connections are open; close some, or wait"))
        else:
            self.connection.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._register.leave(self._host)
        # uvicorn tells the newest request only, and one before it may be a stream that would never end.
        self.pipeline.clear()
        self._disconnect(self._answering)

    def data_received(self, data: bytes) -> None:
        if self._is_refused:
            self._dropped(len(data))
            return
        events = self._events
        super().data_received(data)
        if self.parser is None or self._is_refused or self.transport.is_closing():
            return
        self._silent_bytes = self._silent_bytes + len(data) if events == self._events else 0
        if self._silent_bytes > self._limits.request_line_bytes + self._limits.header_bytes:
            self._refuse(headers_too_large(self._limits))
        elif self._waits_since is None and self._is_idle():
            self._waits_since = self._now()

    def check(self, now: float) -> None:
        """Look whether the client takes too long for what it does."""
        if self.connection.is_stalled(now):
            log.info("reader_cut_off", client=self._host)
            self.connection.abort()
        elif self._drop is not None and self._drop.is_over(now):
            self.connection.abort()
        elif self.transport.is_closing() or self._drop is not None:
            return
        elif self._waits_since is not None and now - self._waits_since >= self._limits.head_seconds:
            self._end_wait()
        elif self._body is not None:
            self._check_body(self._body, now)

    def shutdown(self) -> None:
        # While the rest of a body is dropped, the client may still read its answer.
        if self._drop is None:
            super().shutdown()

    # The parser

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._events += 1
        self._head = RequestHead(self._limits)
        self.scope["extensions"] = {EXTENSION: self.connection}  # type: ignore[dict-item]

    def on_url(self, url: bytes) -> None:
        super().on_url(url)
        self._events += 1
        if self._head is not None:
            self._reject(self._head.add_url(len(url)))

    def on_header(self, name: bytes, value: bytes) -> None:
        self._events += 1
        # Trailers come after the head. uvicorn would add them to headers that have been judged.
        if self._head is not None:
            super().on_header(name, value)
            self._reject(self._head.add_header(name, value))

    def on_headers_complete(self) -> None:
        assert self._head is not None
        self._events += 1
        self._reject(self._head.check_host(self.parser.get_http_version()))
        if len(self.pipeline) >= self._limits.pipelined_requests:
            self._reject(Problem("bad_request", "too many requests were sent at once; wait for answers"))
        self._head = self._waits_since = None
        before = self.cycle
        super().on_headers_complete()
        if self.cycle is not before:
            self._body = BodyPace(self._limits, self._now())
            self.cycle.transport = _EndsAfterBody(self, self.transport)  # type: ignore[assignment]

    def on_body(self, body: bytes) -> None:
        super().on_body(body)
        self._events += 1
        if self._body is not None:
            self._body.add(len(body), self._now())
        self._dropped(len(body))

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self._events += 1
        if self.cycle is not None:
            self.cycle.more_body = False
        self._body = None
        if self._drop is not None:
            self.transport.close()

    # The application

    def handle_websocket_upgrade(self) -> None:
        if self._answering is not None and not self._answering.response_complete:
            # Two protocols would write into one connection.
            self.connection.abort()
            return
        self._waits_since = None
        super().handle_websocket_upgrade()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGIApp) -> None:  # type: ignore[override]
        self._answering = cycle

        async def answer(scope: Scope, receive: Receive, send: Send) -> None:
            async def send_closing(message: Message) -> None:
                if message["type"] == "http.response.start" and cycle.more_body:
                    # The client may stop in the middle of its body, or go on: what follows cannot be told from it.
                    cycle.keep_alive = False
                await send(message)

            await app(scope, receive, send_closing)

        super()._start_asgi_task(cycle, answer)  # type: ignore[arg-type]

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self._drop is not None:
            self._unset_keepalive_if_required()
        elif self._refusal is not None and not self.pipeline:
            self._refuse(self._refusal)

    def send_400_response(self, msg: str) -> None:
        """Answer what the parser refused, or what this class refused in one of its calls."""
        self._refuse(self._refusal or Problem("bad_request", "this is not a valid HTTP/1.1 request"))

    def end_after_body(self) -> None:
        """Close the connection when the client has sent the rest of its body, and not before.

        Closing it with unread bytes would reset it, and the client would lose the answer.
        """
        if self.cycle is None or not self.cycle.more_body:
            self.transport.close()
        else:
            self._start_drop()

    # Steps

    @property
    def _host(self) -> str:
        return self.client[0] if self.client is not None else UNIX_CLIENT

    def _is_idle(self) -> bool:
        """Return whether no request is being answered, and the last one has been read."""
        return self.cycle is None or (self.cycle.response_complete and not self.cycle.more_body)

    def _reject(self, problem: Problem | None) -> None:
        if problem is not None:
            # The parser turns it into an error of its own, for which uvicorn calls `send_400_response`.
            self._refusal = problem
            raise problem

    def _refuse(self, problem: Problem) -> None:
        """Answer with a problem, read no further request, and close the connection once the client has seen it."""
        self._is_refused = True
        running = self._answering
        if self.transport.is_closing():
            return
        if _is_read(running, self.cycle):
            # An earlier request is answered first.
            self._refusal = problem
            self.flow.pause_reading()
            return
        self._refusal = None
        self.pipeline.clear()
        if running is not None and running.response_started and not running.response_complete:
            self.connection.abort()
            return
        self._disconnect(running)
        self._waits_since = self._body = None
        self._unset_keepalive_if_required()
        log.info("request_refused", code=problem.code, client=self._host)
        self.transport.write(raw_answer(problem))
        self._start_drop()

    def _disconnect(self, cycle: RequestResponseCycle | None) -> None:
        if cycle is not None and not cycle.response_complete:
            cycle.disconnected = True
            cycle.message_event.set()

    def _end_wait(self) -> None:
        if self._head is None:
            # Browsers open connections in advance.
            self.transport.close()
        else:
            seconds = self._limits.head_seconds
            self._refuse(Problem("request_timeout", f"the headers were not complete within {seconds:g} s"))

    def _check_body(self, body: BodyPace, now: float) -> None:
        if self.flow.read_paused or self.cycle.waiting_for_100_continue:
            body.pause(now)
        elif body.is_too_slow(now):
            detail = "the body came too slowly, or not at all; send it again on a faster connection, or in parts"
            self._refuse(Problem("request_timeout", detail))

    def _start_drop(self) -> None:
        self._body = None
        self._drop = DroppedBody(self._limits, self._now())
        self.flow.resume_reading()
        if self.transport.can_write_eof():
            # The client sees the end of the answer, while it may go on to send.
            self.transport.write_eof()

    def _dropped(self, size: int) -> None:
        if self._drop is not None:
            self._drop.add(size)
            if self._drop.is_full:
                # Not cut off yet: a client that sends as fast as it is read looks for an answer only once it has to
                # wait. A reset would take the answer away from it.
                self.flow.pause_reading()


class _EndsAfterBody:
    """A transport that is closed only once the body was read."""

    def __init__(self, protocol: GatewayProtocol, transport: asyncio.Transport) -> None:
        self._protocol = protocol
        self.write = transport.write
        self.is_closing = transport.is_closing

    def close(self) -> None:
        self._protocol.end_after_body()


def _is_read(running: RequestResponseCycle | None, newest: RequestResponseCycle) -> bool:
    """Return whether a request is being answered that was read to its end."""
    return running is not None and not running.response_complete and (running is not newest or not running.more_body)
