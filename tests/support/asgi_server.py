"""A small application on a real socket, in a thread of the test."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx2
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pipeline.http_api.server.connection import client_connection
from pipeline.http_api.server.limits import ServerLimits
from pipeline.http_api.server.run import GatewayServer, listen, make_server

#: Long enough for a busy machine: a test that meets it hangs.
HANG_SECONDS = 60.0


@dataclass
class AsgiServer:
    """A running server, and what its application has seen.

    Args:
        disconnected: set when a stream has ended since its client is gone.
    """

    port: int
    server: GatewayServer
    draining: asyncio.Event
    scopes: list[Scope] = field(default_factory=list)
    disconnected: threading.Event = field(default_factory=threading.Event)
    streaming: threading.Event = field(default_factory=threading.Event)
    thread: threading.Thread = field(init=False)

    def connect(self, *, buffer: int | None = None) -> socket.socket:
        """Return a connection whose reads do not wait forever; `buffer`: bytes that its kernel holds unread."""
        client = socket.socket()
        if buffer is not None:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        client.settimeout(HANG_SECONDS)
        client.connect(("127.0.0.1", self.port))
        return client

    def exchange(self, request: bytes) -> bytes:
        """Send bytes on a connection of their own, and return all that comes until it ends."""
        with self.connect() as client:
            client.sendall(request)
            return read_all(client)

    def http(self, method: str, path: str, **options: Any) -> httpx2.Response:
        """Send a request and return the answer."""
        with httpx2.Client(timeout=HANG_SECONDS, trust_env=False) as client:
            return client.request(method, f"http://127.0.0.1:{self.port}{path}", **options)

    async def application(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer `/read` with the length of the body, `/early` without reading it; `/stream` and `/idle` last."""
        self.scopes.append(scope)
        if scope["type"] == "websocket":
            await self._websocket(scope, receive, send)
            return
        match scope["path"]:
            case "/read":
                length = await _length(receive)
                await answer(send, 400 if length is None else 200, b"cut off" if length is None else b"%d" % length)
            case "/early":
                await answer(send, 413, b"too large")
            case "/large":
                await answer(send, 200, b"x" * 20_000_000)
            case "/stream":
                await self._stream(scope, receive, send)
            case "/idle":
                await self._idle(receive, send)
            case _:
                await answer(send, 200, scope["path"].encode())

    async def _stream(self, scope: Scope, receive: Receive, send: Send) -> None:
        client_connection(scope).limit_buffer()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        self.streaming.set()
        gone = asyncio.create_task(_until_disconnect(receive))
        while not gone.done():
            await send({"type": "http.response.body", "body": b"x" * 16_384, "more_body": True})
            await asyncio.sleep(0)
        self.disconnected.set()

    async def _idle(self, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"begun\n", "more_body": True})
        self.streaming.set()
        waits = [asyncio.create_task(self.draining.wait()), asyncio.create_task(_until_disconnect(receive))]
        done, others = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        for other in others:
            other.cancel()
        if waits[1] in done:
            self.disconnected.set()
        await send({"type": "http.response.body", "body": b"ended\n", "more_body": False})

    async def _websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.send", "text": type(client_connection(scope)).__name__})
        await receive()
        try:
            while True:
                await send({"type": "websocket.send", "text": "x" * 16_384})
        finally:
            self.disconnected.set()


async def answer(send: Send, status: int, body: bytes) -> None:
    headers = [(b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _length(receive: Receive) -> int | None:
    """Return the length of the body; None: it was cut off."""
    length = 0
    while True:
        message: Message = await receive()
        if message["type"] == "http.disconnect":
            return None
        length += len(message["body"])
        if not message["more_body"]:
            return length


async def _until_disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def read_until(client: socket.socket, end: bytes) -> bytes:
    """Return what a server sends up to these bytes."""
    found = bytearray()
    while not found.endswith(end):
        chunk = client.recv(65_536)
        assert chunk, bytes(found)
        found += chunk
    return bytes(found)


def wait_until(condition: Callable[[], bool]) -> None:
    """Wait until a condition holds."""
    pause = threading.Event()
    while not condition():
        pause.wait(0.005)


def read_all(client: socket.socket) -> bytes:
    """Return what a server sends until it ends the connection; a reset is an end as well."""
    found = bytearray()
    try:
        while chunk := client.recv(65_536):
            found += chunk
    except ConnectionResetError:
        found += b"<reset>"
    return bytes(found)


@contextmanager
def serving_app(
    limits: ServerLimits | None = None, *, app: ASGIApp | None = None, **options: Any
) -> Iterator[AsgiServer]:
    """Serve the small application, or another, until the block ends."""
    listener = listen("127.0.0.1", 0)
    draining = asyncio.Event()
    served = AsgiServer(listener.getsockname()[1], None, draining)  # type: ignore[arg-type]
    server = make_server(app or served.application, limits=limits, on_drain=draining.set, **options)
    served.server = server
    thread = threading.Thread(target=lambda: asyncio.run(server.serve([listener])), name="asgi-server", daemon=True)
    served.thread = thread
    thread.start()
    try:
        yield served
    finally:
        server.should_exit = True
        thread.join(HANG_SECONDS)
        assert not thread.is_alive()
