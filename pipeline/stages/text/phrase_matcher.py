"""Finds many words and phrases in a text in one pass."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.stages.text.normal_form import fold, normalize
from pipeline.stages.text.word_boundaries import may_begin, may_end


class PhraseMatcher:
    """Finds which of its phrases occur in a text, in one Aho–Corasick pass however many there are.

    Args:
        phrases: words or phrases; white space in a phrase matches any run of white space.
        is_case_sensitive: if False, phrases and texts are case-folded (`ß` equals `SS`).
        whole_words: whether a match must begin and end where a word may.

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
        return {index for index, start, end in matches if may_begin(text, start) and may_end(text, end)}


def normalize_phrase(phrase: str, *, is_case_sensitive: bool) -> str:
    """Return the form in which a phrase is searched for."""
    return " ".join(_normalize(phrase, is_case_sensitive).split())


def _normalize(text: str, is_case_sensitive: bool) -> str:
    return normalize(text) if is_case_sensitive else fold(text)
