"""Normalizes texts, so that those a reader considers equal compare equal."""

from __future__ import annotations

import unicodedata


def normalize_nfc(text: str) -> str:
    """Return `text` with each accented letter as one character (Unicode NFC)."""
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def fold_case(text: str) -> str:
    """Return `text` in NFC without case distinctions; `ß` becomes `ss`."""
    if text.isascii():
        return text.lower()
    # Case folding can decompose a letter again.
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).casefold())
