"""Host names in a text: where they begin and end, and the registered domain that they belong to."""

from __future__ import annotations

from functools import cache
from typing import Any

#: RE2 classes of the letters of scripts without spaces between words, and of Hangul, Arabic and Hebrew, whose particles
#: are written onto the word. Next to a letter of another script, they end a host or an address: "请访问example.com".
UNSPACED = (
    r"\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}\p{Tibetan}\p{Hangul}\p{Arabic}\p{Hebrew}ー"
)
#: RE2 alternatives for one letter or mark of the other scripts.
SPACED = rf"[^\P{{L}}{UNSPACED}]|[^\P{{M}}{UNSPACED}]"

# Digits go with the other scripts: "请访问163.com".
_LABEL = rf"(?:(?:{SPACED}|[\pN_-])+|[{UNSPACED}_-]+)"
#: A host of two labels or more, each of which is in scripts with or without spaces.
HOST = rf"{_LABEL}(?:\.{_LABEL})+"
#: The same, with labels that mix both, except for the last one. In a URL, nothing else is glued to the first label.
MIXED_HOST = rf"(?:[\pL\pN\pM_-]+\.)+{_LABEL}"

# Letters of these look alike, and no registry accepts a name that mixes them.
_LOOKALIKE_SCRIPTS = (r"\p{Latin}", r"\p{Cyrillic}", r"\p{Greek}")


class HostReader:
    """Looks up registered domains in tldextract's bundled public suffix list, without the network.

    Raises:
        ImportError: `re2`, `idna` or `tldextract` is not installed.
    """

    def __init__(self) -> None:
        import idna
        import re2

        self._idna = idna
        self._scripts = [re2.compile(script) for script in _LOOKALIKE_SCRIPTS]
        self._suffixes = _read_suffixes()

    def find_domain(self, host: str) -> tuple[str, str | None]:
        """Return the host and its registered domain in ASCII, or None.

        A last label that is no public suffix, and begins like a sentence ("example.com.Thanks"), is dropped.
        """
        host = host.strip("-_")
        domain = self._registered_domain(host)
        shorter, _, last = host.rpartition(".")
        if domain is None and _is_sentence(last):
            host, domain = shorter, self._registered_domain(shorter)
        return host, domain

    def mixes_scripts(self, word: str) -> bool:
        """Return whether a word mixes letters of scripts that look alike."""
        return not word.isascii() and sum(bool(script.search(word)) for script in self._scripts) > 1

    def _registered_domain(self, host: str) -> str | None:
        domain = self._suffixes.extract_str(self._to_ascii(host)).top_domain_under_public_suffix
        # A service name such as _dmarc may stand before a registered domain, not in it.
        return domain if domain and "_" not in domain else None

    def _to_ascii(self, host: str) -> str:
        if host.isascii():
            return host.lower()
        if any(self.mixes_scripts(label) for label in host.split(".")):
            return ""
        try:
            return str(self._idna.encode(host, uts46=True), "ascii")
        except UnicodeError:
            return ""


@cache
def _read_suffixes() -> Any:
    from tldextract import TLDExtract

    # Without URLs to fetch a list from and without a cache, tldextract uses the list it ships with.
    return TLDExtract(suffix_list_urls=(), cache_dir=None)


def _is_sentence(label: str) -> bool:
    """Return whether a label begins like the next sentence: with a capital letter, or a character without case."""
    return label[:1].lower() == label[:1].upper() or (label[:1].isupper() and not label[1:].isupper())


def blank_out(text: bytes, spans: list[tuple[int, int]]) -> bytes:
    """Return `text` with `spans` overwritten by spaces, so that all positions stay the same."""
    if not spans:
        return text
    copy = bytearray(text)
    for start, end in spans:
        copy[start:end] = b" " * (end - start)
    return bytes(copy)
