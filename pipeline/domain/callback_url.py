"""Callback URLs: what may be registered, and which endpoint a URL belongs to.

The grammar is stricter than the web's on purpose. Parsers differ about backslashes, user names, percent signs and
numbers in the host; what none of them can misread is accepted, the rest is refused with its reason.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import AddressValueError, IPv4Address, IPv6Address, ip_network
from urllib.parse import SplitResult, urlsplit

from pipeline.domain.ip_ranges import Address, Network, is_allowed, is_public
from pipeline.errors import InvalidArgument, as_it_is

MAX_URL_LENGTH = 2_048
#: Below 1024 only these; above, what is not a database, a queue or a control plane.
WEB_PORTS = frozenset({80, 443})
REFUSED_PORTS = frozenset(
    {1433, 1521, 2049, 2375, 2376, 2379, 2380, 3306, 3389, 4369, 5432, 5672, 5984, 6379, 9042, 9092, 9200, 9300, 10250}
    | {11211, 15672, 25672, 27017}
)

_DEFAULT_PORTS = {"http": 80, "https": 443}
_NEVER_IN_A_URL = frozenset('\\<>"^`{|}#')
_HOST_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-_.")
_HOST_LIMIT, _LABEL_LIMIT = 253, 63
#: Characters of a URL that messages show.
_SHOWN = 100


class InvalidCallbackUrl(InvalidArgument):
    """A callback URL cannot be read without doubt."""


class ForbiddenCallbackUrl(InvalidArgument):
    """A callback URL is well formed, but this deployment does not call such a place."""


class _Unfit(ValueError):
    """What is wrong with a URL, said without naming it."""


@dataclass(frozen=True, slots=True)
class Callback:
    """A callback URL in normal form, and its endpoint `scheme://host:port`. The repr leaves out path and query."""

    url: str
    origin: str
    scheme: str
    host: str
    port: int

    def __repr__(self) -> str:
        return f"Callback(origin={self.origin!r})"

    @property
    def address(self) -> Address | None:
        """The host, where it is an address and not a name."""
        return _address(self.host)


def check_callback_url(url: str, allow: Sequence[Network] = (), *, name: str = "callback_url") -> Callback:
    """Return a callback URL in normal form if it may be registered.

    https to any public host; http only to addresses in `allow`, or to names where anything is allowed at all: what such
    a name resolves to is checked when the socket opens.

    Args:
        allow: CIDRs that callbacks may reach although private (`PIPELINE_ALLOW_PRIVATE_CALLBACKS`).
        name: what to call it in messages.

    Raises:
        InvalidCallbackUrl: it is no absolute http(s) URL, or one that parsers may read differently.
        ForbiddenCallbackUrl: scheme, port or address are not for callbacks. Messages never show user name or query.
    """
    callback = parse(url, name=name)
    try:
        _check_port(callback)
        _check_reach(callback, allow)
    except _Unfit as error:
        raise ForbiddenCallbackUrl(_told(url, error), name) from None
    return callback


def origin(url: str) -> str:
    """Return the endpoint `scheme://host:port` of a callback URL.

    Raises:
        InvalidCallbackUrl: the URL never passed `check_callback_url`.
    """
    return parse(url).origin


# One URL per batch is the rule: its parts are asked for at every item.
@lru_cache(maxsize=4_096)
def parse(url: str, *, name: str = "callback_url") -> Callback:
    """Return the parts of a callback URL, whether or not this deployment calls it.

    Raises:
        InvalidCallbackUrl: it is no absolute http(s) URL, or one that parsers may read differently.
    """
    try:
        return _parse(url)
    except _Unfit as error:
        raise InvalidCallbackUrl(_told(url, error), name) from None


def _told(url: str, error: _Unfit) -> str:
    """Return what to say of a URL: where it leads. User name, password, path and query may be secret."""
    scheme, slashes, rest = url.rpartition("://") if "://" in url.partition("?")[0] else ("", "", url)
    place = rest.replace("\\", "/").partition("?")[0].partition("#")[0].partition("/")[0].rpartition("@")[2]
    hidden = "" if f"{scheme}{slashes}{place}" == url.removesuffix("/") else "…"
    return f"{{0}} '{as_it_is(ascii(f'{scheme}{slashes}{place}'[:_SHOWN])[1:-1])}{hidden}' {as_it_is(str(error))}"


def _parse(url: str) -> Callback:
    _check_characters(url)
    parts = _split(url)
    if parts.scheme not in _DEFAULT_PORTS or "://" not in url or not parts.netloc:
        raise _Unfit("is not an absolute URL that begins with https:// and a host")
    if "@" in parts.netloc:
        raise _Unfit("holds a user name or password; receivers know us by the signature: leave it")
    host = _host(parts.netloc)
    port = _port(parts)
    place = f"[{host}]" if ":" in host else host
    suffix = "" if port == _DEFAULT_PORTS[parts.scheme] else f":{port}"
    query = f"?{parts.query}" if parts.query else ""
    return Callback(
        url=f"{parts.scheme}://{place}{suffix}{parts.path or '/'}{query}",
        origin=f"{parts.scheme}://{place}:{port}",
        scheme=parts.scheme,
        host=host,
        port=port,
    )


def _check_characters(url: str) -> None:
    if len(url) > MAX_URL_LENGTH:
        raise _Unfit(f"has {len(url)} characters; at most {MAX_URL_LENGTH} are allowed")
    if not url.isascii():
        raise _Unfit("has characters outside ASCII; write the host as xn--…, the rest as %XX")
    for character in url:
        if not "!" <= character <= "~":
            raise _Unfit(f"holds a space or a control character ({character!r}); remove it")
        if character in _NEVER_IN_A_URL:
            raise _Unfit(f"holds {character!r}, which a callback URL cannot; remove or encode it")


def _split(url: str) -> SplitResult:
    try:
        return urlsplit(url)
    except ValueError:
        raise _Unfit("has a host in brackets that is no IPv6 address") from None


def _host(netloc: str) -> str:
    if netloc.startswith("["):
        return _ipv6(netloc)
    host = netloc.partition(":")[0].lower().removesuffix(".")
    labels = host.split(".")
    if not host or len(host) > _HOST_LIMIT or not all(map(_is_label, labels)):
        raise _Unfit("has no host that could be a name or an address")
    # Resolvers read 127.1, 2130706433 and 0x7f000001 as addresses, others as names: only one spelling is safe.
    if (labels[-1].isdigit() or labels[-1].startswith("0x")) and _address(host) is None:
        raise _Unfit(f"has the host {host!r}: write an address as four decimal numbers")
    return host


def _is_label(label: str) -> bool:
    fits = 0 < len(label) <= _LABEL_LIMIT and _HOST_CHARACTERS.issuperset(label)
    return fits and label[0] != "-" and label[-1] != "-"


def _ipv6(netloc: str) -> str:
    text, bracket, rest = netloc[1:].partition("]")
    try:
        address = IPv6Address(text)
    except AddressValueError:
        address = None
    if not bracket or rest[:1] not in ("", ":") or address is None or address.scope_id is not None:
        raise _Unfit("has a host in brackets that is no IPv6 address, or one with a zone")
    return str(address)


def _port(parts: SplitResult) -> int:
    try:
        port = parts.port
    except ValueError:
        port = 0
    if port == 0:
        raise _Unfit("has a port that is no number from 1 to 65535")
    return _DEFAULT_PORTS[parts.scheme] if port is None else port


def _address(host: str) -> Address | None:
    try:
        return IPv6Address(host) if ":" in host else IPv4Address(host)
    except AddressValueError:
        return None


def _check_port(callback: Callback) -> None:
    if callback.port in WEB_PORTS or (callback.port >= 1024 and callback.port not in REFUSED_PORTS):
        return
    raise _Unfit(
        f"has port {callback.port}, where no web server is expected; use 443, 80, or one from 1024 on "
        "that is not a database's or a queue's"
    )


def _check_reach(callback: Callback, allow: Sequence[Network]) -> None:
    address = callback.address
    listed = is_allowed(address, allow) if address is not None else bool(allow)
    if listed:
        return
    if address is not None and not is_public(address):
        raise _Unfit(f"has the private address {address}; {_remedy(str(ip_network(address)))}")
    if callback.host == "localhost" or callback.host.endswith(".localhost"):
        raise _Unfit(f"has the host {callback.host}, which is this machine; {_remedy(_LOOPBACK)}")
    if callback.scheme != "https":
        raise _Unfit("is plain http, which anyone on the way can read; use https")


_LOOPBACK = "127.0.0.0/8,::1/128"


def _remedy(networks: str) -> str:
    return f"if the receiver is your own, allow its network: PIPELINE_ALLOW_PRIVATE_CALLBACKS={networks}"
