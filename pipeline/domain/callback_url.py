"""Callback URLs: which ones are allowed, and which endpoint a URL belongs to. Message targets are callback URLs, too.

The accepted grammar is deliberately stricter than the web's. Parsers disagree about backslashes, user names, percent
signs and numbers in the host. Only URLs that no parser can misread are accepted; the rest are rejected with a reason.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import ip_network

from pipeline.domain.bounds import invalid
from pipeline.domain.ip_ranges import Address, Network, is_allowed, is_public
from pipeline.domain.urls.host import (
    UrlProblem,
    bracketed,
    check_characters,
    parse_address,
    parse_host,
    parse_port,
    split_url,
)
from pipeline.domain.urls.target_url import SCHEMES as TARGET_SCHEMES
from pipeline.domain.urls.target_url import parse_target
from pipeline.errors import InvalidArgument, escape_braces

#: The only ports allowed below 1024.
WEB_PORTS = frozenset({80, 443})
#: Ports of databases, queues and control planes, which are not allowed.
FORBIDDEN_PORTS = frozenset(
    {1433, 1521, 2049, 2375, 2376, 2379, 2380, 3306, 3389, 4369, 5432, 5672, 5984, 6379, 9042, 9092, 9200, 9300, 10250}
    | {11211, 15672, 25672, 27017}
)

_DEFAULT_PORTS = {"http": 80, "https": 443}
#: What to use instead of a scheme that is not encrypted.
_ENCRYPTED = {"http": "https", "amqp": "amqps", "redis": "rediss", "nats": "tls"}
#: Characters of a URL shown in messages.
_SHOWN = 100
_LOOPBACK = "127.0.0.0/8,::1/128"


class InvalidCallbackUrl(InvalidArgument):
    """A callback URL is malformed or ambiguous."""

    code = "invalid_callback_url"


class ForbiddenCallbackUrl(InvalidArgument):
    """A callback URL is well formed, but this deployment does not call its scheme, port or address."""

    code = "forbidden_callback_url"


@dataclass(frozen=True, slots=True)
class Callback:
    """A normalized callback URL and its endpoint `scheme://host:port`. The repr omits path and query.

    Of a message target that is a connection, `host` is its name; without a port, `port` is 0.
    """

    url: str
    origin: str
    scheme: str
    host: str
    port: int

    def __repr__(self) -> str:
        return f"Callback(origin={self.origin!r})"

    @property
    def is_target(self) -> bool:
        """Whether it takes messages, not HTTP requests."""
        return self.scheme not in _DEFAULT_PORTS

    @property
    def is_encrypted(self) -> bool:
        return self.scheme not in _ENCRYPTED

    @property
    def address(self) -> Address | None:
        """The host if it is an IP address; None if it is a name."""
        return parse_address(self.host)


def check_callback_url(url: str, allow: Sequence[Network] = (), *, name: str = "callback_url") -> Callback:
    """Return the normalized URL of a webhook if callbacks may be sent to it. For others see `Destinations.check`.

    https is allowed to any public host. http is allowed only to addresses in `allow` and, if `allow` is not empty, to
    host names; the addresses that a name resolves to are checked when the socket opens.

    Args:
        allow: private networks that callbacks may reach (`PIPELINE_ALLOW_PRIVATE_CALLBACKS`).
        name: what messages call the URL.

    Raises:
        InvalidCallbackUrl: it is not an absolute http(s) URL, or parsers may read it differently.
        ForbiddenCallbackUrl: its scheme, port or address is not allowed. Messages never show the user name or query.
    """
    callback = parse_callback_url(url, name=name)
    try:
        if callback.is_target:
            raise UrlProblem("is a message target, not a webhook; use a URL that begins with https://")
        _check_port(callback)
        check_reachable(callback, allow)
    except UrlProblem as problem:
        raise ForbiddenCallbackUrl(url_message(url, problem), name) from None
    return callback


def parse_origin(url: str) -> str:
    """Return the endpoint `scheme://host:port` of a callback URL.

    Raises:
        InvalidCallbackUrl: it is not a valid callback URL; one that passed `check_callback_url` always is.
    """
    return parse_callback_url(url).origin


def parse_callback_url(url: str, *, name: str = "callback_url") -> Callback:
    """Return the parts of a callback URL, or of a message target's, whether or not this deployment would call it.

    Raises:
        InvalidCallbackUrl: it is not an absolute URL of a known scheme, or parsers may read it differently.
    """
    if not isinstance(url, str):
        raise invalid(name, url, "a URL that begins with https://")
    try:
        return _parse(url)
    except UrlProblem as problem:
        raise InvalidCallbackUrl(url_message(url, problem), name) from None


def url_message(url: str, problem: UrlProblem) -> str:
    """Return the message for a URL, showing only scheme and host: credentials, path and query may be secret."""
    scheme, slashes, rest = url.rpartition("://") if "://" in url.partition("?")[0] else ("", "", url)
    host = rest.replace("\\", "/").partition("?")[0].partition("#")[0].partition("/")[0].rpartition("@")[2]
    shown = f"{scheme}{slashes}{host}"
    ellipsis = "" if shown == url.removesuffix("/") else "…"
    return "{0} " + escape_braces(f"'{ascii(shown[:_SHOWN])[1:-1]}{ellipsis}' {problem}")


# Most batches have a single URL, and its parts are needed for every item.
@lru_cache(maxsize=4_096)
def _parse(url: str) -> Callback:
    scheme = url.partition(":")[0].lower()
    if scheme in TARGET_SCHEMES:
        return Callback(*parse_target(url))
    check_characters(url)
    parts = split_url(url)
    if parts.scheme not in _DEFAULT_PORTS or "://" not in url or not parts.netloc:
        raise UrlProblem("is not an absolute URL that begins with https:// and a host, nor that of a message target")
    if "@" in parts.netloc:
        raise UrlProblem(
            "contains a user name or password; remove it: receivers authenticate callbacks by their signature"
        )
    host = parse_host(parts.netloc)
    port = parse_port(parts, _DEFAULT_PORTS[parts.scheme])
    suffix = "" if port == _DEFAULT_PORTS[parts.scheme] else f":{port}"
    query = f"?{parts.query}" if parts.query else ""
    return Callback(
        url=f"{parts.scheme}://{bracketed(host)}{suffix}{parts.path or '/'}{query}",
        origin=f"{parts.scheme}://{bracketed(host)}:{port}",
        scheme=parts.scheme,
        host=host,
        port=port,
    )


def _check_port(callback: Callback) -> None:
    if callback.port in WEB_PORTS or (callback.port >= 1024 and callback.port not in FORBIDDEN_PORTS):
        return
    raise UrlProblem(
        f"has port {callback.port}, which is not allowed; use 443, 80, or a port above 1023 that is not the default "
        "port of a database or queue"
    )


def check_reachable(callback: Callback, allow: Sequence[Network]) -> None:
    """Check the host of a URL, as far as that is possible without looking it up.

    Raises:
        UrlProblem: it is private and not in `allow`, or public and the URL is not encrypted.
    """
    address = callback.address
    if is_allowed(address, allow) if address is not None else bool(allow):
        return
    if address is not None and not is_public(address):
        raise UrlProblem(f"has the private address {address}; {_how_to_allow(str(ip_network(address)))}")
    if callback.host == "localhost" or callback.host.endswith(".localhost"):
        raise UrlProblem(f"has the host {callback.host}, which is this machine; {_how_to_allow(_LOOPBACK)}")
    if not callback.is_encrypted:
        secure = _ENCRYPTED[callback.scheme]
        raise UrlProblem(f"is plain {callback.scheme}, which anyone along the way can read; use {secure}")


def _how_to_allow(networks: str) -> str:
    return f"if the receiver is your own, allow its network: PIPELINE_ALLOW_PRIVATE_CALLBACKS={networks}"
