"""Keeps callbacks away from private addresses: checks everything a name resolves to, and each socket as it opens."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from itertools import chain, zip_longest
from typing import Any, Protocol, TypedDict

from pipeline.domain.ip_ranges import Network, is_allowed, is_public

#: Maximum number of addresses tried for one name, alternating between IPv6 and IPv4.
MAX_ADDRESSES = 4
#: Size of a socket's receive buffer.
RECEIVED_BYTES = 32_768

#: (family, type, protocol, canonical name, socket address), as `getaddrinfo` returns it.
AddressInfo = tuple[int | socket.AddressFamily, int | socket.SocketKind, int, str, tuple[Any, ...]]


class Resolved(TypedDict):
    """One address that a name resolves to."""

    hostname: str
    host: str
    port: int
    family: int
    proto: int
    flags: int


class Resolver(Protocol):
    """Looks up names."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[Resolved]:
        """Return the addresses of `host`, best first.

        Raises:
            OSError: there are none, or the lookup failed; `socket.gaierror` says which.
        """

    async def close(self) -> None:
        """Release what the resolver holds."""


class BlockedAddress(OSError):
    """An address that callbacks must not reach. The message does not name it: strangers may get to see the message."""

    def __init__(self) -> None:
        super().__init__("address is not allowed for callbacks")


class LookupTimeout(OSError):
    """A name was not resolved in time."""


@dataclass(frozen=True, slots=True)
class SsrfGuard:
    """Decides by the address of a socket, not by the URL.

    Args:
        allow: CIDRs that may be reached although they are private.
        public: whether public addresses may be reached. Over plain http they may not.
    """

    allow: tuple[Network, ...] = ()
    public: bool = True

    def check(self, host: str) -> None:
        """Raise `BlockedAddress` unless `host` is an address that may be reached."""
        try:
            address = ip_address(host)
        except ValueError:
            raise BlockedAddress from None
        if not (is_allowed(address, self.allow) or (self.public and is_public(address))):
            raise BlockedAddress

    def open(self, info: AddressInfo) -> socket.socket:
        """Return an unconnected socket for an address. Every connection passes here, to a name or to an address.

        Raises:
            BlockedAddress: the address must not be reached.
        """
        family, kind, protocol, _, address = info
        self.check(address[0])
        # An IPv6 scope id names a network interface of this machine.
        if len(address) == 4 and address[3]:
            raise BlockedAddress
        opened = socket.socket(family, kind, protocol)
        # asyncio reads all that has arrived at once: by default up to a quarter of a megabyte for each request.
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVED_BYTES)
        return opened


class SystemResolver:
    """Asks the operating system, on a thread of the event loop's default executor."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[Resolved]:
        found = await asyncio.get_running_loop().getaddrinfo(
            host, port, type=socket.SOCK_STREAM, family=family, flags=socket.AI_ADDRCONFIG
        )
        return [
            Resolved(hostname=host, host=_text(address), port=port, family=of, proto=proto, flags=socket.AI_NUMERICHOST)
            for of, _, proto, _, address in found
            # For an IP version that this Python was built without, the address is not text.
            if isinstance(address[0], str)
        ]

    async def close(self) -> None:
        return


class VettingResolver:
    """Resolves with `inner`, and refuses a name if any of its addresses is refused.

    Simultaneous lookups of one name share one lookup, so that a name server that hangs costs one thread.
    """

    def __init__(self, inner: Resolver, guard: SsrfGuard, timeout_seconds: float) -> None:
        self._inner = inner
        self._guard = guard
        self._timeout = timeout_seconds
        self._running: dict[tuple[str, int, int], asyncio.Task[list[Resolved]]] = {}

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[Resolved]:
        lookup = self._lookup(host, port, family)
        try:
            async with asyncio.timeout(self._timeout):
                found = await asyncio.shield(lookup)
        except TimeoutError:
            raise LookupTimeout("name lookup took too long") from None
        for each in found:
            self._guard.check(each["host"])
        return _few(found)

    async def close(self) -> None:
        lookups = list(self._running.values())
        for lookup in lookups:
            lookup.cancel()
        await asyncio.gather(*lookups, return_exceptions=True)
        await self._inner.close()

    def _lookup(self, host: str, port: int, family: socket.AddressFamily) -> asyncio.Task[list[Resolved]]:
        key = (host, port, family)
        lookup = self._running.get(key)
        if lookup is None:
            lookup = asyncio.get_running_loop().create_task(self._inner.resolve(host, port, family))
            self._running[key] = lookup
            lookup.add_done_callback(lambda done: self._forget(key, done))
        return lookup

    def _forget(self, key: tuple[str, int, int], done: asyncio.Task[list[Resolved]]) -> None:
        del self._running[key]
        # Every caller may have given up. asyncio would then report that no one has seen the exception.
        if not done.cancelled():
            done.exception()


def _text(address: tuple[Any, ...]) -> str:
    """Return an address as text, with its scope id if it has one: the guard refuses those."""
    host: str = address[0]
    return f"{host}%{address[3]}" if len(address) == 4 and address[3] and "%" not in host else host


def _few(found: Sequence[Resolved]) -> list[Resolved]:
    families: dict[int, list[Resolved]] = {}
    for each in found:
        families.setdefault(each["family"], []).append(each)
    turns = chain.from_iterable(zip_longest(*families.values()))
    return [each for each in turns if each is not None][:MAX_ADDRESSES]
