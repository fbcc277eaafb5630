"""A WebSocket that was admitted, and is not accepted yet."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.websockets import WebSocket

from pipeline.access.caller import Caller
from pipeline.http_api.gateway import Gateway
from pipeline.http_api.operation import Socket


@dataclass(frozen=True, slots=True)
class SocketCall:
    """A WebSocket that was admitted: the key, its scope and the subprotocol were checked.

    Args:
        request_id: as the log names it.
    """

    gateway: Gateway
    socket: Socket
    websocket: WebSocket
    caller: Caller
    request_id: str
