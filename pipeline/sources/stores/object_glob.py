"""Globs over the keys of an object store, which match as the shell matches paths."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase

_MAGIC = frozenset("*?[")
#: Matches any number of folders, none included.
_ANY_DEPTH = "**"


def has_magic(key: str) -> bool:
    """Return whether a key is a glob."""
    return not _MAGIC.isdisjoint(key)


def literal_prefix(pattern: str) -> str:
    """Return the folders of a glob before its first wildcard: no other keys need to be listed."""
    steps = pattern.split("/")
    literal = next((number for number, step in enumerate(steps) if has_magic(step)), len(steps) - 1)
    return "".join(f"{step}/" for step in steps[:literal])


def matches(key: str, pattern: str) -> bool:
    """Return whether a glob matches a key: `*` within a folder, `**` across any; names with a dot need one."""
    return _match(key.split("/"), pattern.split("/"))


def _match(steps: Sequence[str], patterns: Sequence[str]) -> bool:
    if not patterns:
        return not steps
    if patterns[0] == _ANY_DEPTH:
        return any(_match(steps[skipped:], patterns[1:]) for skipped in range(len(steps) + 1))
    return bool(steps) and _match_step(steps[0], patterns[0]) and _match(steps[1:], patterns[1:])


def _match_step(step: str, pattern: str) -> bool:
    is_hidden = step.startswith(".") and not pattern.startswith(".")
    return not is_hidden and fnmatchcase(step, pattern)
