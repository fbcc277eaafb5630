"""The guard: what a name resolves to is vetted as a whole, and every socket once more when it opens."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from itertools import chain, zip_longest
from typing import Any, Protocol, TypedDict

from pipeline.domain.ip_ranges import Network, is_allowed, is_public

#: Addresses of one name that are tried at the most, families taking turns.
MAX_ADDRESSES = 4
#: Of an answer, waiting to be read.
RECEIVED_BYTES = 32_768

#: (family, type, protocol, canonical name, socket address), as `getaddrinfo` gives it.
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

    async def close(self) -> None: ...


class BlockedAddress(OSError):
    """An address that callbacks must not reach. The message names none: it may be shown to a stranger."""

    def __init__(self) -> None:
        super().__init__("address is not allowed for callbacks")


class LookupTimeout(OSError):
    """A name was not resolved in time."""


@dataclass(frozen=True, slots=True)
class SsrfGuard:
    """Decides by the address itself, whatever the URL says.

    Args:
        allow: CIDRs that may be reached although private.
        public: whether public addresses may be reached; not over plain http.
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
        """Return a socket for an address that may be reached: literals, names and whatever comes all pass here."""
        family, kind, protocol, _, address = info
        self.check(address[0])
        # An IPv6 scope names an interface of this machine.
        if len(address) == 4 and address[3]:
            raise BlockedAddress
        opened = socket.socket(family, kind, protocol)
        # What came is read at one go: without a bound that is a quarter of a megabyte for each request.
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVED_BYTES)
        return opened


class SystemResolver:
    """Asks the operating system, on a thread of the event loop's pool."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[Resolved]:
        found = await asyncio.get_running_loop().getaddrinfo(
            host, port, type=socket.SOCK_STREAM, family=family, flags=socket.AI_ADDRCONFIG
        )
        return [
            Resolved(hostname=host, host=_text(address), port=port, family=of, proto=proto, flags=socket.AI_NUMERICHOST)
            for of, _, proto, _, address in found
            # The version of IP that this Python was built without has no text in its place.
            if isinstance(address[0], str)
        ]

    async def close(self) -> None:
        return


class VettingResolver:
    """Resolves with `inner`, and refuses a name of which any answer is refused.

    Lookups of one name that run at the same time are one lookup: a name server that hangs costs one thread.
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
        # Whoever asked may have given up: the failure then has no reader, which asyncio would report.
        if not done.cancelled():
            done.exception()


def _text(address: tuple[Any, ...]) -> str:
    """Return an address as text, with the interface that it belongs to: such a one is refused."""
    host: str = address[0]
    return f"{host}%{address[3]}" if len(address) == 4 and address[3] and "%" not in host else host


def _few(found: Sequence[Resolved]) -> list[Resolved]:
    families: dict[int, list[Resolved]] = {}
    for each in found:
        families.setdefault(each["family"], []).append(each)
    turns = chain.from_iterable(zip_longest(*families.values()))
    return [each for each in turns if each is not None][:MAX_ADDRESSES]
