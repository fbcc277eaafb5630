"""A connection to a server whose address is checked when its socket opens."""

from __future__ import annotations

import http.client
import socket
import ssl
from ipaddress import ip_address

from pipeline.domain.ip_ranges import is_allowed, is_public
from pipeline.sources.source_access import SourceAccess


class RefusedAddress(OSError):
    """An address that may not be reached on behalf of others."""


class GuardedConnection(http.client.HTTPSConnection):
    """A connection over TLS. Whatever a name resolves to is checked, not the name.

    Args:
        access: what may be reached.
        context: verifies the server.
        timeout: seconds without any byte.
    """

    def __init__(self, host: str, port: int, access: SourceAccess, context: ssl.SSLContext, timeout: float) -> None:
        super().__init__(host, port, timeout=timeout, context=context)
        self._access, self._tls = access, context

    def connect(self) -> None:
        """Open the socket.

        Raises:
            RefusedAddress: an address of the host may not be reached.
        """
        found = socket.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM)
        for _, _, _, _, address in found:
            self._check(str(address[0]))
        failure: OSError | None = None
        for family, kind, protocol, _, address in found:
            opened = socket.socket(family, kind, protocol)
            try:
                opened.settimeout(self.timeout)
                opened.connect(address)
                self.sock = self._tls.wrap_socket(opened, server_hostname=self.host)
            except OSError as error:
                opened.close()
                failure = error
            else:
                return
        raise failure or OSError("the name has no address")

    def _check(self, host: str) -> None:
        if self._access.is_local_user:
            return
        address = ip_address(host)
        if not (is_public(address) or is_allowed(address, self._access.allow)):
            raise RefusedAddress("the address may not be reached")
