"""A client's connection, as handlers reach it, and the register of all of them."""

from __future__ import annotations

import array
import asyncio
import fcntl
import socket
import struct
import termios
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from ipaddress import ip_address
from typing import cast

from starlette.types import Scope

from pipeline.http_api.server.client_pace import SendPace
from pipeline.http_api.server.limits import KIB, ServerLimits
from pipeline.settings import Network

#: The key in `scope["extensions"]`.
EXTENSION = "pipeline.connection"
#: Host of clients that connect through a Unix socket; also what trusts them in `--proxy`.
UNIX_CLIENT = "unix"
#: Bytes that the kernel holds for an event stream.
STREAM_BUFFER_BYTES = 128 * KIB
#: `tcpi_bytes_acked` in Linux's `struct tcp_info`.
_BYTES_ACKED = 120
_TCP_INFO_BYTES = 128
_VANISHED_AFTER = 1.25
_LINGER = struct.pack("ii", 1, 0)


class ClientConnection:
    """A client's connection."""

    def __init__(self, transport: asyncio.Transport, limits: ServerLimits) -> None:
        self._transport = transport
        self._socket: socket.socket | None = transport.get_extra_info("socket")
        self._pace = SendPace(limits)
        self._is_tcp = self._socket is not None and self._socket.family in (socket.AF_INET, socket.AF_INET6)
        if self._is_tcp and hasattr(socket, "TCP_USER_TIMEOUT"):
            # A client that vanished without a word: the kernel gives up on what it does not acknowledge. It tells the
            # client nothing, so it comes after `is_stalled`.
            seconds = _VANISHED_AFTER * limits.send_seconds
            self._set(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, round(seconds * 1000))

    def abort(self) -> None:
        """Cut the connection off, so that the client sees an error rather than an end.

        What was not sent is discarded: otherwise the kernel would keep it for as long as the client likes.
        """
        self._set(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER)
        self._transport.abort()

    def limit_buffer(self) -> None:
        """Have the kernel hold little for this client, so that one that does not read is found early. For streams."""
        self._set(socket.SOL_SOCKET, socket.SO_SNDBUF, STREAM_BUFFER_BYTES)

    def is_stalled(self, now: float) -> bool:
        """Return whether the client has taken nothing of what waits for it for too long."""
        waiting = self._transport.get_write_buffer_size()
        return self._pace.is_stalled(waiting=waiting, taken=self._taken(waiting) if waiting else 0, now=now)

    def _taken(self, waiting: int) -> int:
        """Return a number that changes when the client takes something."""
        assert self._socket is not None
        with suppress(OSError, AttributeError, struct.error):
            if self._is_tcp:
                info = self._socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO_BYTES)
                return cast(int, struct.unpack_from("<Q", info, _BYTES_ACKED)[0])
        unsent = array.array("i", [0])
        with suppress(OSError):
            fcntl.ioctl(self._socket.fileno(), termios.TIOCOUTQ, unsent)
        return waiting + unsent[0]

    def _set(self, level: int, option: int, value: int | bytes) -> None:
        # It may be closed already.
        with suppress(OSError, AttributeError):
            cast(socket.socket, self._socket).setsockopt(level, option, value)


def client_connection(scope: Scope) -> ClientConnection:
    """Return the connection of a request or a WebSocket."""
    return cast(ClientConnection, scope["extensions"][EXTENSION])


class ConnectionRegister:
    """The connections of a process.

    Args:
        proxies: networks whose addresses may have any number of connections.
    """

    def __init__(self, limits: ServerLimits, proxies: Sequence[Network] = ()) -> None:
        self.limits = limits
        self._proxies = proxies
        self._by_host: Counter[str] = Counter()
        self._total = 0

    def enter(self, host: str) -> bool:
        """Count a connection. Return False if there are too many; then it is counted all the same."""
        self._total += 1
        self._by_host[host] += 1
        limits = self.limits
        return self._total <= limits.connections and (
            self._by_host[host] <= limits.connections_per_address or self._is_proxy(host)
        )

    def leave(self, host: str) -> None:
        """Count a connection no more."""
        self._total -= 1
        self._by_host[host] -= 1
        if not self._by_host[host]:
            del self._by_host[host]

    def may_answer(self, host: str) -> bool:
        """Return whether a connection that is too many may be answered rather than cut off."""
        limits, more = self.limits, self.limits.refused_connections
        return self._total <= limits.connections + more and (
            self._by_host[host] <= limits.connections_per_address + more or self._is_proxy(host)
        )

    def _is_proxy(self, host: str) -> bool:
        if host == UNIX_CLIENT:
            return True
        address = ip_address(host.partition("%")[0])
        return any(address in network for network in self._proxies)
