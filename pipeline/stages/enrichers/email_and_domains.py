"""E-mail addresses and domains in a text."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

#: Endings that are top-level domains and far more often files: taken for domains only after `www.`, `//` or `@`.
FILE_ENDINGS = frozenset({"md", "mov", "py", "sh", "zip"})

_HOST = r"[\pL\pN\pM-]+(?:\.[\pL\pN\pM-]+)+"
_URL = r"""(?i)\b(?:https?|ftp)://([^\s/?#<>"'()\[\]{},;|\\]+)[^\s<>",;]*"""
# Of what RFC 5322 allows before the @, only what people use: the rest is punctuation around an address.
_EMAIL = rf"([\pL\pN\pM._%+'~-]+)@({_HOST})"
_BARE_HOST = rf"(?:^|[^\pL\pN\pM._/\\@-])({_HOST})"


@dataclass(frozen=True, slots=True)
class Found:
    """What stands in a text, each once, in order; `rest` is the text with spaces in place of URLs and addresses."""

    emails: tuple[str, ...]
    domains: tuple[str, ...]
    rest: bytes


class Addresses:
    """Finds addresses without any network: syntax by RE2, endings by the public suffix list of the package.

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
        # No address to fetch a list from, no folder to keep it in: the list in the package is used.
        self._suffixes = TLDExtract(suffix_list_urls=(), cache_dir=None)

    def find(self, text: bytes) -> Found:
        """Return what stands in `text`, which is UTF-8."""
        domains: dict[int, str | None] = {}
        urls = list(self._url.finditer(text))
        for url in urls:
            domains[url.start()] = self._of_authority(url.group(1).decode())
        # A password in a URL would look like an address.
        text = blanked(text, (url.span() for url in urls))
        found = list(self._email.finditer(text))
        emails = []
        for email in found:
            address, domains[email.start()] = self._email_of(email.group(1).decode(), email.group(2).decode())
            emails.append(address)
        text = blanked(text, (email.span() for email in found))
        for host in self._bare_host.finditer(text):
            if text[host.end() : host.end() + 1] != b"(":
                domains[host.start(1)] = self._of_bare_host(host.group(1).decode())
        return Found(_distinct(emails), _distinct(domains[at] for at in sorted(domains)), text)

    def _of_authority(self, authority: str) -> str | None:
        return self._registered(authority.rpartition("@")[2].partition(":")[0].rstrip(".!*_"))[1]

    def _email_of(self, local: str, host: str) -> tuple[str | None, str | None]:
        host, domain = self._registered(host)
        if domain is None:
            return None, None
        address = local.lstrip(".'-~") + "@" + host
        try:
            checked = self._validate(address, check_deliverability=False)
        except self._invalid:
            return None, None
        return checked.normalized, domain

    def _of_bare_host(self, host: str) -> str | None:
        host, domain = self._registered(host)
        ending = host.rpartition(".")[2]
        # "the end.Next sentence"
        is_sentence = ending[:1].isupper() and not ending.isupper()
        is_file = ending.lower() in FILE_ENDINGS and not host.lower().startswith("www.")
        return None if is_sentence or is_file else domain

    def _registered(self, host: str) -> tuple[str, str | None]:
        """Return the host and its registered domain in ASCII; a last part that is no ending is the next sentence's."""
        host = host.strip("-")
        for candidate in (host, host.rpartition(".")[0]):
            domain = self._suffixes.extract_str(self._ascii(candidate)).top_domain_under_public_suffix
            if domain:
                return candidate, domain
        return host, None

    def _ascii(self, host: str) -> str:
        if host.isascii():
            return host.lower()
        try:
            return str(self._idna.encode(host, uts46=True), "ascii")
        except UnicodeError:
            return ""


def blanked(text: bytes, spans: Iterable[tuple[int, int]]) -> bytes:
    """Return `text` with spaces in place of `spans`: what stands elsewhere keeps its place."""
    copy = bytearray(text)
    for start, end in spans:
        copy[start:end] = b" " * (end - start)
    return bytes(copy)


def _distinct(values: Iterable[str | None]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(value for value in values if value))
