"""Rules made ready: which of them a text matches first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.domain.item import Classification
from pipeline.errors import InvalidDefinition
from pipeline.stages.classifiers.rule import Rule
from pipeline.stages.text.phrase_matcher import PhraseMatcher, normal


class Ruleset:
    """Answers for a text what the first matching rule says.

    Raises:
        InvalidDefinition: a pattern is not RE2.
        ImportError: `ahocorasick_rs` or `re2` is not installed.
    """

    def __init__(self, rules: Sequence[Rule], *, is_case_sensitive: bool, is_whole: bool) -> None:
        numbers = _numbered(rules, is_case_sensitive)
        ordered = sorted(enumerate(rules, 1), key=lambda entry: -entry[1].priority)
        self._rules = [_compiled(rule, position, numbers, is_case_sensitive) for position, rule in ordered]
        self._vocabulary = PhraseMatcher(tuple(numbers), is_case_sensitive=is_case_sensitive, is_whole=is_whole)
        self._rules_of = _by_word(self._rules)
        self._always = frozenset(at for at, rule in enumerate(self._rules) if rule.pattern is not None)

    def answer(self, text: str) -> Classification | None:
        """Return the answer of the first rule that matches, or None."""
        found = self._vocabulary.find(text)
        # Only rules of which a word was found can match: a thousand rules cost no more than ten.
        candidates = self._always.union(*(self._rules_of.get(word, ()) for word in found))
        for at in sorted(candidates):
            if self._rules[at].matches(found, text):
                return self._rules[at].answer
        return None


@dataclass(frozen=True, slots=True)
class _Rule:
    """A rule whose words are numbers of the vocabulary."""

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


def _numbered(rules: Sequence[Rule], is_case_sensitive: bool) -> dict[str, int]:
    words = (word for rule in rules for word in (*rule.any, *rule.all, *rule.none))
    forms = dict.fromkeys(normal(word, is_case_sensitive=is_case_sensitive) for word in words)
    return {form: number for number, form in enumerate(forms)}


def _compiled(rule: Rule, position: int, numbers: dict[str, int], is_case_sensitive: bool) -> _Rule:
    def known(words: tuple[str, ...]) -> frozenset[int]:
        return frozenset(numbers[normal(word, is_case_sensitive=is_case_sensitive)] for word in words)

    pattern = _pattern(rule, position, is_case_sensitive)
    return _Rule(Classification(rule.label), known(rule.any), known(rule.all), known(rule.none), pattern)


def _by_word(rules: list[_Rule]) -> dict[int, list[int]]:
    """Return, for each word, the rules that may match because it was found; words of `none` make none match."""
    found: dict[int, list[int]] = {}
    for at, rule in enumerate(rules):
        for word in rule.any | rule.all:
            found.setdefault(word, []).append(at)
    return found


def _pattern(rule: Rule, position: int, is_case_sensitive: bool) -> Any:
    if rule.regex is None:
        return None
    import re2

    options = re2.Options()
    options.case_sensitive = is_case_sensitive
    # Otherwise RE2 writes to stderr itself what is raised below.
    options.log_errors = False
    try:
        return re2.compile(rule.regex, options)
    except re2.error as error:
        reason = error.args[0].decode("utf-8", "replace") if isinstance(error.args[0], bytes) else error
        raise InvalidDefinition(
            f"rule {position} (label {rule.label!r}): regex {rule.regex!r} is not a valid RE2 pattern: {reason}."
            " RE2 has no look-around and no back-references: https://github.com/google/re2/wiki/Syntax"
        ) from error
