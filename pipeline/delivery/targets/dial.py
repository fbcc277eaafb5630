"""Opens sockets to targets: the same guard as for webhooks, and the same rules for TLS."""

from __future__ import annotations

import asyncio
import ssl
from ipaddress import ip_network

import aiohappyeyeballs

from pipeline.delivery.webhook.connect import NEXT_ADDRESS_SECONDS, address_info
from pipeline.delivery.webhook.ssrf_guard import Resolver, SsrfGuard, SystemResolver, VettingResolver
from pipeline.domain.ip_ranges import Network
from pipeline.domain.urls.host import parse_address

#: What an operator named in a connection may be anywhere.
ANYWHERE = (ip_network("0.0.0.0/0"), ip_network("::/0"))
#: Share of the connect timeout that a name lookup may take.
_LOOKUP_SECONDS = 4.0


class Dialer:
    """Opens connections to addresses that its guard permits.

    Args:
        resolver: looks up names; None: the operating system does.
    """

    def __init__(self, allow: tuple[Network, ...], *, public: bool, resolver: Resolver | None = None) -> None:
        self._guard = SsrfGuard(allow, public=public)
        self._resolver = VettingResolver(resolver or SystemResolver(), self._guard, _LOOKUP_SECONDS)

    async def open(
        self, host: str, port: int, tls: ssl.SSLContext | None = None, *, limit: int = 2**16
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Return a new connection.

        Args:
            limit: bytes that the reader keeps.

        Raises:
            BlockedAddress: an address of the host is not permitted.
            OSError: it failed; `socket.gaierror`, `ssl.SSLError` and other subclasses say why.
        """
        if parse_address(host) is not None:
            infos = [address_info(host, port)]
        else:
            found = await self._resolver.resolve(host, port)
            infos = [address_info(each["host"], each["port"]) for each in found]
        opened = await aiohappyeyeballs.start_connection(
            infos, happy_eyeballs_delay=NEXT_ADDRESS_SECONDS, interleave=1, socket_factory=self._guard.open
        )
        try:
            return await asyncio.open_connection(
                sock=opened, ssl=tls, server_hostname=None if tls is None else host, limit=limit
            )
        except BaseException:
            opened.close()
            raise

    async def close(self) -> None:
        """Cancel name lookups that still run."""
        await self._resolver.close()
