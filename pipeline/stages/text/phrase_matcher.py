"""Finds many words and phrases in a text in one pass."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

from pipeline.stages.text.normal_form import fold, normalize

# Scripts written without spaces between words. Word boundaries are unknown there, so a match anywhere counts.
_UNSPACED = (
    (0x0E00, 0x0EFF),  # Thai, Lao
    (0x1000, 0x109F),  # Myanmar
    (0x1780, 0x17FF),  # Khmer
    (0x3040, 0x30FF),  # Hiragana, Katakana
    (0x3400, 0x9FFF),  # Han
    (0xF900, 0xFAFF),  # Han, compatibility
    (0x20000, 0x3FFFF),  # Han, supplementary
)


class PhraseMatcher:
    """Finds which of its phrases occur in a text, in one Aho–Corasick pass however many there are.

    Args:
        phrases: words or phrases; white space in a phrase matches any run of white space.
        is_case_sensitive: if False, phrases and texts are case-folded (`ß` equals `SS`).
        whole_words: whether a match must not be preceded or followed by a letter, digit or combining mark.

    Raises:
        ImportError: `ahocorasick_rs` is not installed.
    """

    def __init__(self, phrases: Sequence[str], *, is_case_sensitive: bool, whole_words: bool) -> None:
        from ahocorasick_rs import AhoCorasick, Implementation

        self._is_case_sensitive = is_case_sensitive
        self._whole_words = whole_words
        self._has_spaces = any(len(phrase.split()) > 1 for phrase in phrases)
        patterns = [normalize_phrase(phrase, is_case_sensitive=is_case_sensitive) for phrase in phrases]
        # A DFA reads one table cell per byte, but becomes too large beyond a few thousand words.
        implementation = Implementation.DFA if sum(map(len, patterns)) < 50_000 else Implementation.ContiguousNFA
        self._automaton = AhoCorasick(patterns, implementation=implementation, store_patterns=False)

    def find(self, text: str) -> set[int]:
        """Return the indexes of the phrases that occur in `text`."""
        text = _normalize(text, self._is_case_sensitive)
        if self._has_spaces:
            text = " ".join(text.split())
        matches = self._automaton.find_matches_as_indexes(text, overlapping=True)
        if not self._whole_words:
            return {index for index, _, _ in matches}
        return {index for index, start, end in matches if _is_whole_word(text, start, end)}


def normalize_phrase(phrase: str, *, is_case_sensitive: bool) -> str:
    """Return the form in which a phrase is searched for."""
    return " ".join(_normalize(phrase, is_case_sensitive).split())


def _normalize(text: str, is_case_sensitive: bool) -> str:
    return normalize(text) if is_case_sensitive else fold(text)


def _is_whole_word(text: str, start: int, end: int) -> bool:
    if start > 0 and _is_inside_word(text[start - 1], text[start]):
        return False
    return end == len(text) or not _is_inside_word(text[end - 1], text[end])


def _is_inside_word(left: str, right: str) -> bool:
    """Return whether two adjacent characters belong to the same word."""
    if left.isascii() and right.isascii():
        return left.isalnum() and right.isalnum()
    return _is_word_character(left) and _is_word_character(right) and not _is_unspaced(left) and not _is_unspaced(right)


def _is_word_character(char: str) -> bool:
    return char.isalnum() or unicodedata.category(char).startswith("M")


def _is_unspaced(char: str) -> bool:
    return any(first <= ord(char) <= last for first, last in _UNSPACED)
