"""RE2 patterns of rules, which are searched for in normalized texts."""

from __future__ import annotations

import unicodedata
from typing import Any

from pipeline.errors import InvalidDefinition
from pipeline.stages.classifiers.rule import Rule
from pipeline.stages.text.normal_form import normalize, replacements


def compile_pattern(rule: Rule, number: int, *, is_case_sensitive: bool) -> Any:
    """Return the compiled pattern of a rule, or None if it has none.

    Args:
        number: the rule's position in the definition, for messages.

    Raises:
        InvalidDefinition: the pattern is not valid RE2.
        ImportError: `re2` is not installed.
    """
    if rule.regex is None:
        return None
    import re2

    options = re2.Options()
    options.case_sensitive = is_case_sensitive
    # Otherwise RE2 also prints the error raised below to stderr.
    options.log_errors = False
    try:
        return re2.compile(_normalize_pattern(rule.regex, re2.escape, is_case_sensitive=is_case_sensitive), options)
    except re2.error as error:
        reason = error.args[0].decode("utf-8", "replace") if isinstance(error.args[0], bytes) else error
        raise InvalidDefinition(
            f"rule {number} (label {rule.label!r}): regex {rule.regex!r} is not a valid RE2 pattern: {reason}."
            " RE2 has no look-around and no back-references: https://github.com/google/re2/wiki/Syntax"
        ) from error


def searched_text(text: str, *, is_case_sensitive: bool) -> str:
    """Return `text` in the form that patterns are searched in."""
    text = normalize(text)
    return text if is_case_sensitive else _unify_turkish_i(text)


def _unify_turkish_i(text: str) -> str:
    """Return `text` with i for the Turkish İ and ı, which RE2 does not take for cases of i and I."""
    return text if text.isascii() else text.replace("İ", "i").replace("ı", "i")


def _normalize_pattern(pattern: str, escape: Any, *, is_case_sensitive: bool) -> str:
    """Return `pattern` with the characters that normalized texts have."""
    if pattern.isascii():
        return pattern
    parts = []
    is_escaped = False
    for char in unicodedata.normalize("NFC", pattern):
        # Escaped, because a full-width question mark is not the operator.
        plain = escape(replacements()[char]) if char in replacements() and not is_escaped else char
        parts.append(plain)
        is_escaped = char == "\\" and not is_escaped
    return "".join(parts) if is_case_sensitive else _unify_turkish_i("".join(parts))
