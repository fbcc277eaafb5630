"""Hosts, ports and characters of URLs: only spellings that no parser can misread."""

from __future__ import annotations

from ipaddress import AddressValueError, IPv4Address, IPv6Address
from urllib.parse import SplitResult, urlsplit

from pipeline.domain.ip_ranges import Address

MAX_URL_LENGTH = 2_048
_FORBIDDEN_CHARACTERS = frozenset('\\<>"^`{|}#')
_HOST_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-_.")
_MAX_HOST_LENGTH, _MAX_LABEL_LENGTH = 253, 63


class UrlProblem(ValueError):
    """What is wrong with a URL, phrased to follow its name: "has …", "is …"."""


def check_characters(url: str) -> None:
    """Raise `UrlProblem` for a URL that is too long, or contains what parsers read differently."""
    if len(url) > MAX_URL_LENGTH:
        raise UrlProblem(f"has {len(url)} characters; at most {MAX_URL_LENGTH} are allowed")
    if not url.isascii():
        raise UrlProblem("contains non-ASCII characters; encode the host as xn--… and the rest as %XX")
    for character in url:
        if not "!" <= character <= "~":
            raise UrlProblem(f"contains a space or a control character ({character!r}); remove it")
        if character in _FORBIDDEN_CHARACTERS:
            raise UrlProblem(f"contains {character!r}, which is not allowed in callback URLs; remove or encode it")


def split_url(url: str) -> SplitResult:
    """Return the parts of a URL.

    Raises:
        UrlProblem: its host is in brackets and no IPv6 address.
    """
    try:
        return urlsplit(url)
    except ValueError:
        raise UrlProblem("has a host in brackets that is not an IPv6 address") from None


def parse_host(netloc: str) -> str:
    """Return the host of `host:port` in lower case, an IPv6 address without brackets.

    Raises:
        UrlProblem: it is neither a name nor an address, or parsers may read it differently.
    """
    if netloc.startswith("["):
        return _parse_ipv6(netloc)
    host = netloc.partition(":")[0].lower().removesuffix(".")
    labels = host.split(".")
    if not host or len(host) > _MAX_HOST_LENGTH or not all(map(_is_label, labels)):
        raise UrlProblem("has no valid host name or address")
    # Resolvers read 127.1, 2130706433 and 0x7f000001 as addresses, other parsers as names. Only one spelling is safe.
    if (labels[-1].isdigit() or labels[-1].startswith("0x")) and parse_address(host) is None:
        raise UrlProblem(f"has the host {host!r}; write an IPv4 address as four decimal numbers")
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
        raise UrlProblem("has a host in brackets that is not an IPv6 address, or has a zone")
    return str(address)


def parse_port(parts: SplitResult, default: int) -> int:
    """Return the port of a URL, or the default of its scheme.

    Raises:
        UrlProblem: it is not a number from 1 to 65535.
    """
    try:
        port = parts.port
    except ValueError:
        port = 0
    if port == 0:
        raise UrlProblem("has a port that is not a number from 1 to 65535")
    return default if port is None else port


def parse_address(host: str) -> Address | None:
    """Return the host as an IP address; None if it is a name."""
    try:
        return IPv6Address(host) if ":" in host else IPv4Address(host)
    except AddressValueError:
        return None


def bracketed(host: str) -> str:
    """Return a host as URLs have it: an IPv6 address in brackets."""
    return f"[{host}]" if ":" in host else host
