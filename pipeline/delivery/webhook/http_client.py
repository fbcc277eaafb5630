"""The HTTP client that callbacks are sent with: what it must do, and which one is used."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

from pipeline.delivery.rules.delivery import Answer
from pipeline.delivery.webhook.options import ClientOptions
from pipeline.domain.callback_url import Callback
from pipeline.domain.ip_ranges import Network

if TYPE_CHECKING:
    from pipeline.delivery.webhook.ssrf_guard import Resolver


class UnfitHeader(ValueError):
    """A header would end its line and start another."""


class HttpClient(Protocol):
    """Posts to receivers. Built and used inside one event loop.

    Every implementation must pass `tests/integration/delivery/test_http_client_conformance.py`. Beyond that, it must
    check the address of each socket before it connects: otherwise a callback URL can reach private addresses.
    """

    async def post(self, callback: Callback, headers: Mapping[str, str], body: bytes) -> Answer:
        """Send one request and return the response, or the code of what went wrong before there was a status.

        The status decides: once it has arrived, nothing that happens to the body turns it into an error. Redirects are
        not followed, cookies are not kept, and proxies from the environment are not used. Connections are reused. If a
        reused connection turns out to be closed before any byte of the response, the request is sent once more on a
        new connection.

        Args:
            callback: a URL that passed `check_callback_url`.
            headers: all headers except `Host` and `Content-Length`, in the order in which they are sent.
            body: the bytes to send, unchanged.

        Returns:
            `Answer.error` is one of `ssrf_blocked`, `dns_not_found`, `dns_failure`, `dns_timeout`,
            `connection_refused`, `connection_reset`, `connection_failed`, `network_unreachable`, `connect_timeout`,
            `timeout`, `tls_verify`, `tls_handshake`, and `protocol_error`.

        Raises:
            UnfitHeader: a header is more than one line; nothing was sent.
            Exception: a fault in this program, never in a receiver or the network.
        """

    async def close(self) -> None:
        """Close all connections. No request may be in flight."""


def open_http_client(allow: tuple[Network, ...], options: ClientOptions, resolver: Resolver | None) -> HttpClient:
    """Return the client that callbacks are sent with. To use another one, change this function.

    Args:
        allow: CIDRs that callbacks may reach although they are private, plain http included.
        resolver: looks up names; None: the operating system does.
    """
    from pipeline.delivery.webhook.http11_client import Http11Client

    return Http11Client(allow, options, resolver)
