"""Many words and phrases, found in a text in one pass."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

from pipeline.stages.text.text_folding import composed, folded

# Scripts written without spaces between words: a "whole word" cannot be told there, so every place counts.
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
    """Finds which of its words stand in a text: one Aho–Corasick pass, whatever their number.

    Args:
        words: words or phrases; white space inside a phrase stands for any run of white space.
        is_case_sensitive: otherwise both sides are case-folded (`ß` equals `SS`).
        is_whole: a word counts only where no letter, digit or combining mark continues it.

    Raises:
        ImportError: `ahocorasick_rs` is not installed.
    """

    def __init__(self, words: Sequence[str], *, is_case_sensitive: bool, is_whole: bool) -> None:
        from ahocorasick_rs import AhoCorasick, Implementation

        self._is_case_sensitive = is_case_sensitive
        self._is_whole = is_whole
        self._has_phrases = any(len(word.split()) > 1 for word in words)
        patterns = [normal(word, is_case_sensitive=is_case_sensitive) for word in words]
        # A DFA reads one table cell per byte; its size is a matter of concern only beyond some thousand words.
        implementation = Implementation.DFA if sum(map(len, patterns)) < 50_000 else Implementation.ContiguousNFA
        self._automaton = AhoCorasick(patterns, implementation=implementation, store_patterns=False)

    def find(self, text: str) -> set[int]:
        """Return the positions, in the sequence given, of the words that stand in `text`."""
        text = _composed(text, self._is_case_sensitive)
        if self._has_phrases:
            text = " ".join(text.split())
        matches = self._automaton.find_matches_as_indexes(text, overlapping=True)
        if not self._is_whole:
            return {word for word, _, _ in matches}
        return {word for word, start, end in matches if _stands_alone(text, start, end)}


def normal(word: str, *, is_case_sensitive: bool) -> str:
    """Return the form in which a word is searched."""
    return " ".join(_composed(word, is_case_sensitive).split())


def _composed(text: str, is_case_sensitive: bool) -> str:
    return composed(text) if is_case_sensitive else folded(text)


def _stands_alone(text: str, start: int, end: int) -> bool:
    if start > 0 and _continues(text[start - 1], text[start]):
        return False
    return end == len(text) or not _continues(text[end - 1], text[end])


def _continues(left: str, right: str) -> bool:
    """Whether no word boundary lies between two neighbours."""
    if left.isascii() and right.isascii():
        return left.isalnum() and right.isalnum()
    return _is_wordlike(left) and _is_wordlike(right) and not _is_unspaced(left) and not _is_unspaced(right)


def _is_wordlike(char: str) -> bool:
    return char.isalnum() or unicodedata.category(char).startswith("M")


def _is_unspaced(char: str) -> bool:
    return any(first <= ord(char) <= last for first, last in _UNSPACED)
