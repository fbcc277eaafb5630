"""How `pipeline serve` was called."""

from __future__ import annotations

import logging
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from pipeline.http_api.server.connection import UNIX_CLIENT

DEFAULT_HOST, DEFAULT_PORT = "127.0.0.1", 8787


class ServeOptions(BaseModel):
    """How to serve.

    Args:
        uds: path of a Unix socket to listen on; None: on `host` and `port`.
        processes: that share the socket.
        root_path: under which a proxy serves it, `/pipeline` say.
        tls_certificate: file with the certificate and those between it and its root.
        proxies: networks whose `X-Forwarded-For` and `X-Forwarded-Proto` count.
        trusts_socket: whether those of clients of the Unix socket count.
        has_work: whether batches are processed here, if no broker is set.
        has_page: whether the web page is served.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    host: str = DEFAULT_HOST
    port: int = DEFAULT_PORT
    uds: Path | None = None
    processes: int = 1
    root_path: str = ""
    tls_certificate: Path | None = None
    tls_key: Path | None = None
    proxies: tuple[IPv4Network | IPv6Network, ...] = ()
    trusts_socket: bool = False
    has_work: bool = True
    has_page: bool = True
    log_level: int = logging.INFO

    @property
    def tls(self) -> tuple[str, str] | None:
        """The files of the certificate and its key; None: plain HTTP."""
        if self.tls_certificate is None or self.tls_key is None:
            return None
        return str(self.tls_certificate), str(self.tls_key)

    @property
    def trusted(self) -> list[str]:
        """Who is believed where a request comes from."""
        return [*map(str, self.proxies), *([UNIX_CLIENT] if self.trusts_socket else [])]
