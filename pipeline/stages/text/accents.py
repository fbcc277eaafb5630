"""Removes accents, to compare names as people type them without."""

from __future__ import annotations

# The patterns are constants.
import re  # noqa: TID251
import unicodedata

# Accents, Hebrew points and Arabic vowel signs, which people omit. Not the breve of й, which is another letter than и,
# and not the vowel signs of other scripts, without which a word is another word.
_ACCENTS = re.compile("(?<![иИ])[\u0300-\u036f]|[\u0591-\u05bd\u05bf-\u05c7\u064b-\u0655\u0670]")
# Letters that have no decomposition, as people type them on other keyboards.
_LETTERS = str.maketrans(
    {"ø": "o", "æ": "ae", "œ": "oe", "đ": "d", "ð": "d", "þ": "th", "ł": "l", "ħ": "h", "ŧ": "t", "ı": "i"}
)


def remove_accents(text: str) -> str:
    """Return a folded text without accents: `société` becomes `societe`."""
    if text.isascii():
        return text
    decomposed = unicodedata.normalize("NFD", text.translate(_LETTERS))
    return unicodedata.normalize("NFC", _ACCENTS.sub("", decomposed))
