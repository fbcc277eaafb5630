"""What can go wrong before there is a status, and the code for each."""

from __future__ import annotations

import errno
import socket
import ssl

from pipeline.delivery.rules.delivery import BLOCKED, INTERNAL, TIMEOUT
from pipeline.delivery.webhook.ssrf_guard import BlockedAddress, LookupTimeout


class ConnectTimeout(Exception):
    """Name lookup, TCP and TLS took longer than `connect_seconds`."""


class MalformedResponse(Exception):
    """The received bytes are not an HTTP response, or its headers exceed the limits."""


class ConnectionLost(OSError):
    """A connection ended before there was a status.

    It carries the errno of its cause and not the cause's class, so that it is never mistaken for a timeout.
    """

    def __init__(self, cause: Exception | None = None) -> None:
        # Without a cause, the receiver closed the connection cleanly.
        super().__init__(errno.ECONNRESET if cause is None else getattr(cause, "errno", None), "the connection is lost")


_OF_ERRNO = {
    errno.ENETUNREACH: "network_unreachable",
    errno.EHOSTUNREACH: "network_unreachable",
    errno.EADDRNOTAVAIL: "network_unreachable",
    errno.EAFNOSUPPORT: "network_unreachable",
    errno.ETIMEDOUT: "connect_timeout",
    errno.ECONNRESET: "connection_reset",
    errno.ECONNABORTED: "connection_reset",
    errno.EPIPE: "connection_reset",
}
_NO_SUCH_NAME = {socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)}

# The first match counts; subclasses precede their bases.
_OF_CLASS: tuple[tuple[type[BaseException] | tuple[type[BaseException], ...], str], ...] = (
    (BlockedAddress, BLOCKED),
    (LookupTimeout, "dns_timeout"),
    (ConnectTimeout, "connect_timeout"),
    (TimeoutError, TIMEOUT),
    (ssl.SSLCertVerificationError, "tls_verify"),
    (ssl.SSLError, "tls_handshake"),
    (MalformedResponse, "protocol_error"),
    (ConnectionRefusedError, "connection_refused"),
    ((ConnectionResetError, BrokenPipeError, ConnectionAbortedError), "connection_reset"),
)


def code_of(error: BaseException) -> str:
    """Return the code of an error; `internal_error` if neither a receiver nor the network can cause it."""
    for kind, code in _OF_CLASS:
        if isinstance(error, kind):
            return code
    if isinstance(error, socket.gaierror):
        return "dns_not_found" if error.errno in _NO_SUCH_NAME else "dns_failure"
    if isinstance(error, OSError):
        return _OF_ERRNO.get(error.errno or 0, "connection_failed")
    return INTERNAL
