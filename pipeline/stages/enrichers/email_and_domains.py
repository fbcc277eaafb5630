"""Finds email addresses and domains in a text."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

#: Top-level domains that are far more often file extensions; they count as domains only after `www.`, `//` or `@`.
FILE_EXTENSIONS = frozenset({"md", "mov", "py", "sh", "zip"})

_HOST = r"[\pL\pN\pM-]+(?:\.[\pL\pN\pM-]+)+"
_URL = r"""(?i)\b(?:https?|ftp)://([^\s/?#<>"'()\[\]{},;|\\]+)[^\s<>",;]*"""
# RFC 5322 allows more before the @, but people only use these; the rest is punctuation around an address.
_EMAIL = rf"([\pL\pN\pM._%+'~-]+)@({_HOST})"
_BARE_HOST = rf"(?:^|[^\pL\pN\pM._/\\@-])({_HOST})"


@dataclass(frozen=True, slots=True)
class FoundAddresses:
    """The addresses in a text, without duplicates, in order of appearance.

    Args:
        rest: the text with URLs and email addresses replaced by spaces.
    """

    emails: tuple[str, ...]
    domains: tuple[str, ...]
    rest: bytes


class AddressFinder:
    """Finds email addresses and domains offline: by RE2 patterns and by tldextract's bundled public suffix list.

    Raises:
        ImportError: `re2`, `email_validator`, `idna` or `tldextract` is not installed.
    """

    def __init__(self) -> None:
        import idna
        import re2
        from email_validator import EmailNotValidError, validate_email
        from tldextract import TLDExtract

        self._url, self._email, self._bare_host = re2.compile(_URL), re2.compile(_EMAIL), re2.compile(_BARE_HOST)
        self._idna = idna
        self._validate, self._invalid = validate_email, EmailNotValidError
        # Without URLs to fetch a list from and without a cache, tldextract uses the list it ships with.
        self._suffixes = TLDExtract(suffix_list_urls=(), cache_dir=None)

    def find(self, text: bytes) -> FoundAddresses:
        """Find the addresses in `text`, which is UTF-8."""
        domains: dict[int, str | None] = {}
        urls = list(self._url.finditer(text))
        for url in urls:
            domains[url.start()] = self._domain_of_authority(url.group(1).decode())
        # A password in a URL would look like an email address.
        text = blank_out(text, (url.span() for url in urls))
        matches = list(self._email.finditer(text))
        emails = []
        for email in matches:
            address, domains[email.start()] = self._check_email(email.group(1).decode(), email.group(2).decode())
            emails.append(address)
        text = blank_out(text, (email.span() for email in matches))
        for host in self._bare_host.finditer(text):
            if text[host.end() : host.end() + 1] != b"(":
                domains[host.start(1)] = self._domain_of_bare_host(host.group(1).decode())
        in_order = (domains[position] for position in sorted(domains))
        return FoundAddresses(_distinct(emails), _distinct(in_order), text)

    def _domain_of_authority(self, authority: str) -> str | None:
        return self._registered_domain(authority.rpartition("@")[2].partition(":")[0].rstrip(".!*_"))[1]

    def _check_email(self, local: str, host: str) -> tuple[str | None, str | None]:
        host, domain = self._registered_domain(host)
        if domain is None:
            return None, None
        address = local.lstrip(".'-~") + "@" + host
        try:
            checked = self._validate(address, check_deliverability=False)
        except self._invalid:
            return None, None
        return checked.normalized, domain

    def _domain_of_bare_host(self, host: str) -> str | None:
        host, domain = self._registered_domain(host)
        suffix = host.rpartition(".")[2]
        # "the end.Next sentence"
        is_sentence = suffix[:1].isupper() and not suffix.isupper()
        is_file = suffix.lower() in FILE_EXTENSIONS and not host.lower().startswith("www.")
        return None if is_sentence or is_file else domain

    def _registered_domain(self, host: str) -> tuple[str, str | None]:
        """Return the host and its registered domain in ASCII.

        A last label that is not a public suffix is taken for the beginning of the next sentence and dropped.
        """
        host = host.strip("-")
        for candidate in (host, host.rpartition(".")[0]):
            domain = self._suffixes.extract_str(self._to_ascii(candidate)).top_domain_under_public_suffix
            if domain:
                return candidate, domain
        return host, None

    def _to_ascii(self, host: str) -> str:
        if host.isascii():
            return host.lower()
        try:
            return str(self._idna.encode(host, uts46=True), "ascii")
        except UnicodeError:
            return ""


def blank_out(text: bytes, spans: Iterable[tuple[int, int]]) -> bytes:
    """Return `text` with `spans` overwritten by spaces, so that all positions stay the same."""
    copy = bytearray(text)
    for start, end in spans:
        copy[start:end] = b" " * (end - start)
    return bytes(copy)


def _distinct(values: Iterable[str | None]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(value for value in values if value))
