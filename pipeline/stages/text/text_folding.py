"""Texts that a reader takes for the same, made the same."""

from __future__ import annotations

import unicodedata


def composed(text: str) -> str:
    """Return `text` with each accented letter as one character (NFC)."""
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def folded(text: str) -> str:
    """Return `text` without differences of case; `ß` becomes `ss`."""
    if text.isascii():
        return text.lower()
    # Folding can take a composed letter apart.
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).casefold())
