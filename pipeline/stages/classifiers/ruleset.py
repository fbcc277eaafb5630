"""Compiled rules, and the search for the first one that matches a text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.domain.item import Classification
from pipeline.stages.classifiers.rule import Rule
from pipeline.stages.classifiers.rule_pattern import compile_pattern, searched_text
from pipeline.stages.text.phrase_matcher import PhraseMatcher, normalize_phrase


class Ruleset:
    """Classifies texts by the first rule that matches.

    Raises:
        InvalidDefinition: a pattern is not valid RE2.
        ImportError: `ahocorasick_rs` or `re2` is not installed.
    """

    def __init__(self, rules: Sequence[Rule], *, is_case_sensitive: bool, whole_words: bool) -> None:
        vocabulary = _build_vocabulary(rules, is_case_sensitive)
        ordered = sorted(enumerate(rules, 1), key=lambda entry: -entry[1].priority)
        self._is_case_sensitive = is_case_sensitive
        self._rules = [_compile_rule(rule, number, vocabulary, is_case_sensitive) for number, rule in ordered]
        self._matcher = PhraseMatcher(tuple(vocabulary), is_case_sensitive=is_case_sensitive, whole_words=whole_words)
        self._rules_by_word = _index_by_word(self._rules)
        self._rules_with_pattern = frozenset(
            index for index, rule in enumerate(self._rules) if rule.pattern is not None
        )

    def classify(self, text: str) -> Classification | None:
        """Return the answer of the first rule that matches, or None."""
        found = self._matcher.find(text)
        # Only rules with a found word or a pattern can match, so a thousand rules cost no more than ten.
        candidates = self._rules_with_pattern.union(*(self._rules_by_word.get(word, ()) for word in found))
        if self._rules_with_pattern:
            text = searched_text(text, is_case_sensitive=self._is_case_sensitive)
        for index in sorted(candidates):
            if self._rules[index].matches(found, text):
                return self._rules[index].answer
        return None


@dataclass(frozen=True, slots=True)
class _CompiledRule:
    """A rule whose words are indexes into the vocabulary."""

    answer: Classification
    any: frozenset[int]
    all: frozenset[int]
    none: frozenset[int]
    pattern: Any

    def matches(self, found: set[int], text: str) -> bool:
        if not self.all <= found or not self.none.isdisjoint(found):
            return False
        if not self.any.isdisjoint(found):
            return True
        if self.pattern is not None:
            return self.pattern.search(text) is not None
        return not self.any


def _build_vocabulary(rules: Sequence[Rule], is_case_sensitive: bool) -> dict[str, int]:
    words = (word for rule in rules for word in (*rule.any, *rule.all, *rule.none))
    normalized = dict.fromkeys(normalize_phrase(word, is_case_sensitive=is_case_sensitive) for word in words)
    return {word: index for index, word in enumerate(normalized)}


def _compile_rule(rule: Rule, number: int, vocabulary: dict[str, int], is_case_sensitive: bool) -> _CompiledRule:
    def indexes(words: tuple[str, ...]) -> frozenset[int]:
        return frozenset(vocabulary[normalize_phrase(word, is_case_sensitive=is_case_sensitive)] for word in words)

    pattern = compile_pattern(rule, number, is_case_sensitive=is_case_sensitive)
    return _CompiledRule(Classification(rule.label), indexes(rule.any), indexes(rule.all), indexes(rule.none), pattern)


def _index_by_word(rules: list[_CompiledRule]) -> dict[int, list[int]]:
    """Return, for each word, the indexes of the rules that may match if it occurs: those with it in `any` or `all`."""
    by_word: dict[int, list[int]] = {}
    for index, rule in enumerate(rules):
        for word in rule.any | rule.all:
            by_word.setdefault(word, []).append(index)
    return by_word
