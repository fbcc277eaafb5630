"""The server of one process: its protocols, its regular look at all connections, and how it stops."""

from __future__ import annotations

import asyncio
import signal
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, cast

import uvicorn
from starlette.types import ASGIApp

from pipeline.http_api.server.connection import ConnectionRegister
from pipeline.http_api.server.limits import ServerLimits
from pipeline.http_api.server.protocol import GatewayProtocol
from pipeline.http_api.server.websocket_protocol import GatewayWebSocketProtocol
from pipeline.settings import Network

BACKLOG = 2048
#: Seconds for a TLS handshake, and for its end.
_TLS_SECONDS = 10.0
_STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)


def make_server(
    app: ASGIApp,
    *,
    limits: ServerLimits | None = None,
    on_drain: Callable[[], None] = lambda: None,
    on_ready: Callable[[], None] = lambda: None,
    proxies: Sequence[Network] = (),
    stop_seconds: float | None = None,
    tls: tuple[str, str] | None = None,
) -> GatewayServer:
    """Return a server for an application. It is not started.

    Args:
        on_drain: called in the event loop when the server begins to stop.
        on_ready: called there when it listens.
        proxies: networks whose addresses may have any number of connections.
        stop_seconds: that requests have to end when it stops; None: as long as they like.
        tls: files with the certificate and its key.
    """
    limits = limits or ServerLimits()
    register = ConnectionRegister(limits, proxies)
    certificate, key = tls or (None, None)
    config = uvicorn.Config(
        app,
        loop="asyncio",
        http=cast(Any, partial(GatewayProtocol, register=register)),
        ws=cast(Any, partial(GatewayWebSocketProtocol, register=register)),
        ws_per_message_deflate=False,
        ws_max_size=65_536,
        ws_ping_interval=20,
        ws_ping_timeout=20,
        timeout_keep_alive=cast(int, limits.keep_alive_seconds),
        timeout_graceful_shutdown=cast(int, stop_seconds),
        ssl_certfile=certificate,
        ssl_keyfile=key,
        interface="asgi3",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
    )
    return GatewayServer(config, limits, on_drain=on_drain, on_ready=on_ready)


class GatewayServer(uvicorn.Server):
    """Serves until it is told to stop: by `stop`, by a signal where it runs in the main thread, or by `should_exit`."""

    def __init__(
        self,
        config: uvicorn.Config,
        limits: ServerLimits,
        *,
        on_drain: Callable[[], None],
        on_ready: Callable[[], None],
    ) -> None:
        super().__init__(config)
        self._limits, self._on_drain, self._on_ready = limits, on_drain, on_ready
        self._checking: asyncio.Task[None] | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen on the sockets. uvicorn's own leaves a client a minute for its TLS handshake."""
        await self.lifespan.startup()
        loop = asyncio.get_running_loop()
        seconds = _TLS_SECONDS if self.config.ssl else None
        self.servers = [
            await loop.create_server(
                self._make_protocol,
                sock=each,
                ssl=self.config.ssl,
                backlog=BACKLOG,
                ssl_handshake_timeout=seconds,
                ssl_shutdown_timeout=seconds,
            )
            for each in sockets or []
        ]
        self._checking = asyncio.create_task(self._check_regularly())
        self.started = True
        self._on_ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop: streams are told to end, requests may go on for a while, and then all connections are cut off."""
        self._on_drain()
        try:
            await super().shutdown(sockets)
        finally:
            if self._checking is not None:
                self._checking.cancel()
            self._abort_connections()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Stop on SIGTERM and SIGINT. uvicorn's own raises the signal again at the end."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        loop = asyncio.get_running_loop()
        for each in _STOP_SIGNALS:
            loop.add_signal_handler(each, self.stop)
        try:
            yield
        finally:
            for each in _STOP_SIGNALS:
                loop.remove_signal_handler(each)

    def stop(self) -> None:
        """Begin to stop; the second time, cut off all connections. Call it in the event loop."""
        if self.should_exit:
            self.force_exit = True
            self._abort_connections()
        self.should_exit = True

    def _make_protocol(self) -> asyncio.Protocol:
        return self.config.http_protocol_class(  # type: ignore[call-arg]
            config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )

    async def _check_regularly(self) -> None:
        while True:
            await asyncio.sleep(self._limits.check_seconds)
            now = asyncio.get_running_loop().time()
            for each in self._connections():
                each.check(now)

    def _abort_connections(self) -> None:
        for each in self._connections():
            each.connection.abort()

    def _connections(self) -> list[GatewayProtocol | GatewayWebSocketProtocol]:
        return list(cast("set[GatewayProtocol | GatewayWebSocketProtocol]", self.server_state.connections))


def listen(host: str, port: int) -> socket.socket:
    """Return a listening socket; port 0: any that is free."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family, backlog=BACKLOG)
