"""Callback URLs: which ones are allowed, and which endpoint a URL belongs to.

The accepted grammar is deliberately stricter than the web's. Parsers disagree about backslashes, user names, percent
signs and numbers in the host. Only URLs that no parser can misread are accepted; the rest are rejected with a reason.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import AddressValueError, IPv4Address, IPv6Address, ip_network
from urllib.parse import SplitResult, urlsplit

from pipeline.domain.bounds import invalid
from pipeline.domain.ip_ranges import Address, Network, is_allowed, is_public
from pipeline.errors import InvalidArgument, escape_braces

MAX_URL_LENGTH = 2_048
#: The only ports allowed below 1024.
WEB_PORTS = frozenset({80, 443})
#: Ports of databases, queues and control planes, which are not allowed.
FORBIDDEN_PORTS = frozenset(
    {1433, 1521, 2049, 2375, 2376, 2379, 2380, 3306, 3389, 4369, 5432, 5672, 5984, 6379, 9042, 9092, 9200, 9300, 10250}
    | {11211, 15672, 25672, 27017}
)

_DEFAULT_PORTS = {"http": 80, "https": 443}
_FORBIDDEN_CHARACTERS = frozenset('\\<>"^`{|}#')
_HOST_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-_.")
_MAX_HOST_LENGTH, _MAX_LABEL_LENGTH = 253, 63
#: Characters of a URL shown in messages.
_SHOWN = 100
_LOOPBACK = "127.0.0.0/8,::1/128"


class InvalidCallbackUrl(InvalidArgument):
    """A callback URL is malformed or ambiguous."""

    code = "invalid_callback_url"


class ForbiddenCallbackUrl(InvalidArgument):
    """A callback URL is well formed, but this deployment does not call its scheme, port or address."""

    code = "forbidden_callback_url"


class _UrlProblem(ValueError):
    """What is wrong with a URL, phrased to follow its name: "has …", "is …"."""


@dataclass(frozen=True, slots=True)
class Callback:
    """A normalized callback URL and its endpoint `scheme://host:port`. The repr omits path and query."""

    url: str
    origin: str
    scheme: str
    host: str
    port: int

    def __repr__(self) -> str:
        return f"Callback(origin={self.origin!r})"

    @property
    def address(self) -> Address | None:
        """The host if it is an IP address; None if it is a name."""
        return _parse_address(self.host)


def check_callback_url(url: str, allow: Sequence[Network] = (), *, name: str = "callback_url") -> Callback:
    """Return the normalized callback URL if callbacks may be sent to it.

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
        _check_port(callback)
        _check_reachable(callback, allow)
    except _UrlProblem as problem:
        raise ForbiddenCallbackUrl(_message(url, problem), name) from None
    return callback


def parse_origin(url: str) -> str:
    """Return the endpoint `scheme://host:port` of a callback URL.

    Raises:
        InvalidCallbackUrl: it is not a valid callback URL; one that passed `check_callback_url` always is.
    """
    return parse_callback_url(url).origin


def parse_callback_url(url: str, *, name: str = "callback_url") -> Callback:
    """Return the parts of a callback URL, whether or not this deployment would call it.

    Raises:
        InvalidCallbackUrl: it is not an absolute http(s) URL, or parsers may read it differently.
    """
    if not isinstance(url, str):
        raise invalid(name, url, "a URL that begins with https://")
    try:
        return _parse(url)
    except _UrlProblem as problem:
        raise InvalidCallbackUrl(_message(url, problem), name) from None


def _message(url: str, problem: _UrlProblem) -> str:
    """Return the message for a URL, showing only scheme and host: credentials, path and query may be secret."""
    scheme, slashes, rest = url.rpartition("://") if "://" in url.partition("?")[0] else ("", "", url)
    host = rest.replace("\\", "/").partition("?")[0].partition("#")[0].partition("/")[0].rpartition("@")[2]
    shown = f"{scheme}{slashes}{host}"
    ellipsis = "" if shown == url.removesuffix("/") else "…"
    return "{0} " + escape_braces(f"'{ascii(shown[:_SHOWN])[1:-1]}{ellipsis}' {problem}")


