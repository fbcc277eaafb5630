"""URLs in a text: where they end and which host they name, also when a password stands before the host.

Nobody encodes every password: `postgres://app:p@ss/w#rd@db.example.com` is common. The host is what follows the first
`@` that a registered domain follows, and nothing before it is read as anything else.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pipeline.stages.enrichers.hosts import HOST, MIXED_HOST, UNSPACED, HostReader

#: How much of a URL is searched for credentials, in bytes, and how many @ in it are tried.
MAX_AUTHORITY_BYTES = 4096
MAX_AT_SIGNS = 32

# A scheme is optional: "//user:password@host" is a URL too. So is what was meant to be one: "http:/", "http:\\\\".
_START = r"(?:[\w+.-]*:|^|[^\pL\pN:/\\⁄∕])(?:[/⁄∕]{2,4})|[\w+.-]{2,}:\\\\|\b[Hh][Tt]{2}[Pp][Ss]?[:;]?/{1,4}"
_CLOSING = r"""<>"'`()\[\]{},;|\\«»‹›„「」『』【】《》〈〉。、，"""
_SEGMENT = rf"[^\s/?#{_CLOSING}]*"
_TOKEN = r"\S*"
_REST = r"""[:/?#][^\s<>"`,;«»‹›„「」『』【】《》〈〉。、，]*"""
_PORT_OR_NONE = r"[^:]*(?::\d*)?"
_HOST_AFTER_AT = rf"({HOST})(?::\d*)?\.*(?:$|[{UNSPACED}]|[^\pL\pN\pM_.:@%+~!$&*=-])"


@dataclass(frozen=True, slots=True)
class FoundUrl:
    """Where a URL begins and ends in the text, in bytes, and the registered domain of its host."""

    start: int
    end: int
    domain: str | None


class UrlFinder:
    """Finds URLs of every scheme.

    Raises:
        ImportError: `re2` is not installed.
    """

    def __init__(self, hosts: HostReader) -> None:
        import re2

        self._hosts = hosts
        self._start, self._segment, self._rest = re2.compile(_START), re2.compile(_SEGMENT), re2.compile(_REST)
        self._token, self._no_password = re2.compile(_TOKEN), re2.compile(_PORT_OR_NONE)
        self._after_at = re2.compile(_HOST_AFTER_AT)
        self._host_patterns: tuple[Any, ...] = (re2.compile(MIXED_HOST), re2.compile(HOST))

    def find(self, text: bytes) -> Iterator[FoundUrl]:
        """Yield the URLs in `text`, which is UTF-8, in order."""
        end = 0
        for start in self._start.finditer(text):
            # A URL in the query of another one belongs to that.
            if start.start() >= end:
                domain, end = self._read_authority(text, start.end())
                rest = self._rest.match(text, end)
                end = rest.end() if rest else end
                yield FoundUrl(start.start(), end, domain)

    def _read_authority(self, text: bytes, start: int) -> tuple[str | None, int]:
        """Return the registered domain of the host that begins at `start` or after credentials, and where it ends."""
        tail = text[start : start + MAX_AUTHORITY_BYTES]
        segment, token = self._segment.match(tail)[0], self._token.match(tail)[0]
        is_secret_possible = b"@" in token
        if is_secret_possible and (b"@" in segment or not self._no_password.fullmatch(segment)):
            domain, end = self._skip_credentials(token)
            return domain, start + end
        for pattern in self._host_patterns:
            host = pattern.match(tail)
            if host:
                _, domain = self._hosts.find_domain(host[0].decode())
                if domain:
                    return domain, start + host.end()
        if not is_secret_possible:
            return None, start + len(segment)
        # No known host, but a user, perhaps, and a password that begins with a digit or a quotation mark.
        domain, end = self._skip_credentials(token)
        has_path = token[len(segment) : len(segment) + 1] in (b"/", b"?", b"#")
        return None if has_path else domain, start + end

    def _skip_credentials(self, token: bytes) -> tuple[str | None, int]:
        at = -1
        for _ in range(MAX_AT_SIGNS):
            at = token.find(b"@", at + 1)
            if at < 0:
                # A host without a registered domain, such as "localhost"; what follows the last @ is no secret.
                return None, token.rindex(b"@") + 1
            host = self._after_at.match(token, at + 1)
            if host:
                _, domain = self._hosts.find_domain(host[1].decode())
                if domain:
                    return domain, host.end(1)
        return None, len(token)
