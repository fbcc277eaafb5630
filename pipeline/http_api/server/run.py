"""Run the server in this process."""

from __future__ import annotations

import socket

import uvicorn
from starlette.types import ASGIApp


def make_server(app: ASGIApp) -> uvicorn.Server:
    """Return a server for an application. It is not started."""
    config = uvicorn.Config(
        app,
        http="httptools",
        ws="websockets-sansio",
        ws_per_message_deflate=False,
        ws_max_size=65_536,
        ws_ping_interval=20,
        ws_ping_timeout=20,
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
    )
    return uvicorn.Server(config)


def listen(host: str, port: int) -> socket.socket:
    """Return a listening socket; port 0: any that is free."""
    return socket.create_server((host, port), backlog=2048)
