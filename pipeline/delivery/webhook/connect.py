"""Opens connections: looks up and checks names, races addresses and verifies TLS, all within one timeout."""

from __future__ import annotations

import asyncio
import socket
import ssl

import aiohappyeyeballs

from pipeline.delivery.webhook.connection import Connection
from pipeline.delivery.webhook.errors import ConnectTimeout
from pipeline.delivery.webhook.ssrf_guard import AddressInfo, Resolver, SsrfGuard, VettingResolver
from pipeline.domain.callback_url import Callback

#: Share of the connect timeout that a name lookup may take.
LOOKUP_SHARE = 0.8
#: Seconds before the next address is tried in parallel to one that has not answered yet (RFC 8305).
NEXT_ADDRESS_SECONDS = 0.25


class Connector:
    """Opens connections to the addresses that its guard permits.

    Args:
        connect_seconds: for name lookup, TCP and TLS together.
        tls: None for plain http.
    """

    def __init__(
        self, guard: SsrfGuard, resolver: Resolver, connect_seconds: float, tls: ssl.SSLContext | None
    ) -> None:
        self._guard = guard
        self._resolver = VettingResolver(resolver, guard, connect_seconds * LOOKUP_SHARE)
        self._connect_seconds = connect_seconds
        self._tls = tls

    async def connect(self, callback: Callback, deadline: float) -> Connection:
        """Return a new connection.

        Args:
            deadline: in the loop's time; it may be sooner than the connect timeout.

        Raises:
            BlockedAddress: an address is not permitted.
            ConnectTimeout: it took longer than `connect_seconds`.
            TimeoutError: the deadline passed.
            OSError: it failed; `socket.gaierror`, `ssl.SSLError` and other subclasses say why.
        """
        connect_by = asyncio.get_running_loop().time() + self._connect_seconds
        try:
            async with asyncio.timeout_at(min(connect_by, deadline)) as limit:
                return await self._connect(callback)
        except TimeoutError:
            if limit.expired() and connect_by < deadline:
                raise ConnectTimeout from None
            raise

    async def close(self) -> None:
        """Cancel name lookups that still run."""
        await self._resolver.close()

    async def _connect(self, callback: Callback) -> Connection:
        # Names are resolved for each connection: an answer that was checked earlier says nothing about the next one.
        infos = await self._infos(callback)
        while True:
            try:
                return await self._open(infos, callback.host)
            except OSError:
                # One address of each family has failed, at TCP or at TLS.
                aiohappyeyeballs.pop_addr_infos_interleave(infos, 1)
                if not infos:
                    raise

    async def _infos(self, callback: Callback) -> list[AddressInfo]:
        if callback.address is not None:
            return [address_info(callback.host, callback.port)]
        found = await self._resolver.resolve(callback.host, callback.port)
        return [address_info(each["host"], each["port"]) for each in found]

    async def _open(self, infos: list[AddressInfo], host: str) -> Connection:
        loop = asyncio.get_running_loop()
        opened = await aiohappyeyeballs.start_connection(
            infos, happy_eyeballs_delay=NEXT_ADDRESS_SECONDS, interleave=1, loop=loop, socket_factory=self._guard.open
        )
        _, connection = await loop.create_connection(
            Connection, sock=opened, ssl=self._tls, server_hostname=None if self._tls is None else host
        )
        return connection


def address_info(host: str, port: int) -> AddressInfo:
    """Return an address as sockets are opened by it."""
    if ":" in host:
        return socket.AF_INET6, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (host, port, 0, 0)
    return socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (host, port)


def make_tls_context() -> ssl.SSLContext:
    """Return the settings for https: TLS 1.2 or newer, and certificates checked against the system's authorities.

    `SSL_CERT_FILE` replaces the system's authorities.
    """
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    return context
