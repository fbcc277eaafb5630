"""Hints for names that nearly exist."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from itertools import islice

#: Longest name a hint is looked for, and most names it is looked for among: the search is quadratic.
_LONGEST = 80
_MOST = 1_000


def hint(name: str, choices: Iterable[str]) -> str:
    """Return `; did you mean 'x'?` for the choice nearest to `name`, or nothing where none is near."""
    if len(name) > _LONGEST:
        return ""
    by_folded = {known.casefold(): known for known in islice(choices, _MOST)}
    near = get_close_matches(name.casefold(), by_folded, n=1)
    return f"; did you mean {by_folded[near[0]]!r}?" if near else ""