# Most batches have a single URL, and its parts are needed for every item.
@lru_cache(maxsize=4_096)
def _parse(url: str) -> Callback:
    _check_characters(url)
    parts = _split(url)
    if parts.scheme not in _DEFAULT_PORTS or "://" not in url or not parts.netloc:
        raise _UrlProblem("is not an absolute URL that begins with https:// and a host")
    if "@" in parts.netloc:
        raise _UrlProblem(
            "contains a user name or password; remove it: receivers authenticate callbacks by their signature"
        )
    host = _parse_host(parts.netloc)
    port = _parse_port(parts)
    bracketed = f"[{host}]" if ":" in host else host
    suffix = "" if port == _DEFAULT_PORTS[parts.scheme] else f":{port}"
    query = f"?{parts.query}" if parts.query else ""
    return Callback(
        url=f"{parts.scheme}://{bracketed}{suffix}{parts.path or '/'}{query}",
        origin=f"{parts.scheme}://{bracketed}:{port}",
        scheme=parts.scheme,
        host=host,
        port=port,
    )


def _check_characters(url: str) -> None:
    if len(url) > MAX_URL_LENGTH:
        raise _UrlProblem(f"has {len(url)} characters; at most {MAX_URL_LENGTH} are allowed")
    if not url.isascii():
        raise _UrlProblem("contains non-ASCII characters; encode the host as xn--… and the rest as %XX")
    for character in url:
        if not "!" <= character <= "~":
            raise _UrlProblem(f"contains a space or a control character ({character!r}); remove it")
        if character in _FORBIDDEN_CHARACTERS:
            raise _UrlProblem(f"contains {character!r}, which is not allowed in callback URLs; remove or encode it")


def _split(url: str) -> SplitResult:
    try:
        return urlsplit(url)
    except ValueError:
        raise _UrlProblem("has a host in brackets that is not an IPv6 address") from None


def _parse_host(netloc: str) -> str:
    if netloc.startswith("["):
        return _parse_ipv6(netloc)
    host = netloc.partition(":")[0].lower().removesuffix(".")
    labels = host.split(".")
    if not host or len(host) > _MAX_HOST_LENGTH or not all(map(_is_label, labels)):
        raise _UrlProblem("has no valid host name or address")
    # Resolvers read 127.1, 2130706433 and 0x7f000001 as addresses, other parsers as names. Only one spelling is safe.
    if (labels[-1].isdigit() or labels[-1].startswith("0x")) and _parse_address(host) is None:
        raise _UrlProblem(f"has the host {host!r}; write an IPv4 address as four decimal numbers")
    return host


def _is_label(label: str) -> bool:
    is_allowed_text = 0 < len(label) <= _MAX_LABEL_LENGTH and _HOST_CHARACTERS.issuperset(label)
    return is_allowed_text and label[0] != "-" and label[-1] != "-"


def _parse_ipv6(netloc: str) -> str:
    text, bracket, rest = netloc[1:].partition("]")
    try:
        address = IPv6Address(text)
    except AddressValueError:
        address = None
    if not bracket or rest[:1] not in ("", ":") or address is None or address.scope_id is not None:
        raise _UrlProblem("has a host in brackets that is not an IPv6 address, or has a zone")
    return str(address)


def _parse_port(parts: SplitResult) -> int:
    try:
        port = parts.port
    except ValueError:
        port = 0
    if port == 0:
        raise _UrlProblem("has a port that is not a number from 1 to 65535")
    return _DEFAULT_PORTS[parts.scheme] if port is None else port


def _parse_address(host: str) -> Address | None:
    try:
        return IPv6Address(host) if ":" in host else IPv4Address(host)
    except AddressValueError:
        return None


def _check_port(callback: Callback) -> None:
    if callback.port in WEB_PORTS or (callback.port >= 1024 and callback.port not in FORBIDDEN_PORTS):
        return
    raise _UrlProblem(
        f"has port {callback.port}, which is not allowed; use 443, 80, or a port above 1023 that is not the default "
        "port of a database or queue"
    )


def _check_reachable(callback: Callback, allow: Sequence[Network]) -> None:
    address = callback.address
    if is_allowed(address, allow) if address is not None else bool(allow):
        return
    if address is not None and not is_public(address):
        raise _UrlProblem(f"has the private address {address}; {_how_to_allow(str(ip_network(address)))}")
    if callback.host == "localhost" or callback.host.endswith(".localhost"):
        raise _UrlProblem(f"has the host {callback.host}, which is this machine; {_how_to_allow(_LOOPBACK)}")
    if callback.scheme != "https":
        raise _UrlProblem("is plain http, which anyone along the way can read; use https")


def _how_to_allow(networks: str) -> str:
    return f"if the receiver is your own, allow its network: PIPELINE_ALLOW_PRIVATE_CALLBACKS={networks}"
