"""The WebSocket protocol: uvicorn's, with the limits of a connection."""

from __future__ import annotations

from asyncio.transports import BaseTransport
from typing import Any, cast

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.http11 import Request

from pipeline.http_api.server.connection import EXTENSION, UNIX_CLIENT, ClientConnection, ConnectionRegister
from pipeline.log import get_logger

log = get_logger(__name__)


class GatewayWebSocketProtocol(WebSocketsSansIOProtocol):
    """One WebSocket. Its connection was counted when it was made, as one of HTTP.

    Args:
        register: counts this connection, and has the limits.
    """

    def __init__(self, *args: Any, register: ConnectionRegister, **options: Any) -> None:
        super().__init__(*args, **options)
        self._register = register
        self.connection: ClientConnection

    def connection_made(self, transport: BaseTransport) -> None:
        super().connection_made(transport)
        if self.client is None:
            self.client = (UNIX_CLIENT, 0)
        self.connection = ClientConnection(self.transport, self._register.limits)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._register.leave(cast("tuple[str, int]", self.client)[0])

    def handle_connect(self, event: Request) -> None:
        super().handle_connect(event)
        if not self.close_sent:
            # The application starts in the next round of the loop.
            self.scope["extensions"][EXTENSION] = self.connection  # type: ignore[assignment]

    def check(self, now: float) -> None:
        """Look whether the client takes what is sent to it."""
        if self.connection.is_stalled(now):
            log.info("reader_cut_off", client=cast("tuple[str, int]", self.client)[0])
            self.connection.abort()
