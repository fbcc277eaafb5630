"""The one-word codes of what can go wrong before there is an answer."""

from __future__ import annotations

import errno
import socket
import ssl

import aiohttp

from pipeline.delivery.addresses import BlockedAddress, LookupTimeout
from pipeline.domain.delivery import BLOCKED, INTERNAL, TIMEOUT, UNUSABLE

_OF_ERRNO = {
    errno.ENETUNREACH: "network_unreachable",
    errno.EHOSTUNREACH: "network_unreachable",
    errno.EADDRNOTAVAIL: "network_unreachable",
    errno.EAFNOSUPPORT: "network_unreachable",
    errno.ETIMEDOUT: "connect_timeout",
    # aiohttp keeps the number and not the class.
    errno.ECONNRESET: "connection_reset",
    errno.ECONNABORTED: "connection_reset",
    errno.EPIPE: "connection_reset",
}
_NO_SUCH_NAME = {socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)}

# The first that fits; subclasses stand before their bases.
_OF_CLASS: tuple[tuple[type[BaseException] | tuple[type[BaseException], ...], str], ...] = (
    (BlockedAddress, BLOCKED),
    (LookupTimeout, "dns_timeout"),
    (aiohttp.ConnectionTimeoutError, "connect_timeout"),
    (TimeoutError, TIMEOUT),
    ((aiohttp.ClientConnectorCertificateError, ssl.SSLCertVerificationError), "tls_verify"),
    ((aiohttp.ClientConnectorSSLError, ssl.SSLError), "tls_handshake"),
    (aiohttp.InvalidURL, UNUSABLE),
    (aiohttp.ClientResponseError, "protocol_error"),
    (ConnectionRefusedError, "connection_refused"),
    (
        (aiohttp.ServerDisconnectedError, ConnectionResetError, BrokenPipeError, ConnectionAbortedError),
        "connection_reset",
    ),
)


def code_of(error: BaseException) -> str:
    """Return the code of what went wrong; `internal_error` for what no receiver can cause."""
    cause = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
    for kind, code in _OF_CLASS:
        if isinstance(cause, kind) or isinstance(error, kind):
            return code
    if isinstance(cause, socket.gaierror):
        return "dns_not_found" if cause.errno in _NO_SUCH_NAME else "dns_failure"
    if isinstance(cause, OSError):
        return _OF_ERRNO.get(cause.errno or 0, "connection_failed")
    return "connection_failed" if isinstance(error, aiohttp.ClientError) else INTERNAL
